"""Arrays that are placed on devices as the ones whose places they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from saver.codec import Decoder
from saver.families.jax.arrays import CODES, KEYS, check_precision, form_of, is_key, numbers_of, saved_form
from saver.families.jax.boxes import box_of, numbers_of_keys
from saver.families.python.restoring import told
from saver.restoring import Plan, Restorer, Saved
from saver.restoring.contract import a_kind
from saver.tensors import Box
from saver.tree import Node, Value

Numbers = np.ndarray[Any, Any]


class ArrayRestorer(Restorer):
    """Arrays cannot be changed: in a container, one gets the place of the other. Where the old one was put
    onto certain devices, the new one is put there too, and each process reads the pieces on its own."""

    live = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, jax.Array)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        saved.refuse(
            f"{told(saved.follow(value))} was saved, and {a_kind(target)} cannot be restored in place; "
            "restore what holds it, or take it from `load`"
        )

    def alike(self, node: Node, target: Any, saved: Saved) -> Callable[[Decoder], Any] | None:
        if node.codec != "jax.Array" or not target.committed or getattr(target, "weak_type", False):
            return None
        state: Any = node.state
        if "weak" in state or saved_form(node, saved) != form_of(target):
            return None
        make = _keys if is_key(target) else _array
        _announce(state["data"], numbers_of_keys(target) if is_key(target) else target, saved)
        return lambda decoder: make(state, target, decoder)


def _announce(data: Any, target: Any, saved: Saved) -> None:
    """Announce what `_placed` will read here of a stored tensor."""
    shape = saved.entry(data).shape
    places = target.sharding.addressable_devices_indices_map(target.shape).values()
    for box in {_stored(box_of(index, target.shape), shape) for index in places}:
        if box.sizes == shape:
            saved.want(data)
        elif all(box.sizes):
            saved.want_box(data, box)


def _stored(box: Box, shape: tuple[int, ...]) -> Box:
    """The box of a stored tensor of this shape, which may have more axes, for the parts of an element."""
    pair = shape[len(box.sizes) :]
    return Box((*box.offsets, *(0 for _ in pair)), (*box.sizes, *pair))


def _keys(state: Any, target: Any, decoder: Decoder) -> Any:
    """Random keys, placed as `target`."""
    kind, info, numbers = state["keys"], decoder.info(state["data"]), numbers_of_keys(target)
    if info.dtype != "U32" or info.shape != numbers.shape or numbers.shape[-1:] != (KEYS[kind],):
        raise ValueError(f"{info.dtype} {list(info.shape)} are not the numbers of {kind} keys")
    return jax.random.wrap_key_data(_placed("uint32", state["data"], numbers, decoder), impl=kind)


def _array(state: Any, target: Any, decoder: Decoder) -> Any:
    """An array of numbers, placed as `target`."""
    name, info = state["dtype"], decoder.info(state["data"])
    if CODES[name] != info.dtype:
        raise ValueError(f"{info.dtype} does not hold {name}")
    check_precision(name, decoder)
    return _placed(name, state["data"], target, decoder)


def _placed(name: str, data: Any, target: Any, decoder: Decoder) -> Any:
    """An array of this dtype, placed as `target`. Each box is read once, into memory of its own."""
    shape = decoder.info(data).shape
    boxes: dict[Box, Numbers] = {}

    def piece(index: tuple[slice, ...]) -> Numbers:
        box = box_of(index, target.shape)
        if box not in boxes:
            of = _stored(box, shape)
            raw = decoder.look(data, None if of.sizes == shape else of)
            decoder.budget.charge(raw.nbytes)
            boxes[box] = numbers_of(name, of.sizes, raw).copy()
        return boxes[box]

    return jax.make_array_from_callback(target.shape, target.sharding, piece, dtype=target.dtype)
