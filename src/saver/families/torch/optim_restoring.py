"""Restores optimizers: by the names of parameters if those are known, otherwise by position."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.optim import Optimizer

from saver.codec import Decoder
from saver.families.python.live_attributes import Attributes
from saver.families.python.restoring import differing, items
from saver.families.torch.becoming import Becoming
from saver.families.torch.distributed import is_distributed
from saver.families.torch.leaves import Leaf, Leaves, read, reads_box
from saver.families.torch.optim import NOT_STORED, check_attributes
from saver.families.torch.optim_order import PARAMETER_NAMES, Order, SavedOptimizer, added_groups, wrong
from saver.families.torch.optim_state import Form, loading
from saver.restoring import Mismatch, PartReport, Plan, Restorer, Saved
from saver.restoring.contract import kind
from saver.tree import Node, Value

_LIKE_THE_PARAMETER = frozenset(
    (
        "acc_delta", "ax", "eta", "exp_avg", "exp_avg_sq", "exp_inf", "grad_avg", "max_exp_avg_sq",
        "momentum_buffer", "mu_product", "prev", "square_avg", "step_size", "sum",
    )
)  # fmt: skip
"""State of torch's optimizers that has the shape of its parameter if it is a tensor with axes."""

_ADDED_LATER = frozenset(
    (
        "amsgrad", "capturable", "centered", "decoupled_weight_decay", "differentiable", "foreach", "fused",
        "initial_lr", "maximize", "momentum", "nesterov",
    )
)  # fmt: skip
"""Options that torch adds to the state of an older torch."""


