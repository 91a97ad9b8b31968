"""Which bytes of packs hold what is to be read, with the hashes to hold against them."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TypeAlias

from saver.errors import DamagedError, SaverError
from saver.pack.layout import HEADER_LIMIT, parse_header
from saver.pack.verify import Range
from saver.storage import Blob, Progress
from saver.tensors import TensorInfo

Wanted: TypeAlias = Mapping[int, set[int]] | None
"""The blocks of a tensor to read, by the number of their shard; None for the whole tensor."""


def ranges_of(
    tensors: Mapping[str, TensorInfo], wanted: Mapping[str, Wanted], where: str, advice: str
) -> dict[str, list[Range]]:
    """What to verify of each pack. Raises DamagedError if the hashes of a tensor contradict each other;
    `where` and `advice` are for the message."""
    found: dict[str, list[Range]] = {}
    for name, blocks in wanted.items():
        shards = tensors[name].shards
        for at in range(len(shards)) if blocks is None else blocks:
            shard = shards[at]
            if not shard.blocks:  # most have none, and there may be very many
                if blocks is None or 0 in blocks[at]:
                    for pack, offset, length in shard.extents:
                        each = Range(name, offset, offset + length, shard.hash)
                        found.setdefault(pack, []).append(each)
                continue
            if not shard.root_matches():
                raise DamagedError(f"{where}: the hashes of {name!r} contradict each other; {advice}")
            for number, digest, (pack, offset, length) in shard.block_extents():
                if blocks is None or number in blocks[at]:
                    each = Range(name, offset, offset + length, digest)
                    found.setdefault(pack, []).append(each)
    return found


ENDS = frozenset(("1.01", "1.20"))
"""The rules that say where a file ends."""


def ends_early(blob: Blob) -> str:
    """The rule that a pack breaks which ends before bytes that a manifest has in it: its own header says how
    long it should be. If that is as long as it is, the manifest is wrong."""
    length = int.from_bytes(blob.read(0, 8), "little")
    if blob.size < 8 or blob.size < 8 + length <= 8 + HEADER_LIMIT:
        return "1.01"
    try:
        parse_header(blob.read(0, min(8 + length, 8 + HEADER_LIMIT)), blob.size, blob.name)
    except SaverError as error:
        return error.rule or "5.13"
    return "5.13"


def demand_ends(
    blobs: Mapping[str, Blob], ranges: Mapping[str, list[Range]], where: str, advice: str
) -> None:
    """Raise DamagedError if a pack ends before one of its ranges, which are those of damaged tensors."""
    for pack, blob in blobs.items():
        beyond = {each.name for each in ranges[pack] if each.end > blob.size}
        if beyond:
            raise DamagedError(
                f"{where}: {blob.name} is cut off: it ends before {some_of(beyond)}; {advice}",
                rule=ends_early(blob),
            )


def some_of(names: Set[str]) -> str:
    """The first of these names of tensors, for a message."""
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def further(progress: Progress, done: int, total: int) -> Progress:
    """Tells of bytes after those that are `done`."""
    return lambda more, _: progress(done + more, total)
