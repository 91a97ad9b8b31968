"""What lies within the values of a tree, by the steps that people take there: attribute, key, index."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from saver.compare.arrays import Array, Entries, column_array, numpy_array, tensor_array, torch_array
from saver.compare.forms import FORMS, TEXT
from saver.compare.texts import base64_bytes, plain, printable, title
from saver.repo.manifest import Manifest
from saver.tree import Node, Ref, Tensor, walk
from saver.view import View

STEP_LIMIT = 100
PARAMETERS_LIMIT = 1_000_000
"""Parameters of optimizers that are looked up; a crafted file could have one list in many optimizers."""


class Inside(NamedTuple):
    """Children by their step from the value; the empty step is the value's own array. `order` holds the
    steps whose order is part of the value."""

    children: dict[str, Any]
    order: list[str]


class Side:
    """One of two versions, ready to be walked.

    What references lead to is read once only, so that naming one large thing many times costs little.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.entries: Entries = view.entry
        self.parameters_left = PARAMETERS_LIMIT
        self._targets = _targets(view.manifest)
        self._texts: dict[int, str | None] = {}
        self._insides: dict[int, Inside | None] = {}

    def resolve(self, value: Any) -> Any:
        """The node that a reference leads to, the array that a tensor is; everything else as it is."""
        if type(value) is Ref:
            return self._targets.get(value.id, value)
        if type(value) is Tensor:
            return tensor_array(value, self.entries) or value
        return value

    def text(self, value: Any) -> str | None:
        """A value that fits in a line, as `plain` has it."""
        if isinstance(value, (Ref, Tensor)):
            missing = value.id if isinstance(value, Ref) else value.name
            return printable(f"something that is not there: {missing}")
        if type(value) is not Node or value.id is None:
            return plain(value)
        if id(value) not in self._texts:
            self._texts[id(value)] = plain(value)
        return self._texts[id(value)]

    def title(self, value: Any) -> str:
        """A value in a line, or what it is."""
        if type(value) is Array:
            return f"{value.form.name} {list(value.shape)}"
        return self.text(value) or title(value)

    def inside(self, value: Any) -> Inside | None:
        """What lies within; None for what is no container."""
        if type(value) is not Node or value.id is None:
            return self._read(value)
        if id(value) not in self._insides:
            self._insides[id(value)] = self._read(value)
        return self._insides[id(value)]

    def _read(self, value: Any) -> Inside | None:
        if type(value) is Node:
            children, order = _READERS.get(value.codec, _any_node)(value, self)
        elif type(value) is dict or type(value) is list:
            children, order = _any(value), False
        else:
            return None
        found: dict[str, Any] = {}
        times: Counter[str] = Counter()
        for name, child in children:
            unique = name
            while unique in found:
                times[name] += 1
                unique = f"{name}#{times[name] + 1}"
            found[unique] = child
        ordered = list(found) if order is True else [name for name in found if order and name in order]
        return Inside(found, ordered)


def _targets(manifest: Manifest) -> dict[int | str, Node]:
    roots = (root for part in manifest.parts.values() for root in (part.tree, *part.batches.values()))
    nodes = (item for root in roots for item in walk(root) if type(item) is Node)
    return {node.id: node for node in nodes if node.id is not None}


def step(key: str) -> str:
    """The step to an attribute or a key."""
    if len(key) <= STEP_LIMIT and re.fullmatch(r"[\w.\-]+", key):
        return f".{key}"
    return f"[{json.dumps(key if len(key) <= STEP_LIMIT else f'{key[:STEP_LIMIT]}…')}]"


Children = Iterable[tuple[str, Any]]
Found = tuple[Children, "bool | frozenset[str]"]
"""Children, and whether their order counts: all of them, or these."""


def _indexed(items: list[Any]) -> Children:
    return [(f"[{index}]", item) for index, item in enumerate(items)]


def _any_node(node: Node, side: Side) -> Found:
    return _any(node.state), False


def _any(state: Any) -> Children:
    """What lies in a state whose meaning is not known here."""
    if type(state) is dict:
        return [(step(key), item) for key, item in state.items()]
    if type(state) is list:
        return _indexed(state)
    return [] if state is None else [("", state)]


