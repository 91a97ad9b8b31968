"""Restores existing NumPy arrays and random generators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saver.codec import Decoder
from saver.errors import DoesNotFitError
from saver.families.numpy.axes import axes_of, places
from saver.families.numpy.dtypes import decode_dtype
from saver.families.python import generators
from saver.families.python.restoring import told
from saver.restoring import Conversion, Mismatch, Pair, PartReport, Plan, Restorer, Saved, array_memory
from saver.restoring.contract import a_kind, kind
from saver.tensors import NUMPY_DTYPE
from saver.tree import Node, Tensor, Value

_CODEC = "numpy.array"


class ArrayRestorer(Restorer):
    """Arrays of the same shape: the elements are copied, and converted if NumPy's "same_kind" rule allows."""

    live = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, np.ndarray)

    def refusal(self, target: Any) -> str | None:
        if target.flags.writeable:
            return None
        return "the array is read-only and cannot be restored in place; take it from `load`"

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        masked = isinstance(target, np.ma.MaskedArray)
        if type(node) is not Node or node.codec != _CODEC or masked:
            saved.refuse(
                f"{told(node)} was saved, which cannot be copied into {a_kind(target)}; take it from `load`"
            )
        closed = self.refusal(target)
        if closed is not None:
            saved.refuse(closed)
        shape, dtype = _form(node.state, saved)
        report = PartReport(kind(target), ("value",))
        if shape != target.shape:
            return Plan(_unfit(target, Mismatch("value", shape, target.shape)))
        if not np.can_cast(dtype, target.dtype, "same_kind"):
            why = f"{dtype} cannot be converted to {target.dtype}"
            return Plan(_unfit(target, Mismatch("value", shape, target.shape, why)))
        if dtype != target.dtype:
            conversion = Conversion("value", str(dtype), str(target.dtype))
            if saved.exact:
                return Plan(_unfit(target, conversion.refused(shape)))
            report = PartReport(kind(target), ("value",), converted=(conversion,))
        pair = self.pair(node, target, saved)
        if pair is not None:
            saved.fills(pair)
        else:
            pair = _copied(node, target)
        saved.hold(pair.needs)
        return Plan(report, pair.ready)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        if type(target) not in (np.ndarray, np.memmap) or node.codec != _CODEC or not target.flags.writeable:
            return None
        if _form(node.state, saved) != (target.shape, target.dtype):
            return None
        pair = _copied(node, target)
        return pair if pair.memory is not None and pair.memory.distinct else None


def _copied(node: Node, target: Any) -> Pair:
    content = Node(node.codec, version=node.version, state=node.state)

    def ready(decoder: Decoder) -> Callable[[], None]:
        found = decoder(content)
        if found.shape != target.shape:
            raise ValueError(f"the array has the shape {found.shape}")
        return lambda: np.copyto(target, found, "same_kind")

    in_bytes = not target.dtype.hasobject and target.dtype.kind != "T"
    memory = array_memory(target, (lambda decoder: decoder(content)) if in_bytes else None)
    return Pair(node, target, content, ready, memory=memory)


def _unfit(target: Any, mismatch: Mismatch) -> PartReport:
    return PartReport(kind(target), mismatched=(mismatch,))


def _form(state: Any, saved: Saved) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of a saved array, without its bytes."""
    if type(state) is Tensor:
        entry = saved.entry(state)
        return tuple(entry.shape), NUMPY_DTYPE[entry.dtype]
    shape = tuple(state["shape"])
    dtype = decode_dtype(state["dtype"], saved.peek())
    axes = axes_of(state["order"], len(shape)) if "order" in state else range(len(shape))
    return tuple(shape[axis] for axis in places(tuple(axes))), dtype


class GeneratorRestorer(generators.GeneratorRestorer):
    """Random generators. Children that they spawn later come from their own seeds, which cannot be
    changed."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, (np.random.Generator, np.random.RandomState, np.random.BitGenerator))

    def codecs(self, target: Any) -> tuple[str, ...]:
        legacy = isinstance(target, np.random.RandomState)
        return ("numpy.RandomState",) if legacy else ("numpy.Generator", "numpy.BitGenerator")

    def continued(self, target: Any, found: Any, where: str) -> Callable[[], None]:
        source, bits = _bits(found), _bits(target)
        if type(source) is not type(bits):
            raise DoesNotFitError(
                f"{where}: the saved generator is {a_kind(source)}, this one {a_kind(bits)}; make one of the "
                "same kind, or take it from `load`"
            )
        if isinstance(target, np.random.RandomState):
            state = found.get_state(legacy=False)
            return lambda: target.set_state(state)
        return lambda: setattr(bits, "state", source.state)


def _bits(generator: Any) -> Any:
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator
    return generator._bit_generator if isinstance(generator, np.random.RandomState) else generator
