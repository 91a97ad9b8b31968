"""Where commands print: plain text for pipes and files, or a terminal (`_terminal.py`).

All output goes through here, and through `clean`: names in a file may contain any characters.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, ClassVar

import click
import msgspec

from saver.cli._switches import is_quiet
from saver.errors import limited
from saver.human import size as size
from saver.page import Facts, Page, aligned
from saver.page import width as width

if TYPE_CHECKING:
    from saver.documents import Document
    from saver.pack import Progress

BAR_WIDTH = 24
PLAIN_WIDTH = 78
"""Columns of a drawing in plain text; 80 with its indentation."""

clean = limited
"""Escapes the characters of a text that could control a terminal, and cuts what nobody would read."""


class Screen(ABC):
    """The output of a command. It takes text, and cleans all of it."""

    interactive: ClassVar[bool]
    """Whether a person reads the output, for whom the beginning of a long list is enough."""

    @abstractmethod
    def done(self, text: str) -> None:
        """Print a line that says what was done; `-q` leaves it out."""

    @abstractmethod
    def answer(self, text: str) -> None:
        """Print a line that is the result."""

    @abstractmethod
    def heading(self, text: str) -> None:
        """Print the title of a section."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Print a paragraph."""

    @abstractmethod
    def code(self, lines: Iterable[str]) -> None:
        """Print lines to copy, none of them broken."""

    @abstractmethod
    def facts(self, facts: Mapping[str, str]) -> None:
        """Print names with their values."""

    @abstractmethod
    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        spare: Sequence[str] = (),
        brief: Sequence[str] = (),
    ) -> None:
        """Print a table; columns whose title begins with `>` are aligned to the right.

        If it is too wide, the columns titled `spare` are left out, in that order, and the output names them;
        if the width is limited, cells of the columns titled `brief` may be cut. Nothing else is.
        """

    def show(self, page: Page) -> None:
        """Print what a result says."""
        for block in page:
            if block.title:
                self.heading(block.title)
            if isinstance(block, Facts):
                self.facts({name: text for name, text in block.facts.items() if text})
            elif block.rows:
                self.table(block.columns, block.rows, block.spare, block.brief)

    @property
    @abstractmethod
    def width(self) -> int:
        """How many character columns a drawing may take."""

    @property
    @abstractmethod
    def colourful(self) -> bool:
        """Whether a drawing may use colour to distinguish things, and characters beyond ASCII."""

    @abstractmethod
    def drawing(self, lines: Iterable[Sequence[tuple[str, int | None]]]) -> None:
        """Print lines of pieces, each with the number of its colour; None is the colour of text."""

    @abstractmethod
    def bar(self, text: str, fraction: float) -> None:
        """Print a line with a bar, of which `fraction` (0 to 1) is filled."""

    @abstractmethod
    def progress(self, text: str) -> AbstractContextManager[Progress]:
        """Show a progress bar while bytes are processed; it disappears afterwards."""


class Plain(Screen):
    """Text without colour, boxes or truncation."""

    interactive = False

    def __init__(self) -> None:
        self._first = True

    def done(self, text: str) -> None:
        self.answer(text)

    def answer(self, text: str) -> None:
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
        for line in aligned(rows, right):
            self._echo(line)

    def _echo(self, text: str) -> None:
        self._first = False
        click.echo(text)


class Quiet(Screen):
    """A screen without progress and notes; the class beside it shows the rest."""

    def done(self, text: str) -> None:
        pass

    @contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        yield lambda done, total: None


class QuietPlain(Quiet, Plain):
    """Text for `-q`."""


def screen() -> Screen:
    """The terminal if standard output is one that supports it, otherwise plain text."""
    quiet = is_quiet()
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    if sys.stdout.isatty() and encoding == "utf8" and os.environ.get("TERM") not in ("dumb", ""):
        from saver.cli._terminal import QuietTerminal, Terminal

        return QuietTerminal() if quiet else Terminal()
    return QuietPlain() if quiet else Plain()


AS_JSON = "saver.json"
"""In the `meta` of a context: that the command was called with `--json`."""

PRINTED = "saver.printed"
"""In the `meta` of a context: that the command printed its document."""


def print_json(document: Document) -> None:
    """Print one JSON document, in ASCII, so that control characters stay escaped."""
    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[PRINTED] = True
    click.echo(json.dumps(msgspec.to_builtins(document), indent=2))
