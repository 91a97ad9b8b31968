"""Tensors and their shards as a manifest describes them, and as a page of a manifest does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from saver.errors import IncompatibleError
from saver.pack.layout import are_digests
from saver.pack.slots import AXES_LIMIT
from saver.tensors import ITEM_SIZE, Box, Shard, TensorInfo, check_boxes, whole

_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Axes = Annotated[tuple[_Natural, ...], msgspec.Meta(max_length=AXES_LIMIT)]


class ShardForm(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, gc=False):
    """A shard as a manifest describes it. Its bytes are those of all `extents`, concatenated: each is
    `(pack, offset, length)`, with the pack's index in the manifest's `packs`, and the offset in bytes from
    the beginning of that file. Without a `box` (offsets and sizes) it covers the whole tensor.
    """

    blocks: tuple[str, ...] = ()
    box: tuple[_Axes, _Axes] | None = None
    extents: tuple[tuple[_Natural, _Natural, _Natural], ...] = ()
    hash: str

    def placed(self, tensor: TensorForm, packs: Sequence[str]) -> Shard:
        """The shard of a tensor, with the names of packs."""
        box = whole(tensor.shape) if self.box is None else Box(*self.box)
        extents = tuple([(packs[pack], offset, length) for pack, offset, length in self.extents])
        return Shard(tensor.dtype, box, self.hash, self.blocks, extents)


class TensorForm(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A tensor as a manifest describes it: `saver.tensors.TensorInfo` without its name, and with numbers
    for packs."""

    dtype: str
    shape: _Axes
    shards: Annotated[tuple[ShardForm, ...], msgspec.Meta(min_length=1)]

    def info(self, name: str, packs: Sequence[str]) -> TensorInfo:
        """The tensor, whose shards are stored in these packs. Raises ValueError if boxes do not tile it."""
        shards = tuple([shard.placed(self, packs) for shard in self.shards])
        if len(shards) > 1 or self.shards[0].box is not None:
            check_boxes(self.shape, [shard.box for shard in shards])
        return TensorInfo(name, self.dtype, self.shape, shards)


def tensor_form(info: TensorInfo, packs: Mapping[str, int]) -> TensorForm:
    """A tensor as a manifest describes it, given the numbers of `packs`: the reverse of `TensorForm.info`."""
    shards = [
        ShardForm(
            hash=shard.hash,
            extents=tuple([(packs[pack], offset, length) for pack, offset, length in shard.extents]),
            blocks=shard.blocks,
            box=None if shard.box == whole(info.shape) else (shard.box.offsets, shard.box.sizes),
        )
        for shard in info.shards
    ]
    return TensorForm(info.dtype, info.shape, tuple(shards))


def check_tensors(tensors: Mapping[str, TensorForm], packs: int, where: str) -> None:
    """Raise IncompatibleError unless these tensors have dtypes and hashes, and are stored in some of so many
    packs."""
    digests = list[str]()
    for name, stored in tensors.items():
        if stored.dtype not in ITEM_SIZE:
            raise IncompatibleError(
                f"{where}: tensor {name[:80]!r} has the dtype {stored.dtype[:20]!r}: install a newer Saver",
                rule="1.17",
            )
        for shard in stored.shards:
            digests.append(shard.hash)
            digests += shard.blocks
            for pack, _, _ in shard.extents:
                if pack >= packs:
                    raise IncompatibleError(
                        f"{where}: tensor {name[:80]!r} is stored in a pack that the manifest does not name",
                        rule="5.13",
                    )
    if digests and not are_digests(digests):
        raise IncompatibleError(f"{where}: a hash of a tensor is not one", rule="1.15")


def demand_whole(info: TensorInfo, where: str) -> None:
    """Raise IncompatibleError unless the extents of each shard of a tensor cover its bytes."""
    for shard in info.shards:
        if not shard.is_whole():
            raise IncompatibleError(
                f"{where}: the bytes of {info.name[:80]!r} are not stored in whole blocks; no Saver writes "
                "that; restore the version from a copy of the store",
                rule="5.13",
            )
