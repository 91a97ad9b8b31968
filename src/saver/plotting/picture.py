"""Panels as a picture, drawn with matplotlib but without pyplot, which has global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from saver.disk.durable import NewFile
from saver.plotting.lines import (
    averaged,
    axis_name,
    drawable,
    isolated,
    noisy,
    span,
    step_text,
    thinned,
    usual_gap,
    value_texts,
    wants_log,
)
from saver.plotting.marks import crowded, marked, spaced
from saver.plotting.panels import PANELS, Curve, Curves, Panel, remark, shown
from saver.plotting.turns import Turn, turns

DPI = 160
WIDTHS = {1: 7.5, 2: 11.0, 3: 14.0}
"""The width in inches, by the number of columns."""

PIXELS = 1200
"""Columns to which a curve is thinned: at least as many as a panel has pixels."""

COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#24292f", "#8c6d46",
)  # fmt: skip
"""Okabe and Ito's, which colour-blind people can distinguish; without yellow, which fades on white."""

INK, SOFT, GRID, AXIS = "#24292f", "#57606a", "#eaeef2", "#d0d7de"
DASHES = ("-", "--", ":", "-.")
PIECE = 4.0
"""The length of each piece of a curve that coincides with others, in widths of the line."""

MARKERS = {"saved": "o", "resumed": "^"}
OTHER = "d"
PALE = 0.45
LANE = 7.0
"""Points below the axis for the marks of a run."""

LEGEND = 2
"""How many lines of a legend a picture has room for; more make it higher."""

POINTS = 60.0
"""Points of each inch of a panel's width (72 points) that the axis takes; the labels take the rest."""

MARK = 4.6
"""The width of a mark in points; marks of saves that are closer are left out."""


def draw(
    runs: Mapping[str, Curves], panels: Sequence[Panel], path: str, form: str, smooth: float | None
) -> None:
    """Write the picture durably, or not at all."""
    image = io.BytesIO()
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    figure = _figure(runs, panels, smooth)
    figure.savefig(image, format=form, metadata=undated)
    data = image.getbuffer()
    with NewFile(path, len(data)) as file:
        file.write(data, 0)
        file.commit()


