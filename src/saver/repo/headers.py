"""Whether the header of a pack, which other readers use, agrees with the manifests, which Saver uses."""

from __future__ import annotations

from saver.pack import Pack
from saver.tensors import Shard


def contradiction(pack: Pack, name: str, shard: Shard) -> str | None:
    """How the header contradicts the manifest about a tensor that the pack was written for and holds whole;
    None if it does not."""
    packed = pack.shards.get(name)
    if packed is None:
        return "the header of the pack does not name it, and the manifest does"
    if [extent[1:] for extent in packed.extents] != [extent[1:] for extent in shard.extents]:
        return "the header of the pack and the manifest say that it is in different places"
    if (packed.dtype, packed.box) != (shard.dtype, shard.box):
        return f"the header of the pack says that it is {_form(packed)}, and the manifest {_form(shard)}"
    if (packed.hash, packed.blocks) != (shard.hash, shard.blocks):
        return "the header of the pack and the manifest have different hashes for it"
    return None


def _form(shard: Shard) -> str:
    at = f" at {str(list(shard.box.offsets))[:80]}" if any(shard.box.offsets) else ""
    return f"{shard.dtype} {str(list(shard.shape))[:80]}{at}"