def _run(state: Any, side: Side) -> Children:
    column = column_array(state, side.entries) if type(state) is dict else None
    return _any(state) if column is None else [("", column)]


def _sequence(node: Node, side: Side) -> Found:
    named = _named_steps(node.state, side) if node.codec == "list" else None
    return (_run(node.state, side), False) if named is None else (named, True)


def _named_steps(state: Any, side: Side) -> list[tuple[str, Any]] | None:
    """The items of a list of `(name, …)`, by name: so are the steps of pipelines, which come and go."""
    if type(state) is not list or not state:
        return None
    found, names = [], set()
    for item in map(side.resolve, state):
        inner = item.state if type(item) is Node and item.codec == "tuple" else None
        if type(inner) is not list or len(inner) < 2 or type(inner[0]) is not str or inner[0] in names:
            return None
        names.add(inner[0])
        name = step(inner[0])
        rest = enumerate(inner[1:], 1)
        found += [(name if len(inner) == 2 else f"{name}[{index}]", value) for index, value in rest]
    return found


def _mapping(node: Node, side: Side) -> Found:
    state = node.state
    if type(state) is list and len(state) == 3 and state[2] == "attributes":
        items, attributes, _ = state
        return [*_items(items, side), *_any(attributes)], True
    return _items(state, side), True


def _default_mapping(node: Node, side: Side) -> Found:
    if type(node.state) is not list or len(node.state) != 2:
        return _any_node(node, side)
    factory, items = node.state
    return [(".default_factory", factory), *_items(items, side)], True


def _items(state: Any, side: Side) -> Children:
    if type(state) is not list or len(state) != 2:
        return _any(state)
    keys, values = state
    if type(keys) is list and type(values) is list and len(keys) == len(values):
        texts = list(map(plain, keys))
        if None not in texts:
            steps = [step(k) if type(k) is str else f"[{t}]" for k, t in zip(keys, texts, strict=True)]
            return list(zip(steps, values, strict=True))
    return [
        (f".{what}{name}", value)
        for what, run in (("keys", keys), ("values", values))
        for name, value in _run(run, side)
    ]


def _numpy(node: Node, side: Side) -> Found:
    array = numpy_array(node, side.entries)
    if array is not None:
        return [("", array)], False
    state = node.state
    if type(state) is not dict or "items" not in state:
        return _any_node(node, side)
    rest = [(step(key), value) for key, value in state.items() if key != "items"]
    return [*_run(state["items"], side), *rest], False


def _torch_tensor(node: Node, side: Side) -> Found:
    array, state = torch_array(node, side.entries, side.resolve), node.state
    if array is None:
        return _any_node(node, side)
    parameter = state.get("parameter", False)
    known = {
        "parameter": parameter,
        "requires_grad": state.get("requires_grad", parameter),
        "device": state.get("device", "cpu"),
        **{key: state[key] for key in ("conj", "neg", "attributes") if key in state},
    }
    if "stride" in state and "base" not in state:
        known["stride"] = state["stride"]
    return [("", array), *((step(key), value) for key, value in known.items())], False


def _module(node: Node, side: Side) -> Found:
    state = node.state
    if type(state) is not dict or not all(type(state.get(kind, {})) is dict for kind in _CONTENTS):
        return _any_node(node, side)
    named = [(step(key), value) for kind in _CONTENTS[1:] for key, value in state.get(kind, {}).items()]
    attributes = [(step(key), value) for key, value in state.get("attributes", {}).items()]
    rest = [(step(key), value) for key, value in state.items() if key not in _CONTENTS]
    return [*attributes, *named, *rest], frozenset(name for name, _ in named)


_CONTENTS = ("attributes", "parameters", "buffers", "modules")


def _optimizer(node: Node, side: Side) -> Found:
    state = node.state
    if type(state) is not dict or type(state.get("state")) is not list:
        return _any_node(node, side)
    children = [item for key, value in state.items() if key != "state" for item in _attributes(key, value)]
    return [*children, *_parameter_states(state, side)], False


def _scheduler(node: Node, side: Side) -> Found:
    if type(node.state) is not dict:
        return _any_node(node, side)
    return [item for key, value in node.state.items() for item in _attributes(key, value)], False


