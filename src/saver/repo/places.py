"""Where the bytes of a version's tensors lie, after whatever was moved since its manifest was written."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import TypeAlias

import msgspec
from blake3 import blake3

from saver.errors import IncompatibleError
from saver.pack.layout import BLOCK, block_count
from saver.repo.log import Move, Relocate
from saver.repo.manifest import Manifest
from saver.repo.objects import pack_key
from saver.repo.state import State
from saver.tree import ITEM_SIZE

Place: TypeAlias = tuple[str, int, int]
"""The name of a pack, and a range of its file: offset and length in bytes."""

MOVES_DEPTH = 64
"""How often bytes may have moved; each collection moves them once at most."""


_START = itemgetter(0)


class Known(msgspec.Struct, frozen=True, gc=False):
    """A tensor that the store has. Its bytes are those of `places` after each other."""

    dtype: str
    shape: tuple[int, ...]
    length: int
    hash: str
    blocks: tuple[str, ...]
    places: tuple[Place, ...]

    def root_matches(self) -> bool:
        """Whether the hash vouches for those of the blocks, if there are any."""
        return not self.blocks or blake3(b"".join(map(bytes.fromhex, self.blocks))).hexdigest() == self.hash

    def block_places(self) -> Iterator[tuple[int, str, Place]]:
        """The number, hash and place of each block; of the whole, if it is hashed whole."""
        if not self.blocks:
            if self.length:
                yield 0, self.hash, self.places[0]
            return
        number = 0
        for pack, offset, length in self.places:
            for at in range(0, length, BLOCK):
                yield number, self.blocks[number], (pack, offset + at, min(BLOCK, length - at))
                number += 1


class Places:
    """Answers where the tensors of manifests lie, by what the log says of moved bytes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._moves: dict[tuple[str, int], list[Move]] = {}

    def of(self, manifest: Manifest, where: str) -> dict[str, Known]:
        """The tensors of a version, by name. Raises IncompatibleError where they are not all of one piece."""
        found = {}
        packs = manifest.packs
        moves_of = cache(self._moves_of)  # the log is asked once for each pack, not for each tensor
        moved = any(map(moves_of, packs))
        for name, stored in manifest.tensors.items():
            length = math.prod(stored.shape) * ITEM_SIZE[stored.dtype]
            extents: Iterable[Place] = ((packs[pack], offset, size) for pack, offset, size in stored.extents)
            if moved:
                extents = (place for extent in extents for place in _resolved(extent, moves_of))
            known = Known(stored.dtype, stored.shape, length, stored.hash, stored.blocks, joined(extents))
            if not _is_whole(known):
                raise IncompatibleError(f"{where}: the bytes of {name!r} do not lie in whole blocks")
            found[name] = known
        return found

    def harmed(self, known: Mapping[str, Known]) -> set[str]:
        """The names of those tensors some of whose bytes a check found damaged."""
        packs = {place[0] for item in known.values() for place in item.places}
        found = {pack: Ranges(self._state.harmed(pack)) for pack in packs}
        return {
            name
            for name, item in known.items()
            if any(found[pack].meet(offset, length) for pack, offset, length in item.places)
        }

    def targets(self, pack: str) -> set[str]:
        """The packs that bytes of a pack were moved to."""
        return {move[2] for move in self._moves_of(pack)}

    def reached(self, packs: Iterable[str]) -> set[str]:
        """These packs, and all that bytes of them were moved to since: what a version may need of which only
        the log tells."""
        found = set(packs)
        while more := {target for pack in found for target in self.targets(pack)} - found:
            found |= more
        return found

    def _moves_of(self, pack: str) -> list[Move]:
        """The moves out of a pack, by offset; of two of the same bytes, the newer."""
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


def _resolved(place: Place, moves_of: Callable[[str], list[Move]], depth: int = 0) -> Iterator[Place]:
    """Where the bytes of a place are now, in order."""
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
        yield from _resolved((target, there + offset - start, take), moves_of, depth + 1)
        offset += take
    if offset < end:
        yield pack, offset, end - offset


def _apart(moves: list[Move], pack: str) -> list[Move]:
    for one, other in pairwise(moves):
        if one[0] + one[1] > other[0]:
            raise IncompatibleError(f"{pack_key(pack)}: two moves of the same bytes")
    return moves


def joined(places: Iterable[Place]) -> tuple[Place, ...]:
    """Places, with those that follow each other made one."""
    found: list[Place] = []
    for pack, offset, length in places:
        if found and found[-1][0] == pack and found[-1][1] + found[-1][2] == offset:
            found[-1] = (pack, found[-1][1], found[-1][2] + length)
        else:
            found.append((pack, offset, length))
    return tuple(found)


def _is_whole(known: Known) -> bool:
    if sum(length for _, _, length in known.places) != known.length:
        return False
    if len(known.blocks) != block_count(known.length):
        return False
    if not known.blocks:
        return len(known.places) <= 1
    return all(length % BLOCK == 0 for _, _, length in known.places[:-1])


class Ranges:
    """Ranges of bytes (offset and length), made one where they touch or overlap. However many there are,
    questions about one more take a few steps."""

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
        """Whether some byte of a range is among them."""
        at = bisect_right(self._ends, offset)
        return length > 0 and at < len(self._starts) and self._starts[at] < offset + length

    def hold(self, offset: int, length: int) -> bool:
        """Whether every byte of a range is among them."""
        at = bisect_left(self._ends, offset + length)
        return at < len(self._starts) and self._starts[at] <= offset
