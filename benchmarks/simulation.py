"""A save by very many ranks, simulated in one process: what rank 0 does, and what the notes and objects are.

`python -m benchmarks.simulation` prints a table. Each rank holds one box of each tensor, cut along the first
axis; no tensor has bytes here, so that what remains is the coordination.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from saver.distributed.notes import leader_of
from saver.distributed.planning import Described, Held, placed, plan
from saver.repo.commit import commit
from saver.repo.draft import Details
from saver.repo.log import log_key
from saver.repo.objects import tree_key
from saver.repo.pages import Gridded
from saver.repo.paging import Placed, paged
from saver.repo.reading import opened
from saver.repo.repository import Repository
from saver.repo.stage import Staged, StagedPart
from saver.repo.written import Written
from saver.storages.memory import MemoryStorage
from saver.tensors import Box, Cut, Shard, shard_names

SHAPES = ((8, 64), (24, 64), (32, 64), (8, 256), (32, 256), (8, 8))
"""What one rank holds of the tensors, in turn: of six kinds, as the layers of a transformer have."""

TENSORS, SIZES = 3000, (100, 1000, 10_000)
PLANNED = 1000
"""With more ranks, rank 0 would take minutes, and more memory than this machine has, to plan."""

WITH_PAGES = 20
"""So many ranks write real pages; the reports of others are like theirs, with names of their own."""


def names(tensors: int) -> list[str]:
    """The names of the tensors."""
    return [f"model/layers.{at // 6}.block.{at % 6}.weight" for at in range(tensors)]


def box(at: int, rank: int) -> Box:
    """What a rank holds of tensor number `at`."""
    rows, columns = SHAPES[at % len(SHAPES)]
    return Box((rank * rows, 0), (rows, columns))


def described(size: int, tensors: int, rank: int) -> Described:
    """What a rank tells rank 0."""
    found = {}
    for at, name in enumerate(names(tensors)):
        rows, columns = SHAPES[at % len(SHAPES)]
        held = box(at, rank)
        found[name] = Held("BF16", (rows * size, columns), [(held.offsets, held.sizes)])
    return Described({"model": "0" * 64}, True, found)


def staged(repo: Repository, size: int, tensors: int, rank: int, written: Written) -> Staged:
    """What a rank reports that staged its boxes."""
    pack, at, shards, cuts = f"{rank:032x}", 65536, dict[str, Shard](), dict[str, Cut]()
    every = names(tensors)
    for number, name in enumerate(every):
        rows, columns = SHAPES[number % len(SHAPES)]
        held = box(number, rank)
        (own,) = shard_names(name, (rows * size, columns), [held], ())
        length = rows * columns * 2
        shards[own] = Shard(
            "BF16", Box((0, 0), held.sizes), f"{rank * tensors + number:064x}", (), ((pack, at, length),)
        )
        cuts[name] = Cut((rows * size, columns), {own: held.offsets})
        at += length
    parts = {"model": StagedPart("0" * 64, 4096, (), tuple(every))} if rank == 0 else {}
    found = Staged(
        id=f"{rank:032x}", store=repo.format().id, parts=parts, whole=True, tensors=shards, new=tuple(shards),
        harmed=(), bytes_added=at, cuts=cuts,
    )  # fmt: skip
    return paged(repo, found, {"model": every}, written)


def where(size: int, tensors: int) -> Placed:
    """What planning says of it, without planning."""
    regions = [[(rank, [box(kind, rank)]) for rank in range(size)] for kind in range(len(SHAPES))]
    return {
        name: (
            "BF16",
            (SHAPES[at % len(SHAPES)][0] * size, SHAPES[at % len(SHAPES)][1]),
            regions[at % len(SHAPES)],
        )
        for at, name in enumerate(names(tensors))
    }


@contextmanager
def timed(figures: dict[str, float], name: str) -> Iterator[None]:
    """Note the seconds that something takes."""
    start = time.perf_counter()
    yield
    figures[name] = time.perf_counter() - start


class Counted(MemoryStorage):
    """A storage that counts calls, and bytes written."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.read_bytes = 0

    def read(self, key: str) -> bytes:
        self.calls += 1
        data = super().read(key)
        self.read_bytes += len(data)
        return data


