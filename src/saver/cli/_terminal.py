"""The screen of a terminal: colour, and tables that fit its width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from saver.cli._screen import BAR_WIDTH, Screen, clean
from saver.pack import Progress

LINE = 100
"""Longer lines of prose are hard to read."""


class Terminal(Screen):
    """Colour, as far as the terminal and `NO_COLOR` allow. Names are folded, never cut."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._first = True

    def heading(self, text: str) -> None:
        if not self._first:
            self._console.print()
        self._first = False
        self._console.print(Text(clean(text), style="bold cyan"))

    def say(self, text: str) -> None:
        self._first = False
        paragraph = Padding(Text(clean(text)), (0, 0, 0, 2), expand=False)
        self._console.print(paragraph, width=min(LINE, self._console.width))

    def code(self, lines: Iterable[str]) -> None:
        """Not wrapped here: the terminal does so without breaking what is copied."""
        for line in lines:
            self._console.print(Text(f"    {clean(line)}", style="green"), soft_wrap=True)

    def facts(self, facts: Mapping[str, str]) -> None:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in facts.items():
            grid.add_row(Text(clean(name)), Text(clean(text)))
        self._console.print(Padding(grid, (0, 0, 0, 2), expand=False))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
        for title in columns:
            side = "right" if title.startswith(">") else "left"
            table.add_column(
                Text(title.removeprefix(">")),
                justify="right" if side == "right" else "left",
                overflow="fold",
                no_wrap=side == "right",
            )
        for row in rows:
            table.add_row(*(Text(clean(cell)) for cell in row))
        self._console.print(Padding(table, (0, 0, 0, 2), expand=False))

    def bar(self, text: str, fraction: float) -> None:
        filled = round(fraction * BAR_WIDTH)
        done, left = "━" * filled, "─" * (BAR_WIDTH - filled)
        line = Text.assemble(f"  {clean(text)}  ", (done, "green"), (left, "bright_black"))
        self._console.print(line, soft_wrap=True)

    @contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        bars = Bars(
            TextColumn(clean(text), markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
            transient=True,
        )
        with bars:
            task = bars.add_task("", total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
