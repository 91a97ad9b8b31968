"""What a page of curves shows, as a document: runs, panels, points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec
import numpy as np

from saver import Saver, Version, documents
from saver.documents.charts import Curve, CurvePanel, CurveRun, Curves, Point
from saver.errors import SaverError, printable
from saver.opened import open_version
from saver.pages.curves.logs import AnyLog, logs_of
from saver.pages.curves.thinning import Picture, Thinner
from saver.plotting import PANELS, Panel, panels
from saver.plotting.lines import wants_log
from saver.training_log.content import Event

RUNS = 20
"""The most runs on one page."""

EVENTS = 500
"""The most marks of one run on one page: the newest ones."""


class Asked(NamedTuple):
    """What is to be seen: refs of runs, metrics (None: all), the steps between which, and how many columns
    of pixels there are for it."""

    runs: tuple[str, ...]
    metrics: tuple[str, ...] | None
    low: int | None
    high: int | None
    columns: int


class Run(NamedTuple):
    """A log of a run, under the name that it has in the legend."""

    name: str
    version: Version
    log: AnyLog


def runs_of(store: Saver, ref: str) -> list[Run]:
    """The logs of the version that a ref names now. Raises SaverError."""
    version = store.version(ref)
    logs = logs_of(open_version(store._repo, version))
    return [Run(ref if len(logs) == 1 else f"{ref}: {log.part}", version, log) for log in logs]


def collected(store: Saver, asked: Asked, thinner: Thinner) -> Curves:
    """The document. A run that cannot be read is named in it, with the reason. Raises SaverError if none can
    be read, and NotFoundError for a metric that no run has."""
    runs, listed, troubles = list[Run](), list[CurveRun](), list[SaverError]()
    for ref in asked.runs:
        try:
            found = runs_of(store, ref)
        except SaverError as error:
            listed.append(CurveRun(run=ref, ref="", rows=0, time=0.0, events=(), trouble=str(error)))
            troubles.append(error)
            continue
        runs += found
        listed += [about(each) for each in found]
    if not runs:
        raise troubles[0]
    logs = {run.name: run.log for run in runs}
    chosen = panels(logs, asked.metrics)
    if asked.metrics is None:
        more, chosen = max(0, len(chosen) - PANELS), chosen[:PANELS]
    else:
        more, chosen = 0, chosen[:PANELS]
    names = dict.fromkeys(name for log in logs.values() for name in log.metrics)
    ill: dict[str, str] = {}
    drawn = tuple(_panel(panel, logs, asked, thinner, ill) for panel in chosen)
    marked = [msgspec.structs.replace(each, trouble=ill.get(each.run, each.trouble)) for each in listed]
    return Curves(
        runs=tuple(marked), panels=drawn, metrics=tuple(names), more=more, low=asked.low, high=asked.high,
        columns=asked.columns,
    )  # fmt: skip


def about(run: Run) -> CurveRun:
    """A run as the document has it, with its own save, which a log inside of it cannot contain yet."""
    events, version = list(run.log.events), run.version
    step = version.step
    if step is not None and all(each.kind != "saved" or each.step != step for each in events):
        events.append(Event("saved", step, version.time, str(version)))
    shown = [
        documents.Event(kind=printable(kind), step=step, time=number(time), ref=printable(ref))
        for kind, step, time, ref in events[-EVENTS:]
    ]
    return CurveRun(
        run=run.name, ref=str(version), rows=run.log.rows, time=version.time, events=tuple(shown), trouble=""
    )


def _panel(
    panel: Panel, logs: dict[str, AnyLog], asked: Asked, thinner: Thinner, ill: dict[str, str]
) -> CurvePanel:
    """A panel, without the runs that cannot be read, which are put into `ill` with the reason."""
    curves = []
    for run, metric, role, _ in panel.curves:
        if run in ill:
            continue
        try:
            picture = thinner.picture(logs[run].blocks(metric), asked.columns, asked.low, asked.high)
        except SaverError as error:
            ill[run] = str(error)
            continue
        curves.append((curve(run, metric, role, picture), picture.values))
    logarithmic = wants_log(values for _, values in curves)
    return CurvePanel(title=panel.title, logarithmic=logarithmic, curves=tuple(found for found, _ in curves))


def curve(run: str, metric: str, role: str, picture: Picture) -> Curve:
    """A curve as the document has it."""
    return Curve(
        run=run, metric=metric, role=role, points=picture.rows, not_finite=picture.not_finite,
        first=_point(picture.first), last=_point(picture.last),
        lowest=_point(picture.low), highest=_point(picture.high),
        steps=tuple(picture.steps.tolist()), values=numbers(picture.values.tolist()),
    )  # fmt: skip


def numbers(values: Sequence[float]) -> tuple[documents.Number, ...]:
    """Values for JSON, which cannot express those that are not finite."""
    if np.isfinite(values).all():
        return tuple(values)
    return tuple(number(value) for value in values)


def number(value: float) -> documents.Number:
    """A value for JSON."""
    return value if math.isfinite(value) else cast(documents.Number, str(value))


def _point(found: tuple[int, float] | None) -> Point | None:
    return None if found is None else Point(step=found[0], value=number(found[1]))
