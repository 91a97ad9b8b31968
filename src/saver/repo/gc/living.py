"""What live versions need of a pack, and in which pieces it is rewritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from saver.repo.extents import Ranges
from saver.repo.state.users import Name
from saver.tensors import ITEM_SIZE, Cut, Extent, Shard, TensorInfo, shard_names, whole


class _Home(NamedTuple):
    """The tensor of a version to which a shard belongs, if it has several."""

    version: Name
    tensor: str
    shape: tuple[int, ...]


class Living:
    """What live versions need of a pack."""

    def __init__(self) -> None:
        self.versions: set[Name] = set()
        self._wholes: dict[tuple[int, int], tuple[str, Shard]] = {}
        self._blocks: dict[tuple[int, int], tuple[str, Shard]] = {}
        self._homes: dict[tuple[int, int], tuple[_Home, tuple[int, ...]]] = {}

    def add_version(self, version: Name, tensors: Mapping[str, TensorInfo], pack: str) -> None:
        """Add a version: it needs the bytes of these tensors that are in the pack."""
        self.versions.add(version)
        for tensor, info in tensors.items():
            home = _Home(version, tensor, info.shape) if len(info.shards) > 1 else None
            names = shard_names(tensor, info.shape, info.boxes, tensors)
            for name, shard in zip(names, info.shards, strict=True):
                for extent in shard.extents:
                    if extent[0] == pack:
                        self._add(name, shard, extent, home)

    def _add(self, name: str, shard: Shard, extent: Extent, home: _Home | None) -> None:
        """Add a shard of a version that has bytes at this extent."""
        if len(shard.extents) == 1:
            if extent[1:] not in self._wholes and home is not None:
                self._homes[extent[1:]] = home, shard.box.offsets
            alone = msgspec.structs.replace(shard, box=whole(shard.shape))
            self._wholes.setdefault(extent[1:], (name, alone))
            return
        for number, digest, (pack, offset, length) in shard.block_extents():
            if pack == extent[0] and extent[1] <= offset < extent[1] + extent[2]:
                shape = (length // ITEM_SIZE[shard.dtype],)
                block = Shard(shard.dtype, whole(shape), digest, (), ((pack, offset, length),))
                self._blocks.setdefault((offset, length), (f"{name}[{number}]", block))

    def bytes(self) -> int:
        """How many bytes are live."""
        return sum(length for _, length in _joined([*self._wholes, *self._blocks]))

    def units(self) -> dict[str, Shard]:
        """What to rewrite: whole shards, and blocks outside of them; by unique names."""
        found: dict[str, Shard] = {}
        wholes, times = Ranges(self._wholes), Counter[str]()
        for (offset, length), (name, shard) in [*self._wholes.items(), *self._blocks.items()]:
            if (offset, length) in self._wholes or not wholes.hold(offset, length):
                unique = name
                while unique in found:
                    times[name] += 1
                    unique = f"{name}~{times[name]}"
                found[unique] = shard
        return found

    def cuts(self, units: Mapping[str, Shard]) -> dict[str, Cut]:
        """How the tensors with shards among the units are cut; by unique names."""
        shards: dict[_Home, dict[str, tuple[int, ...]]] = {}
        for name, unit in units.items():
            home, offsets = self._homes.get(unit.extents[0][1:], (None, ()))
            if home is not None:
                shards.setdefault(home, {})[name] = offsets
        found: dict[str, Cut] = {}
        for home, members in shards.items():
            unique = home.tensor
            while unique in found or unique in units:
                unique += "~"
            found[unique] = Cut(home.shape, members)
        return found


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges (offset and length), merged if they touch or overlap."""
    found: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if found and offset <= found[-1][0] + found[-1][1]:
            end = max(offset + length, found[-1][0] + found[-1][1])
            found[-1] = (found[-1][0], end - found[-1][0])
        else:
            found.append((offset, length))
    return found
