"""Boxes that several ranks hold, compared: training should have kept them the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec
from blake3 import blake3

from saver.distributed.planning import Described, boxes_by_holders
from saver.distributed.session import Session
from saver.errors import CannotSaveError
from saver.tensors import Box, ShardedData, TensorData, hash_of

SHOWN = 3
"""How many boxes the error names."""

_Held: TypeAlias = Mapping[str, TensorData | ShardedData]


class Group(msgspec.Struct, frozen=True):
    """Boxes, as offsets and sizes, by tensor, that the same ranks hold."""

    ranks: list[int]
    tensors: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]


class _Groups(msgspec.Struct, frozen=True):
    found: list[Group]


def demand_same(session: Session, where: str, described: Sequence[Described], held: _Held) -> None:
    """Raise CannotSaveError in all ranks unless each box is the same in all that hold it: it names those that
    differ, and the ranks. `described` is what all ranks hold, in rank 0; `held` what this one does.

    Ranks first tell one hash of all that a group of them holds, and those of each box only if it differs.
    """
    found = [Group([*ranks], boxes) for ranks, boxes in boxes_by_holders(where, described)]
    groups = session.agree("replicas", _Groups(found), _Groups).found
    mine = {
        number: [each for _, each in _hashes(session, group, held)]
        for number, group in enumerate(groups)
        if session.rank in group.ranks
    }
    told = session.gather("hashes", {number: _root(each) for number, each in mine.items()}, dict[int, str])
    apart = [n for n, group in enumerate(groups) if told and len({told[r][n] for r in group.ranks}) > 1]
    apart = session.agree("apart", apart, list[int])
    if not apart:
        return
    every = session.gather(
        "hashes-of-boxes", {number: mine.get(number, []) for number in apart}, dict[int, list[str]]
    )
    if session.leads:
        raise CannotSaveError(f"{where}: {_differences([(groups[n], n) for n in apart], every)}")
    session.hear(0, "never", bool)  # it raises what rank 0 does


def _hashes(session: Session, group: Group, held: _Held) -> Iterator[tuple[str, str]]:
    for name, boxes in group.tensors.items():
        data = held[name]
        for offsets, _ in boxes:
            session.check()
            yield name, hash_of(data.shards[offsets] if isinstance(data, ShardedData) else data)[0]


def _root(hashes: Sequence[str]) -> str:
    return blake3("".join(hashes).encode()).hexdigest(16)


def _differences(groups: Sequence[tuple[Group, int]], hashes: Sequence[Mapping[int, Sequence[str]]]) -> str:
    """What to say of the boxes that differ."""
    said = []
    for group, number in groups:
        boxes = [(name, Box(*box)) for name, boxes in group.tensors.items() for box in boxes]
        for at, (name, box) in enumerate(boxes):
            alike: dict[str, list[int]] = {}
            for rank in group.ranks:
                alike.setdefault(hashes[rank][number][at], []).append(rank)
            if len(alike) > 1:
                values = " and another in ".join(map(_named, alike.values()))
                said.append(f"{name!r} at {box} is one thing in {values}")
    more = f", and so do {len(said) - SHOWN} more boxes" if len(said) > SHOWN else ""
    return (
        f"the replicas of a tensor differ: {'; '.join(said[:SHOWN])}{more}. Training should keep them the "
        "same: send them from one rank to the others, or name a part in `per_rank` of which each has its own"
    )


def _named(ranks: Sequence[int]) -> str:
    shown = ", ".join(map(str, ranks[:8])) + ", …" * (len(ranks) > 8)
    return f"rank {shown}" if len(ranks) == 1 else f"the ranks {shown}"