def _attributes(key: str, value: Any) -> Children:
    return _any(value) if key == "attributes" and type(value) is dict else [(step(key), value)]


def _parameter_states(state: dict[str, Any], side: Side) -> Iterator[tuple[str, Any]]:
    """The state of each parameter under its number, as in the optimizer's state dict."""
    numbers: dict[int, int] = {}
    for parameter in _parameters(state, side):
        numbers.setdefault(id(parameter), len(numbers))
    for index, pair in enumerate(state["state"]):
        if type(pair) is list and len(pair) == 2:
            number = numbers.get(id(side.resolve(pair[0])), index)
            yield f".state[{number}]", pair[1]
            yield f".state[{number}].parameter", pair[0]
        else:
            yield f".state[{index}]", pair


def _parameters(state: dict[str, Any], side: Side) -> Iterator[Node]:
    """The parameters of an optimizer, group by group."""
    for group in _listed(state.get("param_groups"), side):
        items = group.state if type(group.state) is dict else {}
        yield from _listed(items.get("params"), side)


def _listed(value: Any, side: Side) -> Iterator[Node]:
    """The nodes in a list."""
    node = side.resolve(value)
    items = node.state if type(node) is Node and type(node.state) is list else ()
    for item in items:
        side.parameters_left -= 1
        if side.parameters_left < 0:
            return
        found = side.resolve(item)
        if type(found) is Node:
            yield found


def _text(node: Node, side: Side) -> Found:
    """A long string."""
    array = tensor_array(node.state, side.entries) if type(node.state) is Tensor else None
    if array is None or array.form != FORMS["U8"]:
        return _any_node(node, side)
    return [("", msgspec.structs.replace(array, form=TEXT))], False


def _training_log(node: Node, side: Side) -> Found:
    """The columns by the names of the metrics, and the rows where they stand."""
    state = node.state
    if type(state) is not dict or type(state.get("columns")) is not dict:
        return _any_node(node, side)
    found = [
        (".step", _log_column(state.get("steps"), "I64", side)),
        (".time", _log_column(state.get("times"), "F64", side)),
    ]
    for key, column in state["columns"].items():
        name = step(key.removeprefix("\\"))
        if type(column) is list and len(column) == 2:
            values, rows = _log_column(column[1], "F64", side), _log_column(column[0], "I64", side)
            found += [(name, values), (f"{name}.rows", rows)]
        else:
            found.append((name, column))
    events = state.get("events")
    if type(events) is list and len(events) == len(_EVENTS):
        return [*found, *zip(_EVENTS, events, strict=True)], False
    return [*found, (".events", events)], False


_EVENTS = (".events.kind", ".events.step", ".events.time", ".events.ref")


def _log_column(value: Any, dtype: str, side: Side) -> Any:
    """A column as one array, whether it stands there as base64 text, as a tensor, or as a list of those."""
    form = FORMS[dtype]
    if type(value) is list:
        found = [_log_column(piece, dtype, side) for piece in value if type(piece) is not list]
        found = [tensor_array(piece, side.entries) if type(piece) is Tensor else piece for piece in found]
        pieces = tuple(piece for piece in found if isinstance(piece, Array) and piece.form == form)
        if len(pieces) < len(value) or len({piece.name or index for index, piece in enumerate(pieces)}) < len(
            value
        ):
            return value
        return Array(form, (sum(piece.count for piece in pieces),), pieces=pieces)
    data = base64_bytes(value)
    return (
        value if data is None or len(data) % form.size else Array(form, (len(data) // form.size,), data=data)
    )


_READERS: dict[str, Callable[[Node, Side], Found]] = {
    **dict.fromkeys(("list", "tuple", "set", "frozenset"), _sequence),
    **dict.fromkeys(("dict", "stdlib.OrderedDict", "stdlib.Counter", "sklearn.bunch"), _mapping),
    "str": _text,
    "stdlib.defaultdict": _default_mapping,
    "numpy.array": _numpy,
    "torch.Tensor": _torch_tensor,
    "torch.Module": _module,
    "torch.Optimizer": _optimizer,
    "torch.LRScheduler": _scheduler,
    "saver.TrainingLog": _training_log,
}
