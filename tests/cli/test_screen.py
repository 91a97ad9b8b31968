"""What commands print on: tables that fit, times and sizes that anything can be."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from saver.cli._screen import Plain, size, width
from saver.cli._terminal import GAP, _Column, _that_fit, _widths
from saver.documents import utc
from saver.times import age, local, span

cells = st.text("ab é模", max_size=60)


@st.composite
def tables(draw: Any) -> tuple[list[str], list[list[str]]]:
    columns = draw(
        st.lists(st.from_regex(r">?[a-z]{1,12}", fullmatch=True), min_size=1, max_size=8, unique=True)
    )
    rows = draw(st.lists(st.lists(cells, min_size=len(columns), max_size=len(columns)), max_size=5))
    return columns, rows


def columns_of(table: tuple[list[str], list[list[str]]], brief: list[str]) -> list[_Column]:
    titles, rows = table
    return [_Column.of(title, [row[at] for row in rows], brief) for at, title in enumerate(titles)]


@given(tables(), st.integers(10, 200), st.data())
def test_columns_share_the_width_that_there_is(table: Any, available: int, data: Any) -> None:
    names = [title.removeprefix(">") for title in table[0]]
    columns = columns_of(table, data.draw(st.lists(st.sampled_from(names), unique=True)))
    widths = _widths(columns, available)
    gaps = GAP * (len(columns) - 1)
    if sum(column.least for column in columns) + gaps > available:
        assert widths == [None] * len(columns)
        return
    found = [each for each in widths if each is not None]
    assert sum(found) + gaps <= available
    for column, each in zip(columns, found, strict=True):
        assert column.least <= each <= column.natural
    if sum(found) + gaps < available - len(columns):
        assert found == [column.natural for column in columns], "room is left only where nobody wants it"


@given(tables(), st.integers(10, 200), st.data())
def test_columns_are_left_out_in_their_order_and_no_more_than_needed(
    table: Any, available: int, data: Any
) -> None:
    columns = columns_of(table, [])
    assume(len({column.title for column in columns}) == len(columns))
    spare = data.draw(st.lists(st.sampled_from([column.title for column in columns]), unique=True))
    shown = _that_fit(columns, spare, available)
    gone = [title for title in spare if title not in {columns[at].title for at in shown}]
    assert gone == spare[: len(gone)]
    assert len(shown) + len(gone) == len(columns)

    def need(titles: list[str]) -> int:
        kept = [column.least for column in columns if column.title not in titles]
        return sum(kept) + GAP * (len(kept) - 1)

    assert need(gone) <= available or gone == spare
    assert not gone or need(gone[:-1]) > available


@given(tables())
def test_a_plain_table_cuts_nothing_and_its_columns_are_straight(table: Any) -> None:
    titles, rows = table
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("click.echo", lines.append)
        Plain().table(titles, rows)
    assert len(lines) == len(rows) + 1
    widths = [max(map(width, column)) for column in zip([t.lstrip(">") for t in titles], *rows, strict=True)]
    for line, row in zip(lines[1:], rows, strict=True):
        assert width(line) <= 2 + sum(widths) + 2 * (len(widths) - 1)
        assert all(cell.strip() in line for cell in row)


@given(st.floats())
def test_any_number_is_shown_as_a_time(seconds: float) -> None:
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)?", utc(seconds) or "")
    for zone in (True, False):
        assert local(seconds, zone) == "" or re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d", local(seconds, zone))
    assert age(seconds, 1e9) in ("", "now") or age(seconds, 1e9) == span(1e9 - seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (59.5, "59.5 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (86399, "23 h"),
        (86400, "1 d"), (30 * 86400, "30 d"), (31 * 86400, "1 mo"), (366 * 86400, "1 yr"), (1e10, "316 yr"),
    ],
)  # fmt: skip
def test_a_length_of_time_has_one_unit(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_what_was_just_saved_is_of_now_also_by_a_clock_that_is_a_little_behind() -> None:
    now = time.time()
    assert [age(now - past, now) for past in (0, 59, -59, -61)] == ["now", "now", "now", ""]


@pytest.mark.parametrize("count", [-5, 10**400, 2**63])
def test_sizes_that_nothing_has_are_shown_too(count: int) -> None:
    assert size(count)