def _figure(runs: Mapping[str, Curves], panels: Sequence[Panel], smooth: float | None) -> Figure:
    drawn = panels[:PANELS]
    columns = 1 if len(drawn) == 1 else 2 if len(drawn) in (2, 4) else 3
    rows = -(-len(drawn) // columns)
    size = (WIDTHS[columns], (4.4 if columns == 1 else 3.6) * rows + 0.6)
    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
    figure = Figure(figsize=size, dpi=DPI, layout=margins, facecolor="white")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    names = {curve.metric for panel in drawn for curve in panel.curves}
    gap = usual_gap(log[name][0] for name in names for log in runs.values() if name in log)
    ends = span(runs, names)
    points = POINTS * size[0] / columns
    frame = _Frame(runs, ends, smooth, gap, (ends[1] - ends[0]) * MARK / points)
    all_marked = [_draw_panel(axes, panel, frame) for axes, panel in zip(grid, drawn, strict=False)]
    for axes in grid[len(drawn) :]:
        axes.axis("off")
    for axes in grid[max(0, len(drawn) - columns) : len(drawn)]:  # the last one of each column
        axes.set_xlabel(axis_name(runs), color=SOFT)
    _legend(figure, runs, drawn)
    _caption(figure, len(panels) - len(drawn), crowded(runs), all(all_marked))
    return figure


def _caption(figure: Figure, left: int, crowd: str, all_marked: bool) -> None:
    """Write below all panels what is not drawn."""
    lines = [f"and {left} more panels, which are not drawn; choose metrics by name"] if left > 0 else []
    if crowd:
        lines.append(crowd)
    elif not all_marked:
        lines.append("not every save is marked, because some are too close to each other")
    if lines:
        figure.supxlabel("\n".join(lines), color=SOFT, fontsize=9)


class _Frame(NamedTuple):
    """What all panels share; `gap` is the unit of `smooth` and `wide` the width of a mark, both in steps."""

    runs: Mapping[str, Curves]
    ends: tuple[int, int]
    smooth: float | None
    gap: float
    wide: float


def _draw_panel(axes: Axes, panel: Panel, frame: _Frame) -> bool:
    """Draw a panel. Returns whether all its marks were drawn."""
    order = list(frame.runs)
    curves = [frame.runs[curve.run][curve.metric] for curve in panel.curves]
    together = turns(curves)
    below = sorted(range(len(curves)), key=lambda at: panel.curves[at].rank > 0)  # training
    for at in below:
        curve, turn, (steps, values) = panel.curves[at], together[at], curves[at]
        style = _style(order.index(curve.run), curve)
        average = averaged(steps, values, frame.smooth, frame.gap, frame.ends)
        if average is not None:
            shadow = {"alpha": 0.5 / max(2, len(order)), "linewidth": 0.8, "zorder": 1.5}
            if turn.number == 0:  # the other curves have set it already
                _draw_curve(axes, steps, values, frame.ends, style | shadow)
            values = average
        elif noisy(values):
            style["linewidth"] /= 2
        _draw_curve(axes, steps, values, frame.ends, style | _pieces(turn))
    logarithmic = wants_log(values for _, values in curves)
    there = [bool(np.isfinite(values).any()) for _, values in curves]
    _set_axes(axes, frame.ends, logarithmic)
    if not any(there):
        axes.set_yticks([])
    axes.set_title(
        shown(panel.title), loc="left", color=INK, fontweight="bold", fontsize=11, parse_math=False
    )
    axes.set_title(remark(panel, there, logarithmic), loc="right", color=SOFT, fontsize=9, parse_math=False)
    return _draw_marks(axes, frame, marked(frame.runs, panel))


def _draw_curve(axes: Axes, steps: Any, values: Any, ends: tuple[int, int], style: dict[str, Any]) -> None:
    steps, values = thinned(steps, drawable(values), *ends, PIXELS)
    axes.plot(steps, values, solid_capstyle="round", solid_joinstyle="round", **style)
    alone = isolated(values)
    if alone.any():
        dots = style | {"linestyle": "none", "marker": "o", "markersize": 1.5 + 1.5 * style["linewidth"]}
        axes.plot(steps[alone], values[alone], **dots)


def _style(run: int, curve: Curve) -> dict[str, Any]:
    """Colour by run; training is paler and thinner than the curves that it is compared with."""
    color = COLORS[run % len(COLORS)]
    if curve.rank == 0:
        return {"color": _pale(color), "linewidth": 1.6, "linestyle": _dashes(run), "zorder": 2}
    dashes = _dashes(run) if curve.rank == 1 else DASHES[min(curve.rank - 1, len(DASHES) - 1)]
    return {"color": color, "linewidth": 1.9, "linestyle": dashes, "zorder": 2.2}


def _pale(color: str) -> str:
    """A paler colour, but opaque, so that crossing curves do not mix into a colour of no run."""
    return to_hex([PALE * part + (1 - PALE) for part in to_rgb(color)])


def _pieces(turn: Turn) -> dict[str, Any]:
    """Draw curves that coincide: the first whole, and on it pieces of the others in turns."""
    if turn.of == 1:
        return {}
    if turn.number == 0:
        return {"linestyle": "-"}
    begins = (turn.of - turn.number) * PIECE
    return {"linestyle": (begins, (PIECE, (turn.of - 1) * PIECE)), "zorder": 2.4, "dash_capstyle": "butt"}


def _dashes(run: int) -> str:
    """If there are more runs than colours, the next ones are dashed."""
    return DASHES[run // len(COLORS) % len(DASHES)]


def _set_axes(axes: Axes, ends: tuple[int, int], logarithmic: bool) -> None:
    low, high = ends
    margin = (high - low) * 0.02 or 0.5
    axes.set_xlim(low - margin, high + margin)
    few = FixedLocator([low]) if low == high else MaxNLocator(7, integer=True, steps=[1, 2, 2.5, 5, 10])
    axes.xaxis.set_major_locator(few)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: step_text(step)))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(_Values(axes))
    axes.margins(y=0.08)
    axes.tick_params(colors=SOFT, length=0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(AXIS)


class _Values(Formatter):
    """Format the ticks of an axis of values, all in one way."""

    def __init__(self, axes: Axes) -> None:
        self._axes = axes

    def __call__(self, value: float, position: int | None = None) -> str:
        return value_texts([value])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        low, high = self._axes.get_ylim()
        # ticks beyond the axis must not affect how others are written
        seen = [low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high) for value in values]
        texts = iter(value_texts([value for value, there in zip(values, seen, strict=True) if there]))
        return [next(texts) if there else "" for there in seen]


