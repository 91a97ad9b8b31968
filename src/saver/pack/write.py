"""Writes a pack: small ones are hashed first, large ones while they are written, or in a pass before they are
sent in order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from types import MappingProxyType

import numpy as np

from saver.errors import CannotWriteError
from saver.memory import HUGE_PAGE, huge_pages
from saver.pack.layout import Describe, header_bytes, header_hash, plan, slots_bytes
from saver.pack.ring import write_through_ring
from saver.storage import Content, Progress, Sink
from saver.tensors import (
    ITEM_SIZE,
    ZERO,
    Bytes,
    Cut,
    Hashed,
    Hasher,
    Shard,
    ShardedData,
    TensorData,
    block_count,
    hash_whole,
    in_shards,
    length_of,
    pieces,
    put_together,
    whole,
)

SMALL = 6 << 20
"""Data up to this size is held in memory, hashed and written in one go; threads would cost more than they
gain: a forest of 5 MB took 0.8 times as long without them, an array of 8 MB 1.3 times."""

PIECE = 8 << 20
SMALL_PIECE = 64 << 10
"""Arrays up to this size are joined when bytes are yielded in order."""


class PackWriter(Content):
    """A pack to be written: `storage.put(key, writer)`.

    Up to `SMALL` bytes of tensors are copied and hashed when the writer is made. Larger ones are read when
    they are written: `write` hashes them meanwhile, and `pieces` before, since the header goes first; they
    are hashed again on the way, and if they changed, CannotWriteError is raised before the last byte. `write`
    writes the header last, so a pack that was cut off is recognized.

    `describe` is the metadata to add, or a function that receives the tensors with their hashes and returns
    it. For large packs it is also called beforehand with zeros for hashes, and its results must have the same
    length. `id` is random unless it is given. `cuts` are the cuts of tensors of which some shards are among
    the `tensors`. `hashed` are the hashes of all shards, if they are known and the bytes cannot change.

    `start` is where the data begins, and `size` the size of the whole pack, in bytes. `hash` is the hash of
    the header. Memory: the ring of `saver.pack.ring`, whatever the tensors' size.
    """

    def __init__(
        self,
        tensors: Mapping[str, TensorData | ShardedData],
        describe: Describe | Mapping[str, str] = MappingProxyType({}),
        progress: Progress | None = None,
        ident: str | None = None,
        cuts: Mapping[str, Cut] | None = None,
        hashed: Mapping[str, Hashed] | None = None,
    ) -> None:
        data, own_cuts = in_shards(tensors)
        self._data = {name: data[name] for name in plan(data)}
        self._lengths = [*map(length_of, self._data.values())]
        self._cuts = {**own_cuts, **_present(cuts or {}, data)}
        self._describe = describe
        self.progress = progress
        self.id = ident or os.urandom(16).hex()
        self._held: memoryview | None = None
        self._hashes = hashed
        if sum(self._lengths) > SMALL:
            planned = [(ZERO, (ZERO,) * block_count(length)) for length in self._lengths]
        else:
            self._held = _held([piece for shard in self._data.values() for piece in pieces(shard)])
            if len(self._held) != sum(self._lengths):
                raise AssertionError("more or fewer bytes than the shapes of the tensors say")
            planned = self._of_held() if hashed is None else [hashed[name] for name in self._data]
        self._known = self._with(planned)
        self._slots = slots_bytes(self._known)
        self._header = self._made()
        self.hash, self.start = header_hash(self._header), len(self._header)
        self.size = self.start + sum(self._lengths)

    @property
    def shards(self) -> dict[str, Shard]:
        """Where each shard is stored in the pack. Those of a large pack have zeros for hashes until it is
        written."""
        found, at = {}, self.start
        for (name, shard), length in zip(self._known.items(), self._lengths, strict=True):
            extents = ((self.id, at, length),) if length else ()
            found[name] = Shard(shard.dtype, shard.box, shard.hash, shard.blocks, extents)
            at += length
        return found

    def items(self) -> Iterator[tuple[int, int, int]]:
        ends = accumulate(self._lengths, initial=self.start)
        for (start, end), shard in zip(pairwise(ends), self._known.values(), strict=True):
            yield start, end, ITEM_SIZE[shard.dtype]

    def write(self, sink: Sink) -> None:
        """Write everything. If this is called again, the tensors of a large pack are read again."""
        if self._held is not None:
            sink.write(self._held, self.start)
            if self.progress is not None:
                self.progress(self.size, self.size)
        else:
            hashing = _Hashing(self._lengths)
            source = (piece for data in self._data.values() for piece in pieces(data))
            write_through_ring(sink, source, hashing.update, self.start, self.size, self.progress)
            self._finish(hashing.done())
        sink.write(self._header, 0)

    def pieces(self) -> Iterator[bytes | memoryview]:
        if self._held is None:
            known = self._hashes
            self._finish(self._hashed() if known is None else [known[name] for name in self._data])
        yield self._header
        again, at = _Hashing(self._lengths), self.start
        for piece in self._bytes():
            at += len(piece)
            if self._held is None:
                again.update(piece)
                if at == self.size and again.done() != [(s.hash, s.blocks) for s in self._known.values()]:
                    raise CannotWriteError(
                        "a tensor changed while it was being saved; nothing was written; "
                        "save when nothing changes it"
                    )
            yield piece
            if self.progress is not None:
                self.progress(at, self.size)

    def _bytes(self) -> Iterator[memoryview]:
        """The bytes of the tensors, in order; small ones are joined."""
        if self._held is not None:
            yield self._held
            return
        small = bytearray()
        for piece in (p.data for data in self._data.values() for p in pieces(data)):
            if len(piece) <= SMALL_PIECE:
                small += piece
                if len(small) < PIECE:
                    continue
                piece = memoryview(b"")
            if small:
                yield memoryview(bytes(small))
                small.clear()
            for at in range(0, len(piece), PIECE):
                yield piece[at : at + PIECE]
        if small:
            yield memoryview(bytes(small))

    def _of_held(self) -> list[Hashed]:
        """The hashes of all shards of a small pack."""
        held = self._held or memoryview(b"")
        ends = [*accumulate(self._lengths)]
        return [hash_whole(held[end - length : end]) for end, length in zip(ends, self._lengths, strict=True)]

    def _hashed(self) -> list[Hashed]:
        """The hashes of all shards."""
        hashing = _Hashing(self._lengths)
        for piece in self._bytes():
            hashing.update(piece)
        return hashing.done()

    def _with(self, hashed: Sequence[Hashed]) -> dict[str, Shard]:
        """The shards with these hashes, without their places."""
        boxes = {
            name: cut.box(name, self._data[name].shape) for cut in self._cuts.values() for name in cut.shards
        }
        return {
            name: Shard(data.dtype, boxes.get(name) or whole(data.shape), digest, blocks)
            for (name, data), (digest, blocks) in zip(self._data.items(), hashed, strict=True)
        }

    def _finish(self, hashed: Sequence[Hashed]) -> None:
        """Make the header of a large pack, now that the hashes are known."""
        self._known = self._with(hashed)
        self._header = self._made()
        if len(self._header) != self.start:
            raise AssertionError("the header changed its length between plan and write")
        self.hash = header_hash(self._header)

    def _made(self) -> bytes:
        """The header of these shards."""
        described = self._describe
        if not isinstance(described, Mapping):
            described = described(put_together(self._known, self._cuts))
        return header_bytes(self._known, self._slots, self.id, described, self._cuts)


def _held(found: Sequence[Bytes]) -> memoryview:
    """The pieces in one, in huge pages from the size of one on: the kernel clears fresh memory page by page,
    which took four times as long as copying a forest into it."""
    size = sum(piece.size for piece in found)
    if size < HUGE_PAGE:
        return memoryview(b"".join([piece.data for piece in found]))
    return np.concatenate(found, out=huge_pages(size)).data


def _present(cuts: Mapping[str, Cut], data: Mapping[str, TensorData]) -> dict[str, Cut]:
    """The cuts, with only those shards that are in `data`."""
    found = {}
    for tensor, cut in cuts.items():
        shards = {name: offsets for name, offsets in cut.shards.items() if name in data}
        if shards:
            found[tensor] = Cut(cut.shape, shards)
    return found


class _Hashing:
    """The hashes of shards whose bytes arrive in order."""

    def __init__(self, lengths: Iterable[int]) -> None:
        self._lengths = iter(lengths)
        self._hasher: Hasher | None = None
        self._hashed: list[Hashed] = []

    def update(self, data: memoryview) -> None:
        """Take the next bytes, from any number of shards."""
        at, end = 0, len(data)
        while at < end:
            if not self._goes_on():
                raise AssertionError("more bytes than the tensors have")
            at += self._hasher.update(data[at:]) if self._hasher is not None else 0

    def _goes_on(self) -> bool:
        """Advance to the next shard that lacks bytes. Returns whether there is one."""
        while self._hasher is None or not self._hasher.missing:
            if self._hasher is not None:
                self._hashed.append(self._hasher.hashed())
            length = next(self._lengths, None)
            self._hasher = Hasher(length) if length is not None else None
            if self._hasher is None:
                return False
        return True

    def done(self) -> list[Hashed]:
        """The hashes of all shards. Raises AssertionError if bytes of one are missing."""
        if self._goes_on():
            raise AssertionError("fewer bytes than the shapes of the tensors say")
        return self._hashed
