"""Reads the tensors of a version in the grid form: for a box, only pages and packs that have some of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import msgspec

from saver.pack import PackedTensors
from saver.repo.pages import Gridded
from saver.storage import Blob, Progress
from saver.tensors import (
    Box,
    Bytes,
    Shard,
    TensorInfo,
    box_of,
    copy_box,
    in_one,
    room_for,
    shard_names,
    whole,
)


class GridSource:
    """A source of tensors (`saver.tensors.TensorSource`), over one of their shards, which it learns of when
    they are needed. Arguments as those of `PackedTensors`."""

    def __init__(
        self,
        tensors: Gridded,
        open: Callable[[Iterable[str]], Mapping[str, Blob]],
        where: str,
        advice: str,
        locate: Callable[[], Mapping[str, TensorInfo]],
    ) -> None:
        self._tensors, self._locate = tensors, locate
        self._homes: dict[str, dict[str, Box]] = {}
        """By tensor, the shards that are known, by their names in packs, each with its box."""
        self._new: dict[str, TensorInfo] = {}
        self._shards = PackedTensors({}, open, where, advice, self._located)
        self.size = sum(tensor.length for tensor in tensors.pages.grid.tensors.values())

    @property
    def names(self) -> Iterable[str]:
        """The names of all tensors."""
        return self._tensors.keys()

    def info(self, name: str) -> TensorInfo:
        """What a tensor is; its shards are read when they are requested. Raises KeyError."""
        return self._tensors.outline(name)

    def read(self, name: str, box: Box | None = None, mapped: bool = False) -> Bytes:
        """As `PackedTensors.read`; of the pages, too, only those are read that have some of the box. What is
        returned is always memory of its own."""
        info = self.info(name)
        wanted = whole(info.shape) if box is None else box
        target = room_for(wanted, info)
        if not target.size:
            return target
        found = [(shard, at, shard.box.cut(wanted)) for at, shard in self._known(name, wanted).items()]
        self._learn()
        self._shards.verify([at for shard, at, common in found if common == shard.box])
        for shard, at, common in found:
            if common is None:
                continue
            if common == shard.box:
                copy_box(target, wanted, self._shards.read(at), shard, common)
                if wanted.sizes == info.shape:
                    self._shards.release(at)
            else:
                data = self._shards.read(at, common.within(shard.box))
                copy_box(target, wanted, data, Shard(info.dtype, common), common)
        return target

    def stream(self, name: str, blocks: range | None = None) -> Iterator[Bytes]:
        """As `PackedTensors.stream`."""
        every = whole(self.info(name).shape)
        known = self._known(name, every)
        self._learn()
        if len(known) == 1:
            (only,) = known
            yield from self._shards.stream(only, blocks)
        else:
            yield from box_of(self, name, every)

    def own(self) -> None:
        """Read packs that were not read before into memory that nothing else uses."""
        self._shards.own()

    def release(self, name: str) -> None:
        """Give back the memory of the shards of a tensor; they are read and verified again if they are
        requested."""
        for at in self._homes.get(name, ()):
            self._shards.release(at)

    def verify(
        self,
        names: Iterable[str] | None = None,
        progress: Progress | None = None,
        boxes: Mapping[str, Sequence[Box]] = MappingProxyType({}),
    ) -> None:
        """Read the tensors named, or all, and these boxes of others. Raises DamagedError, which names those
        shards whose bytes are not what was saved."""
        shards, cut = self._wanted(self.names if names is None else names, boxes)
        self._shards.verify(None if names is None else shards, progress, cut)

    def ranges(
        self, names: Iterable[str], boxes: Mapping[str, Sequence[Box]]
    ) -> dict[str, list[tuple[int, int]]]:
        """As `PackedTensors.ranges`."""
        return self._shards.ranges(*self._wanted(names, boxes))

    def blobs(self, packs: Iterable[str]) -> dict[str, Blob]:
        """As `PackedTensors.blobs`."""
        return self._shards.blobs(packs)

    def _wanted(
        self, names: Iterable[str], boxes: Mapping[str, Sequence[Box]]
    ) -> tuple[list[str], dict[str, list[Box]]]:
        """The shards that these tensors and boxes need, and boxes of others that are needed in part."""
        wanted = [*names]
        shards = [at for name in wanted for at in self._known(name, whole(self.info(name).shape))]
        cut: dict[str, list[Box]] = {}
        for name in boxes.keys() - {*wanted}:
            for box in (each for each in boxes[name] if each.fits(self.info(name).shape)):
                for at, shard in self._known(name, box).items():
                    common = shard.box.cut(box)
                    if common == shard.box:
                        shards.append(at)
                    elif common is not None:
                        cut.setdefault(at, []).append(common.within(shard.box))
        self._learn()
        return shards, cut

    def _known(self, name: str, box: Box) -> dict[str, Shard]:
        """The shards of a tensor with elements of a box, by their names in packs."""
        shards = self._tensors.shards(name, box)
        names = shard_names(name, self.info(name).shape, [each.box for each in shards], self._tensors)
        found, homes = dict(zip(names, shards, strict=True)), self._homes.setdefault(name, {})
        for at in found.keys() - homes.keys():
            homes[at], self._new[at] = found[at].box, _alone(at, found[at])
        return found

    def _learn(self) -> None:
        self._shards.add(self._new)
        self._new = {}

    def _located(self) -> Mapping[str, TensorInfo]:
        """Where all shards that are known are stored now."""
        self._tensors = cast("Gridded", self._locate())
        return {
            at: _alone(at, self._tensors.shards(tensor, box)[0])
            for tensor, homes in self._homes.items()
            for at, box in homes.items()
        }


def _alone(name: str, shard: Shard) -> TensorInfo:
    """A shard as a tensor by itself."""
    return in_one(name, msgspec.structs.replace(shard, box=whole(shard.shape)))
