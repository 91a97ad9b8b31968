"""Who writes what: a pure function of what the ranks hold. The same descriptions give the same plan, so the
next version finds its boxes in the one before.

Every box of a tensor is written once, by one of the ranks that hold it: the one with the least to write so
far. A box that several hold, and that is large, is cut among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from saver.errors import CannotSaveError
from saver.tensors import ITEM_SIZE, Box, check_boxes

WORTH_CUTTING = 4 << 20
"""Boxes of no more bytes than this are not cut: each piece has a hash and a name of its own."""

PIECES = 4
"""A box is cut if it has more than this part of what each rank would write at best: a quarter."""


class Held(msgspec.Struct, frozen=True):
    """What a rank holds of a tensor: boxes of it, as offsets and sizes. `solid` ones cannot be cut."""

    dtype: str
    shape: tuple[int, ...]
    boxes: list[tuple[tuple[int, ...], tuple[int, ...]]]
    solid: bool = False


class Described(msgspec.Struct, frozen=True):
    """What a rank holds: the hash of each part's structure, and its tensors. `whole` is as in `Encoded`."""

    parts: dict[str, str]
    whole: bool
    tensors: dict[str, Held]


class Task(msgspec.Struct, frozen=True):
    """What a rank stages: parts, by name; and of tensors these boxes, as offsets and sizes. Those that
    `complete` names are whole tensors."""

    parts: list[str]
    tensors: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]
    complete: list[str]


class _Piece(msgspec.Struct):
    """A box of a tensor, and the ranks that hold it."""

    tensor: str
    box: Box
    size: int
    holders: list[int]
    solid: bool


def plan(where: str, described: Sequence[Described]) -> list[Task]:
    """What each rank stages, by rank. Raises CannotSaveError if the ranks do not hold the same, or their
    boxes do not tile a tensor."""
    homes = _homes(where, described)
    pieces = _pieces(where, described)
    _demand_tiles(where, described, pieces)
    load = [0] * len(described)
    tasks = [Task([], {}, []) for _ in described]
    for part, rank in homes.items():
        tasks[rank].parts.append(part)
    goal = max(WORTH_CUTTING, sum(piece.size for piece in pieces) // len(described) // PIECES)
    for piece in sorted((cut for each in pieces for cut in _cut(each, goal)), key=_order):
        rank = min(piece.holders, key=lambda rank: (load[rank], rank))
        load[rank] += piece.size
        boxes = tasks[rank].tensors.setdefault(piece.tensor, [])
        boxes.append((piece.box.offsets, piece.box.sizes))
        shape = described[rank].tensors[piece.tensor].shape
        if piece.box.sizes == shape:
            tasks[rank].complete.append(piece.tensor)
    return tasks


def placed(described: Sequence[Described], tasks: Sequence[Task]) -> dict[str, tuple[Any, ...]]:
    """By tensor: its dtype, its shape, and the boxes of each rank that stages some, by the number of the page
    that it makes: ranks that stage no tensor make none."""
    found: dict[str, tuple[str, tuple[int, ...], list[tuple[int, list[Box]]]]] = {}
    staging = [(rank, task) for rank, task in enumerate(tasks) if task.tensors]
    for page, (rank, task) in enumerate(staging):
        for name, boxes in task.tensors.items():
            held = described[rank].tensors[name]
            _, _, regions = found.setdefault(name, (held.dtype, held.shape, []))
            regions.append((page, [Box(*box) for box in boxes]))
    return found


def _order(piece: _Piece) -> tuple[object, ...]:
    """Those with the fewest holders come first, then the largest: what is left evens out the rest."""
    return len(piece.holders), -piece.size, piece.tensor, piece.box.offsets


def _homes(where: str, described: Sequence[Described]) -> dict[str, int]:
    """The rank that stages each part: the first one that has it."""
    homes: dict[str, int] = {}
    if len({each.whole for each in described}) > 1:
        raise CannotSaveError(
            f"{where}: some ranks save one object, and others a dict of parts; pass a dict in all of them"
        )
    for rank, each in enumerate(described):
        for part, digest in each.parts.items():
            home = homes.setdefault(part, rank)
            if described[home].parts[part] != digest:
                raise CannotSaveError(
                    f"{where}: $.{part} is not the same in the ranks {home} and {rank}, apart from the "
                    "elements of tensors; if each rank has its own, name the part in `per_rank`"
                )
    return homes


def _pieces(where: str, described: Sequence[Described]) -> list[_Piece]:
    """Every box of every tensor, each once."""
    found: dict[tuple[str, tuple[int, ...], tuple[int, ...]], _Piece] = {}
    first: dict[str, tuple[int, Held]] = {}
    for rank, each in enumerate(described):
        for name, held in each.tensors.items():
            home, before = first.setdefault(name, (rank, held))
            if (before.dtype, before.shape) != (held.dtype, held.shape):
                raise CannotSaveError(
                    f"{where}: the tensor {name!r} is {before.dtype} {list(before.shape)} in rank {home} and "
                    f"{held.dtype} {list(held.shape)} in rank {rank}"
                )
            for offsets, sizes in held.boxes:
                key = name, tuple(offsets), tuple(sizes)
                piece = found.get(key)
                if piece is None:
                    size = math.prod(sizes) * ITEM_SIZE[held.dtype]
                    found[key] = _Piece(name, Box(key[1], key[2]), size, [rank], held.solid)
                else:
                    piece.holders.append(rank)
                    piece.solid |= held.solid
    return list(found.values())


def _demand_tiles(where: str, described: Sequence[Described], pieces: Sequence[_Piece]) -> None:
    """Raise CannotSaveError unless the boxes of each tensor tile it."""
    shapes = {name: held.shape for each in described for name, held in each.tensors.items()}
    boxes: dict[str, list[Box]] = {name: [] for name in shapes}
    for piece in pieces:
        boxes[piece.tensor].append(piece.box)
    for name, found in boxes.items():
        try:
            check_boxes(shapes[name], sorted(found, key=lambda box: box.offsets))
        except ValueError as error:
            raise CannotSaveError(
                f"{where}: the ranks together do not hold the tensor {name!r} once and whole: {error}; save "
                "in every rank that has a piece of it"
            ) from None


def _cut(piece: _Piece, goal: int) -> list[_Piece]:
    """A large box that several ranks hold, as boxes of about `goal` bytes: cut along its first long axis."""
    if len(piece.holders) == 1 or piece.solid or piece.size <= goal:
        return [piece]
    count = min(-(-piece.size // goal), len(piece.holders) * PIECES)
    axis = next((axis for axis, size in enumerate(piece.box.sizes) if size > 1), None)
    if axis is None:
        return [piece]
    size = piece.box.sizes[axis]
    count = min(count, size)
    found = []
    for number in range(count):
        start, end = size * number // count, size * (number + 1) // count
        offsets, sizes = list(piece.box.offsets), list(piece.box.sizes)
        offsets[axis], sizes[axis] = offsets[axis] + start, end - start
        box = Box(tuple(offsets), tuple(sizes))
        found.append(
            _Piece(piece.tensor, box, piece.size * (end - start) // size, piece.holders, piece.solid)
        )
    return found