def simulate(size: int, tensors: int, progress: Callable[[str], None] = print) -> dict[str, float]:
    """The figures of a save by so many ranks."""
    figures: dict[str, float] = {}
    storage = Counted()
    repo = Repository(storage)
    repo.open_to_write().__exit__(None, None, None)
    if size <= PLANNED:
        each = [described(size, tensors, rank) for rank in range(size)]
        figures["description, bytes"] = len(msgspec.json.encode(each[-1]))
        with timed(figures, "planning, s"):
            tasks = plan("here", each)
            placed(each, tasks)
        figures["plan of a rank, bytes"] = len(msgspec.json.encode(tasks[-1]))
        del each, tasks
    with Written(storage) as written:
        with timed(figures, "page of a rank, s"):
            some = [staged(repo, size, tensors, rank, written) for rank in range(min(WITH_PAGES, size))]
        figures["page of a rank, s"] /= len(some)
        figures["page of a rank, bytes"] = len(storage.read(tree_key(some[-1].page)))
        reports = [*some, *map(partial(_like, some[-1]), range(len(some), size))]
        texts = [msgspec.json.encode(report) for report in reports]
        figures["report, bytes"] = len(texts[-1])
        groups: dict[int, int] = {}
        for rank, text in enumerate(texts):
            groups[leader_of(rank, size)] = groups.get(leader_of(rank, size), 0) + len(text)
        figures["reports to rank 0, notes"] = len(groups) + groups_own(size) - 1
        figures["reports of a group, bytes"] = max(groups.values())
        known = where(size, tensors)
        before = storage.calls
        with timed(figures, "reports to record, s"):
            reports = [msgspec.json.decode(text, type=Staged) for text in texts]
            details = Details(model="m", time=0.0, environment={})
            version = commit(repo, reports, details, written=written, placed=known)
        figures["reads of the commit"] = storage.calls - before
        figures["manifest, bytes"] = len(
            storage.read(f"manifests/{version.manifest[:2]}/{version.manifest}.json")
        )
        figures["record, bytes"] = len(storage.read(log_key(1)))
        written.keep()
    before, read = storage.calls, storage.read_bytes
    with timed(figures, "finding the boxes of a rank, s"):
        found, _ = opened(Repository(storage), version)
        assert isinstance(found.tensors, Gridded)
        for at, name in enumerate(names(tensors)):
            found.tensors.shards(name, box(at, 3))
    figures["reads for them"] = storage.calls - before
    figures["bytes of those"] = storage.read_bytes - read
    figures["memory, bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return figures


def groups_own(size: int) -> int:
    """How many ranks report to rank 0 themselves."""
    return sum(leader_of(rank, size) == 0 for rank in range(1, size))


def _like(report: Staged, rank: int) -> Staged:
    return msgspec.structs.replace(report, id=f"{rank:032x}", page=f"{rank:064x}", packs=(f"{rank:032x}",))


def main(sizes: tuple[int, ...] = SIZES, tensors: int = TENSORS) -> None:
    """Print a table in Markdown."""
    found = {size: simulate(size, tensors) for size in sizes}
    print(f"| {tensors:,} tensors; ranks |", " | ".join(f"{size:,}" for size in sizes), "|")
    print("| --- |", " | ".join("---:" for _ in sizes), "|")
    for name in dict.fromkeys(name for figures in found.values() for name in figures):
        print(f"| {name} |", " | ".join(_shown(found[size].get(name)) for size in sizes), "|")


def _shown(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.2f}" if isinstance(figure, float) else f"{figure:,}"


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
