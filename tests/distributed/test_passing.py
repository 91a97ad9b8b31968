"""Who reads what, where several need the same bytes: each byte one of them, and all about equally."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from saver.distributed import passing
from saver.distributed.passing import Needs, Range, in_pages, pieces, shared

PAGE = 4096
PAGES = 40


def runs(pages: set[int]) -> list[Range]:
    """The ranges that consist of these pages."""
    found: list[Range] = []
    for page in sorted(pages):
        start, end = page * PAGE, (page + 1) * PAGE
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


RANKS = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sets(st.integers(0, PAGES - 1), min_size=1)),
    min_size=1,
    max_size=6,
)


@given(wanted=RANKS)
def test_what_several_need_is_read_by_one_of_them_for_all(wanted: list[dict[str, set[int]]]) -> None:
    needs = [Needs({pack: runs(pages) for pack, pages in each.items()}) for each in wanted]
    found = shared(needs)
    before, passing.PIECE = passing.PIECE, 3 * PAGE
    try:
        cut = pieces(found)
    finally:
        passing.PIECE = before
    got: list[dict[str, set[int]]] = [{} for _ in wanted]
    for piece in cut:
        assert piece.end - piece.start <= 3 * PAGE
        assert piece.reader not in piece.others
        assert piece.others
        pages = set(range(piece.start // PAGE, piece.end // PAGE))
        for rank in (piece.reader, *piece.others):
            own = got[rank].setdefault(piece.pack, set())
            assert not own & pages, "it comes twice"
            own |= pages
    for rank, each in enumerate(wanted):
        alone = 0
        for pack, pages in each.items():
            others = set().union(*(other.get(pack, set()) for at, other in enumerate(wanted) if at != rank))
            assert got[rank].get(pack, set()) == pages & others
            alone += len(pages - others)
        assert found.alone[rank] == alone * PAGE
        assert got[rank].keys() <= each.keys()


def test_all_read_about_as_much() -> None:
    everything = Needs({"a": [(0, 100 * passing.PIECE)]})
    only = Needs({"b": [(0, 10 * passing.PIECE)]})
    read = [0, 10 * passing.PIECE, 0, 0]
    both = Needs(everything.packs | only.packs)
    for piece in pieces(shared([everything, both, everything, everything])):
        read[piece.reader] += piece.end - piece.start
    assert sum(read) == 110 * passing.PIECE
    assert max(read) - min(read) <= passing.PIECE


@given(
    st.lists(st.tuples(st.integers(-9, 3_000_000), st.integers(0, 200_000)), max_size=9),
    st.integers(1, 3_000_000),
)
def test_ranges_become_whole_pages_that_have_all_of_them(ranges: list[tuple[int, int]], size: int) -> None:
    wanted = [(start, start + length) for start, length in ranges]
    found = in_pages(wanted, size)
    assert found == sorted(found)
    assert all(start % PAGE == 0 and (end % PAGE == 0 or end == size) for start, end in found)
    assert all(a[1] < b[0] for a, b in pairwise(found))
    for start, end in wanted:
        assert not 0 <= start < end <= size or any(a <= start and end <= b for a, b in found)


def test_a_plan_of_many_ranks_is_made_soon() -> None:
    """200 ranks that need all of 10 GB: the note that says so is short."""
    everything = Needs({f"{number:03}": [(0, 100_000_000 // PAGE * PAGE)] for number in range(100)})
    found = shared([everything] * 200)
    assert sum(map(len, found.ranges.values())) == 100
    cut = pieces(found)
    assert len(cut) == 100 * math.ceil(100_000_000 / passing.PIECE)
