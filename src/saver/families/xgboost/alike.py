"""Objects alike in XGBoost's bytes, its trees: many at a time, where one by one takes several times as long.

Those with arrays of the same lengths have the same bytes but for the numbers, so the first one of a form
tells where the numbers of the others are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

BYTES = np.dtype(np.uint8)
"""The type of a number that is not in an array: XGBoost writes it in as few bytes as it needs, as its type
says, which is among the constants."""

_LENGTH = 8
"""The bytes of the length of an array, which come before its numbers."""

_TRIED = 1 << 24
"""How many forms are compared at most, which of the thousands of trees of a booster are few."""

Value = Callable[[bytes, int], tuple[Any, int]]
"""The value that begins at a place, and where it ends."""


class Form(msgspec.Struct, frozen=True):
    """Objects that differ in numbers alone: `spans` divides one into bytes that are the same in each, the
    `constants`, and numbers, by turns. These have the `sizes`, in bytes. What comes after them is a value of
    another kind, its last one.
    """

    spans: struct.Struct
    constants: tuple[bytes, ...]
    sizes: tuple[int, ...]
    names: tuple[str, ...]
    dtypes: tuple[np.dtype[Any], ...]


class Table(msgspec.Struct, frozen=True):
    """Objects with the same names. `columns` are the bytes of the numbers of each, by name; `last` are the
    last values."""

    columns: Mapping[str, Sequence[bytes]]
    dtypes: Mapping[str, np.dtype[Any]]
    last: list[Any]

    def counts(self, name: str) -> list[int]:
        """How many numbers of this name each object has."""
        if name not in self.columns:
            return [0] * len(self.last)
        return [len(data) // self.dtypes[name].itemsize for data in self.columns[name]]

    def joined(self, name: str, dtype: Any) -> NDArray[Any]:
        """The numbers of this name, one object's after another's; none of a name that they do not have."""
        data = b"".join(self.columns.get(name, ()))
        return np.frombuffer(data, self.dtypes.get(name, np.uint8)).astype(dtype)


def read(data: bytes, at: int, count: int, form_at: Callable[[bytes, int], Form], value: Value) -> Any:
    """The table of so many objects that begin here, and where it ends. Raises ValueError if they have not
    the same names."""
    forms: dict[bytes, list[Form]] = {}
    known: dict[bytes, Any] = {}
    rows, last = [], []
    first, latest, width, tried = None, None, 0, 0
    for _ in range(count):
        likely = forms.get(data[at : at + width], ())
        form = _fitting(likely, data, at)
        tried += len(likely)
        if tried > _TRIED:
            raise ValueError("XGBoost's bytes have objects of too many forms")
        if form is None:
            form = latest = (_resized(latest, data, at) if latest else None) or form_at(data, at)
            first, width = first or form, width or len(form.constants[0])
            if (form.names, form.dtypes) != (first.names, first.dtypes) or len(form.constants[0]) != width:
                raise ValueError("XGBoost's bytes have objects of several kinds where they should be alike")
            forms.setdefault(form.constants[0], []).append(form)
        rows.append(form.spans.unpack_from(data, at)[1::2])
        found, at = _last(data, at + form.spans.size, known, value)
        last.append(found)
    if first is None:
        return Table({}, {}, []), at
    columns = dict(zip(first.names, zip(*rows, strict=True), strict=True))
    return Table(columns, dict(zip(first.names, first.dtypes, strict=True)), last), at


def _fitting(forms: Sequence[Form], data: bytes, at: int) -> Form | None:
    for form in forms:
        if len(data) - at >= form.spans.size and form.spans.unpack_from(data, at)[::2] == form.constants:
            return form
    return None


def _resized(form: Form, data: bytes, start: int) -> Form | None:
    """The form of an object that differs from those of another form in the lengths of arrays alone; None if
    it differs in more."""
    at, spans = start, list[tuple[int, int]]()
    for constant, size, dtype in zip(form.constants, form.sizes, form.dtypes, strict=False):
        is_array = constant[-_LENGTH - 2 : -_LENGTH] == b"#L"
        if not data.startswith(constant[:-_LENGTH] if is_array else constant, at):
            return None
        begin = at + len(constant)
        if is_array:
            size = int.from_bytes(data[begin - _LENGTH : begin], "big") * dtype.itemsize
        at = begin + size
        spans.append((begin, at))
    end = at + len(form.constants[-1])
    found = form_of(data, start, form.names, spans, form.dtypes, end) if end <= len(data) else None
    return found if found and found.constants[-1] == form.constants[-1] else None


def _last(data: bytes, at: int, known: dict[bytes, Any], value: Value) -> tuple[Any, int]:
    """The last value of an object, and where the object ends. Values repeat, and are read once."""
    text = data[at : data.index(b"}", at) + 1]
    if text in known:
        found, end = known[text], at + len(text)
    else:
        found, end = value(data, at)
        if end == at + len(text):
            known[text] = found
    if data[end : end + 1] != b"}":
        raise ValueError("XGBoost's bytes have an object that goes on where it should end")
    return found, end + 1


def form_of(data: bytes, start: int, names: Sequence[str], spans: Sequence[tuple[int, int]],
            dtypes: Sequence[np.dtype[Any]], end: int) -> Form:  # fmt: skip
    """That of an object from `start` to `end`, whose numbers with these names lie there."""
    ends = [start, *(place for span in spans for place in span), end]
    layout = struct.Struct("".join(f"{after - before}s" for before, after in pairwise(ends)))
    sizes = tuple(after - before for before, after in spans)
    return Form(layout, layout.unpack_from(data, start)[::2], sizes, tuple(names), tuple(dtypes))
