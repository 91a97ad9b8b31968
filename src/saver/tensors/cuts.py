"""How tensors are cut into shards for packs, under which names, and how they are put together again."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from saver.rules import Broken
from saver.strict import decodable
from saver.tensors.boxes import Box, check_boxes, check_inside, whole
from saver.tensors.data import ShardedData, TensorData
from saver.tensors.shards import Shard, TensorInfo, in_one


@decodable
class Cut(msgspec.Struct, frozen=True):
    """How a tensor of several shards is cut: its shape, and the offsets of each shard by its name in packs.
    A pack need not have all of them."""

    shape: tuple[int, ...]
    shards: dict[str, tuple[int, ...]]

    def box(self, name: str, sizes: tuple[int, ...]) -> Box:
        """The box of a shard."""
        return Box(self.shards[name], sizes)


def in_shards(
    tensors: Mapping[str, TensorData | ShardedData], tiling: bool = True, taken: Collection[str] = ()
) -> tuple[dict[str, TensorData], dict[str, Cut]]:
    """The shards of tensors by their names in packs, and how the tensors with several shards are cut.

    Raises ValueError if boxes do not tile their tensor, or have another dtype. With `tiling=False` they need
    only be inside it: others have the missing ones, and `put_together` checks that all of them tile. Names
    in `taken`, which are those of other tensors, are avoided.
    """
    taken = {*taken, *tensors}
    shards: dict[str, TensorData] = {}
    cuts: dict[str, Cut] = {}
    for name, data in tensors.items():
        if isinstance(data, TensorData):
            shards[name] = data
            continue
        parts = sorted(data.shards.items())
        boxes = [Box(offsets, part.shape) for offsets, part in parts]
        try:
            (check_boxes if tiling else check_inside)(data.shape, boxes)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if any(part.dtype != data.dtype for _, part in parts):
            raise ValueError(f"{name}: its shards have other dtypes than {data.dtype}")
        names = shard_names(name, data.shape, boxes, taken)
        shards.update((shard, part) for shard, (_, part) in zip(names, parts, strict=True))
        if names != [name]:
            offsets = [offsets for offsets, _ in parts]
            cuts[name] = Cut(data.shape, dict(zip(names, offsets, strict=True)))
    return shards, cuts


def boxes_of(tensors: Mapping[str, TensorData | ShardedData]) -> dict[str, list[Box]]:
    """The boxes of tensors that are here, by name."""
    return {
        name: [whole(data.shape)]
        if isinstance(data, TensorData)
        else [Box(offsets, part.shape) for offsets, part in data.shards.items()]
        for name, data in tensors.items()
    }


def joined(cuts: Iterable[Mapping[str, Cut]]) -> dict[str, Cut]:
    """How tensors are cut of which several Staged have boxes. Raises ValueError if their shapes differ."""
    found: dict[str, Cut] = {}
    for name, cut in (item for each in cuts for item in each.items()):
        before = found.get(name, Cut(cut.shape, {}))
        if before.shape != cut.shape:
            raise ValueError(f"{name!r} has the shape {list(before.shape)} here and {list(cut.shape)} there")
        shards = sorted({**before.shards, **cut.shards}.items(), key=operator.itemgetter(1))
        found[name] = Cut(cut.shape, dict(shards))
    return found


def put_together(shards: Mapping[str, Shard], cuts: Mapping[str, Cut]) -> dict[str, TensorInfo]:
    """Tensors made of their shards, which are given by their names in packs: the reverse of `in_shards`.

    Raises ValueError if the boxes do not tile, and KeyError if a shard is missing.
    """
    if not cuts:
        return {name: in_one(name, shard) for name, shard in shards.items()}
    of = {shard: tensor for tensor, cut in cuts.items() for shard in cut.shards}
    found: dict[str, TensorInfo] = {}
    for name, shard in shards.items():
        tensor = of.get(name)
        if tensor is None:
            found[name] = in_one(name, shard)
        elif tensor not in found:
            found[tensor] = _joined(tensor, cuts[tensor], shards)
    return found


def _joined(name: str, cut: Cut, shards: Mapping[str, Shard]) -> TensorInfo:
    parts = [
        msgspec.structs.replace(shards[part], box=cut.box(part, shards[part].shape)) for part in cut.shards
    ]
    if len({part.dtype for part in parts}) != 1:
        raise Broken("1.25", f"the shards of {name!r} have different dtypes")
    try:
        check_boxes(cut.shape, [part.box for part in parts])
    except ValueError as error:
        raise Broken("1.26", f"{name!r}: {error}") from None
    return TensorInfo(name, parts[0].dtype, cut.shape, tuple(parts))


def shards_of(tensors: Iterable[TensorInfo]) -> dict[str, Shard]:
    """All shards of tensors, by the names that they have in packs."""
    infos = {info.name: info for info in tensors}
    found: dict[str, Shard] = {}
    for name, info in infos.items():
        if len(info.shards) == 1:
            found[name] = info.shards[0]
            continue
        found.update(zip(shard_names(name, info.shape, info.boxes, infos), info.shards, strict=True))
    return found


def shard_names(
    tensor: str, shape: tuple[int, ...], boxes: Sequence[Box], taken: Collection[str]
) -> list[str]:
    """The names of these shards of a tensor in packs: that of the tensor itself for a shard that covers it,
    otherwise `<tensor>#<i>`, where `i` is the number of its first element in C order. So processes that save
    different boxes of a tensor agree on the names. Names in `taken` are avoided."""
    if [box.sizes for box in boxes] == [shape]:
        return [tensor]
    found = []
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    for box in boxes:
        name = f"{tensor}#{sum(map(operator.mul, box.offsets, strides))}"
        while name in taken:
            name += "#"
        found.append(name)
    return found
