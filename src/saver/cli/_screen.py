"""What commands print on: plain text for pipes and files, or a terminal (`_terminal.py`).

Whatever is printed goes through here, and through `clean`: names in a file may hold anything.
"""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

import click
import msgspec

from saver.documents import Document
from saver.errors import printable
from saver.human import size as size
from saver.pack import Progress

BAR_WIDTH = 24
PLAIN_WIDTH = 78
"""Columns of a drawing in plain text, with its indentation 80."""

clean = printable
"""What makes every text harmless."""


def width(text: str) -> int:
    """How many columns `text` takes where letters have one width."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


class Screen(ABC):
    """Where a command reports to. Everything it is given is text, and is cleaned here."""

    interactive: ClassVar[bool]
    """Whether somebody reads along, who is served by the beginning of a long list."""

    @abstractmethod
    def done(self, text: str) -> None:
        """A line that says what was done."""

    @abstractmethod
    def heading(self, text: str) -> None:
        """The title of what follows."""

    @abstractmethod
    def say(self, text: str) -> None:
        """A paragraph."""

    @abstractmethod
    def code(self, lines: Iterable[str]) -> None:
        """Lines to copy, each whole."""

    @abstractmethod
    def facts(self, facts: Mapping[str, str]) -> None:
        """Names and what is to be said of them."""

    @abstractmethod
    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        spare: Sequence[str] = (),
        brief: Sequence[str] = (),
    ) -> None:
        """A table; columns whose title begins with `>` are set to the right.

        Where it is too wide, the columns titled `spare` are left out, first ones first, and said to be; where
        the width is limited, cells of those titled `brief` may be cut. Nothing else ever is.
        """

    @property
    @abstractmethod
    def width(self) -> int:
        """How many columns a drawing may take."""

    @property
    @abstractmethod
    def colourful(self) -> bool:
        """Whether a drawing may tell things apart by colour, and be more than ASCII."""

    @abstractmethod
    def drawing(self, lines: Iterable[Sequence[tuple[str, int | None]]]) -> None:
        """Lines to look at, each of pieces with the number of their colour; None is that of text."""

    @abstractmethod
    def bar(self, text: str, fraction: float) -> None:
        """A line with a bar, of which `fraction` (0 to 1) is filled."""

    @abstractmethod
    def progress(self, text: str) -> AbstractContextManager[Progress]:
        """A progress bar while bytes are worked on; gone afterwards."""


class Plain(Screen):
    """Text without colour, boxes or truncation."""

    interactive = False

    def __init__(self) -> None:
        self._first = True

    def done(self, text: str) -> None:
        self._echo(clean(text))

    def heading(self, text: str) -> None:
        if not self._first:
            click.echo()
        self._echo(clean(text))

    def say(self, text: str) -> None:
        self._echo(f"  {clean(text)}")

    def code(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._echo(f"    {clean(line)}".rstrip())

    def facts(self, facts: Mapping[str, str]) -> None:
        self._aligned(facts.items(), [False, False])

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        spare: Sequence[str] = (),
        brief: Sequence[str] = (),
    ) -> None:
        titles = [title.removeprefix(">") for title in columns]
        self._aligned((titles, *rows), [title.startswith(">") for title in columns])

    @property
    def width(self) -> int:
        return PLAIN_WIDTH

    @property
    def colourful(self) -> bool:
        return False

    def drawing(self, lines: Iterable[Sequence[tuple[str, int | None]]]) -> None:
        for line in lines:
            self._echo(f"  {clean(''.join(text for text, _ in line))}".rstrip())

    def bar(self, text: str, fraction: float) -> None:
        self._echo(f"  {clean(text)}  {'#' * round(fraction * BAR_WIDTH)}")

    @contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        yield lambda done, total: None

    def _aligned(self, rows: Iterable[Sequence[str]], right: Sequence[bool]) -> None:
        cells = [[clean(cell) for cell in row] for row in rows]
        widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            padded = (
                " " * (wide - width(cell)) + cell if at_right else cell + " " * (wide - width(cell))
                for cell, wide, at_right in zip(row, widths, right, strict=True)
            )
            self._echo(f"  {'  '.join(padded).rstrip()}")

    def _echo(self, text: str) -> None:
        self._first = False
        click.echo(text)


def screen() -> Screen:
    """The terminal when standard output is one that can show it, otherwise plain text."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    if sys.stdout.isatty() and encoding == "utf8" and os.environ.get("TERM") not in ("dumb", ""):
        from saver.cli._terminal import Terminal

        return Terminal()
    return Plain()


def print_json(document: Document) -> None:
    """One JSON document, in ASCII: what is hostile in it stays escaped."""
    click.echo(json.dumps(msgspec.to_builtins(document), indent=2))
