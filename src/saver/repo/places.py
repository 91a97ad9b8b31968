"""Where the bytes of a version's tensors lie, after whatever was moved since its manifest was written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TypeAlias

import msgspec
from blake3 import blake3

from saver.errors import Damaged
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


class Known(msgspec.Struct, frozen=True):
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
        """The tensors of a version, by name. Raises Damaged where they are not all of one piece."""
        found = {}
        for name, stored in manifest.tensors.items():
            length = math.prod(stored.shape) * ITEM_SIZE[stored.dtype]
            extents = [(manifest.packs[pack], offset, size) for pack, offset, size in stored.extents]
            places = joined(place for extent in extents for place in self.resolve(extent))
            known = Known(stored.dtype, stored.shape, length, stored.hash, stored.blocks, places)
            if not _is_whole(known):
                raise Damaged(f"{where}: the bytes of {name!r} do not lie in whole blocks")
            found[name] = known
        return found

    def resolve(self, place: Place, depth: int = 0) -> Iterator[Place]:
        """Where the bytes of a place are now, in order."""
        pack, offset, length = place
        end = offset + length
        for start, size, target, there in self._moves_of(pack):
            stop = start + size
            if stop <= offset or start >= end:
                continue
            if depth == MOVES_DEPTH:
                raise Damaged(f"{pack_key(pack)} was moved in circles")
            if start > offset:
                yield pack, offset, start - offset
                offset = start
            take = min(stop, end) - offset
            yield from self.resolve((target, there + offset - start, take), depth + 1)
            offset += take
        if offset < end:
            yield pack, offset, end - offset

    def harmed(self, known: Known) -> bool:
        """Whether a check found some of the tensor's bytes damaged."""
        found = {pack: self._state.get(f"harmed {pack}") or () for pack, _, _ in known.places}
        return any(overlaps(place, found) for place in known.places)

    def targets(self, pack: str) -> set[str]:
        """The packs that bytes of a pack were moved to."""
        return {move[2] for move in self._moves_of(pack)}

    def _moves_of(self, pack: str) -> list[Move]:
        """The moves out of a pack, by offset; of two of the same bytes, the newer."""
        records: list[int] = self._state.get(f"moved {pack}") or []
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


def _apart(moves: list[Move], pack: str) -> list[Move]:
    for one, other in pairwise(moves):
        if one[0] + one[1] > other[0]:
            raise Damaged(f"{pack_key(pack)}: two moves of the same bytes")
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


def overlaps(place: Place, others: Mapping[str, Iterable[tuple[int, int]]]) -> bool:
    """Whether a place has bytes in common with any of `others`: offset and length, by pack."""
    pack, offset, length = place
    return any(start < offset + length and offset < start + size for start, size in others.get(pack, ()))
