"""How trees of tensors, modules and optimizers are read. Needs no PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from saver.errors import printable
from saver.reading.arrays import (
    Array,
    Entries,
    entry_of,
    held,
    is_dense,
    opaque,
    row_major,
    shape_of,
    tensor_array,
)
from saver.reading.forms import FORMS, Form
from saver.reading.steps import Children, Found, Look, any_node, any_state, step
from saver.reading.texts import other
from saver.tree import Node, Tensor

Resolve: TypeAlias = Callable[[Any], Any]
"""Returns the node that a reference leads to; any other value unchanged."""

_OF_TORCH = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PAIRS = {"complex32": "<f2", "complex64": "<f4", "complex128": "<f8"}


def form_of_torch(dtype: Any) -> Form | None:
    """The form of a torch dtype, by name; None for dtypes that neither NumPy nor safetensors has."""
    if type(dtype) is not str:
        return None
    if dtype in _PAIRS:
        size = 2 * int(_PAIRS[dtype][2:])
        return Form(dtype, size, _PAIRS[dtype], 2)
    return FORMS.get(_OF_TORCH.get(dtype, ""))


def torch_array(node: Node, entries: Entries, resolve: Resolve) -> Array | None:
    """The entries of a dense PyTorch tensor, which may be a view; None for other layouts."""
    state = node.state
    if type(state) is not dict or "layout" in state:
        return None
    if "base" in state:
        return _torch_view(state, entries, resolve)
    data: Any = state.get("data")
    if type(data) is Tensor and "dtype" not in state:
        return tensor_array(data, entries)
    form, entry = form_of_torch(state.get("dtype")), entry_of(data, entries)
    if entry is None:
        return None if form is None else held(Array(form, ()), data, _hex_bytes, entries)
    shape = tuple(entry.shape)
    if form is None:
        return opaque(str(state["dtype"]), entry, data.name)
    return held(Array(form, shape[:-1] if form.count == 2 else shape), data, _hex_bytes, entries)


def _torch_view(state: dict[str, Any], entries: Entries, resolve: Resolve) -> Array | None:
    """A view as a run of its base's bytes; None if it is not a single run."""
    base, form = resolve(state["base"]), form_of_torch(state.get("dtype"))
    shape, strides, offset = shape_of(state.get("shape")), shape_of(state.get("stride")), state.get("offset")
    if (
        type(base) is not Node
        or base.codec != "torch.Tensor"
        or type(base.state) is not dict
        or not base.state.keys().isdisjoint(("base", "layout", "stride"))
        or form is None
        or shape is None
        or strides is None
        or not is_dense(shape, strides)
        or type(offset) is not int
    ):
        return None
    data: Any = base.state.get("data")
    entry = entry_of(data, entries)
    at = offset * form.size
    if entry is None or not 0 <= at <= at + math.prod(shape) * form.size <= entry.length:
        return None
    plain = strides == row_major(shape)
    return Array(form, shape, entry.hash, data.name, at, strides=None if plain else strides)


def _hex_bytes(text: Any) -> bytes | None:
    try:
        return bytes.fromhex(text) if type(text) is str else None
    except ValueError:
        return None


def _torch_tensor(node: Node, look: Look) -> Found:
    array, state = torch_array(node, look.entries, look.resolve), node.state
    if array is None:
        return any_node(node, look)
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


def _module(node: Node, look: Look) -> Found:
    state = node.state
    if type(state) is not dict or not all(type(state.get(kind, {})) is dict for kind in _CONTENTS):
        return any_node(node, look)
    named = [(step(key), value) for kind in _CONTENTS[1:] for key, value in state.get(kind, {}).items()]
    attributes = [(step(key), value) for key, value in state.get("attributes", {}).items()]
    rest = [(step(key), value) for key, value in state.items() if key not in _CONTENTS]
    return [*attributes, *named, *rest], frozenset(name for name, _ in named)


_CONTENTS = ("attributes", "parameters", "buffers", "modules")


def _state(node: Node) -> list[str]:
    """The steps to what is in the state dict of a module: parameters, persistent buffers, modules."""
    state = node.state
    if type(state) is not dict or not all(type(state.get(kind, {})) is dict for kind in _CONTENTS):
        return []
    spare = state.get("non_persistent")
    left_out = {key for key in spare if type(key) is str} if type(spare) is list else set[str]()
    named = [key for kind in _CONTENTS[1:] for key in state.get(kind, {})]
    return [step(key) for key in named if key not in left_out]


def _optimizer(node: Node, look: Look) -> Found:
    state = node.state
    if type(state) is not dict or type(state.get("state")) is not list:
        return any_node(node, look)
    children = [item for key, value in state.items() if key != "state" for item in _attributes(key, value)]
    return [*children, *_parameter_states(state, look)], False


def _scheduler(node: Node, look: Look) -> Found:
    if type(node.state) is not dict:
        return any_node(node, look)
    return [item for key, value in node.state.items() for item in _attributes(key, value)], False


def _attributes(key: str, value: Any) -> Children:
    return any_state(value) if key == "attributes" and type(value) is dict else [(step(key), value)]


def _parameter_states(state: dict[str, Any], look: Look) -> Iterator[tuple[str, Any]]:
    """The state of each parameter under its number, as in the optimizer's state dict."""
    numbers: dict[int, int] = {}
    for parameter in _parameters(state, look):
        numbers.setdefault(id(parameter), len(numbers))
    for index, pair in enumerate(state["state"]):
        if type(pair) is list and len(pair) == 2:
            number = numbers.get(id(look.resolve(pair[0])), index)
            yield f".state[{number}]", pair[1]
            yield f".state[{number}].parameter", pair[0]
        else:
            yield f".state[{index}]", pair


def _parameters(state: dict[str, Any], look: Look) -> Iterator[Node]:
    """The parameters of an optimizer, group by group."""
    for group in _listed(state.get("param_groups"), look):
        items = group.state if type(group.state) is dict else {}
        yield from _listed(items.get("params"), look)


def _listed(value: Any, look: Look) -> Iterator[Node]:
    """The nodes in a list."""
    node = look.resolve(value)
    items = node.state if type(node) is Node and type(node.state) is list else ()
    for item in items:
        if not look.may_look():
            return
        found = look.resolve(item)
        if type(found) is Node:
            yield found


def _constant(node: Node, levels: int) -> str | None:
    named = type(node.state) is str and node.state.startswith("torch.")
    return printable(node.state) if named else other(node, levels)


READERS = {
    "torch.Tensor": _torch_tensor,
    "torch.Module": _module,
    "torch.Optimizer": _optimizer,
    "torch.LRScheduler": _scheduler,
}

TEXTS = {"torch.constant": _constant}

TENSORS = {"torch.Tensor": True}
"""Codecs of tensors, which may be views of other tensors: their `base`."""


def _optimizer_state(node: Node) -> list[str]:
    """The steps to the state of each parameter; the parameters themselves are those of a module."""
    state = node.state.get("state") if type(node.state) is dict else None
    return [f".state[{number}]" for number in range(len(state))] if type(state) is list else []


STATES = {"torch.Module": _state, "torch.Optimizer": _optimizer_state}
"""Codecs of objects of which other formats hold what PyTorch calls their state."""
