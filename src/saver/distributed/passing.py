"""Who reads what, where several ranks need the same bytes: a pure function of what they need.

What several need is cut into pieces. One of those ranks reads each, the one with the least to read so far,
and passes it on to the others. A pack that is in the memory of some hosts is read by one of their ranks, for
those of other hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from saver.disk.copy import merged
from saver.storage import ALIGNMENT

PIECE = 4 << 20
"""Bytes of a pack that are passed on at once, at most."""

Range: TypeAlias = tuple[int, int]


class Needs(msgspec.Struct, frozen=True):
    """What a rank reads: of packs these ranges, as starts and ends, with pages of `ALIGNMENT` bytes whole.
    `far` says that the storage has slow calls; `kept` are the packs that are in the memory of its host."""

    packs: dict[str, list[Range]] = {}
    far: bool = False
    kept: list[str] = []


class Shared(msgspec.Struct, frozen=True):
    """What ranks read for others: ranges of packs, each with the number of a group. Of a group, one of the
    first ranks reads it; the second ones are those that need it. `alone` is how many bytes each rank reads
    that no other one needs."""

    alone: list[int]
    groups: list[tuple[list[int], list[int]]]
    ranges: dict[str, list[tuple[int, int, int]]]


class Piece(msgspec.Struct, frozen=True):
    """A range of a pack, the rank that reads it, and those to which it is passed on."""

    pack: str
    start: int
    end: int
    reader: int
    others: list[int]


def in_pages(ranges: Iterable[Range], size: int) -> list[Range]:
    """Ranges of a pack of this size, in order, as whole pages; small gaps between them are read as well."""
    return merged(
        [
            (start // ALIGNMENT * ALIGNMENT, min(-(-end // ALIGNMENT) * ALIGNMENT, size))
            for start, end in ranges
            if 0 <= start < end <= size
        ]
    )


def shared(needs: Sequence[Needs]) -> Shared:
    """What several of the ranks need, whose needs these are."""
    alone = [0] * len(needs)
    groups: dict[tuple[int, ...], int] = {}
    found: dict[str, list[tuple[int, int, int]]] = {}
    for pack in sorted({pack for each in needs for pack in each.packs}):
        for start, end, ranks in _overlaps([each.packs.get(pack, ()) for each in needs]):
            if len(ranks) == 1:
                alone[ranks[0]] += end - start
            else:
                group = groups.setdefault(ranks, len(groups))
                found.setdefault(pack, []).append((start, end, group))
    return Shared(alone, [([*ranks], [*ranks]) for ranks in groups], found)


def recalled(needs: Sequence[Needs]) -> tuple[Shared, list[Needs]]:
    """What ranks need that is in the memory of other hosts than theirs; and what is left of their needs."""
    holders: dict[str, list[int]] = {}
    for rank, each in enumerate(needs):
        for pack in each.kept:
            holders.setdefault(pack, []).append(rank)
    groups: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    found: dict[str, list[tuple[int, int, int]]] = {}
    for pack in sorted({pack for each in needs for pack in each.packs} & {*holders}):
        without = [() if pack in each.kept else each.packs.get(pack, ()) for each in needs]
        for start, end, ranks in _overlaps(without):
            group = groups.setdefault((tuple(holders[pack]), ranks), len(groups))
            found.setdefault(pack, []).append((start, end, group))
    left = [
        Needs({pack: ranges for pack, ranges in each.packs.items() if pack not in holders}, each.far)
        for each in needs
    ]
    return Shared([0] * len(needs), [([*first], [*ranks]) for first, ranks in groups], found), left


def _overlaps(ranges: Sequence[Sequence[Range]]) -> Iterable[tuple[int, int, tuple[int, ...]]]:
    """The ranges of one pack, cut where any of them begins or ends, each with the ranks that need it."""
    alike: dict[tuple[Range, ...], list[int]] = {}
    for rank, each in enumerate(ranges):
        alike.setdefault(tuple(map(tuple, each)), []).append(rank)  # type: ignore[arg-type]
    edges = sorted(
        (at, change, number)
        for number, same in enumerate(alike)
        for start, end in same
        for at, change in ((start, 1), (end, -1))
    )
    ranks, active, before = [*alike.values()], set[int](), 0
    for at, change, number in edges:
        if active and before < at:
            yield before, at, tuple(sorted(rank for each in active for rank in ranks[each]))
        before = at
        (active.add if change == 1 else active.discard)(number)


def pieces(found: Shared) -> list[Piece]:
    """Who reads what of it, and for whom; the same in all ranks."""
    load = [*found.alone]
    cut = []
    for pack, ranges in found.ranges.items():
        for first, end, group in ranges:
            readers, ranks = found.groups[group]
            start = first
            while start < end:
                stop = min(end, (start // PIECE + 1) * PIECE)
                reader = min(readers, key=lambda rank: (load[rank], rank))
                load[reader] += stop - start
                cut.append(Piece(pack, start, stop, reader, [rank for rank in ranks if rank != reader]))
                start = stop
    return cut
