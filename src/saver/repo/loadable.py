"""What a commit demands of what was staged, which may come from another process: that it can be loaded."""

from __future__ import annotations

import numpy as np

from saver.errors import CannotSaveError
from saver.repo.manifest import EXAMPLE, SOLE, content_hash, structure
from saver.repo.staged import Staged
from saver.tensors import Shard, TensorData, hash_of


def demand_loadable(staged: Staged, where: str, check_bytes: bool) -> None:
    """Raise CannotSaveError unless a version of all that was staged could be loaded. With `check_bytes`, what
    it holds itself is hashed, too."""
    why = _why_not(staged, check_bytes)
    if why is not None:
        raise CannotSaveError(f"{where}: {why}; stage the parts anew, and commit all that was staged")


def _why_not(staged: Staged, check_bytes: bool) -> str | None:
    if not staged.parts and check_bytes:
        return "no part was staged"
    if staged.parts and not staged.whole and set(staged.parts) - {EXAMPLE} != {SOLE}:
        return f"one object by itself is the part {SOLE!r}, and {next(iter(staged.parts))!r} was staged"
    unknown = staged.held.keys() - staged.tensors.keys()
    if unknown:
        return f"nothing is said of the tensor {min(unknown)!r}"
    for name, shard in staged.tensors.items():
        if not _has_bytes(shard, staged.held.get(name), check_bytes):
            return f"the bytes of the tensor {name!r} are not what was staged"
    if check_bytes:
        for name, part in staged.parts.items():
            if not part.document and content_hash(structure(part.tree, part.batches)) != part.content:
                return f"the tree of the part {name!r} is not what was staged"
    return None


def _has_bytes(shard: Shard, held: bytes | None, check_bytes: bool) -> bool:
    """Whether a shard has all of its bytes: here, or in packs."""
    if held is None:
        return shard.is_whole()
    if len(held) != shard.length:
        return False
    if not check_bytes:
        return True
    data = TensorData(shard.dtype, shard.shape, np.frombuffer(held, np.uint8))
    return hash_of(data) == (shard.hash, shard.blocks)
