"""Reads tensors from packs, and verifies them before they are handed out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias
from weakref import ref

import numpy as np

from saver.errors import DamagedError, NotFoundError
from saver.pack.sharing import in_one_run, sharing
from saver.pack.verify import Range, damaged, length_of
from saver.storage import Blob, Progress
from saver.tensors import Box, Bytes, Extent, Overlaps, TensorInfo, block_span, copy_box, room_for, whole
from saver.tensors.sources import box_of

TOGETHER = 64
"""Packs that are open at the same time: processes may have some 1,000 files open, in all."""

STREAMED = 2
"""Blocks of a tensor that are verified together where it is read piece by piece."""

_kept: deque[tuple[ref[PackedTensors], str]] = deque()
"""The packs that stay open after they were read, `TOGETHER` in all of this process, the oldest first."""

Wanted: TypeAlias = Mapping[int, set[int]] | None
"""The blocks of a tensor to read, by the number of their shard; None for the whole tensor."""


class PackedTensors:
    """A source of tensors (`saver.tensors.TensorSource`) that are stored in packs. Packs are opened when they
    are needed, `TOGETHER` at a time. What was verified stays readable, whatever happens to its pack.

    `open` opens packs by their names; `blobs` are open already. `where` and `advice` are for messages.
    `locate` returns where the tensors are stored now: it is called when a pack is missing, because a
    collector may have moved its bytes. `size` is the size of everything stored, if that is more than the
    tensors.
    """

    def __init__(
        self,
        infos: Mapping[str, TensorInfo],
        open: Callable[[Iterable[str]], Mapping[str, Blob]],
        where: str,
        advice: str,
        locate: Callable[[], Mapping[str, TensorInfo]] | None = None,
        blobs: Mapping[str, Blob] | None = None,
        size: int | None = None,
    ) -> None:
        self._tensors = infos
        self._open = open
        self._where = where
        self._advice = advice
        self._locate = locate or (lambda: infos)
        self._size = size
        self._blobs = dict(blobs or {})
        self._maps: dict[str, Bytes] = {}
        """The first mapping of each pack, of which views are handed out."""
        self._whole: dict[str, list[list[Bytes]]] = {}
        """The bytes of tensors that were verified whole: for each shard, extent by extent."""
        self._blocks: dict[tuple[str, int, int], Bytes] = {}
        """The bytes of other blocks that were verified, by tensor, shard and number."""
        self._shared = None if locate is not None else frozenset[str]()  # the tensors of a file tile it
        self._overlaps: dict[str, Overlaps] = {}
        self._own = False

    @property
    def names(self) -> Iterable[str]:
        """The names of all tensors."""
        return self._tensors.keys()

    @property
    def size(self) -> int:
        """How many bytes are stored; for a version, the sum of its tensors, even if some share bytes."""
        return sum(info.length for info in self._tensors.values()) if self._size is None else self._size

    def info(self, name: str) -> TensorInfo:
        """What a tensor is, without reading it. Raises KeyError if there is no such tensor."""
        return self._tensors[name]

    def add(self, infos: Mapping[str, TensorInfo]) -> None:
        """More tensors; such as share bytes may be read as one array."""
        self._tensors, self._shared = {**self._tensors, **infos}, frozenset()

    def read(self, name: str, box: Box | None = None) -> Bytes:
        """The bytes of a tensor, or of a box of it: verified, flat, in C order, writable. Only the blocks
        that the box overlaps are read; what was verified before is not read again.

        Raises KeyError if there is no such tensor, ValueError if the box exceeds its shape, and DamagedError.
        """
        if box is None:
            return self._read_whole(name)
        if box == whole((info := self._tensors[name]).shape):
            return self._read_whole(name)
        target = room_for(box, info)
        parts = self._parts_of(info, box)
        if name not in self._whole:
            self._keep_blocks(name, {
                at: info.shards[at].blocks_of(part.within(info.shards[at].box)) for at, part in parts.items()
            })  # fmt: skip
        for at, part in parts.items():
            copy_box(target, box, self._shard(name, at), info.shards[at], part)
        return target

    def stream(self, name: str) -> Iterator[Bytes]:
        """The bytes of a tensor in C order, verified, to be read only: one that is hashed by blocks comes
        `STREAMED` of them at a time, of which nothing is kept; one of several shards some rows at a time.
        Raises as `read` does."""
        info = self._tensors[name]
        shard = info.shards[0]
        if len(info.shards) > 1:
            yield from box_of(self, name, whole(info.shape))
            return
        if name in self._whole or not shard.blocks or len(shard.extents) > 1:
            yield self._read_whole(name)
            return
        for first in range(0, len(shard.blocks), STREAMED):
            numbers = range(first, min(first + STREAMED, len(shard.blocks)))
            memory = self._verified({name: {0: {*numbers}}}, None)
            ((pack, offset, length),) = self._tensors[name].shards[0].extents  # it may have moved
            start, end = block_span(first, length)[0], block_span(numbers[-1], length)[1]
            yield self._taken(memory, (pack, offset + start, end - start))

    def _parts_of(self, info: TensorInfo, box: Box) -> dict[int, Box]:
        """The numbers of the shards that the box overlaps, each with the part of it."""
        if info.name not in self._overlaps:
            self._overlaps[info.name] = Overlaps(info.boxes)
        return self._overlaps[info.name].of(box)

    def _keep_blocks(self, name: str, wanted: Mapping[int, set[int]]) -> None:
        """Verify those of these blocks of a tensor that were not verified yet."""
        new = {
            at: numbers - {number for number in numbers if (name, at, number) in self._blocks}
            for at, numbers in wanted.items()
        }
        memory = self._verified({name: new}, None)
        for at, numbers in new.items():
            for number, _, extent in self._tensors[name].shards[at].block_extents():
                if number in numbers:
                    self._blocks[name, at, number] = self._taken(memory, extent)

    def _read_whole(self, name: str) -> Bytes:
        if name not in self._whole:
            self.verify([name])
        shards = self._whole[name]
        if len(shards) == 1 and len(shards[0]) == 1:
            found = shards[0][0]
            return found.copy() if name in self._sharing() else found
        info = self._tensors[name]
        if len(shards) == 1:
            return in_one_run(shards[0], info.length)
        target = room_for(box := whole(info.shape), info)
        for shard, pieces in zip(info.shards, shards, strict=True):
            copy_box(target, box, in_one_run(pieces, shard.length), shard, shard.box)
        return target

    def _shard(self, name: str, at: int) -> Bytes:
        """The bytes of a shard as one array; only those of verified blocks are certain to be right."""
        shard = self._tensors[name].shards[at]
        if name in self._whole:
            return in_one_run(self._whole[name][at], shard.length)
        if not shard.blocks:
            return self._blocks[name, at, 0]
        memory = np.empty(shard.length, np.uint8)  # pages that are never written to take no memory
        for number in range(len(shard.blocks)):
            block = self._blocks.get((name, at, number))
            if block is not None:
                start, end = block_span(number, shard.length)
                memory[start:end] = block
        return memory

    def _sharing(self) -> frozenset[str]:
        """The tensors that share bytes with another tensor: each is loaded as an array of its own."""
        if self._shared is None:
            self._shared = sharing(self._tensors)
        return self._shared

    def verify(self, names: Iterable[str] | None = None, progress: Progress | None = None) -> None:
        """Read the tensors named, or all. Raises DamagedError, which names those whose bytes are not what was
        saved.
        """
        wanted = [name for name in (self._tensors if names is None else names) if name not in self._whole]
        memory = self._verified(dict.fromkeys(wanted), progress)
        for name in wanted:
            self._whole[name] = [
                [self._taken(memory, extent) for extent in shard.extents]
                for shard in self._tensors[name].shards
            ]
        if names is None:  # nothing is left to read
            self._blobs.clear()

    def own(self) -> None:
        """Read packs that were not read before into memory that nothing else uses."""
        self._own = True

    def release(self, name: str) -> None:
        """Give back the memory of a tensor; it is read and verified again if it is requested. Arrays of it
        that are in use must not be changed before, nor used after."""
        self._whole.pop(name, None)
        for shard in self._tensors[name].shards:
            for pack, offset, length in shard.extents:
                blob = self._blobs.get(pack)
                if blob is not None:
                    blob.release(offset, offset + length)

    def _verified(self, wanted: Mapping[str, Wanted], progress: Progress | None) -> dict[str, Bytes]:
        """The packs that hold these blocks, after verifying the blocks. If a pack is missing, asks again
        where its bytes are. Raises DamagedError."""
        while True:
            try:
                memory, lost = self._read_packs(wanted, progress)
                break
            except NotFoundError:
                self._blobs.clear()
                located = self._locate()
                moved = {name: located[name] for name in wanted if located[name] != self._tensors[name]}
                if not moved:
                    raise DamagedError(
                        f"{self._where}: a pack is missing; restore it from a copy of the store"
                    ) from None
                self._tensors = {**self._tensors, **moved}
                self._shared = None
        if lost:
            self._blobs.clear()  # another attempt reads anew: the bytes on disk may be right
            shown = ", ".join(sorted(lost)[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
            raise DamagedError(
                f"{self._where}: the bytes of {shown} are not those that were saved; {self._advice}"
            )
        return memory

    def _read_packs(
        self, wanted: Mapping[str, Wanted], progress: Progress | None
    ) -> tuple[dict[str, Bytes], set[str]]:
        """The packs, as far as they were fetched, and the names of the damaged tensors."""
        ranges = self._ranges(wanted)
        done, total = 0, 0 if progress is None else sum(map(length_of, ranges.values()))
        memory: dict[str, Bytes] = {}
        lost = set[str]()
        packs = list(ranges)
        for at in range(0, len(packs), TOGETHER):
            some = packs[at : at + TOGETHER]
            blobs = self._opened(some)
            report = None if progress is None else _further(progress, done, total)
            lost |= damaged([(blobs[pack], ranges[pack]) for pack in some], report)
            done += 0 if progress is None else sum(length_of(ranges[pack]) for pack in some)
            memory.update((pack, blob.map()) for pack, blob in blobs.items())
        return memory, lost

    def _opened(self, packs: Iterable[str]) -> dict[str, Blob]:
        """These packs, opened for reading. Those of this process that were opened last stay open."""
        found = {pack: blob for pack in packs if (blob := self._blobs.get(pack)) is not None}
        new = [pack for pack in packs if pack not in found or pack not in self._maps]
        found |= self._open([pack for pack in new if pack not in found])
        for pack in new:
            if self._own:
                found[pack].own()
            self._blobs[pack] = found[pack]
            _kept.append((ref(self), pack))
        while len(_kept) > TOGETHER:
            source, pack = _kept.popleft()
            owner = source()
            if owner is not None:
                owner._blobs.pop(pack, None)
        return found

    def _taken(self, memory: Mapping[str, Bytes], extent: Extent) -> Bytes:
        """Bytes that were read: a view of the pack's first mapping, or else a copy. So a pack that is opened
        again and again is mapped once: a process may have some 65,000 mappings."""
        pack, offset, length = extent
        found = memory[pack][offset : offset + length]
        return found if self._maps.setdefault(pack, memory[pack]) is memory[pack] else found.copy()

    def _ranges(self, wanted: Mapping[str, Wanted]) -> dict[str, list[Range]]:
        """What to verify of each pack."""
        found: dict[str, list[Range]] = {}
        for name, blocks in wanted.items():
            shards = self._tensors[name].shards
            for at in range(len(shards)) if blocks is None else blocks:
                shard = shards[at]
                if not shard.blocks:  # most have none, and there may be very many
                    if blocks is None or 0 in blocks[at]:
                        for pack, offset, length in shard.extents:
                            each = Range(name, offset, offset + length, shard.hash)
                            found.setdefault(pack, []).append(each)
                    continue
                if not shard.root_matches():
                    raise DamagedError(
                        f"{self._where}: the hashes of {name!r} contradict each other; {self._advice}"
                    )
                for number, digest, (pack, offset, length) in shard.block_extents():
                    if blocks is None or number in blocks[at]:
                        each = Range(name, offset, offset + length, digest)
                        found.setdefault(pack, []).append(each)
        return found


def _further(progress: Progress, done: int, total: int) -> Progress:
    return lambda more, _: progress(done + more, total)
