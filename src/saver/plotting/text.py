"""Panels as lines of text, for terminals and pipes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np

from saver.plotting.lines import (
    Floats,
    averaged,
    axis_name,
    check_smooth,
    decades,
    drawable,
    span,
    step_text,
    thinned,
    ticks,
    usual_gap,
    value_texts,
    wants_log,
)
from saver.plotting.marks import crowded, marked
from saver.plotting.panels import PANELS, Curves, Panel, remark, shown
from saver.plotting.turns import Turn, turns

HEIGHT = 12
NARROWEST = 16
"""The least number of columns for the curves, however wide their labels are."""

GAP = 3

PIECE = 2
"""Columns of each piece of a curve that is drawn in turns with others."""

MARKERS = "*+ox#%@&=~"
"""Characters for curves without colour and braille."""

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bits of braille characters, by row and column of their dots."""

_EVENTS = {"saved": ("┴", "|"), "resumed": ("▲", "^")}
_OTHER = ("◆", "!")


class Span(NamedTuple):
    """A piece of a line; `ink` is the number of a curve, from 0, or None for the colour of text."""

    text: str
    ink: int | None = None


class Chart(NamedTuple):
    """A panel as text: its title, and lines no wider than requested, unless a name is wider."""

    title: str
    lines: list[list[Span]]


def charts(
    runs: Mapping[str, Curves], panels: Sequence[Panel], width: int, fine: bool, smooth: float | None = None
) -> list[Chart]:
    """The panels (24 at most), each with labelled axes and a legend.

    `fine` draws with the dots of braille characters, where only colour distinguishes curves; otherwise each
    curve has its own ASCII character.
    """
    check_smooth(smooth)
    drawn = panels[:PANELS]
    names = {curve.metric for panel in drawn for curve in panel.curves}
    ends = span(runs, names)
    gap = usual_gap(log[name][0] for name in names for log in runs.values() if name in log)
    found = []
    for panel in drawn:
        curves = []
        for curve in panel.curves:
            steps, values = runs[curve.run][curve.metric]
            average = averaged(steps, values, smooth, gap, ends)
            curves.append((steps, drawable(values if average is None else average)))
        scale = _Scale(ends, [values for _, values in curves])
        plot = _Plot(scale, width, fine)
        for ink, ((steps, values), turn) in enumerate(zip(curves, turns(curves), strict=True)):
            plot.draw(steps, values, ink, turn)
        lines = [*plot.lines(runs, panel), *_legend(panel, runs, width, fine)]
        there = [bool(np.isfinite(values).any()) for _, values in curves]
        title = ", ".join(filter(None, (shown(panel.title), remark(panel, there, scale.logarithmic))))
        found.append(Chart(title, lines))
    return found


class _Scale:
    """Maps steps and values to positions between 0 and 1."""

    def __init__(self, ends: tuple[int, int], curves: Sequence[Floats]) -> None:
        self.first, self.last = ends
        self.logarithmic = wants_log(curves)
        known = np.concatenate([values[np.isfinite(values)] for values in curves])
        self._empty = not len(known)
        self.low, self.high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
        if self.low == self.high:
            more = abs(self.low) * 0.1 or 1.0
            self.low, self.high = self.low - more, self.high + more

    def height(self, values: Any) -> Any:
        if self.logarithmic:
            return np.log10(values / self.low) / math.log10(self.high / self.low)
        return (values - self.low) / (self.high - self.low)

    def width(self, steps: Any) -> Any:
        return (steps - self.first) / ((self.last - self.first) or 1)

    def value_ticks(self) -> list[float]:
        if self._empty:
            return []
        within = decades if self.logarithmic else ticks
        return within(self.low, self.high, 6)


