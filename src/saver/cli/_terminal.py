"""The screen of a terminal: colour, and tables that fit its width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, DownloadColumn, Task, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from saver.cli._screen import BAR_WIDTH, Quiet, Screen, clean
from saver.pack import Progress

LINE = 100
"""Longer lines of prose are hard to read."""

INKS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#0072b2")
"""The colours of a drawing: Okabe and Ito's, which colour-blind people can distinguish, on dark and light."""

INDENT = 2
GAP = 2
NARROW = 20
"""Characters to which columns that can be folded or cut are narrowed before a column is left out."""

BRIEF = 40
"""The largest width of cells that may be cut."""


class Terminal(Screen):
    """Text in colour, as far as the terminal and `NO_COLOR` allow. Names are folded, never cut."""

    interactive = True

    def __init__(self) -> None:
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._first = True

    def done(self, text: str) -> None:
        self.answer(text)

    def answer(self, text: str) -> None:
        self._first = False
        self._console.print(Text(clean(text)))

    def heading(self, text: str) -> None:
        if not self._first:
            self._console.print()
        self._first = False
        self._console.print(Text(clean(text), style="bold cyan"))

    def say(self, text: str) -> None:
        self._first = False
        paragraph = Padding(Text(clean(text)), (0, 0, 0, INDENT), expand=False)
        self._console.print(paragraph, width=min(LINE, self._console.width))

    def code(self, lines: Iterable[str]) -> None:
        """The lines are not wrapped here: the terminal wraps them without breaking text that is copied."""
        for line in lines:
            self._console.print(Text(f"    {clean(line)}", style="green"), soft_wrap=True)

    def facts(self, facts: Mapping[str, str]) -> None:
        grid = Table.grid(padding=(0, GAP))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text in facts.items():
            grid.add_row(Text(clean(name)), Text(clean(text)))
        self._console.print(Padding(grid, (0, 0, 0, INDENT), expand=False))

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        spare: Sequence[str] = (),
        brief: Sequence[str] = (),
    ) -> None:
        self._first = False
        cells = [[clean(cell) for cell in row] for row in rows]
        found = [_Column.of(title, [row[at] for row in cells], brief) for at, title in enumerate(columns)]
        shown = _that_fit(found, spare, self._console.width - INDENT)
        widths = _widths([found[at] for at in shown], self._console.width - INDENT)
        # The gaps are on the left: rich before 14.3 counts one at the right edge, where there is none.
        table = Table(box=None, header_style="dim", padding=(0, 0, 0, GAP))
        for at, column_width in zip(shown, widths, strict=True):
            column = found[at]
            table.add_column(
                Text(clean(column.title)),
                justify="right" if column.right else "left",
                overflow="ellipsis" if column.brief else "fold",
                no_wrap=column.right or column.brief,
                width=column_width,
            )
        for row in cells:
            table.add_row(*(Text(row[at]) for at in shown))
        self._console.print(Padding(table, (0, 0, 0, INDENT - GAP), expand=False))
        if len(shown) < len(found):
            left = ", ".join(column.title for at, column in enumerate(found) if at not in shown)
            self.say(f"not shown here: {left} (a wider terminal has room, and --json has all)")

    @property
    def width(self) -> int:
        return max(1, self._console.width - INDENT)

    @property
    def colourful(self) -> bool:
        return self._console.color_system is not None and not self._console.no_color

    def drawing(self, lines: Iterable[Sequence[tuple[str, int | None]]]) -> None:
        self._first = False
        for line in lines:
            styled = ((clean(text), "" if ink is None else INKS[ink % len(INKS)]) for text, ink in line)
            self._console.print(Text.assemble(" " * INDENT, *styled), soft_wrap=True)

    def bar(self, text: str, fraction: float) -> None:
        filled = round(fraction * BAR_WIDTH)
        done, left = "━" * filled, "─" * (BAR_WIDTH - filled)
        line = Text.assemble(f"  {clean(text)}  ", (done, "green"), (left, "bright_black"))
        self._console.print(line, soft_wrap=True)

    @contextmanager
    def progress(self, text: str) -> Iterator[Progress]:
        from saver.keys.asking import aside  # only what shows a bar needs it

        bars = Bars(
            TextColumn(clean(text), markup=False),
            BarColumn(),
            _Done(),
            _Speed(),
            console=self._console,
            transient=True,
        )
        with bars, aside(bars.stop, bars.start):
            task = bars.add_task("", total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)


class QuietTerminal(Quiet, Terminal):
    """The terminal for `-q`."""


class _Done(DownloadColumn):
    """Bytes done out of the total; empty until the total is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.total is None else super().render(task)


class _Speed(TransferSpeedColumn):
    """Bytes per second; empty until the first bytes are done."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.speed else Text()


class _Column(NamedTuple):
    """A column: `natural` is the width that its cells need, `least` the width to which it can be narrowed."""

    title: str
    right: bool
    brief: bool
    natural: int
    least: int

    @classmethod
    def of(cls, title: str, cells: Iterable[str], brief: Sequence[str]) -> _Column:
        name, right = title.removeprefix(">"), title.startswith(">")
        natural = max([cell_len(clean(name)), *map(cell_len, cells)])
        if name in brief:
            natural = min(natural, BRIEF)
        return cls(name, right, name in brief, natural, natural if right else min(natural, NARROW))


def _that_fit(columns: Sequence[_Column], spare: Sequence[str], available: int) -> list[int]:
    """Which columns to show: `spare` ones are left out, in their order, until the others fit."""
    shown = list(range(len(columns)))
    for title in spare:
        if sum(columns[at].least for at in shown) + GAP * (len(shown) - 1) <= available:
            break
        shown = [at for at in shown if columns[at].title != title]
    return shown


def _widths(columns: Sequence[_Column], available: int) -> list[int | None]:
    """The width of each column; None leaves it to rich, when not even the narrowest widths fit.

    The remaining width is shared evenly by the columns that need more.
    """
    left = available - sum(column.least for column in columns) - GAP * (len(columns) - 1)
    if left < 0:
        return [None] * len(columns)
    widths: list[int | None] = [column.least for column in columns]
    wanting = sorted(range(len(columns)), key=lambda at: columns[at].natural - columns[at].least)
    for others, at in zip(reversed(range(len(columns))), wanting, strict=True):
        more = min(columns[at].natural - columns[at].least, left // (others + 1))
        widths[at], left = columns[at].least + more, left - more
    return widths
