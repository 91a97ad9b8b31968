"""How the bytes of a shard are hashed: whole, or from `BLOCKS_FROM` bytes on in blocks of `BLOCK` bytes.

The hash of a shard is the BLAKE3 of its bytes; of one with blocks, that of the concatenated digests of its
blocks, each of which can then be read and verified alone. docs/decisions/0017 has the measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from blake3 import blake3

BLOCK = 4 << 20
"""Bytes of each block but the last."""

BLOCKS_FROM = 8 << 20
"""Shards of this many bytes and more are hashed in blocks."""

ZERO = "0" * 64
"""Stands for a hash that is not known yet."""

Hashed: TypeAlias = tuple[str, tuple[str, ...]]
"""The hash of a shard, and those of its blocks, if it has any."""


def block_count(length: int) -> int:
    """The number of blocks in which a shard of `length` bytes is hashed; 0 if it is hashed whole."""
    return -(-length // BLOCK) if length >= BLOCKS_FROM else 0


def block_span(number: int, length: int) -> tuple[int, int]:
    """Start and end of a block of a shard of `length` bytes."""
    return number * BLOCK, min((number + 1) * BLOCK, length)


def root_of(digests: Iterable[bytes]) -> str:
    """The hash of a shard that is hashed by blocks."""
    return blake3(b"".join(digests)).hexdigest()


def hashed_of(digests: Sequence[bytes], length: int) -> Hashed:
    """The hashes of a shard of `length` bytes, from the digests of its blocks, or from its own."""
    if not block_count(length):
        return digests[0].hex(), ()
    return root_of(digests), tuple(digest.hex() for digest in digests)


def hash_whole(data: memoryview) -> Hashed:
    """The hashes of a shard whose bytes are all there."""
    if not block_count(len(data)):
        return blake3(data).hexdigest(), ()
    hasher = Hasher(len(data))
    hasher.update(data)
    return hasher.hashed()


class Hasher:
    """Hashes one shard of `length` bytes, given in order."""

    __slots__ = ("_block", "_digests", "_done", "_partial", "length")

    def __init__(self, length: int) -> None:
        self.length = length
        self._block = BLOCK if block_count(length) else max(length, 1)
        self._done = 0
        self._digests: list[bytes] = []
        self._partial: Any = None

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""
        return self.length - self._done

    def update(self, data: memoryview) -> int:
        """Take as many of the next bytes as are missing; returns how many it took."""
        at, end = 0, min(len(data), self.missing)
        if not self._done and end == self.length <= self._block:  # most shards come whole
            self._digests.append(blake3(data[:end]).digest())
            self._done = at = end
        while at < end:
            take = min(end - at, self._block - self._done % self._block)
            if self._partial is None:
                self._partial = blake3()
            self._partial.update(data[at : at + take])
            at += take
            self._done += take
            if self._done % self._block == 0 or not self.missing:
                self._digests.append(self._partial.digest())
                self._partial = None
        return at

    def hashed(self) -> Hashed:
        """The hash, once all bytes have been taken. Raises AssertionError while some are missing."""
        if self.missing:
            raise AssertionError("fewer bytes than its shape says")
        return hashed_of(self._digests or [blake3(b"").digest()], self.length)