def _draw_marks(axes: Axes, frame: _Frame, runs: Sequence[str]) -> bool:
    """Mark below the axis where runs were saved and resumed, in a lane for each run. Returns whether all
    marks were drawn."""
    low, high = frame.ends
    complete = True
    for lane, run in enumerate(runs):
        color = COLORS[list(frame.runs).index(run) % len(COLORS)]
        below = ScaledTranslation(0, -LANE * (lane + 0.7) / 72, axes.figure.dpi_scale_trans)
        events = frame.runs[run].events
        for kind in dict.fromkeys(event.kind for event in events):
            steps = {event.step for event in events if event.kind == kind and low <= event.step <= high}
            where = spaced(steps, frame.wide)
            complete = complete and len(where) == len(steps)
            axes.plot(
                where, [0] * len(where), clip_on=False,
                transform=axes.get_xaxis_transform() + below, **_mark(kind, color),
            )  # fmt: skip
    axes.tick_params(axis="x", pad=4 + LANE * len(runs))
    return complete


def _mark(kind: str, color: str) -> dict[str, Any]:
    return {
        "marker": MARKERS.get(kind, OTHER), "color": color, "linestyle": "none",
        "markersize": MARK * (1 if kind == "saved" else 1.25), "zorder": 3 if kind == "saved" else 3.1,
        "markeredgecolor": "white", "markeredgewidth": 0.5,
    }  # fmt: skip


def _legend(figure: Figure, runs: Mapping[str, Curves], panels: Sequence[Panel]) -> None:
    """Draw one legend for the whole picture: runs by colour, roles by strength, marks by shape."""
    entries: list[tuple[str, dict[str, Any]]] = []
    several = len(runs) > 1
    if several:
        entries += [(run, _style(at, Curve(run, "", "", 1))) for at, run in enumerate(runs)]
    roles = {curve.role: curve for panel in panels for curve in panel.curves if curve.role}
    for role, curve in sorted(roles.items(), key=lambda item: item[1].rank):
        neutral = {"color": SOFT if curve.rank else _pale(SOFT)} if several else {}
        entries.append((role, _style(0, curve) | neutral))
    kept = {run for panel in panels for run in marked(runs, panel)}
    kinds = dict.fromkeys(event.kind for run in runs if run in kept for event in runs[run].events)
    entries += [(kind, _mark(kind, SOFT if several else COLORS[0])) for kind in kinds]
    title = "" if several else shown(next(iter(runs)))
    if entries or title:
        _place(figure, [(shown(name), style) for name, style in entries], title)


def _place(figure: Figure, entries: Sequence[tuple[str, dict[str, Any]]], title: str) -> None:
    """Place it above the panels, in one line or in columns of equal width."""
    widths = [0.56 + 0.075 * len(name) for name, _ in entries]
    columns = len(entries)
    if sum(widths) > figure.get_figwidth():
        columns = max(1, int(figure.get_figwidth() / max(widths)))
        columns = -(-len(entries) // -(-len(entries) // columns))
    more = -(-len(entries) // max(1, columns)) - LEGEND
    figure.set_figheight(figure.get_figheight() + max(0, more) * 0.2)
    handles = [Line2D([], [], **{"linewidth": 2.4} | style) for _, style in entries]
    legend: Legend = figure.legend(
        handles, ["-"] * len(handles), loc="outside upper left", ncols=max(1, columns), frameon=False,
        fontsize=10, handlelength=1.6, columnspacing=1.6, title="-" if title else None,
        title_fontproperties={"weight": "bold", "size": 12}, alignment="left",
    )  # fmt: skip
    texts = [*legend.get_texts(), *([legend.get_title()] if title else [])]
    for text, name in zip(texts, [*(name for name, _ in entries), title], strict=False):
        text.set_parse_math(False)  # names are shown as they are, with dollar signs and underscores
        text.set_text(name)
        text.set_color(INK)
