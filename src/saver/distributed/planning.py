"""Who writes what: a pure function of what the ranks hold. The same descriptions give the same plan, so the
next version finds its boxes in the one before.

Every box of a tensor is written once, by one of the ranks that hold it: the one with the least to write so
far. A box that several hold, and that is large, is cut among them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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

    @property
    def size(self) -> int:
        """Bytes of the boxes."""
        return sum(math.prod(sizes) for _, sizes in self.boxes) * ITEM_SIZE[self.dtype]


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
    load = [0] * len(described)
    tasks = [Task([], {}, []) for _ in described]
    for part, rank in homes(where, described).items():
        tasks[rank].parts.append(part)
    shared: list[_Piece] = []
    total = 0
    for names, pieces in _alike(where, described):
        total += len(names) * sum(piece.size for piece in pieces)
        alone: dict[int, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}
        for piece in pieces:
            if len(piece.holders) > 1:
                shared += [msgspec.structs.replace(piece, tensor=name) for name in names]
                continue
            (rank,) = piece.holders
            load[rank] += len(names) * piece.size
            alone.setdefault(rank, []).append((piece.box.offsets, piece.box.sizes))
        for rank, boxes in alone.items():
            tasks[rank].tensors.update(dict.fromkeys(names, boxes))
    goal = max(WORTH_CUTTING, total // len(described) // PIECES)
    _assign(tasks, load, sorted((cut for each in shared for cut in _cut(each, goal)), key=_order))
    for task, each in zip(tasks, described, strict=True):
        tensors = each.tensors
        task.complete.extend(
            name for name, boxes in task.tensors.items() if boxes[0][1] == tensors[name].shape
        )
    return tasks


def _assign(tasks: Sequence[Task], load: list[int], pieces: Sequence[_Piece]) -> None:
    """Give each piece to the one of its holders that has the least `load`, in bytes."""
    for piece in pieces:
        rank = min(piece.holders, key=lambda rank: (load[rank], rank))
        load[rank] += piece.size
        boxes = tasks[rank].tensors.get(piece.tensor, [])
        tasks[rank].tensors[piece.tensor] = [*boxes, (piece.box.offsets, piece.box.sizes)]


def placed(described: Sequence[Described], tasks: Sequence[Task]) -> dict[str, tuple[Any, ...]]:
    """By tensor: its dtype, its shape, and the boxes of each rank that stages some, by the number of the page
    that it makes: ranks that stage no tensor make none."""
    staging = [(rank, task) for rank, task in enumerate(tasks) if task.tensors]
    held: dict[str, Held] = {}
    where: dict[str, list[tuple[int, int]]] = {}
    lists: dict[int, list[Box]] = {}
    for page, (rank, task) in enumerate(staging):
        held |= {name: described[rank].tensors[name] for name in task.tensors.keys() - held.keys()}
        for name, boxes in task.tensors.items():
            if id(boxes) not in lists:  # many tensors have one list
                lists[id(boxes)] = [Box(*box) for box in boxes]
            where.setdefault(name, []).append((page, id(boxes)))
    regions: dict[tuple[tuple[int, int], ...], list[tuple[int, list[Box]]]] = {}
    found = {}
    for name, pages in where.items():
        same = regions.setdefault(tuple(pages), [])
        if not same:
            same += [(page, lists[boxes]) for page, boxes in pages]
        found[name] = held[name].dtype, tuple(held[name].shape), same
    return found


def _order(piece: _Piece) -> tuple[object, ...]:
    """Those with the fewest holders come first, then the largest: what is left evens out the rest."""
    return len(piece.holders), -piece.size, piece.tensor, piece.box.offsets


def homes(where: str, described: Sequence[Described]) -> dict[str, int]:
    """The rank that stages each part: the first one that has it. Raises CannotSaveError if it is not the same
    in all ranks that have it."""
    found: dict[str, int] = {}
    if len({each.whole for each in described}) > 1:
        raise CannotSaveError(
            f"{where}: some ranks save one object, and others a dict of parts; pass a dict in all of them"
        )
    for rank, each in enumerate(described):
        for part, digest in each.parts.items():
            home = found.setdefault(part, rank)
            if described[home].parts[part] != digest:
                raise CannotSaveError(
                    f"{where}: $.{part} is not the same in the ranks {home} and {rank}, apart from the "
                    "elements of tensors; if each rank has its own, name the part in `per_rank`"
                )
    return found


def tiles(where: str, described: Sequence[Described], name: str, rank: int) -> None:
    """Raises CannotSaveError unless this rank alone holds a tensor once and whole, or nothing of it."""
    if name in described[rank].tensors:
        _pieces(where, described, name, [rank])


def boxes_by_holders(
    where: str, described: Sequence[Described]
) -> list[tuple[tuple[int, ...], dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]]]:
    """The boxes that several ranks hold, with those ranks: offsets and sizes, by tensor. Raises as `plan`."""
    found: dict[tuple[int, ...], dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]]] = {}
    for names, pieces in _alike(where, described):
        for piece in pieces:
            if len(piece.holders) > 1:
                tensors = found.setdefault(tuple(piece.holders), {})
                for name in names:
                    tensors.setdefault(name, []).append((piece.box.offsets, piece.box.sizes))
    return [*found.items()]


def _alike(where: str, described: Sequence[Described]) -> Iterator[tuple[list[str], list[_Piece]]]:
    """The tensors of which each rank holds the same boxes, together, with those boxes, each once: the tensors
    of a model are of few shapes."""
    forms: dict[Any, int] = {}
    holders: dict[str, list[tuple[int, int]]] = {}
    for rank, each in enumerate(described):
        for name, held in each.tensors.items():
            boxes = tuple([(tuple(offsets), tuple(sizes)) for offsets, sizes in held.boxes])
            form = forms.setdefault((held.dtype, held.shape, held.solid, boxes), len(forms))
            holders.setdefault(name, []).append((rank, form))
    groups: dict[tuple[tuple[int, int], ...], list[str]] = {}
    for name, found in holders.items():
        groups.setdefault(tuple(found), []).append(name)
    for group, names in groups.items():
        yield names, _pieces(where, described, names[0], [rank for rank, _ in group])


def _pieces(where: str, described: Sequence[Described], name: str, ranks: Sequence[int]) -> list[_Piece]:
    """Every box of a tensor that these ranks hold, each once, the largest first. Raises CannotSaveError
    unless they tile it."""
    found: dict[tuple[tuple[int, ...], tuple[int, ...]], _Piece] = {}
    before = described[ranks[0]].tensors[name]
    for rank in ranks:
        held = described[rank].tensors[name]
        if (before.dtype, before.shape) != (held.dtype, held.shape):
            raise CannotSaveError(
                f"{where}: the tensor {name!r} is {before.dtype} {list(before.shape)} in rank {ranks[0]} and "
                f"{held.dtype} {list(held.shape)} in rank {rank}"
            )
        for offsets, sizes in held.boxes:
            key = tuple(offsets), tuple(sizes)
            piece = found.get(key)
            if piece is None:
                size = math.prod(sizes) * ITEM_SIZE[held.dtype]
                found[key] = _Piece(name, Box(*key), size, [rank], held.solid)
            else:
                piece.holders.append(rank)
                piece.solid |= held.solid
    try:
        check_boxes(
            before.shape, sorted((piece.box for piece in found.values()), key=lambda box: box.offsets)
        )
    except ValueError as error:
        raise CannotSaveError(
            f"{where}: the ranks together do not hold the tensor {name!r} once and whole: {error}; save "
            "in every rank that has a piece of it"
        ) from None
    return sorted(found.values(), key=_order)


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