class OptimizerRestorer(Restorer):
    """Optimizers: the state of each parameter, by the parameter's name where the modules that are restored
    with it tell that, otherwise by its position in its group. State is copied into existing tensors where the
    target has them."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, Optimizer)

    def within(self, target: Any) -> Iterable[tuple[Any, Any]]:
        return ((name, item) for name, item in vars(target).items() if name not in NOT_STORED)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        found = SavedOptimizer(node, target, saved)
        groups = [*target.param_groups, *added_groups(found, target, saved)]
        unlike = _other_groups(found, groups)
        if unlike is not None:
            return Plan(PartReport(kind(target), mismatched=(unlike,)))
        match = _Match(found, target, groups, saved)
        if type(node) is Node:
            saved.stands_for(node, target)
        saved.want(*found.groups, *match.read_whole())
        match.want_boxes(Leaves(saved))
        return Plan(match.report(), match.ready if match.fits else None, may_refuse=match.fits)


class _Match:
    """A saved optimizer and the one into which it is restored, which gets these groups: as many, with equal
    numbers of parameters."""

    def __init__(
        self, found: SavedOptimizer, target: Any, groups: list[dict[str, Any]], saved: Saved
    ) -> None:
        self._found, self._target, self._where = found, target, saved.where
        self._groups = groups
        self._order = Order(found, target, groups, saved)
        self._form = Form(found, self._order.parameters, saved)
        self._mismatched, self.state = _fitting(found.state, self._order.parameters, saved)
        self._boxes = _boxes(self.state, self._order.parameters, saved)
        self._rest = _Rest(found, self._order, target, saved)
        self._missing = _missing(found, groups)

    @property
    def fits(self) -> bool:
        """Whether the optimizer can go on with what was saved."""
        return not self._missing and not self._order.mismatched

    def read_whole(self) -> Iterator[Value]:
        """The state that is read whole: all, but for tensors of which this process has a box."""
        for key, entry in self.state.items():
            for name, item in entry.items():
                if (key, name) not in self._boxes:
                    yield item

    def want_boxes(self, leaves: Leaves) -> None:
        """Announce the boxes of tensors of which this process has one."""
        for leaf, parameter in self._boxes.values():
            leaves.want(leaf, parameter)

    def _read_box(self, key: Any, name: str, decoder: Decoder) -> Any:
        leaf, parameter = self._boxes[key, name]
        return read(leaf, decoder, parameter)

    def report(self) -> PartReport:
        groups = range(len(self._found.groups))
        return PartReport(
            kind(self._target),
            (*(f"param_groups.{at}" for at in groups), *(f"state.{key}" for key in self.state)),
            (*self._missing, *self._rest.missing),
            mismatched=(*self._order.mismatched, *self._mismatched, *self._rest.mismatched),
            converted=tuple(self._form.converted(self.state)),
            kept=self._rest.kept,
        )

    def ready(self, decoder: Decoder) -> Callable[[], None]:
        groups = _decoded_groups(self._found, self._order, self._groups, decoder)
        entries = {
            key: {
                name: self._read_box(key, name, decoder) if (key, name) in self._boxes else decoder(item)
                for name, item in entry.items()
            }
            for key, entry in self.state.items()
        }
        load = loading(self._target, groups, entries, self._form, self._where)
        finish = self._rest.ready(decoder)

        def change() -> None:
            with _grown(self._target, self._groups):
                load()
            for group, place in zip(self._target.param_groups, self._found.places, strict=True):
                _put_parameters(group, place)
            finish()

        return change


@contextmanager
def _grown(target: Any, groups: list[dict[str, Any]]) -> Iterator[None]:
    """Let an optimizer have these groups, unless the block raises."""
    before = len(target.param_groups)
    target.param_groups.extend(groups[before:])
    try:
        yield
    except BaseException:
        del target.param_groups[before:]
        raise


def _other_groups(found: SavedOptimizer, groups: list[dict[str, Any]]) -> Mismatch | None:
    """Why nothing can be put into an optimizer: its groups are other ones."""
    saved = tuple(map(len, found.numbers))
    here = tuple(len(group["params"]) for group in groups)
    if saved == here:
        return None
    why = f"saved {_counted(saved)}, here {_counted(here)}"
    if saved[: len(here)] == here:
        why += "; add those that training added, with add_param_group, before they are restored"
    elif sum(saved) == sum(here):
        why += "; make the optimizer with the groups that it had"
    return Mismatch("param_groups", saved, here, why)


def _missing(found: SavedOptimizer, groups: list[dict[str, Any]]) -> tuple[str, ...]:
    """The options that the target steps by and that were not saved."""
    return tuple(
        f"param_groups.{at}.{name}"
        for at, (own, group) in enumerate(zip(groups, found.groups, strict=True))
        for name in sorted(_lost(own, group))
    )


def _decoded_groups(
    found: SavedOptimizer, order: Order, here: list[dict[str, Any]], decoder: Decoder
) -> list[dict[str, Any]]:
    """The groups as `load_state_dict` wants them, with the numbers of their parameters."""
    groups: list[dict[str, Any]] = []
    for group, numbers, own in zip(found.groups, order.numbers, here, strict=True):
        fresh: dict[str, Any] = {name: decoder(option) for name, option in group.items()}
        if PARAMETER_NAMES in fresh and PARAMETER_NAMES in own:
            fresh[PARAMETER_NAMES] = list(own[PARAMETER_NAMES])
        groups.append({**fresh, "params": numbers})
    return groups


class _Rest:
    """What an optimizer has beside its groups and state: attributes, and parameters that no module brings. A
    run that resumes goes on with them; a transfer leaves them as they are, and says so."""

    def __init__(self, found: SavedOptimizer, order: Order, target: Any, saved: Saved) -> None:
        self.missing: list[str] = []
        self.mismatched: list[Mismatch] = []
        self.kept: tuple[str, ...] = ()
        self._target = target
        self._attributes: Attributes | None = None
        self._tree = Becoming(saved)
        if found.attributes is None:
            return
        if not saved.exact:
            here = {name: item for name, item in vars(target).items() if name not in NOT_STORED}
            self.kept = tuple(differing(found.attributes, here, saved))
            return
        for number, value in found.tensors.items():
            parameter = order.parameters.get(number)
            if number in order.known:
                saved.stands_for(_node(value, saved), parameter)
            elif parameter is not None:
                self._tree.parameter(f"parameter {number}", value, parameter)
        self._attributes = Attributes(target, found.attributes, saved, examined=False, left_out=NOT_STORED)
        report = self._attributes.report()
        self.missing = [*report.missing, *report.unexpected]
        self.mismatched = [*self._tree.mismatched, *report.mismatched]

    def ready(self, decoder: Decoder) -> Callable[[], None]:
        steps = [pair.ready(decoder) for pair in self._tree.pairs]
        if self._attributes is not None:
            fresh, change = self._attributes.ready(decoder)
            check_attributes(type(self._target), fresh)
            steps.append(change)

        def finish() -> None:
            for step in steps:
                step()

        return finish


def _node(value: Value, saved: Saved) -> Node:
    node = saved.follow(value)
    return node if type(node) is Node else wrong("parameters")


def _put_parameters(group: dict[str, Any], place: int) -> None:
    """Move the parameters back among the options, since torch loads them behind those, so that the order is
    the saved one."""
    found = list(group.items())
    (own,) = (item for item in found if item[0] == "params")
    found.remove(own)
    group.clear()
    group.update([*found[:place], own, *found[place:]])


def _counted(lengths: tuple[int, ...]) -> str:
    groups = "1 group" if len(lengths) == 1 else f"{len(lengths)} groups"
    return f"{groups} of {' + '.join(map(str, lengths))} parameters"


def _lost(own: dict[str, Any], group: dict[str, Value]) -> set[str]:
    """Options of the target that the saved group does not have, since it is of another optimizer."""
    return own.keys() - group.keys() - _ADDED_LATER - {"params", "param_names"}


def _fitting(
    state: dict[Any, Value], parameters: dict[Any, Any], saved: Saved
) -> tuple[tuple[Mismatch, ...], dict[Any, dict[str, Value]]]:
    """The state that does not have the shape of its parameter, and the state that does."""
    leaves = Leaves(saved)
    mismatched: list[Mismatch] = []
    fitting: dict[Any, dict[str, Value]] = {}
    for key, value in state.items():
        entry = items(value, saved)
        if entry is None:
            raise ValueError("the state of a parameter is not a dict")
        unfit = [
            Mismatch(f"state.{key}.{name}", leaf.shape, tuple(parameters[key].shape))
            for name, item in entry.items()
            if key in parameters
            and name in _LIKE_THE_PARAMETER
            and isinstance(leaf := leaves.find(item), Leaf)
            and leaf.shape not in ((), tuple(parameters[key].shape))
        ]
        mismatched += unfit
        if not unfit:
            fitting[key] = entry
    return tuple(mismatched), fitting


def _boxes(
    state: dict[Any, dict[str, Value]], parameters: dict[Any, Any], saved: Saved
) -> dict[tuple[Any, str], tuple[Leaf, Any]]:
    """The state of distributed parameters that is distributed as they are: the leaf and the parameter."""
    leaves = Leaves(saved)
    return {
        (key, name): (leaf, parameters[key])
        for key, entry in state.items()
        if is_distributed(parameters.get(key))
        for name, item in entry.items()
        if isinstance(leaf := leaves.find(item), Leaf)
        and reads_box(leaf, parameters[key])
        and leaf.shape == tuple(parameters[key].shape)
    }
