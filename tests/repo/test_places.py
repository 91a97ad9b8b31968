"""Where bytes lie: questions about very many ranges."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from saver.repo.places import Ranges

SPAN = st.tuples(st.integers(0, 40), st.integers(1, 9))


@given(st.lists(SPAN), SPAN)
def test_a_range_meets_and_is_held_as_its_bytes_are(
    ranges: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    taken = {byte for offset, length in ranges for byte in range(offset, offset + length)}
    bytes_asked = set(range(asked[0], sum(asked)))
    found = Ranges(ranges)
    assert found.meet(*asked) is bool(taken & bytes_asked)
    assert found.hold(*asked) is (bytes_asked <= taken)


@given(st.lists(SPAN), st.integers(0, 50))
def test_no_byte_meets_nothing(ranges: list[tuple[int, int]], offset: int) -> None:
    assert not Ranges(ranges).meet(offset, 0)
