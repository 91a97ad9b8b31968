"""The memory of arrays that are filled in place: arrays that share memory must agree about its content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.codec import Decoder


class Storage(msgspec.Struct, frozen=True):
    """The layout of an existing tensor in its storage, compared with that of the saved tensor in its own.

    `root` identifies the saved storage, `place` that of the target. `shift` is how many bytes further the
    target begins; `alike` says that both have the same strides. `whole` says that the saved tensor is the
    one that others are views of, and has the layout of the target, so that a view of either fits the other.
    """

    root: int
    place: tuple[str, int]
    shift: int
    alike: bool
    whole: bool

    def lies_as(self, other: Storage) -> bool:
        """Whether both tensors have the same layout relative to each other as the saved ones."""
        return self.alike and other.alike and (self.place, self.shift) == (other.place, other.shift)


class Memory(msgspec.Struct, frozen=True):
    """Elements that will be written: `shape` of them from `address` on, `strides` and `size` in bytes.

    `saved` returns the elements to write, as an array of that shape; it is None if their bytes are unknown.
    """

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    size: int
    saved: Callable[[Decoder], NDArray[Any]] | None
    device: str = "cpu"
    storage: Storage | None = None

    @property
    def span(self) -> tuple[int, int]:
        """The address of the first byte, and the one after the last."""
        if 0 in self.shape:
            return self.address, self.address
        ends = [(axis - 1) * step for axis, step in zip(self.shape, self.strides, strict=True)]
        low, high = sum(end for end in ends if end < 0), sum(end for end in ends if end > 0)
        return self.address + low, self.address + high + self.size

    @property
    def distinct(self) -> bool:
        """Whether it is certain that no two elements share a byte."""
        if 0 in self.shape:
            return True
        reach = self.size
        for step, axis in sorted(
            (abs(step), axis) for step, axis in zip(self.strides, self.shape, strict=True) if axis > 1
        ):
            if step < reach:
                return False
            reach += step * (axis - 1)
        return True


def array_memory(array: NDArray[Any], saved: Callable[[Decoder], NDArray[Any]] | None) -> Memory:
    """The memory of an array."""
    address = array.__array_interface__["data"][0]
    return Memory(address, array.shape, array.strides, array.itemsize, saved)


def overlapping(memories: Sequence[Memory]) -> Iterator[tuple[int, int]]:
    """The pairs of memories that may share bytes, as indices, the lower one first."""
    devices: defaultdict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for number, memory in enumerate(memories):
        start, stop = memory.span
        if start < stop:
            devices[memory.device].append((start, stop, number))
    for spans in devices.values():
        begun: list[tuple[int, int]] = []
        for start, stop, number in sorted(spans):
            begun = [item for item in begun if item[0] > start]
            yield from ((min(number, other), max(number, other)) for _, other in begun)
            begun.append((stop, number))


def agree(one: Memory, other: Memory, decoder: Decoder) -> bool:
    """Whether both will get the same bytes where they overlap. Changes neither."""
    if one.saved is None or other.saved is None:
        return False
    first, second = one.saved(decoder), other.saved(decoder)
    (low, high), (start, stop) = one.span, other.span
    low = min(low, start)
    scratch = np.zeros(max(high, stop) - low, np.uint8)
    _look(scratch, low, one)[...] = _raw(first)
    _look(scratch, low, other)[...] = _raw(second)
    return bool(np.all(_look(scratch, low, one) == _raw(first)))


def _look(scratch: NDArray[np.uint8], low: int, memory: Memory) -> NDArray[Any]:
    dtype = np.dtype((np.void, memory.size))
    return np.ndarray(memory.shape, dtype, scratch, memory.address - low, memory.strides)


def _raw(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(np.dtype((np.void, array.itemsize)))
