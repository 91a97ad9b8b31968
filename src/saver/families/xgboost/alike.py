"""Objects alike in XGBoost's bytes, its trees: many at a time, where one by one takes several times as long.

They have the same names in the same order, and the same bytes but for their numbers and how many these are.
So what comes before the first number of one divides the bytes into objects, and then each array is found in
all of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Value = Callable[[bytes, int], tuple[Any, int]]
"""The value that begins at a place, and where it ends."""

Places = NDArray[np.int64]

_LENGTH = np.dtype(">i8")
"""The length of an array, which comes before its numbers."""


class Form(msgspec.Struct, frozen=True):
    """Objects that differ in numbers alone. `gaps` are the bytes before each of their values, up to the
    length of an array or the letter of a number, and those before the last value, which is of another kind.
    `dtypes` are the types of arrays; that of a number is None, which says it by its letter.
    """

    names: tuple[str, ...]
    gaps: tuple[bytes, ...]
    dtypes: tuple[np.dtype[Any] | None, ...]


class Table(msgspec.Struct, frozen=True):
    """Objects with the same names. `columns` are the bytes of their arrays, one object's after another's, by
    name; `lengths` the bytes that each has of them. `last` are the last values, each one once; `which` says
    which of them an object has.
    """

    columns: Mapping[str, bytes]
    lengths: Mapping[str, NDArray[np.int64]]
    dtypes: Mapping[str, np.dtype[Any]]
    last: list[Any]
    which: NDArray[np.int64]

    def counts(self, name: str) -> NDArray[np.int64]:
        """How many numbers of this name each object has."""
        if name not in self.lengths:
            return np.zeros(len(self.which), np.int64)
        return self.lengths[name] // self.dtypes[name].itemsize

    def joined(self, name: str, dtype: Any) -> NDArray[Any]:
        """The numbers of this name, one object's after another's; none of a name that they do not have."""
        found = np.frombuffer(self.columns.get(name, b""), self.dtypes.get(name, np.uint8))
        return found.astype(dtype)


def table(
    columns: Mapping[str, Sequence[bytes]], dtypes: Mapping[str, np.dtype[Any]], last: list[Any]
) -> Table:
    """Objects that were read one by one: the bytes of the array of each, by name, and their last values."""
    joined = {name: b"".join(each) for name, each in columns.items()}
    lengths = {name: np.array(list(map(len, each)), np.int64) for name, each in columns.items()}
    return Table(joined, lengths, dtypes, last, np.arange(len(last)))


def read(data: bytes, at: int, count: int, form: Form, sizes: NDArray[np.int64], value: Value) -> Any:
    """The table of so many objects of this form that begin here, and where it ends. `sizes` are the bytes of
    a number by its letter, 0 for other letters. Raises ValueError if an object has another form."""
    starts = _starts(data, at, count, form.gaps[0])
    columns, lengths = dict[str, bytes](), dict[str, NDArray[np.int64]]()
    places = starts
    for name, gap, dtype in zip(form.names, form.gaps, form.dtypes, strict=False):
        places = _after(data, places, gap)
        if dtype is None:
            width = sizes[_numbers(data, places, np.dtype(np.uint8))]
            places = places + 1 + width
            if not width.all():
                raise ValueError("XGBoost's bytes have another value where a number should be")
            continue
        counts = _numbers(data, places, _LENGTH).astype(np.int64)
        if counts.min() < 0 or counts.max() > len(data):
            raise ValueError("an array in XGBoost's bytes has an impossible length")
        begins = places + _LENGTH.itemsize
        lengths[name] = counts * dtype.itemsize
        places = begins + lengths[name]
        ends = zip(begins.tolist(), places.tolist(), strict=True)
        columns[name] = b"".join([data[begin:end] for begin, end in ends]) if counts.any() else b""
    last, which, end = _last(data, _after(data, places, form.gaps[-1]).tolist(), starts.tolist(), value)
    dtypes = {name: dtype for name, dtype in zip(form.names, form.dtypes, strict=True) if dtype is not None}
    return Table(columns, lengths, dtypes, last, which), end


def _starts(data: bytes, at: int, count: int, head: bytes) -> Places:
    """Where the objects begin, each of which has this head."""
    pieces = data.split(head, count)
    if len(pieces) != count + 1 or len(pieces[0]) != at:
        raise ValueError("XGBoost's bytes have other objects than they say")
    return at + np.cumsum([0, *(len(head) + len(piece) for piece in pieces[1:-1])])


def _numbers(data: bytes, places: Places, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The number at each of the places."""
    if places.max() > len(data) - dtype.itemsize:
        raise ValueError("XGBoost's bytes end where an object should go on")
    every: NDArray[Any] = np.ndarray(len(data) - dtype.itemsize + 1, dtype, data, strides=(1,))
    return every[places]


def _after(data: bytes, places: Places, gap: bytes) -> Places:
    """The places behind these bytes, which are there in every object."""
    found = _numbers(data, places, np.dtype((np.void, len(gap))))
    if found.tobytes() != gap * len(places):
        raise ValueError("XGBoost's bytes have objects of several kinds where they should be alike")
    return places + len(gap)


def _last(
    data: bytes, places: list[int], starts: list[int], value: Value
) -> tuple[list[Any], NDArray[np.int64], int]:
    """The last values of the objects, which are few, which of them each has, and where the last object
    ends."""
    end = value(data, places[-1])[1] + 1
    texts = [data[begin:stop] for begin, stop in zip(places, (*starts[1:], end), strict=True)]
    number = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    found = []
    for text in number:
        last, length = value(text, 0)
        if text[length:] != b"}":
            raise ValueError("XGBoost's bytes have an object that goes on where it should end")
        found.append(last)
    return found, np.array([number[text] for text in texts], np.int64), end