class _Plot:
    """A grid of characters with axes at its left and below."""

    def __init__(self, scale: _Scale, width: int, fine: bool) -> None:
        self._scale = scale
        self._fine = fine
        self._across, self._down = (2, 4) if fine else (1, 1)
        values = scale.value_ticks()
        self._labels = {
            round((1 - float(scale.height(value))) * (HEIGHT - 1)): text
            for value, text in zip(values, value_texts(values), strict=True)
        }
        self._margin = max(map(len, self._labels.values()), default=1)
        self._columns = max(NARROWEST, width - self._margin - 2)
        self._cells: dict[tuple[int, int], tuple[int, int]] = {}

    def draw(self, steps: Any, values: Floats, ink: int, turn: Turn) -> None:
        """Draw a curve over earlier ones; in turns with those that it coincides with."""
        scale, columns, rows = self._scale, self._columns * self._across, HEIGHT * self._down
        steps, values = thinned(steps, values, scale.first, scale.last, columns)
        known = np.isfinite(values)
        across = np.rint(scale.width(steps) * (columns - 1)).astype(np.int64).tolist()
        heights = scale.height(np.where(known, values, scale.low))
        down = np.rint((1 - heights) * (rows - 1)).astype(np.int64).tolist()
        points = [(x, y) if there else None for x, y, there in zip(across, down, known.tolist(), strict=True)]
        for point in filter(None, points):
            self._dot(*point, ink, turn)
        for before, after in pairwise(points):
            if before and after:
                self._line(before, after, ink, turn)

    def _line(self, start: tuple[int, int], end: tuple[int, int], ink: int, turn: Turn) -> None:
        across, down = end[0] - start[0], end[1] - start[1]
        length = max(abs(across), abs(down))
        for at in range(1, length):
            x, y = start[0] + round(across * at / length), start[1] + round(down * at / length)
            self._dot(x, y, ink, turn)

    def _dot(self, x: int, y: int, ink: int, turn: Turn) -> None:
        place = y // self._down, x // self._across
        dots, before = self._cells.get(place, (0, ink))
        mine = place[1] // PIECE % turn.of == turn.number
        self._cells[place] = dots | _DOTS[y % self._down][x % self._across], ink if mine else before

    def lines(self, runs: Mapping[str, Curves], panel: Panel) -> list[list[Span]]:
        """The grid with its axes and marks: of one run on the axis, of several in a line for each."""
        side, tick, corner = ("│", "┤", "└") if self._fine else ("|", "+", "+")
        found = []
        for row in range(HEIGHT):
            label = self._labels.get(row)
            start = f"{label or '':>{self._margin}} {tick if label else side}"
            found.append([Span(start), *self._row(row)])
        pad = " " * (self._margin + 1)
        own = marked(runs, panel)
        axis = ("─" if self._fine else "-") * self._columns
        alone = len(runs) == 1 and own
        found.append([Span(f"{pad}{corner}{self._marks(runs[own[0]], axis) if alone else axis}")])
        for run in own if not alone else ():
            ink = next(ink for ink, curve in enumerate(panel.curves) if curve.run == run)
            sign = "━" if self._fine else MARKERS[ink % len(MARKERS)]
            marks = self._marks(runs[run], " " * self._columns)
            found.append([Span(f"{sign:>{self._margin}}", ink), Span(f"  {marks}".rstrip())])
        found.append([Span(f"{pad} {self._steps(axis_name(runs))}".rstrip())])
        return found

    def _row(self, row: int) -> list[Span]:
        last = max((column for at, column in self._cells if at == row), default=-1)
        cells = [self._cells.get((row, column)) for column in range(last + 1)]
        spans = []
        for ink, group in groupby(cells, lambda cell: cell[1] if cell else None):
            spans.append(Span("".join(map(self._character, group)), ink))
        return spans

    def _character(self, cell: tuple[int, int] | None) -> str:
        if cell is None:
            return " "
        dots, ink = cell
        return chr(0x2800 + dots) if self._fine else MARKERS[ink % len(MARKERS)]

    def _marks(self, log: Curves, on: str) -> str:
        """A line with the marks of a run on it."""
        line, scale = list(on), self._scale
        for event in sorted(log.events, key=lambda event: event.kind != "saved"):
            if scale.first <= event.step <= scale.last:
                at = round(scale.width(event.step) * (self._columns - 1))
                line[at] = _event_sign(event.kind, self._fine)
        return "".join(line)

    def _steps(self, name: str) -> str:
        """The labels below the axis, with its name where there is room, at the end if possible."""
        line = [" "] * self._columns
        scale = self._scale
        if scale.first == scale.last:
            wanted = [float(scale.first)]
        else:
            count = max(2, min(6, self._columns // 10))
            wanted = [tick for tick in ticks(scale.first, scale.last, count) if tick.is_integer()]
        for tick in wanted:
            text = step_text(tick)
            center = round(scale.width(tick) * (self._columns - 1))
            start = min(max(0, center - len(text) // 2), self._columns - len(text))
            if "".join(line[max(0, start - 1) : start + len(text) + 1]).strip() == "":
                line[start : start + len(text)] = text
        joined = "".join(line)
        free = joined.rfind(" " * (len(name) + 2))
        if free >= 0:
            joined = f"{joined[: free + 1]}{name}{joined[free + 1 + len(name) :]}"
        return joined


def _event_sign(kind: str, fine: bool) -> str:
    return _EVENTS.get(kind, _OTHER)[0 if fine else 1]


def _legend(panel: Panel, runs: Mapping[str, Curves], width: int, fine: bool) -> list[list[Span]]:
    """The colour or character of each curve and mark, in as many lines as needed."""
    entries = []
    for ink, curve in enumerate(panel.curves):
        sign = "━━" if fine else MARKERS[ink % len(MARKERS)]
        name = " ".join(filter(None, (shown(curve.run) if len(runs) > 1 else "", shown(curve.role))))
        if name:
            entries.append([Span(f"{sign} ", ink), Span(name)])
    kinds = dict.fromkeys(event.kind for run in marked(runs, panel) for event in runs[run].events)
    entries += [[Span(f"{_event_sign(kind, fine)} {shown(kind)}")] for kind in kinds]
    if crowd := crowded(runs):
        entries.append([Span(crowd)])
    return list(_wrapped(entries, width))


def _wrapped(entries: Iterable[list[Span]], width: int) -> Iterable[list[Span]]:
    line: list[Span] = []
    used = 0
    for entry in entries:
        length = sum(len(piece.text) for piece in entry)
        if line and used + GAP + length > width:
            yield line
            line, used = [], 0
        if line:
            line.append(Span(" " * GAP))
            used += GAP
        line += entry
        used += length
    if line:
        yield line
