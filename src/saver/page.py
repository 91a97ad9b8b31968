"""What people read of a result: tables and facts, made once, and shown as text, as HTML and in a terminal.

Each result has a page; `print`, a notebook and the command line show the same words.
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, SupportsIndex, TypeAlias, TypeVar, overload

import msgspec

from saver import html
from saver.errors import limited

ROWS = 50
"""A printed table has this many rows and says how many more there are."""

Row: TypeAlias = tuple[str, ...]


T = TypeVar("T")


class Table(msgspec.Struct, frozen=True):
    """A table. Columns whose title begins with `>` are aligned to the right. Where there is no room for all,
    those of `spare` are left out, in that order, and cells of those of `brief` may be cut."""

    title: str
    columns: Row
    rows: Sequence[Row]
    spare: Row = ()
    brief: Row = ()

    def filled(self) -> Table:
        """The table without its empty columns."""
        kept = [at for at in range(len(self.columns)) if any(row[at] for row in self.rows)]
        rows = [tuple(row[at] for at in kept) for row in self.rows]
        return msgspec.structs.replace(self, columns=tuple(self.columns[at] for at in kept), rows=rows)


class Facts(msgspec.Struct, frozen=True):
    """Names with their values; those without a value are not shown."""

    title: str
    facts: Mapping[str, str]


Page: TypeAlias = Sequence[Table | Facts]


class Said:
    """A piece of a result that is said in one line."""

    __slots__ = ()

    @abstractmethod
    def _line(self) -> str:
        """What it says, in a few words."""

    def __str__(self) -> str:
        return limited(self._line())

    def __repr__(self) -> str:
        return f"<{limited(self._line())}>"


class Shown(Said):
    """A result that people read: `print` shows its page, a notebook too, and its `repr` is one line."""

    __slots__ = ()

    @abstractmethod
    def _page(self) -> Page:
        """What it says."""

    def __str__(self) -> str:
        return text(self._page())

    def _repr_html_(self) -> str:
        return html.block(map(_html, self._page()))


class Listed(list[T], Shown):
    """A list of results that is printed as a table, as some of them are: `found[:3]`."""

    __repr__ = list.__repr__

    @overload
    def __getitem__(self, at: SupportsIndex) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: SupportsIndex | slice) -> T | Self:
        found: Any = list.__getitem__(self, at)
        kind: Any = type(self)
        return kind(found) if isinstance(at, slice) else found  # type: ignore[no-any-return]

    def _line(self) -> str:
        return list.__repr__(self)


def _html(block: Table | Facts) -> str:
    if isinstance(block, Facts):
        return html.facts(block.title, block.facts)
    return html.table(block.title, block.columns, block.rows)


def text(page: Page) -> str:
    """A page as plain text."""
    return "\n".join(_lines(page))


def _lines(page: Page) -> Iterator[str]:
    for number, block in enumerate(page):
        if number and block.title:
            yield ""
        if block.title:
            yield limited(block.title)
        if isinstance(block, Facts):
            yield from aligned([fact for fact in block.facts.items() if fact[1]], (False, False))
            continue
        titles = tuple(title.removeprefix(">") for title in block.columns)
        if block.rows:
            right = [title.startswith(">") for title in block.columns]
            yield from aligned((titles, *block.rows[:ROWS]), right)
        if len(block.rows) > ROWS:
            yield f"  and {len(block.rows) - ROWS:,} more"


WIDEST = 1000
"""The most columns of text that a column of a table is padded to."""


def aligned(rows: Iterable[Sequence[str]], right: Sequence[bool]) -> Iterator[str]:
    """Rows as lines, indented, their cells printable and one below the other. Those beside a cell that is too
    wide to be read are not padded to it: a file with one would fill the memory with blanks."""
    cells = [[limited(cell).strip() for cell in row] for row in rows]
    widths = [min(max(map(width, column)), WIDEST) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            " " * (wide - width(cell)) + cell if at_right else cell + " " * (wide - width(cell))
            for cell, wide, at_right in zip(row, widths, right, strict=True)
        )
        yield f"  {'  '.join(padded).rstrip()}"


def width(text: str) -> int:
    """How many columns `text` takes in a monospaced font."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))
