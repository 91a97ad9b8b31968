"""The rules by which a model normalizes texts: a double array (of Darts) and the texts that replace others.

The library follows the double array without looking, in an array on its stack for as many rules as its own
compiler allows. So what it would read, and how many rules match at once, is computed here first.

A unit is a number of 32 bits: the lowest 8 are the byte that leads to it, bit 8 says that a rule ends here,
the highest 22 (with bit 9, times 256) are what its position is combined with (XOR) to get that of its
children; a unit with bit 31 is where a text that replaces others begins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEMORY = 14
"""Bytes that a check takes for each byte of the rules, at most."""

_BLOCK = 1024
"""A double array is made of blocks of this many bytes: 256 units."""

_MATCHES = 32
"""How many rules may begin a text at once: the room that the library has for them."""

_DEEPEST = 1024
"""Bytes of the longest text that a rule replaces."""

_LONGEST = 1024
"""Bytes of the longest text that a rule puts in the place of another: each character of a text may become as
many."""

_LEAF = np.uint32(1 << 31)


def check(data: bytes) -> None:
    """Raise ValueError unless the library can follow these rules, whatever the text."""
    size = int.from_bytes(data[:4], "little")
    if size % _BLOCK or not 0 < size < len(data) - 4:
        raise ValueError("the rules of a normalization are not a double array in blocks, and texts")
    units = np.frombuffer(data, "<u4", size // 4, 4)
    texts = data[4 + size :]
    texts.decode()
    if texts[-1]:
        raise ValueError("the texts of a normalization do not end with a zero")
    leaf = (units & _LEAF) != 0
    offset = units >> 10 << ((units & 512) >> 6)
    base = (np.arange(len(units)) ^ offset).astype(np.uint32)
    walked = ~leaf
    walked[0] = True
    if base[walked].max() >= len(units):  # a block is whole, so its other units are there
        raise ValueError("the rules of a normalization lead out of their double array")
    ends = ~leaf & ((units & 256) != 0)
    _check_texts(np.unique(units[base[ends]] & ~_LEAF), texts)
    _check_matches(units, base, ends, leaf)


def _check_texts(starts: NDArray[np.uint32], texts: bytes) -> None:
    """Whether a text begins at each of these places, and is short."""
    if not len(starts):
        return
    if starts[-1] >= len(texts):
        raise ValueError("a rule of a normalization leads out of its texts")
    found = np.frombuffer(texts, np.uint8)
    if ((found[starts] & 0xC0) == 0x80).any():
        raise ValueError("a rule of a normalization leads into the middle of a character")
    zeros = np.flatnonzero(found == 0)
    if (zeros[np.searchsorted(zeros, starts)] - starts.astype(np.int64)).max() > _LONGEST:
        raise ValueError(f"a rule of a normalization puts in more than {_LONGEST} bytes for one text")


def _check_matches(
    units: NDArray[np.uint32], base: NDArray[np.uint32], ends: NDArray[np.bool_], leaf: NDArray[np.bool_]
) -> None:
    """Whether few rules end along each way through the double array. The most that end on the way to a base
    (where a unit's children lie) is raised until nothing changes: so a circle shows itself."""
    inner = np.flatnonzero(~leaf).astype(np.uint32)
    parents = inner ^ (units[inner] & 255)
    order = np.argsort(parents, kind="stable")
    inner, parents = inner[order], parents[order]
    most = np.full(len(units), -1, np.int8)
    most[base[0]] = 0
    waiting = base[:1]
    for _ in range(_DEEPEST):
        first, last = np.searchsorted(parents, waiting), np.searchsorted(parents, waiting, "right")
        many = last - first
        places = np.repeat(last - np.cumsum(many), many) + np.arange(many.sum())
        next_ = inner[places]
        reached = np.repeat(most[waiting], many) + ends[next_].astype(np.int8)
        if reached.max(initial=0) > _MATCHES:
            raise ValueError(f"more than {_MATCHES} rules of a normalization match one text")
        bases = base[next_]
        more = reached > most[bases]
        bases, reached = bases[more], reached[more]
        if not len(bases):
            return
        np.maximum.at(most, bases, reached)
        waiting = np.unique(bases)
    raise ValueError(f"a rule of a normalization replaces more than {_DEEPEST} bytes")
