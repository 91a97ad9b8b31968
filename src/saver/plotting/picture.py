"""Panels as a picture, drawn with matplotlib and without the state of its pyplot."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from saver.durable import NewFile
from saver.plotting.lines import (
    averaged,
    axis_name,
    drawable,
    isolated,
    noisy,
    shown,
    span,
    step_text,
    thinned,
    usual_gap,
    value_text,
    wants_log,
)
from saver.plotting.panels import PANELS, Curve, Curves, Panel

DPI = 160
WIDTHS = {1: 7.5, 2: 11.0, 3: 14.0}
"""Inches, by the number of columns."""

PIXELS = 1200
"""Columns to which a curve is thinned: as many as a panel has pixels, or more."""

COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#24292f", "#8c6d46",
)  # fmt: skip
"""Okabe and Ito's, which colour-blind people can tell apart; without their yellow, which fades on white."""

INK, SOFT, GRID, AXIS = "#24292f", "#57606a", "#eaeef2", "#d0d7de"
DASHES = ("-", "--", ":", "-.")
MARKERS = {"saved": "|", "resumed": "^"}
OTHER = "d"
PALE = 0.45
LANE = 7.0
"""Points below the axis for the marks of a run; less for each where there are many."""


def draw(
    runs: Mapping[str, Curves], panels: Sequence[Panel], path: str, form: str, smooth: float | None
) -> None:
    """Write the picture, durably, or nothing."""
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
    frame = _Frame(runs, span(runs, names), smooth, gap)
    for axes, panel in zip(grid, drawn, strict=False):
        _draw_panel(axes, panel, frame)
        _draw_marks(axes, frame)
    for axes in grid[len(drawn) :]:
        axes.axis("off")
    for axes in grid[columns * (rows - 1) : len(drawn)]:
        axes.set_xlabel(axis_name(runs), color=SOFT)
    _legend(figure, runs, drawn)
    if len(panels) > len(drawn):
        left = f"and {len(panels) - len(drawn)} more panels, which are not drawn; choose metrics by name"
        figure.supxlabel(left, color=SOFT, fontsize=9)
    return figure


class _Frame(NamedTuple):
    """What all panels have in common; `gap` is what `smooth` is measured by."""

    runs: Mapping[str, Curves]
    ends: tuple[int, int]
    smooth: float | None
    gap: float


def _draw_panel(axes: Axes, panel: Panel, frame: _Frame) -> None:
    order = list(frame.runs)
    for curve in sorted(panel.curves, key=lambda curve: curve.rank > 0):  # training lies below
        steps, values = frame.runs[curve.run][curve.metric]
        style = _style(order.index(curve.run), curve)
        average = averaged(steps, values, frame.smooth, frame.gap, frame.ends)
        if average is not None:
            shadow = {"alpha": 0.5 / max(2, len(order)), "linewidth": 0.8, "zorder": 1.5}
            _draw_curve(axes, steps, values, frame.ends, style | shadow)
            values = average
        elif noisy(values):
            style["linewidth"] /= 2
        _draw_curve(axes, steps, values, frame.ends, style)
    logarithmic = wants_log(frame.runs[curve.run][curve.metric][1] for curve in panel.curves)
    _set_axes(axes, frame.ends, logarithmic)
    axes.set_title(
        shown(panel.title), loc="left", color=INK, fontweight="bold", fontsize=11, parse_math=False
    )


def _draw_curve(axes: Axes, steps: Any, values: Any, ends: tuple[int, int], style: dict[str, Any]) -> None:
    steps, values = thinned(steps, drawable(values), *ends, PIXELS)
    axes.plot(steps, values, solid_capstyle="round", solid_joinstyle="round", **style)
    alone = isolated(values)
    if alone.any():
        dots = style | {"linestyle": "none", "marker": "o", "markersize": 1.5 + 1.5 * style["linewidth"]}
        axes.plot(steps[alone], values[alone], **dots)


def _style(run: int, curve: Curve) -> dict[str, Any]:
    """Colour by run; training paler and thinner than what it is compared with."""
    color = COLORS[run % len(COLORS)]
    if curve.rank == 0:
        return {"color": color, "alpha": PALE, "linewidth": 1.6, "linestyle": _dashes(run), "zorder": 2}
    dashes = _dashes(run) if curve.rank == 1 else DASHES[min(curve.rank - 1, len(DASHES) - 1)]
    return {"color": color, "linewidth": 1.9, "linestyle": dashes, "zorder": 2.2}


def _dashes(run: int) -> str:
    """Where there are more runs than colours, the next ones are dashed."""
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
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: value_text(value)))
    axes.margins(y=0.08)
    axes.tick_params(colors=SOFT, length=0)
    axes.grid(axis="y", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(AXIS)


def _draw_marks(axes: Axes, frame: _Frame) -> None:
    """Where runs were saved and resumed: below the axis, in a lane for each run that was."""
    low, high = frame.ends
    marked = [run for run, log in frame.runs.items() if log.events]
    height = min(LANE, 4 * LANE / max(1, len(marked)))
    for lane, run in enumerate(marked):
        color = COLORS[list(frame.runs).index(run) % len(COLORS)] if len(frame.runs) > 1 else SOFT
        below = ScaledTranslation(0, -height * (lane + 0.6) / 72, axes.figure.dpi_scale_trans)
        events = frame.runs[run].events
        for kind in dict.fromkeys(event.kind for event in events):
            steps = [event.step for event in events if event.kind == kind and low <= event.step <= high]
            where = {(step - low) * PIXELS // (high - low or 1): step for step in steps}
            axes.plot(
                list(where.values()), [0] * len(where), clip_on=False,
                transform=axes.get_xaxis_transform() + below, **_mark(kind, color, height),
            )  # fmt: skip
    axes.tick_params(axis="x", pad=4 + height * len(marked))


def _mark(kind: str, color: str, height: float = LANE) -> dict[str, Any]:
    thin = kind == "saved"
    return {
        "marker": MARKERS.get(kind, OTHER), "color": color, "markersize": height * (0.8 if thin else 0.75),
        "linestyle": "none", "markeredgewidth": 1.1 if thin else 0,
    }  # fmt: skip


def _legend(figure: Figure, runs: Mapping[str, Curves], panels: Sequence[Panel]) -> None:
    """One for the whole picture: runs by colour, roles by strength, marks by form."""
    entries: list[tuple[str, dict[str, Any]]] = []
    several = len(runs) > 1
    if several:
        entries += [(run, _style(at, Curve(run, "", "", 1))) for at, run in enumerate(runs)]
    roles = {curve.role: curve for panel in panels for curve in panel.curves if curve.role}
    for role, curve in sorted(roles.items(), key=lambda item: item[1].rank):
        entries.append((role, _style(0, curve) | ({"color": SOFT} if several else {})))
    kinds = dict.fromkeys(event.kind for log in runs.values() for event in log.events)
    entries += [(kind, _mark(kind, SOFT)) for kind in kinds]
    title = "" if several else shown(next(iter(runs)))
    if entries or title:
        _place(figure, [(shown(name), style) for name, style in entries], title)


def _place(figure: Figure, entries: Sequence[tuple[str, dict[str, Any]]], title: str) -> None:
    """Above the panels, in one line or in columns of equal width."""
    widths = [0.45 + 0.075 * len(name) for name, _ in entries]
    columns = len(entries)
    if sum(widths) > figure.get_figwidth():
        columns = max(1, int(figure.get_figwidth() / max(widths)))
        columns = -(-len(entries) // -(-len(entries) // columns))
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
