"""The arrays of a version by name, as formats hold them that know nothing but arrays, and what that loses.

A name is the path to the array: keys, attributes and indices, joined by dots, as in the state dicts of
PyTorch. Of a module, the arrays are those of its state dict. If several parts are written, names begin with
that of the part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from saver.compare.contents import Side
from saver.errors import IncompatibleError, printable
from saver.format import Chosen, Loss
from saver.garbage import uncollected
from saver.opened import Opened
from saver.reading.arrays import Array, in_c_order
from saver.reading.dispatch import said
from saver.reading.forms import STRINGS, TEXT, numbers
from saver.reading.steps import Step
from saver.stack import anywhere
from saver.tensors import Bytes
from saver.tree import Node
from saver.trust import dotted

VISITS = 1_000_000
"""How many values a walk may meet: a shared object is met at each place that refers to it."""

BYTES = 8
"""How many times its own size a version may be written: bytes that are shared are written at each place."""

LARGE = 1 << 20

_FEW = 8
"""How many lost fields of an object are named."""

_PLAIN = frozenset(("dict", "list", "tuple", "stdlib.OrderedDict"))
"""Containers of which the names of their items say enough."""

_STEPS = re.compile(r"\.?(\[)?(.*?)(?(1)\])(?=\.|\[|$)", re.DOTALL)


class Named(NamedTuple):
    """An array under its name, and where it is: its place, and the steps that lead to it."""

    name: str
    place: str
    array: Array
    steps: tuple[str, ...] = ()


class Arrays(NamedTuple):
    """What is written, and what is lost."""

    found: list[Named]
    losses: list[Loss]

    def of(self, fits: Callable[[Array], str]) -> Arrays:
        """Those that a format can hold; `fits` says of an array why it cannot, or ""."""
        kept, losses = list[Named](), list[Loss]()
        for each in self.found:
            why = fits(each.array)
            if why:
                losses.append(Loss(each.place, f"{each.array.form.name} {list(each.array.shape)}: {why}"))
            else:
                kept.append(each)
        return Arrays(kept, self.losses + losses)

    def some(self, where: str, title: str) -> Arrays:
        """The same. Raises IncompatibleError if there are none."""
        if not self.found:
            raise IncompatibleError(
                f"{where}: there are no arrays in it that {title} could hold; nothing was written; write a "
                "Saver file instead, or choose other parts"
            )
        return self


def arrays_of(chosen: Chosen) -> Arrays:
    """The arrays of the chosen parts, in the order of the trees, and all that is not one."""
    found: Arrays = anywhere(uncollected, _walked, chosen)
    return found


def read(opened: Opened, array: Array) -> Bytes:
    """The bytes of an array, verified, in C order. Raises DamagedError."""
    return in_c_order(_stored(opened, array), array)


def pieces(opened: Opened, array: Array) -> Iterable[Bytes]:
    """The same, in order, and of an array that has a tensor for itself a part at a time."""
    whole = array.name and not array.pieces and array.strides is None
    if whole and array.length == opened.tensors.info(array.name).length:
        return opened.tensors.stream(array.name)
    return [read(opened, array)]


def release(opened: Opened, array: Array) -> None:
    """Give back the memory of an array that was written, if it is large and has a tensor for itself."""
    if array.length >= LARGE and array.name and array.length == opened.tensors.info(array.name).length:
        opened.tensors.release(array.name)


def _stored(opened: Opened, array: Array) -> Bytes:
    if array.pieces:
        return np.concatenate([_stored(opened, piece) for piece in array.pieces])
    if not array.name:
        return np.frombuffer(array.data, np.uint8)
    raw = opened.tensors.read(array.name)[array.offset : array.offset + array.length]
    if raw.size != array.length:
        raise IncompatibleError(
            f"{opened.where}: {array.name!r} has {raw.size} bytes, but should have {array.length}; no Saver "
            "saved this"
        )
    return raw


def numpy_dtype(array: Array) -> np.dtype[Any] | None:
    """The dtype in which NumPy holds the entries of an array exactly; None if it has none. BF16 and floats of
    8 bits become float32."""
    form = array.form
    if form in (STRINGS, TEXT):
        return None
    if form.number in ("bf16", "f8_e4m3", "f8_e5m2"):
        return np.dtype("<f4")
    if form.name == "BOOL":
        return np.dtype("?")
    if form.count == 2:
        return np.dtype(f"{form.number[0]}c{max(8, form.size)}")
    try:
        return np.dtype(form.number or form.name)
    except (TypeError, ValueError):
        return None


def widened(array: Array) -> bool:
    """Whether NumPy holds the entries in more bytes than they have here."""
    found = numpy_dtype(array)
    return found is not None and found.itemsize != array.form.size


def read_numpy(opened: Opened, array: Array, dtype: np.dtype[Any]) -> Bytes:
    """The bytes of an array in the dtype that `numpy_dtype` gives, in C order."""
    raw = read(opened, array)
    if dtype.itemsize == array.form.size:
        return raw
    if array.form.count == 2:
        return raw.view(array.form.number).astype(f"f{dtype.itemsize // 2}").view(np.uint8)
    return numbers(raw, array.form).astype(dtype).view(np.uint8)


def numpy_pieces(opened: Opened, array: Array, dtype: np.dtype[Any]) -> Iterable[Bytes]:
    """The same, in order, a part at a time if the dtype is that of the array."""
    if dtype.itemsize == array.form.size:
        return pieces(opened, array)
    return [read_numpy(opened, array, dtype)]


def widenings(found: Sequence[Named]) -> list[Loss]:
    """The losses of those that are `widened`: the numbers stay, the dtype does not."""
    return [
        Loss(each.place, f"{each.array.form.name} is written as {numpy_dtype(each.array)}: the same numbers")
        for each in found
        if widened(each.array)
    ]


def _walked(chosen: Chosen) -> Arrays:
    walk = Walk(Side(chosen.opened))
    for part in chosen.parts:
        name = [part] if len(chosen.parts) > 1 else []
        walk.value(chosen.opened.tree(part).root, f"$.{part}", name, part)
    opened, length = chosen.opened, sum(each.array.length for each in walk.found)
    if length > BYTES * (opened.size + opened.tensors.size):
        raise IncompatibleError(
            f"{opened.where}: written without sharing, its arrays would take {length:,} bytes, more than "
            f"{BYTES} times its size; choose some parts, or write a Saver file"
        )
    return Arrays(walk.found, walk.losses)


class Walk:
    """One walk, which may meet so many values."""

    def __init__(self, side: Side, visits: int = VISITS) -> None:
        self.found: list[Named] = []
        self.losses: list[Loss] = []
        self._side = side
        self.visits = visits
        self._around: set[int] = set()
        self._names: set[str] = set()
        self._first: dict[tuple[str, int, tuple[int, ...]], str] = {}

    def value(self, value: Any, place: str, name: list[str], part: str) -> None:
        """Take the arrays in a value, and what is lost of it. Recursive: one call for each level."""
        self._count()
        value = self._side.resolve(value)
        if type(value) is Array:
            self._add(value, place, name or [part])
            return
        if id(value) in self._around:
            self.losses.append(Loss(place, "it refers back to what it is part of"))
            return
        inside = self._side.inside(value)
        children = dict(inside.children) if inside is not None else {}
        own = children.get("")
        if type(own) is Array:
            self._add(own, place, name or [part])
            return
        self._around.add(id(value))
        self._inside(value, children, place, name, part)
        self._around.discard(id(value))

    def _inside(self, value: Any, children: dict[str, Any], place: str, name: list[str], part: str) -> None:
        kept = self._state(value)
        before, losses, lost = len(self.found), len(self.losses), list[str]()
        for step, child in children.items():
            begun, noted = len(self.found), len(self.losses)
            if kept is None or step in kept:
                self.value(child, f"{place}{step}", name + _names(step), part)
            if len(self.found) == begun:
                del self.losses[noted:]
                lost.append(f"{step.removeprefix('.')} = {self._side.title(self._side.resolve(child))}")
        if len(self.found) == before:
            del self.losses[losses:]
            if place == f"$.{part}":
                self.losses.append(Loss(place, self._side.title(value)))
            return
        title = _title(value)
        if title or lost:
            more = f", … ({len(lost) - _FEW} more)" if len(lost) > _FEW else ""
            told = f"{title}: {', '.join(lost[:_FEW])}{more}" if lost and title else title
            self.losses.insert(losses, Loss(place, told or ", ".join(lost[:_FEW]) + more))

    def _state(self, value: Any) -> frozenset[str] | None:
        """The steps to what the library itself calls the state of an object; None if that is all of it."""
        found = said(value.codec, "STATES") if type(value) is Node else None
        return None if found is None else frozenset(found(value))

    def _add(self, array: Array, place: str, name: list[str]) -> None:
        whole = unique = ".".join(name)
        number = 1
        while unique in self._names:
            number += 1
            unique = f"{whole}#{number}"
        if unique != whole:
            self.losses.append(Loss(place, f"its name {whole!r} is taken; it is written as {unique!r}"))
        self._names.add(unique)
        same = (array.name, array.offset, array.shape)
        if array.name and self._first.setdefault(same, place) != place:
            text = f"it has the same bytes as {self._first[same]}; both are written, as two arrays"
            self.losses.append(Loss(place, text))
        self.found.append(Named(unique, place, array, tuple(name)))

    def _count(self) -> None:
        self.visits -= 1
        if self.visits < 0:
            raise IncompatibleError(
                f"{self._side.view.where}: more than {VISITS:,} values are to be written; choose some parts, "
                "or write a Saver file"
            )


def _names(step: str) -> list[str]:
    """The names in a step: `.weight`, `[3]`, `.state[0].parameter`; a key with a dot stays whole."""
    if isinstance(step, Step):
        return [step.key]
    return [each[2] for each in _STEPS.finditer(step) if each[2]]


def _title(value: Any) -> str:
    """What an object is besides its items; "" for a plain container."""
    if type(value) is not Node or (value.cls is None and value.codec in _PLAIN):
        return ""
    return printable(dotted(value.cls) if value.cls else value.codec)
