"""`saver plot`: the curves of training runs, as a picture or in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
import numpy as np

from saver import Version, documents
from saver.cli import Failure
from saver.cli._screen import Screen, print_json, screen
from saver.cli._store import counted, json_option, store_option
from saver.cli._subject import subject
from saver.description import PartInfo
from saver.errors import CannotSaveError
from saver.plotting import PANELS, Panel, charts, panels, plot
from saver.training_log import TrainingLog
from saver.training_log.rows import plain

LOG = "log"
"""The name under which a log is looked for first."""

KIND = "saver.TrainingLog"


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Draw to FILE: .png, .svg or .pdf.")
@click.option(
    "-m", "--metric", "metrics", metavar="NAME", multiple=True, help="Draw only this metric; can be repeated."
)
@click.option(
    "--smooth", metavar="W", type=click.FloatRange(0, 1, max_open=True),
    help="Exponential moving average with weight W for the past: 0 (no smoothing) to below 1.",
)  # fmt: skip
@store_option
@json_option
def command(
    runs: Sequence[str],
    output: str | None,
    metrics: Sequence[str],
    smooth: float | None,
    address: str,
    as_json: bool,
) -> None:
    """Draw the training logs of some runs, in the terminal or as a picture.

    RUN is a version such as run-7 or run-7@3, or a file. Its log is the part `log`, or else every part that
    is a log; no other part is read. The same metrics of all runs share a panel, and so do training and
    validation metrics. With --json, print the rows.
    """
    logs = {name: log for run in runs for name, log in _logs(run, address).items()}
    chosen = panels(logs, metrics or None)
    if output is not None:
        plot(logs, output, metrics or None, smooth)
    if as_json:
        names = {curve.metric for panel in chosen for curve in panel.curves} if metrics else None
        found = tuple(_document(run, log, names) for run, log in logs.items())
        print_json(documents.Runs(runs=found))
    elif output is not None:
        screen().done(f"{output}: {_counted(chosen, logs)}")
    elif not chosen:
        screen().answer("there is nothing to draw yet: no metric has been logged")
    else:
        _show(logs, chosen, smooth, screen())


def _counted(chosen: Sequence[Panel], logs: Mapping[str, TrainingLog]) -> str:
    left = len(chosen) - PANELS
    more = f", and {counted(left, 'more panel')} not drawn: choose with --metric" if left > 0 else ""
    return f"{counted(min(len(chosen), PANELS), 'panel')} of {counted(len(logs), 'run')}{more}"


def _show(logs: Mapping[str, TrainingLog], chosen: Sequence[Panel], smooth: float | None, on: Screen) -> None:
    alone = on.interactive and all(len(panel.curves) == 1 for panel in chosen)
    for chart in charts(logs, chosen, on.width, on.colourful or alone, smooth):
        on.heading(chart.title)
        on.drawing(chart.lines)
    if len(chosen) > PANELS:
        on.say(f"and {counted(len(chosen) - PANELS, 'more panel')}: --metric NAME chooses")


def _document(run: str, log: TrainingLog, names: Iterable[str] | None) -> documents.Run:
    """A log for JSON, with only the rows that have one of the named metrics."""
    kept = set(log.metrics) if names is None else set(names)
    rows = [row for row in map(_known, log) if names is None or not kept.isdisjoint(row)]
    shown = [
        {name: value for name, value in row.items() if name in kept or name in ("step", "epoch", "time")}
        for row in rows
    ]
    metrics = [name for name in log.metrics if name in kept]
    events = [event._asdict() | plain({"time": event.time}) for event in log.events]
    return documents.document(documents.Run, run=run, metrics=metrics, events=events, rows=shown)


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON; without a time if the log has none for it."""
    if row["time"] != row["time"]:
        del row["time"]
    return plain(row)


# Finding the logs


def _logs(run: str, address: str) -> dict[str, TrainingLog]:
    """The logs of a version or a file, by their names in the legend. Raises Failure."""
    found = subject(run, address)
    names = _parts(found.description.parts)
    if not names:
        there = ", ".join(part.name for part in found.description.parts[:20])
        raise Failure(f"{run} has no training log, only {there}; save a TrainingLog as its part 'log'")
    parts = found.load(names)
    logs = {name: _as_log(part, f"{run}: {name}") for name, part in parts.items()}
    if found.version is not None:
        for log in logs.values():
            _mark_as_saved(log, found.version)
    return {run if len(logs) == 1 else f"{run}: {name}": log for name, log in logs.items()}


def _parts(parts: Sequence[PartInfo]) -> list[str]:
    """Which parts to read: the part `log` if it is a log, otherwise all parts that are."""
    logs = [part.name for part in parts if part.kind == KIND]
    plainly = [part.name for part in parts if part.name == LOG and part.kind == "dict" and not part.classes]
    return [LOG] if LOG in logs else logs or plainly


def _mark_as_saved(log: TrainingLog, version: Version) -> None:
    """Mark the save of this version, which a log inside of it cannot contain yet."""
    step = version.step
    if step is None or not 0 <= step <= log.last.get("step", -1):
        return
    if all(event.kind != "saved" or event.step != step for event in log.events):
        log.mark("saved", step, version, version.time)


def _as_log(part: Any, where: str) -> TrainingLog:
    """The log itself, or one made of a dict with a list for each metric beside `step` or `epoch`."""
    if isinstance(part, TrainingLog):
        return part
    try:
        return _from_lists(part)
    except (CannotSaveError, TypeError, ValueError) as error:
        raise Failure(
            f"{where} is not a training log ({error}); save a TrainingLog, or lists of equal length "
            "of which one is called step or epoch"
        ) from None


def _from_lists(lists: Mapping[str, Any]) -> TrainingLog:
    for name, values in lists.items():
        if not isinstance(name, str) or not isinstance(values, (list, tuple, np.ndarray)):
            raise ValueError(f"{str(name)[:80]!r} is not a list")
    if not lists.keys() & {"step", "epoch"}:
        raise ValueError("it has no list called step or epoch")
    log = TrainingLog()
    for values in zip(*lists.values(), strict=True):
        row = dict(zip(lists, values, strict=True))
        step = float(row.pop("step", row.get("epoch")))
        if not step.is_integer():
            raise ValueError(f"the step {step} is not a whole number")
        log.append(int(step), row.pop("epoch", None), row.pop("time", np.nan), **row)
    return log
