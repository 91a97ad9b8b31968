"""XGBoost's binary form of its JSON (UBJSON), as far as XGBoost writes it: both ways.

What is read was written by XGBoost, just now or before it was pickled, and is checked afterwards; what is
written is made from arrays that were checked, so the bytes of a file never reach XGBoost. Lists of numbers
are arrays of NumPy, which is what this form is for.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from saver.families.xgboost import alike

_ALIKE = frozenset(("trees",))
"""The names of lists of objects alike."""

_DTYPES = {
    ord(letter): np.dtype(name)
    for letter, name in {
        "d": ">f4", "D": ">f8", "i": "i1", "U": "u1", "I": ">i2", "l": ">i4", "L": ">i8",
    }.items()
}  # fmt: skip
"""XGBoost's letter for a type of number."""

_LETTERS = {dtype.newbyteorder("="): bytes([letter]) for letter, dtype in _DTYPES.items()}
_NUMBERS = {ord(letter): struct.Struct(f">{form}") for letter, form in zip("dDiUIlL", "fdbBhiq", strict=True)}
_LENGTH = struct.Struct(">q")
_FLOAT = struct.Struct(">f")
_SIZES = np.array([_DTYPES[letter].itemsize if letter in _DTYPES else 0 for letter in range(256)])
_RUN = 256
"""How many numbers of a list are looked at together."""

_CELL = np.dtype([("letter", "S1"), ("value", ">i8")])


class Raw(list[bytes]):
    """A value that is written already, piece by piece."""


def read(data: bytes | bytearray) -> Any:
    """What XGBoost wrote. Raises ValueError for what it never writes."""
    found, end = _value(bytes(data), 0)
    if end != len(data):
        raise ValueError("XGBoost's bytes do not end where they should")
    return found


def _value(data: bytes, at: int) -> tuple[Any, int]:
    """The value that begins here, and where it ends."""
    letter = data[at : at + 1]
    if letter == b"{":
        return _object(data, at + 1)
    if letter == b"[":
        return _list(data, at + 1)
    if letter == b"S":
        text, at = _text_at(data, at + 1)
        return text.decode(), at
    if letter in (b"T", b"F"):
        return letter == b"T", at + 1
    form = _NUMBERS.get(data[at])
    if form is None:
        raise ValueError(f"XGBoost's bytes have a value of the kind {letter!r}")
    return form.unpack_from(data, at + 1)[0], at + 1 + form.size


def _text_at(data: bytes, at: int) -> tuple[bytes, int]:
    start, length = _length_at(data, at)
    return data[start : start + length], start + length


def _length_at(data: bytes, at: int) -> tuple[int, int]:
    """Where what has this length begins, and the length."""
    if data[at] != 76:  # L
        raise ValueError("a length in XGBoost's bytes has another form")
    return at + 9, int.from_bytes(data[at + 1 : at + 9], "big")


