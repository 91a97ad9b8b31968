"""Where the bytes of a version's tensors are stored, after all moves since its manifest was written."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from itertools import islice, pairwise
from operator import itemgetter

import msgspec

from saver.errors import IncompatibleError
from saver.repo.described import Described
from saver.repo.events import Move
from saver.repo.forms import demand_whole
from saver.repo.objects import pack_key
from saver.repo.pages import Gridded
from saver.repo.state import State
from saver.repo.state.moves import Moves
from saver.tensors import Extent, Shard, TensorInfo, hashing, packs_of

MOVES_DEPTH = 64
"""How often bytes may have moved; each collection moves them at most once."""


PIECES = 4
"""How many pieces one move may leave of each block: moves are of whole blocks, so two would be enough."""

_START = itemgetter(0)


class Extents:
    """Finds where the tensors of manifests are stored, from what the log says about moved bytes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._all = Moves(state)
        self._moves: dict[tuple[str, int], list[Move]] = {}

    def of(
        self, found: Described, is_there: Callable[[str], bool] = lambda pack: True
    ) -> Mapping[str, TensorInfo]:
        """The tensors of a version, by name, with their current extents. Bytes that were moved to a pack for
        which `is_there` is false are still in their old place. Raises IncompatibleError if the extents of a
        shard do not cover its bytes."""
        if not any(map(self._moves_of, found.manifest.packs)):
            return found.tensors
        moves_of = cache(self._moves_of)  # once for each pack, not for each tensor
        if isinstance(found.tensors, Gridded):
            return found.tensors.moved(partial(_resolved_shard, moves_of=moves_of, is_there=is_there))
        tensors = {}
        for name, info in found.tensors.items():
            shards = tuple([_resolved_shard(shard, moves_of, is_there) for shard in info.shards])
            tensors[name] = msgspec.structs.replace(info, shards=shards)
            demand_whole(tensors[name], found.where)
        return tensors

    def harmed(self, known: Mapping[str, Shard]) -> set[str]:
        """The names of the shards in which a check found damaged bytes."""
        packs = packs_of(known.values())
        found = {pack: Ranges(places) for pack in packs if (places := self._state.harmed(pack))}
        if not found:
            return set()
        return {
            name
            for name, item in known.items()
            if any(pack in found and found[pack].meet(at, length) for pack, at, length in item.extents)
        }

    def reached(self, packs: Iterable[str]) -> set[str]:
        """These packs, and all packs that bytes of them were moved to since: what a version may need, as
        far as the log alone can tell."""
        return self._all.targets(packs)

    def _moves_of(self, pack: str) -> list[Move]:
        """The moves out of a pack, sorted by offset; of two moves of the same bytes, the newer one."""
        records = self._state.moved(pack)
        if not records:
            return []
        key = (pack, records[-1])
        if key not in self._moves:
            newest = {move[0]: move for move in self._all.of(pack)}
            self._moves[key] = _apart(sorted(newest.values()), pack)
        return self._moves[key]


def _resolved_shard(
    shard: Shard, moves_of: Callable[[str], list[Move]], is_there: Callable[[str], bool]
) -> Shard:
    """The shard with its current extents; adjacent ones are merged."""
    extents = (
        found
        for extent in shard.extents
        for found in _resolved(extent, moves_of, is_there, _pieces(extent[2]) if shard.blocks else 1)
    )
    return msgspec.structs.replace(shard, extents=merged(extents, max(1, len(shard.blocks))))


def _pieces(length: int) -> int:
    """How many blocks so many bytes are."""
    return -(-length // hashing.BLOCK)


def _resolved(
    extent: Extent, moves_of: Callable[[str], list[Move]], is_there: Callable[[str], bool], most: int
) -> tuple[Extent, ...]:
    """Where the bytes of an extent are now, in order: where the last moves led whose packs are all there.

    Bytes never had more extents than blocks, `most`. Moves that would give it more are followed no further:
    23 that each cut both halves in two would give eight million. Nor are moves of less than a block, whose
    pieces might be merged again: a hundred thousand of them would be followed for each of the tensors there.
    """
    now: tuple[Extent, ...] = (extent,)
    found = now
    for _ in range(MOVES_DEPTH + 1):
        pieces = [*islice((each for old in now for each in _moved(old, moves_of)), PIECES * most + 1)]
        if len(pieces) > PIECES * most:
            return tuple(pieces)
        moved = merged(pieces, most)
        if moved == now:
            return found
        now = moved
        if len(now) > most or all(is_there(pack) for pack, _, _ in now):
            found = now
        if len(now) > most:
            return found
    raise IncompatibleError(
        f"the log says that bytes of {pack_key(extent[0])} were moved in circles, or more than {MOVES_DEPTH} "
        "times; no Saver writes that; restore the folder log/ from a copy of the store"
    )


def _moved(extent: Extent, moves_of: Callable[[str], list[Move]]) -> Iterator[Extent]:
    """Where the bytes of an extent were moved to directly, in order."""
    pack, offset, length = extent
    end, moves = offset + length, moves_of(pack)
    at = max(bisect_right(moves, offset, key=_START) - 1, 0)  # the first that may reach beyond the offset
    while at < len(moves) and moves[at][0] < end:
        start, size, target, there = moves[at]
        at += 1
        if start + size <= offset:
            continue
        if start > offset:
            yield pack, offset, start - offset
            offset = start
        take = min(start + size, end) - offset
        yield target, there + offset - start, take
        offset += take
    if offset < end:
        yield pack, offset, end - offset


def _apart(moves: list[Move], pack: str) -> list[Move]:
    for one, other in pairwise(moves):
        if one[0] + one[1] > other[0]:
            raise IncompatibleError(
                f"the log has two moves of the same bytes of {pack_key(pack)}; no Saver writes that; restore "
                "the folder log/ from a copy of the store"
            )
    return moves


def merged(extents: Iterable[Extent], most: float = math.inf) -> tuple[Extent, ...]:
    """Extents, with adjacent ones merged; stops as soon as there are more than `most`."""
    found: list[Extent] = []
    for pack, offset, length in extents:
        if found and found[-1][0] == pack and found[-1][1] + found[-1][2] == offset:
            found[-1] = (pack, found[-1][1], found[-1][2] + length)
        elif len(found) > most:
            break
        else:
            found.append((pack, offset, length))
    return tuple(found)


class Ranges:
    """Ranges of bytes (offset and length), merged if they touch or overlap. Queries take logarithmic time."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for offset, length in sorted(ranges):
            if self._ends and offset <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], offset + length)
            else:
                self._starts.append(offset)
                self._ends.append(offset + length)

    def meet(self, offset: int, length: int) -> bool:
        """Whether any byte of a range is among them."""
        at = bisect_right(self._ends, offset)
        return length > 0 and at < len(self._starts) and self._starts[at] < offset + length

    def hold(self, offset: int, length: int) -> bool:
        """Whether every byte of a range is among them."""
        at = bisect_left(self._ends, offset + length)
        return at < len(self._starts) and self._starts[at] <= offset
