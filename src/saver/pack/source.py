"""Reads tensors from packs, and verifies them before they are handed out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from saver.errors import DamagedError, NotFoundError
from saver.pack import opening
from saver.pack.opening import OpenPacks
from saver.pack.partly import Partly
from saver.pack.ranges import Wanted, demand_ends, further, ranges_of, some_of
from saver.pack.sharing import in_one_run, sharing
from saver.pack.verify import damaged, length_of
from saver.storage import Blob, Progress
from saver.tensors import Box, Bytes, Extent, Overlaps, TensorInfo, block_span, copy_box, room_for, whole
from saver.tensors.sources import box_of

STREAMED = 2
"""Blocks of a tensor that are verified together where it is read piece by piece."""


class PackedTensors:
    """A source of tensors (`saver.tensors.TensorSource`) that are stored in packs. Packs are opened when they
    are needed, `opening.TOGETHER` at a time. What was verified stays readable, whatever happens to its pack.

    `open` opens packs by their names; `blobs` are open already. `where` and `advice` are for messages.
    `locate` returns where the tensors are stored now: it is called when a pack is missing, because a
    collector may have moved its bytes. `size` is the size of everything stored, if that is more than the
    tensors.
    """

    foreign: bool = False
    """Whether another tool wrote them, so that elements may be described in forms that Saver never writes."""

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
        self._packs = OpenPacks(open, blobs or {})
        self._where = where
        self._advice = advice
        self._locate = locate or (lambda: infos)
        self._size = size
        self._whole: dict[str, list[list[Bytes]]] = {}
        """The bytes of tensors that were verified whole: for each shard, extent by extent."""
        self._partly: dict[str, Partly] = {}
        """What was verified of other tensors."""
        self._shared: tuple[Mapping[str, TensorInfo], frozenset[str]] | None = None
        if locate is None:  # the tensors of a file tile it
            self._shared = infos, frozenset()
        self._overlaps: dict[str, Overlaps] = {}

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
        self._tensors = {**self._tensors, **infos}
        self._shared = self._tensors, frozenset()

    def read(self, name: str, box: Box | None = None, mapped: bool = False) -> Bytes:
        """The bytes of a tensor, or of a box of it: verified, flat, in C order, writable. Only the blocks
        that the box overlaps are read; what was verified before is not read again. `mapped` is as in
        `TensorSource`.

        Raises KeyError if there is no such tensor, ValueError if the box exceeds its shape, and DamagedError.
        """
        info = self._tensors[name]
        if box is None or box == whole(info.shape):
            if name in self._whole or name not in self._partly:
                return self._read_whole(name)
            box = whole(info.shape)
        target = room_for(box, info)
        parts = self._parts_of(info, box)
        if name not in self._whole:
            new = self._missing(info, parts)
            if any(new.values()):
                self._keep(name, new, self._verified({name: new}, None))
        for at, part in parts.items():
            if mapped and part == box == info.shards[at].box:
                return self._alone(name, self._shard(name, at))
        for at, part in parts.items():
            copy_box(target, box, self._shard(name, at), info.shards[at], part)
        return target

    def stream(self, name: str, blocks: range | None = None) -> Iterator[Bytes]:
        """The bytes of a tensor, or of some of its blocks, in C order, verified, to be read only: one that is
        hashed by blocks comes `STREAMED` of them at a time, of which nothing is kept; one of several shards
        some rows at a time. Raises as `read` does."""
        info = self._tensors[name]
        shard = info.shards[0]
        if len(info.shards) > 1:
            yield from box_of(self, name, whole(info.shape))
            return
        if name in self._whole or not shard.blocks:
            held = self._read_whole(name)
            yield from [held] if blocks is None else (held[slice(*block_span(n, len(held)))] for n in blocks)
            return
        wanted = range(len(shard.blocks)) if blocks is None else blocks
        places: list[Extent] = []
        for first in range(0, len(wanted), STREAMED):
            numbers = wanted[first : first + STREAMED]
            memory = self._verified({name: {0: {*numbers}}}, None)
            if not places or info is not self._tensors[name]:  # it may have moved
                info = self._tensors[name]
                places = [extent for _, _, extent in info.shards[0].block_extents()]
            yield from (self._packs.taken(memory, places[number]) for number in numbers)

    def _parts_of(self, info: TensorInfo, box: Box) -> dict[int, Box]:
        """The numbers of the shards that the box overlaps, each with the part of it."""
        if info.name not in self._overlaps:
            self._overlaps[info.name] = Overlaps(info.boxes)
        return self._overlaps[info.name].of(box)

    def _missing(self, info: TensorInfo, parts: Mapping[int, Box]) -> dict[int, set[int]]:
        """The numbers of the blocks that these parts need and that were not verified yet, by shard."""
        return (self._partly.get(info.name) or Partly()).missing(info, parts)

    def _keep(self, name: str, new: Mapping[int, set[int]], memory: Mapping[str, Bytes]) -> None:
        """Keep these blocks, which were verified."""
        partly = self._partly.setdefault(name, Partly())
        partly.keep(self._tensors[name], new, partial(self._packs.taken, memory))

    def _read_whole(self, name: str) -> Bytes:
        if name not in self._whole:
            self.verify([name])
        shards = self._whole[name]
        if len(shards) == 1 and len(shards[0]) == 1:
            return self._alone(name, shards[0][0])
        info = self._tensors[name]
        if len(shards) == 1:
            return in_one_run(shards[0], info.length)
        target = room_for(box := whole(info.shape), info)
        for shard, pieces in zip(info.shards, shards, strict=True):
            copy_box(target, box, in_one_run(pieces, shard.length), shard, shard.box)
        return target

    def _shard(self, name: str, at: int) -> Bytes:
        """The bytes of a shard as one array; only those of verified blocks are certain to be right."""
        info = self._tensors[name]
        if name in self._whole:
            return in_one_run(self._whole[name][at], info.shards[at].length)
        return self._partly[name].shard(info, at)

    def _alone(self, name: str, found: Bytes) -> Bytes:
        """The bytes of a tensor, or of a shard of it, as an array of its own, whatever else has them."""
        if self._shared is None or self._shared[0] is not self._tensors:
            self._shared = self._tensors, sharing(self._tensors)
        return found.copy() if name in self._shared[1] else found

    def verify(
        self,
        names: Iterable[str] | None = None,
        progress: Progress | None = None,
        boxes: Mapping[str, Sequence[Box]] = MappingProxyType({}),
    ) -> None:
        """Read the tensors named, or all, and these boxes of others. Raises DamagedError, which names those
        whose bytes are not what was saved.
        """
        wanted, some = self._new(names, boxes)
        memory = self._verified({**dict.fromkeys(wanted), **some}, progress)
        for name, new in some.items():
            self._keep(name, new, memory)
        for name in wanted:
            self._whole[name] = [
                [self._packs.taken(memory, extent) for extent in shard.extents]
                for shard in self._tensors[name].shards
            ]
        if names is None:  # nothing is left to read
            self._packs.close()

    def ranges(
        self, names: Iterable[str], boxes: Mapping[str, Sequence[Box]]
    ) -> dict[str, list[tuple[int, int]]]:
        """What `verify` would read of each pack: starts and ends. Raises DamagedError."""
        wanted, some = self._new(names, boxes)
        found = ranges_of(self._tensors, {**dict.fromkeys(wanted), **some}, self._where, self._advice)
        return {pack: [(each.start, each.end) for each in ranges] for pack, ranges in found.items()}

    def blobs(self, packs: Iterable[str]) -> dict[str, Blob]:
        """These packs, opened for reading; they stay so until `verify` has read them. Raises NotFoundError if
        one is missing."""
        return self._packs.held(packs)

    def _new(
        self, names: Iterable[str] | None, boxes: Mapping[str, Sequence[Box]]
    ) -> tuple[list[str], dict[str, dict[int, set[int]]]]:
        """Of these tensors and boxes what was not verified yet: tensors, and blocks of others, by shard."""
        entire = (name for name, asked in boxes.items() if whole(self._tensors[name].shape) in asked)
        names = [*(self._tensors if names is None else names), *entire]
        wanted = dict.fromkeys(name for name in names if name not in self._whole)
        asked = {name: boxes[name] for name in boxes.keys() - self._whole.keys() - wanted.keys()}
        for name in wanted.keys() & self._partly.keys():
            del wanted[name]
            asked[name] = [whole(self._tensors[name].shape)]
        some: dict[str, dict[int, set[int]]] = {}
        for name, each in asked.items():
            found = some[name] = dict[int, set[int]]()
            info = self._tensors[name]
            for box in (box for box in each if box.fits(info.shape)):
                for at, numbers in self._missing(info, self._parts_of(info, box)).items():
                    found.setdefault(at, set()).update(numbers)
        return [*wanted], some

    def own(self) -> None:
        """Read packs that were not read before into memory that nothing else uses."""
        self._packs.own()

    def release(self, name: str) -> None:
        """Give back the memory of a tensor; it is read and verified again if it is requested. Arrays of it
        that are in use must not be changed before, nor used after."""
        self._whole.pop(name, None)
        self._partly.pop(name, None)
        for shard in self._tensors[name].shards:
            for pack, offset, length in shard.extents:
                self._packs.release(pack, offset, offset + length)

    def _verified(self, wanted: Mapping[str, Wanted], progress: Progress | None) -> dict[str, Bytes]:
        """The packs that hold these blocks, after verifying the blocks. If a pack is missing, asks again
        where its bytes are. Raises DamagedError."""
        while True:
            try:
                memory, lost = self._read_packs(wanted, progress)
                break
            except NotFoundError:
                self._packs.close()
                located = self._locate()
                moved = {name: located[name] for name in wanted if located[name] != self._tensors[name]}
                if not moved:
                    raise DamagedError(
                        f"{self._where}: a pack is missing; restore it from a copy of the store",
                        rule="5.16",
                    ) from None
                self._tensors = {**self._tensors, **moved}
        if lost:
            ranges = ranges_of(
                self._tensors, {name: wanted[name] for name in lost}, self._where, self._advice
            )
            demand_ends(self._packs.held(ranges), ranges, self._where, self._advice)
            self._packs.close()  # another attempt reads anew: the bytes on disk may be right
            raise DamagedError(
                f"{self._where}: the bytes of {some_of(lost)} are not those that were saved; {self._advice}",
                rule="1.22",
            )
        return memory

    def _read_packs(
        self, wanted: Mapping[str, Wanted], progress: Progress | None
    ) -> tuple[dict[str, Bytes], set[str]]:
        """The packs, as far as they were fetched, and the names of the damaged tensors."""
        ranges = ranges_of(self._tensors, wanted, self._where, self._advice)
        done, total = 0, 0 if progress is None else sum(map(length_of, ranges.values()))
        memory: dict[str, Bytes] = {}
        lost = set[str]()
        packs = list(ranges)
        for at in range(0, len(packs), opening.TOGETHER):
            some = packs[at : at + opening.TOGETHER]
            blobs = self._packs.opened(some)
            report = None if progress is None else further(progress, done, total)
            lost |= damaged([(blobs[pack], ranges[pack]) for pack in some], report)
            if progress is not None:
                done += sum(length_of(ranges[pack]) for pack in some)
            for pack in some:
                memory[pack] = blobs[pack].map()
        return memory, lost
