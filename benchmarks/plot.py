"""Bar plots of the tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from benchmarks import models, versions
from benchmarks.tables import Row, Table

OURS_COLOR, PEER_COLOR, LIMIT_COLOR = "#1769aa", "#b9c2cb", "#c0392b"


def plot_large(tables: list[Table], path: Path) -> None:
    """Save, cold load and warm load of one state side by side, in GB/s, with the limit as a line."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(tables), figsize=(5.4 * len(tables), 4.8), layout="constrained")
    for axis, table in zip(axes, tables, strict=True):
        _panel(axis, table)
    figure.suptitle(tables[0].title.partition(":")[0], fontsize=14, fontweight="bold")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _panel(axis: Any, table: Table) -> None:
    rows = [row for row in table.rows if row.seconds and row.what != table.limit and "BLAKE3" not in row.what]
    speeds = [table.size / median(row.touched or row.seconds) / 1e9 for row in rows]
    limit = table.size / median(table.row(table.limit).seconds) / 1e9
    places = range(len(rows))
    axis.barh(places, speeds, color=[_color(row) for row in rows], height=0.72)
    axis.axvline(limit, color=LIMIT_COLOR, linewidth=1.4, linestyle="--")
    axis.set_yticks(places, [row.what for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(0, max(limit, *speeds) * 1.25)
    for place, speed in zip(places, speeds, strict=True):
        axis.text(speed, place, f" {speed:.2f}", va="center", fontsize=9)
    until = " until all is read" if any(row.touched for row in rows) else ""
    axis.set_title(f"{table.title.partition(': ')[2]}{until}, GB/s", fontsize=11)
    axis.set_xlabel(f"- - -  {table.limit}: {limit:.2f} GB/s", color=LIMIT_COLOR, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def _color(row: Row) -> str:
    return OURS_COLOR if row.what.startswith("Saver") else PEER_COLOR


def plot_models(tables: list[Table], path: Path) -> None:
    """Dump and load of the small models, in milliseconds on a logarithmic scale."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5.6), layout="constrained", sharey=True)
    colors = {models.OURS: OURS_COLOR, models.BASELINE: "#7d8b99", "pickle": PEER_COLOR, "skops": "#e0a96d"}
    for axis, kind in zip(axes, ("dump", "load"), strict=True):
        chosen = [table for table in tables if table.name.endswith(kind)]
        for number, table in enumerate(chosen):
            for place, (what, color) in enumerate(colors.items()):
                _small_bar(axis, table, what, number + (place - 1.5) * 0.2, color)
            limit = median(table.row(table.limit).seconds) * 1e3
            axis.plot([limit, limit], [number - 0.42, number + 0.42], color=LIMIT_COLOR, linewidth=1.6)
        axis.set_xscale("log")
        axis.set_yticks(range(len(chosen)), [table.name.rpartition("-")[0] for table in chosen])
        axis.set_title(f"{kind}{', fsynced' * (kind == 'dump')}, ms", fontsize=11)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
    axes[0].invert_yaxis()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
    handles.append(pyplot.Line2D([], [], color=LIMIT_COLOR, linewidth=1.6))
    figure.legend(handles, [*colors, "the bare file"], loc="outside lower center", ncols=5, frameon=False)
    figure.suptitle("Small models", fontsize=14, fontweight="bold")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _small_bar(axis: Any, table: Table, what: str, place: float, color: str) -> None:
    row = table.row(what)
    if row.seconds:
        milliseconds = median(row.seconds) * 1e3
        axis.barh(place, milliseconds, 0.19, color=color)
        axis.text(milliseconds, place, f" {milliseconds:.3g}", va="center", fontsize=7)


def plot_startup(table: Table, path: Path) -> None:
    """Whole processes, in milliseconds."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    rows = [row for row in table.rows if row.what != "import torch"]
    times = [median(row.seconds) * 1e3 for row in rows]
    figure, axis = pyplot.subplots(figsize=(7.5, 3.2), layout="constrained")
    colors = [OURS_COLOR if "saver" in row.what else PEER_COLOR for row in rows]
    axis.barh(range(len(rows)), times, color=colors, height=0.7)
    for place, time in enumerate(times):
        axis.text(time, place, f" {time:.0f}", va="center", fontsize=9)
    axis.set_yticks(range(len(rows)), [row.what for row in rows])
    axis.invert_yaxis()
    axis.set_title("A whole process, ms", fontsize=12, fontweight="bold")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.1)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def plot_versions(tables: list[Table], path: Path) -> None:
    """Bytes on disk and seconds of the next version, by what changed, on a logarithmic scale."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [row.what for row in tables[0].rows if row.seconds and row.what != versions.LIMIT]
    colors = dict(zip(names, (OURS_COLOR, PEER_COLOR, "#7d8b99", "#e0a96d", "#c9a3c4"), strict=False))
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5.6), layout="constrained", sharey=True)
    _versions_panel(axes[0], tables, colors, lambda row: fmean(row.bytes) / 1e6, "added on disk, MB")
    _versions_panel(axes[1], tables, colors, lambda row: median(row.seconds), "saved and fsynced, s")
    axes[0].set_xscale("log")
    axes[0].set_yticks(range(len(tables)), [table.title.partition(": ")[2] for table in tables])
    axes[0].invert_yaxis()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
    handles.append(pyplot.Line2D([], [], color=LIMIT_COLOR, linewidth=1.6))
    labels = [*colors, versions.LIMIT]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle("The next version of a model", fontsize=14, fontweight="bold")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _versions_panel(
    axis: Any, tables: list[Table], colors: dict[str, str], measure: Callable[[Row], float], title: str
) -> None:
    height = 0.8 / len(colors)
    for number, table in enumerate(tables):
        for place, (what, color) in enumerate(colors.items()):
            value, at = measure(table.row(what)), number + (place + 0.5) * height - 0.4
            axis.barh(at, value, height * 0.95, color=color)
            axis.text(value, at, f" {value:.3g}", va="center", fontsize=7)
        limit = measure(table.row(versions.LIMIT))
        if limit:
            axis.plot([limit, limit], [number - 0.42, number + 0.42], color=LIMIT_COLOR, linewidth=1.6)
    axis.set_title(title, fontsize=11)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.12)


def plot_checkpoints(blocked: Table, steps: Table, path: Path) -> None:
    """How long a save stops the training, on a logarithmic scale, and how much of its speed is left."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4.6), layout="constrained", sharey=True)
    rows = steps.rows
    waits = [median(blocked.row(row.what).seconds) * 1e3 for row in rows]
    limit = median(blocked.row(blocked.limit).seconds) * 1e3
    shares = [float(cells[-1]) for cells in steps.cells]
    for axis, values, bound, label, title in (
        (axes[0], waits, limit, f"{blocked.limit}: {limit:,.0f}", "a save stops the training, ms"),
        (axes[1], shares, 1.0, "without saving", "speed of the training that is left"),
    ):
        axis.barh([row.what for row in rows], values, color=list(map(_color, rows)), height=0.72)
        axis.axvline(bound, color=LIMIT_COLOR, linewidth=1.4, linestyle="--")
        for place, value in enumerate(values):
            text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            axis.text(value, place, f" {text}", va="center", fontsize=9)
        axis.set_title(title, fontsize=11)
        axis.set_xlabel(f"- - -  {label}", color=LIMIT_COLOR, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.15)
    axes[0].set_xscale("log")
    axes[0].invert_yaxis()
    title = blocked.title.partition(":")[0]
    figure.suptitle(title[0].upper() + title[1:], fontsize=14, fontweight="bold")
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
