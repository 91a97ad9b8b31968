"""Which live parameter is which saved one: by the names of parameters where those are known, otherwise by
their position in their group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch.optim import LBFGS, Optimizer

from saver.families.python.restoring import elements, items, told
from saver.families.torch.known import KnownParameters
from saver.restoring import Mismatch, Saved
from saver.restoring.contract import a_kind
from saver.tree import Node, Reference, Value

_OPTIMIZER = "torch.Optimizer"


def is_same_class(node: Node, target: Any, above: type, saved: Saved) -> bool:
    """Whether a saved object has the target's class, or a base of it that is a subclass of `above`."""
    family = (cls for cls in type(target).__mro__ if issubclass(cls, above) and cls is not above)
    name = saved.class_name(node)
    return any(name == f"{cls.__module__}:{cls.__qualname__}" for cls in family)


class SavedOptimizer:
    """Parameter groups and state of a saved optimizer or state dict.

    `groups` are the options of each group, `numbers` the numbers of its parameters; `state` is by number.
    `places` is the position of the parameters among the options of each group, which a state dict lacks.
    `tensors` are the parameters themselves and `attributes` the attributes, of an optimizer.
    """

    def __init__(self, node: Any, target: Any, saved: Saved) -> None:
        self._saved = saved
        self.groups: list[dict[str, Value]] = []
        self.numbers: list[list[Any]] = []
        self.state: dict[Any, Value] = {}
        self.tensors: dict[Any, Value] = {}
        self.attributes: dict[str, Value] | None = None
        self.places = [list(group).index("params") for group in target.param_groups]
        if type(node) is Node and node.codec == _OPTIMIZER:
            if not is_same_class(node, target, Optimizer, saved):
                saved.refuse(f"{told(node)} was saved, not {a_kind(target)}; take it from `load`")
            self._take_object(node.state)
            return
        found = items(node, saved) or {}
        if not found.keys() >= {"state", "param_groups"}:
            saved.refuse(f"{told(node)} was saved, neither an optimizer nor its state dict")
        for group in self._groups(found["param_groups"]):
            numbers = elements(group["params"], saved)
            self._add(group, numbers if numbers is not None else wrong("parameter numbers"))
        state = items(found["state"], saved)
        self.state = state if state is not None else wrong("the state of an optimizer")

    def names(self, at: int) -> list[Any]:
        """The names of the parameters of a group, if the optimizer was given names."""
        return elements(self.groups[at].get(PARAMETER_NAMES), self._saved) or []

    def _groups(self, value: Value) -> Iterable[dict[str, Value]]:
        for group in elements(value, self._saved) or ():
            yield items(group, self._saved) or wrong("a parameter group")

    def _add(self, group: dict[str, Value], numbers: list[Any]) -> None:
        self.groups.append({str(name): option for name, option in group.items() if name != "params"})
        self.numbers.append(numbers)

    def _take_object(self, state: Any) -> None:
        """Number the parameters as the optimizer's own `state_dict` does."""
        known: dict[Any, int] = {}
        self.places, self.attributes = [], state["attributes"]
        for group in self._groups(state["param_groups"]):
            listed = elements(group["params"], self._saved)
            self.places.append(list(group).index("params"))
            values = listed if listed is not None else wrong("parameters")
            numbers = [known.setdefault(self._identity(value), len(known)) for value in values]
            self._add(group, numbers)
            self.tensors.update(zip(numbers, values, strict=True))
        for key, value in state["state"]:
            if isinstance(key, (Node, Reference)):
                number = known.get(self._identity(key))
                if number is not None:
                    self.state[number] = value
            else:
                self.state[key] = value

    def _identity(self, value: Value) -> Any:
        return id(self._saved.follow(value))


PARAMETER_NAMES = "param_names"
"""The option of a group that holds the names of its parameters, if the optimizer was given names."""


def wrong(what: str) -> Any:
    """Raise ValueError for what no optimizer writes."""
    raise ValueError(f"{what} does not have the form that torch gives it")


