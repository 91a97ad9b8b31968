"""Where the bytes of a version's tensors are stored, after all moves since its manifest was written."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from operator import itemgetter

import msgspec

from saver.errors import IncompatibleError
from saver.repo.log import Move, Relocate
from saver.repo.manifest import Manifest
from saver.repo.objects import pack_key
from saver.repo.state import State
from saver.tensors import Place, Shard, TensorInfo

MOVES_DEPTH = 64
"""How often bytes may have moved; each collection moves them at most once."""


_START = itemgetter(0)


class Places:
    """Finds where the tensors of manifests are stored, from what the log says about moved bytes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moves: dict[tuple[str, int], list[Move]] = {}

    def of(
        self, manifest: Manifest, where: str, is_there: Callable[[str], bool] = lambda pack: True
    ) -> dict[str, TensorInfo]:
        """The tensors of a version, by name. Bytes that were moved to a pack that `is_there` denies lie where
        they did before. Raises IncompatibleError where their boxes do not tile them, or the bytes of a shard
        are not all there."""
        found = {}
        packs = manifest.packs
        moves_of = cache(self._moves_of)  # the log is read once for each pack, not for each tensor
        moved = any(map(moves_of, packs))
        for name, form in manifest.tensors.items():
            try:
                info = form.info(name, packs)
            except ValueError as error:
                raise IncompatibleError(f"{where}: {name[:80]!r}: {error}") from None
            if moved:
                shards = tuple(_resolved_shard(shard, moves_of, is_there) for shard in info.shards)
                info = msgspec.structs.replace(info, shards=shards)
            for shard in info.shards:
                if not shard.is_whole():
                    raise IncompatibleError(f"{where}: the bytes of {name!r} do not lie in whole blocks")
            found[name] = info
        return found

    def harmed(self, known: Mapping[str, Shard]) -> set[str]:
        """The names of the shards in which a check found damaged bytes."""
        found = {pack: Ranges(self._state.harmed(pack)) for pack in packs_of(known.values())}
        return {
            name
            for name, item in known.items()
            if any(found[pack].meet(offset, length) for pack, offset, length in item.places)
        }

    def targets(self, pack: str) -> set[str]:
        """The packs that bytes of a pack were moved to."""
        return {move[2] for move in self._moves_of(pack)}

    def reached(self, packs: Iterable[str]) -> set[str]:
        """These packs, and all packs that bytes of them were moved to since: what a version may need, as
        far as the log alone can tell."""
        found = set(packs)
        while more := {target for pack in found for target in self.targets(pack)} - found:
            found |= more
        return found

    def _moves_of(self, pack: str) -> list[Move]:
        """The moves out of a pack, sorted by offset; of two moves of the same bytes, the newer one."""
        records = self._state.moved(pack)
        if not records:
            return []
        key = (pack, records[-1])
        if key not in self._moves:
            newest: dict[int, Move] = {}
            for number in records:
                event = self._state.log.read(number)[0].event
                if isinstance(event, Relocate):
                    newest.update((move[0], move) for move in event.moves.get(pack, ()))
            self._moves[key] = _apart(sorted(newest.values()), pack)
        return self._moves[key]


def packs_of(shards: Iterable[Shard]) -> set[str]:
    """The packs in which shards are stored."""
    return {place[0] for shard in shards for place in shard.places}


def _resolved_shard(
    shard: Shard, moves_of: Callable[[str], list[Move]], is_there: Callable[[str], bool]
) -> Shard:
    """The shard with its current places; adjacent ones are joined.

    A shard has at most as many places as blocks. Moves may cut it into more, each of two halves into two
    again: then the rest is not looked at, because 23 such moves would give eight million places.
    """
    most = max(1, len(shard.blocks))
    places = (place for old in shard.places for place in _resolved(old, moves_of, is_there, most))
    return msgspec.structs.replace(shard, places=joined(places, most))


def _resolved(
    place: Place,
    moves_of: Callable[[str], list[Move]],
    is_there: Callable[[str], bool],
    most: int,
    depth: int = 0,
) -> Iterator[Place]:
    """Where the bytes of a place are now, in order; some of them only, if there are more places than `most`."""
    pack, offset, length = place
    end, moves = offset + length, moves_of(pack)
    at = max(bisect_right(moves, offset, key=_START) - 1, 0)  # the first that may reach beyond the offset
    while at < len(moves) and moves[at][0] < end:
        start, size, target, there = moves[at]
        at += 1
        if start + size <= offset:
            continue
        if depth == MOVES_DEPTH:
            raise IncompatibleError(f"{pack_key(pack)} was moved in circles")
        if start > offset:
            yield pack, offset, start - offset
            offset = start
        take = min(start + size, end) - offset
        further = _resolved((target, there + offset - start, take), moves_of, is_there, most, depth + 1)
        moved = joined(further, most)
        yield from moved if all(is_there(each) for each, _, _ in moved) else [(pack, offset, take)]
        offset += take
    if offset < end:
        yield pack, offset, end - offset


def _apart(moves: list[Move], pack: str) -> list[Move]:
    for one, other in pairwise(moves):
        if one[0] + one[1] > other[0]:
            raise IncompatibleError(f"{pack_key(pack)}: two moves of the same bytes")
    return moves


def joined(places: Iterable[Place], most: float = math.inf) -> tuple[Place, ...]:
    """Places, with those that follow each other made one; no further than it takes to have more than
    `most`."""
    found: list[Place] = []
    for pack, offset, length in places:
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
