"""The grid form of a manifest: for versions of very many shards.

Its table of tensors is cut into pages, one for each process that staged something, which are documents of
their own (`repo/pages.py`). The manifest says of each tensor only what it is, and which page has which region
of it: so a reader of some boxes reads the pages of those alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from saver.errors import IncompatibleError
from saver.pack.layout import are_digests
from saver.pack.slots import AXES_LIMIT
from saver.strict import decodable
from saver.tensors import ITEM_SIZE, Box

FEATURE = "grid"
"""What a manifest in this form requires of its reader."""

BOXES = 100_000
"""A version of more shards than this has this form: a manifest of them all would take 20 MB and a second."""

PAGE_BOXES = 10_000
"""Shards of a page, where one process makes several."""

_Natural = Annotated[int, msgspec.Meta(ge=0)]
_Axes = Annotated[tuple[_Natural, ...], msgspec.Meta(max_length=AXES_LIMIT)]


class Run(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Regions of a tensor in successive pages: page `page` + i has shards of it within the box of these
    `sizes` at `offsets` plus i times `steps`, for each i below `count`."""

    page: _Natural
    count: Annotated[int, msgspec.Meta(ge=1)]
    offsets: _Axes
    sizes: _Axes
    steps: _Axes

    def pages(self, box: Box) -> range:
        """The pages whose region has elements in common with a box."""
        low, high = 0, self.count
        for start, size, step, at, length in zip(
            self.offsets, self.sizes, self.steps, box.offsets, box.sizes, strict=True
        ):
            before, after = at - start - size, at + length - start  # i times the step is more, and less
            if step:
                low, high = max(low, before // step + 1), min(high, -(-after // step))
            elif before >= 0 or after <= 0:
                return range(0)
        return range(self.page + low, self.page + max(low, high))


class GridTensor(msgspec.Struct, frozen=True, gc=False):
    """What a tensor is, and the number of the cut that says which page has which region of it."""

    cut: _Natural
    dtype: str
    shape: _Axes

    @property
    def length(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * ITEM_SIZE[self.dtype]


@decodable
class Grid(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest says in this form: the names of the pages; how tensors are cut among them, each way
    once, as runs in the order of their pages; and the tensors."""

    cuts: tuple[tuple[Run, ...], ...]
    pages: tuple[str, ...]
    tensors: Mapping[str, GridTensor]

    def pages_of(self, name: str, box: Box) -> list[int]:
        """The numbers of the pages with elements of a box of a tensor that has some."""
        return [page for run in self.cuts[self.tensors[name].cut] for page in run.pages(box)]

    def all_of(self, name: str) -> list[int]:
        """The numbers of all pages with shards of a tensor."""
        cut = self.cuts[self.tensors[name].cut]
        return [page for run in cut for page in range(run.page, run.page + run.count)]


Regions = Sequence[tuple[int, Sequence[Box]]]
"""Of one tensor: the numbers of pages, ascending, each with the boxes that it has."""


def grid_of(pages: Sequence[str], tensors: Mapping[str, tuple[str, tuple[int, ...], Regions]]) -> Grid:
    """The grid of tensors by name: dtype, shape and regions. Tensors that share one `Regions` object share
    their cut without a look at it."""
    numbers: dict[tuple[Run, ...], int] = {}
    known: dict[int, int] = {}
    found: dict[str, GridTensor] = {}
    for name, (dtype, shape, regions) in tensors.items():
        if id(regions) not in known:
            known[id(regions)] = numbers.setdefault(_runs(regions), len(numbers))
        found[name] = GridTensor(known[id(regions)], dtype, shape)
    return Grid(cuts=tuple(numbers), pages=tuple(pages), tensors=found)


def _runs(regions: Regions) -> tuple[Run, ...]:
    runs: list[Run] = []
    last: tuple[int, ...] = ()
    for page, boxes in regions:
        around = _around(boxes)
        run = runs[-1] if runs else None
        if run is not None and page == run.page + run.count and run.sizes == around.sizes:
            steps = tuple([now - before for now, before in zip(around.offsets, last, strict=True)])
            if steps == run.steps or (run.count == 1 and min(steps, default=0) >= 0):
                runs[-1] = Run(run.page, run.count + 1, run.offsets, run.sizes, steps)
                last = around.offsets
                continue
        runs.append(Run(page, 1, around.offsets, around.sizes, (0,) * len(around.sizes)))
        last = around.offsets
    return tuple(runs)


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box with all of these in it."""
    if len(boxes) == 1:
        return boxes[0]
    starts = tuple(map(min, *(box.offsets for box in boxes)))
    ends = map(max, *(tuple(map(sum, zip(box.offsets, box.sizes, strict=True))) for box in boxes))
    return Box(starts, tuple(end - start for start, end in zip(starts, ends, strict=True)))


def check_grid(grid: Grid, where: str) -> None:
    """Raise IncompatibleError unless each tensor can be looked up in the pages."""
    if not are_digests(grid.pages) or len({*grid.pages}) != len(grid.pages):
        raise IncompatibleError(f"{where}: the pages of its grid are not different documents")
    reaches = [_reach(cut, len(grid.pages), where) for cut in grid.cuts]
    for name, tensor in grid.tensors.items():
        if tensor.dtype not in ITEM_SIZE:
            raise IncompatibleError(
                f"{where}: tensor {name[:80]!r} has the dtype {tensor.dtype[:20]!r}: install a newer Saver"
            )
        reach = reaches[tensor.cut] if tensor.cut < len(reaches) else None
        if reach != tensor.shape:
            raise IncompatibleError(
                f"{where}: the grid does not say where tensor {name[:80]!r} is; no Saver writes that"
            )


def _reach(cut: Sequence[Run], pages: int, where: str) -> tuple[int, ...] | None:
    """The shape that the regions of a cut reach to; None if they are of different numbers of axes."""
    before, ends = 0, []
    for run in cut:
        if run.page < before or run.page + run.count > pages:
            raise IncompatibleError(f"{where}: a cut of its grid does not name its pages in order")
        before = run.page + run.count
        if not len(run.offsets) == len(run.sizes) == len(run.steps):
            return None
        sides = zip(run.offsets, run.sizes, run.steps, strict=True)
        ends.append([start + size + (run.count - 1) * step for start, size, step in sides])
    if len({*map(len, ends)}) != 1:
        return None
    return tuple(map(max, *ends)) if len(ends) > 1 else tuple(ends[0])
