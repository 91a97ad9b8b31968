"""What processes stage of a version in the grid form: each puts its shards into a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec
from blake3 import blake3

from saver.canonical import canonical, in_order
from saver.errors import SaverError
from saver.repo import grid, pages
from saver.repo.grid import Grid, Regions, grid_of
from saver.repo.objects import pack_key, tree_key
from saver.repo.pages import Shards, page_of
from saver.repo.repository import Repository
from saver.repo.staged import Condemned, Staged, StagedPart
from saver.repo.written import Written
from saver.storage import Bytes
from saver.tensors import ITEM_SIZE, Box, Cut, Shard, TensorInfo, packs_of

Placed = Mapping[str, tuple[str, tuple[int, ...], Regions]]
"""By tensor: its dtype, its shape, and which page has which of its boxes."""


class Table(msgspec.Struct, frozen=True):
    """The tensors of a version in the grid form: the `grid` for its manifest, the packs that hold them, their
    size in bytes, and the hash and size of each part."""

    grid: Grid
    packs: tuple[str, ...]
    size: int
    parts: dict[str, tuple[str, int]]


def paged(repo: Repository, staged: Staged, parts: Mapping[str, Iterable[str]], written: Written) -> Staged:
    """The same, with its shards in a page of the store, durably, in place of `tensors`. `parts` are the parts
    that it may have tensors of, with the names of those."""
    return _with_page(repo, staged, _tensors_of(staged), parts, written)


def _with_page(
    repo: Repository,
    staged: Staged,
    shards: Shards,
    parts: Mapping[str, Iterable[str]],
    written: Written,
) -> Staged:
    every = [shard for info in shards.values() for shard in info.shards]
    harmed = {(known.hash, known.length) for known in staged.harmed}
    new = {name: staged.tensors[name] for name in staged.new} if harmed else {}
    fresh = {name: shard for name, shard in new.items() if (shard.hash, shard.length) in harmed}
    page, size = _put(repo, shards, written) if shards else ("", 0)
    some = {part: names for part, names in parts.items() if not shards.keys().isdisjoint(names)}
    return msgspec.structs.replace(
        staged, tensors={}, new=(), held={}, cuts={}, fresh=fresh, page=page,
        packs=tuple(sorted(packs_of(every))), size=sum([shard.length for shard in every]),
        bytes_added=staged.bytes_added + size,
        sums={part: _sum(shards, names) for part, names in some.items()},
    )  # fmt: skip


def _put(repo: Repository, shards: Shards, written: Written) -> tuple[str, int]:
    """The name of a page with these shards, and by how many bytes the store grew: one of the version before
    is used again, if there is one that is the same, and sound."""
    for name, known in repo.remembered.pages.items():
        if known == shards and repo.state.gone(tree_key(name)) is None:
            try:
                pages.decode(repo.storage.read(tree_key(name)), name, "")
            except SaverError:
                continue
            return name, 0
    name, data = pages.encode(page_of(shards), repo.fresh())
    written.put(tree_key(name), Bytes(data))
    repo.remembered.pages = {**repo.remembered.pages, name: shards}
    return name, len(data)


def _tensors_of(staged: Staged) -> Shards:
    """The tensors of which something was staged, with those shards."""
    of = {shard: (tensor, cut) for tensor, cut in staged.cuts.items() for shard in cut.shards}
    found: dict[str, tuple[tuple[int, ...], list[Shard]]] = {}
    for name, shard in staged.tensors.items():
        tensor, cut = of.get(name, (name, Cut(shard.shape, {})))
        box = cut.box(name, shard.shape) if cut.shards else shard.box
        found.setdefault(tensor, (cut.shape, []))[1].append(msgspec.structs.replace(shard, box=box))
    return {
        name: TensorInfo(
            name, shards[0].dtype, shape, tuple(sorted(shards, key=lambda each: each.box.offsets))
        )
        for name, (shape, shards) in found.items()
    }


def _sum(shards: Shards, names: Iterable[str]) -> str:
    """A hash of those shards that are of these tensors."""
    held = [
        [name, [(shard.box.offsets, shard.box.sizes, shard.hash) for shard in shards[name].shards]]
        for name in in_order({*names} & shards.keys())
    ]
    return blake3(canonical(held, floats=False)).hexdigest()


def table_of(staged: Iterable[Staged], parts: Mapping[str, StagedPart], placed: Placed) -> Table:
    """The table of all that was staged in pages, in the order of those."""
    listed = [each for each in staged if each.page]
    described = {name: placed[name] for name in in_order(placed)}
    lengths = {name: math.prod(shape) * ITEM_SIZE[dtype] for name, (dtype, shape, _) in described.items()}
    return Table(
        grid_of([each.page for each in listed], described),
        tuple(sorted({pack for each in listed for pack in each.packs})),
        sum(lengths.values()),
        {
            name: (
                _part_hash(part, described, [each.sums[name] for each in listed if name in each.sums]),
                part.size + sum(lengths[tensor] for tensor in {*part.tensors}),
            )
            for name, part in parts.items()
        },
    )


def _part_hash(part: StagedPart, placed: Placed, sums: list[str]) -> str:
    """The hash of a part in the grid form: it covers the same as the other, page by page."""
    tensors = [(name, *placed[name][:2]) for name in in_order({*part.tensors})]
    return blake3(canonical([part.content, tensors, sums], floats=False)).hexdigest()


def in_pages(
    repo: Repository, staged: Staged, tensors: Mapping[str, TensorInfo], written: Written
) -> tuple[list[Staged], Placed]:
    """What one process puts into pages: those, each as if another had staged it; and what is where."""
    parts = {name: part.tensors for name, part in staged.parts.items()}
    alone = msgspec.structs.replace(staged, parts={}, tensors={}, new=(), harmed=(), bytes_added=0)
    found: list[Staged] = []
    regions: dict[str, list[tuple[int, list[Box]]]] = {name: [] for name in tensors}
    left = ((info, shard) for info in tensors.values() for shard in info.shards)
    while some := [*islice(left, grid.PAGE_BOXES)]:
        page: dict[str, list[Shard]] = {}
        for info, shard in some:
            page.setdefault(info.name, []).append(shard)
        shards = {
            name: TensorInfo(name, tensors[name].dtype, tensors[name].shape, tuple(each))
            for name, each in page.items()
        }
        for name, each in page.items():
            regions[name].append((len(found), [shard.box for shard in each]))
        found.append(_with_page(repo, alone, shards, parts, written))
    return found, {name: (info.dtype, info.shape, regions[name]) for name, info in tensors.items()}


def condemned_of(repo: Repository, staged: Staged) -> Condemned | None:
    """What of this must be staged again: a collector condemned it, or a check found it damaged."""
    state, known = repo.state, staged.tensors
    documents = ((name, part.document) for name, part in staged.parts.items() if part.document)
    parts = tuple(name for name, document in documents if state.gone(tree_key(document)) is not None)
    lost = {*repo.condemned(known), *repo.extents.harmed(known)}
    tensors = tuple(name for name in known if name in lost)
    needed = [*map(pack_key, staged.packs), *([tree_key(staged.page)] if staged.page else [])]
    page = next((key for key in needed if state.gone(key) is not None), "")
    if not page and _is_harmed(repo, staged):
        page = tree_key(staged.page)
    return Condemned(tensors, parts, page) if tensors or parts or page else None


def _is_harmed(repo: Repository, staged: Staged) -> bool:
    """Whether a check found bytes damaged of what a page names."""
    if not any(map(repo.state.harmed, staged.packs)):
        return False
    found = pages.decode(repo.storage.read(tree_key(staged.page)), staged.page, str(repo.storage))
    shards = [each.placed(form, found.packs) for form in found.tensors.values() for each in form.shards]
    return bool(repo.extents.harmed({str(at): shard for at, shard in enumerate(shards)}))