def _in_modules(found: SavedOptimizer, saved: Saved) -> dict[Any, tuple[Any, str]]:
    """The live parameters that modules have, and their names, by the numbers of the saved ones."""
    ask_modules = KnownParameters(saved) if found.tensors else lambda value: None
    matches = {number: ask_modules(value) for number, value in found.tensors.items()}
    return {number: match for number, match in matches.items() if match is not None}


def added_groups(found: SavedOptimizer, target: Any, saved: Saved) -> list[dict[str, Any]]:
    """The groups that training added to an optimizer, made of the live parameters. None if modules do not
    tell which parameters those are, or if the target has them in another group."""
    here = len(target.param_groups)
    lengths = [len(group["params"]) for group in target.param_groups]
    if not saved.exact or len(found.numbers) <= here or lengths != list(map(len, found.numbers[:here])):
        return []
    known, taken = (
        _in_modules(found, saved),
        {id(p) for group in target.param_groups for p in group["params"]},
    )
    if not all(number in known for numbers in found.numbers[here:] for number in numbers):
        return []
    groups = [[known[number][0] for number in numbers] for numbers in found.numbers[here:]]
    if not taken.isdisjoint(id(parameter) for group in groups for parameter in group):
        return []
    return [{**target.defaults, "params": group} for group in groups]


class Order:
    """Which live parameter is which saved one.

    `parameters` are the live ones by the number of the saved one; `numbers` are those numbers, group by
    group in the order of the live ones. `known` are those that modules bring, by number. `groups` are those
    of the target, and those that are to be added.
    """

    def __init__(
        self, found: SavedOptimizer, target: Any, groups: list[dict[str, Any]], saved: Saved
    ) -> None:
        self.mismatched: list[Mismatch] = []
        self.names: dict[Any, str] = {}
        self._found = found
        self._groups = [list(group["params"]) for group in groups]
        self._home = {id(item): at for at, group in enumerate(self._groups) for item in group}
        self.known = self._known(saved)
        self.numbers = [
            self._ordered(at, self.known | self._by_given_names(at, group)) for at, group in enumerate(groups)
        ]
        self.parameters: dict[Any, Any] = {
            number: parameter
            for listed, group in zip(self.numbers, self._groups, strict=True)
            for number, parameter in zip(listed, group, strict=True)
        }
        if isinstance(target, LBFGS) and self.numbers != found.numbers and found.state:
            why = "LBFGS keeps one state for all parameters, and they are in another order here"
            self.mismatched.append(Mismatch("state", (), (), why))

    def _known(self, saved: Saved) -> dict[Any, Any]:
        """The live parameters that modules know by name, by number. Modules that this optimizer does not
        train say nothing."""
        found = _in_modules(self._found, saved)
        self.names = {number: name for number, (_, name) in found.items()}
        known = {number: parameter for number, (parameter, _) in found.items()}
        return known if any(id(item) in self._home for item in known.values()) else {}

    def _by_given_names(self, at: int, group: dict[str, Any]) -> dict[Any, Any]:
        """Those that the optimizer was given with a name."""
        here = dict(zip(group.get(PARAMETER_NAMES, ()), self._groups[at], strict=False))
        named = zip(self._found.numbers[at], self._found.names(at), strict=False)
        given = {number: name for number, name in named if type(name) is str and number not in self.known}
        self.names.update(given)
        return {number: here[name] for number, name in given.items() if name in here}

    def _ordered(self, at: int, known: dict[Any, Any]) -> list[Any]:
        """The numbers of one group, in the order of its live parameters."""
        by_parameter: dict[int, Any] = {}
        rest: list[Any] = []
        for number in self._found.numbers[at]:
            parameter = known.get(number)
            home = self._home.get(id(parameter))
            if parameter is None or id(parameter) in by_parameter:
                rest.append(number)
                continue
            if home != at:
                where = "not among its parameters" if home is None else f"in group {home}"
                why = f"{self.names[number]} was in this group, and is {where} here"
                self.mismatched.append(Mismatch(f"param_groups.{at}", (), (), why))
            by_parameter[id(parameter)] = number
        left = iter(rest)
        return [
            by_parameter[id(item)] if id(item) in by_parameter else next(left, None)
            for item in self._groups[at]
        ]
