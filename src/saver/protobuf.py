"""Protocol buffers: numbers, and the fields of a message without a schema.

Encoding: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Value = int | memoryview


class Malformed(ValueError):
    """Bytes that are no such message."""


def varint(data: memoryview | bytes, at: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where it ends. Raises Malformed if it is cut off, or has more."""
    found = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("a number is cut off, or has more than 64 bits")
        byte = data[at]
        found |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            if found >> 64:
                raise Malformed("a number has more than 64 bits")
            return found, at


def encoded(number: int) -> bytes:
    """A number that is not negative, in its shortest form."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def packed(numbers: NDArray[np.uint64]) -> bytes:
    """Many such numbers, one after another."""
    lengths = np.ones(len(numbers), np.intp)
    for shift in range(7, 64, 7):
        lengths += numbers >= np.uint64(1 << shift)
    starts = np.cumsum(lengths) - lengths
    found = np.empty(int(lengths.sum()), np.uint8)
    for byte in range(int(lengths.max(initial=0))):
        chosen = lengths > byte
        bits7 = (numbers[chosen] >> np.uint64(7 * byte)) & np.uint64(0x7F)
        found[starts[chosen] + byte] = bits7 | np.where(
            lengths[chosen] > byte + 1, np.uint64(0x80), np.uint64(0)
        )
    return found.tobytes()


class Field(NamedTuple):
    """A field in the bytes of a message: its number and kind, where it begins, and where its value lies."""

    number: int
    kind: int
    begin: int
    start: int
    end: int


def spans(data: memoryview, at: int, end: int) -> Iterator[Field]:
    """Each field between two places, in order."""
    while at < end:
        begin = at
        tag, at = varint(data, at)
        start, kind = at, tag & 7
        if kind == 0:
            _, at = varint(data, at)
        elif kind == 2:
            length, start = varint(data, at)
            at = start + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise Malformed(f"a field of the unknown kind {kind}")
        if at > end:
            raise Malformed("a field is cut off")
        yield Field(tag >> 3, kind, begin, start, at)


def fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field, in order: an unsigned int, or bytes."""
    for number, kind, _, start, end in spans(data, 0, len(data)):
        if kind == 0:
            yield number, varint(data, start)[0]
        else:
            piece = data[start:end]
            yield number, piece if kind == 2 else int.from_bytes(piece, "little")


def message(data: Value) -> memoryview:
    """A field that must be bytes."""
    if isinstance(data, int):
        raise Malformed("a number where a message is expected")
    return data


def text(data: Value) -> str:
    """A field that must be UTF-8."""
    try:
        return bytes(message(data)).decode()
    except UnicodeDecodeError:
        raise Malformed("a name is not UTF-8") from None


def integer(value: Value) -> int:
    """A field that must be a signed number."""
    if not isinstance(value, int):
        raise Malformed("bytes where a number is expected")
    return value - (1 << 64) if value >> 63 else value


def varints(data: memoryview) -> NDArray[np.uint64]:
    """All numbers in packed bytes."""
    found = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(found < 0x80)
    if len(found) and (not len(ends) or ends[-1] != len(found) - 1):
        raise Malformed("a number is cut off")
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    lengths = ends - starts + 1
    numbers = np.zeros(len(ends), np.uint64)
    longest = int(lengths.max(initial=0))
    if longest > 10:
        raise Malformed("a number is too long")
    for byte in range(longest):
        chosen = lengths > byte
        bits = found[starts[chosen] + byte].astype(np.uint64) & np.uint64(0x7F)
        numbers[chosen] |= bits << np.uint64(7 * byte)
    return numbers