def _object(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    while data[at] != 125:  # }
        text, at = _text_at(data, at)
        name = text.decode()
        if name in _ALIKE and data[at : at + 2] == b"[#":
            at, count = _length_at(data, at + 2)
            found[name], at = _alike(data, at, count)
        else:
            found[name], at = _value(data, at)
    return found, at + 1


def _alike(data: bytes, at: int, count: int) -> tuple[alike.Table, int]:
    """The table of so many objects alike, and where it ends."""
    if not count:
        return alike.Table({}, {}, {}, [], np.empty(0, np.int64)), at
    found: tuple[alike.Table, int] = alike.read(data, at, count, _form(data, at), _SIZES, _value)
    return found


def _form(data: bytes, start: int) -> alike.Form:
    """That of the object that begins here, whose items are arrays and numbers but for the last one."""
    at, begin = start + 1, start
    names, gaps, dtypes = list[str](), list[bytes](), list[np.dtype[Any] | None]()
    while True:
        name, at = _text_at(data, at)
        if data[at : at + 2] == b"[$":
            dtype: np.dtype[Any] | None = _DTYPES[data[at + 2]]
            gaps.append(data[begin : at + 5])  # the letter of the length is the last byte
            _, at = _array(data, at)
        elif data[at] in _DTYPES:
            dtype = None
            gaps.append(data[begin:at])
            _, at = _value(data, at)
        else:
            return alike.Form(tuple(names), (*gaps, data[begin:at]), tuple(dtypes))
        begin = at
        names.append(name.decode())
        dtypes.append(dtype)


def _array(data: bytes, at: int) -> tuple[Any, int]:
    """An array: its type and its length come first."""
    dtype = _DTYPES[data[at + 2]]
    start, length = _length_at(data, at + 4)
    return np.frombuffer(data, dtype, length, start), start + length * dtype.itemsize


def _list(data: bytes, at: int) -> tuple[Any, int]:
    if data[at] == 36:  # $
        return _array(data, at - 1)
    found = list[Any]()
    if data[at] == 35:  # number sign
        at, length = _length_at(data, at + 1)
        while len(found) < length:
            some, at = _some(data, at, length - len(found))
            found += some
        return found, at
    while data[at] != 93:  # ]
        item, at = _value(data, at)
        found.append(item)
    return found, at + 1


def _some(data: bytes, at: int, most: int) -> tuple[list[Any], int]:
    """The next values of a list: many at a time if they are numbers with the same letter."""
    dtype = _DTYPES.get(data[at])
    if dtype is None:
        item, at = _value(data, at)
        return [item], at
    cell = np.dtype([("letter", "u1"), ("value", dtype)])
    cells = np.frombuffer(data, cell, min(most, _RUN, (len(data) - at) // cell.itemsize), at)
    other = np.flatnonzero(cells["letter"] != data[at])
    found = cells["value"][: other[0] if len(other) else None].tolist()
    if not found:
        raise ValueError("XGBoost's bytes end within a number")
    return found, at + len(found) * cell.itemsize


def write(value: Any) -> bytearray:
    """A value as XGBoost's bytes, which are copied once."""
    pieces = Raw()
    _add(pieces, value)
    return bytearray().join(pieces)


def _add(pieces: Raw, value: Any) -> None:
    """Add what a value is written as."""
    if type(value) is Raw:
        pieces += value
    elif type(value) is str:
        pieces.append(b"S" + _text(value))
    elif type(value) is dict:
        pieces.append(b"{")
        for name, item in value.items():
            pieces.append(_text(name))
            _add(pieces, item)
        pieces.append(b"}")
    elif type(value) is list:
        pieces.append(_head(len(value)))
        for item in value:
            _add(pieces, item)
    elif type(value) is int:
        pieces.append(b"L" + _LENGTH.pack(value))
    elif type(value) is float:
        pieces.append(b"d" + _FLOAT.pack(value))
    elif isinstance(value, np.ndarray):
        pieces.append(head_of(value) + _LENGTH.pack(len(value)) + big(value))
    else:
        raise ValueError(f"XGBoost has no value of the class {type(value).__name__}")


def listed(items: list[bytes]) -> Raw:
    """A list of values that are written already."""
    return Raw((_head(len(items)), *items))


def integers(array: np.ndarray[Any, Any]) -> Raw:
    """A list of integers, each with its type, where XGBoost reads no array."""
    cells = np.empty(len(array), _CELL)
    cells["letter"], cells["value"] = b"L", array
    return Raw((_head(len(array)), cells.tobytes()))


def _head(length: int) -> bytes:
    return b"[#L" + _LENGTH.pack(length)


def _text(value: str) -> bytes:
    data = value.encode()
    return b"L" + _LENGTH.pack(len(data)) + data


def named(name: str, value: bytes) -> bytes:
    """An item of an object, of which the value, or its beginning, is written already."""
    return _text(name) + value


def head_of(array: np.ndarray[Any, Any]) -> bytes:
    """How an array begins, before its length."""
    return b"[$" + _LETTERS[array.dtype] + b"#L"


def length_of(number: int) -> bytes:
    """A length, after its letter."""
    return _LENGTH.pack(number)


def big(array: np.ndarray[Any, Any]) -> bytes:
    """The bytes of an array, those of each number in XGBoost's order."""
    return array.astype(array.dtype.newbyteorder(">"), copy=False).tobytes()
