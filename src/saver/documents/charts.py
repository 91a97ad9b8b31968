"""Versions side by side, and curves of runs, as the pages of `saver ui` show them."""

from __future__ import annotations

from saver.documents.piece import Number, Piece, Whole
from saver.documents.runs import Event


class ComparedText(Piece, frozen=True):
    """A value by its path in each version, as text; null where a version has none."""

    path: str
    values: tuple[str | None, ...]
    differs: bool


class ComparedMetric(Piece, frozen=True):
    """A metric in each version; null where a version has none."""

    name: str
    values: tuple[Number | None, ...]
    differs: bool


class WeightChange(Piece, frozen=True):
    """How an array differs from that of the first version that has one: `changed` of its entries have other
    bits. `norm` and `largest` are of the differences of entries that are finite in both, `relative` is the
    norm divided by that of the first."""

    changed: int
    norm: Number
    relative: Number | None
    largest: Number


class Weights(Piece, frozen=True):
    """An array of one version. `same_as` is the index of an earlier version with equal entries. `zeros`,
    `low`, `high`, `mean`, `deviation` and `norm` are of the finite entries, null if there are none;
    `histogram` counts finite entries in equal ranges between `low` and `high` of the layer; of a large array,
    a sample of `counted` of them. `change` is null for the first version that has the layer, and where dtype,
    shape or order are others."""

    dtype: str
    shape: tuple[int, ...]
    same_as: int | None
    entries: int
    nan: int
    above: int
    below: int
    zeros: int
    low: Number | None
    high: Number | None
    mean: Number | None
    deviation: Number | None
    norm: Number | None
    histogram: tuple[int, ...]
    counted: int
    change: WeightChange | None


class ComparedLayer(Piece, frozen=True):
    """The arrays of one path, null where a version has none; `trouble` says why they were not read. `low` and
    `high` are the ends of its histograms."""

    path: str
    low: Number | None
    high: Number | None
    weights: tuple[Weights | None, ...]
    trouble: str


class HeatMap(Piece, frozen=True):
    """The mean size of the finite entries in each cell of a grid that covers an array, as a matrix of its
    first axis by all others: null in cells without any, and an empty map where there is none, which `trouble`
    explains."""

    shape: tuple[int, ...]
    cells: tuple[tuple[Number | None, ...], ...]
    trouble: str


class Heat(Piece, frozen=True):
    """The heat maps of one layer, one for each version."""

    path: str
    maps: tuple[HeatMap | None, ...]


class Comparison(Whole, frozen=True, tag="saver.comparison.1"):
    """Two to five versions. `layers` are those whose path has `find` in it, from number `start` on, of
    `found` in all; they are empty until `finished`: `done` of `total` bytes were read. `heat` is given for
    the layer that was chosen."""

    versions: tuple[str, ...]
    facts: tuple[ComparedText, ...]
    metrics: tuple[ComparedMetric, ...]
    hyperparameters: tuple[ComparedText, ...]
    environment: tuple[ComparedText, ...]
    data: tuple[ComparedText, ...]
    find: str
    start: int
    found: int
    finished: bool
    done: int
    total: int
    layers: tuple[ComparedLayer, ...]
    heat: Heat | None
    trouble: str


class Point(Piece, frozen=True):
    """A value at a step."""

    step: int
    value: Number


class Curve(Piece, frozen=True):
    """A metric of a run: as many points as a picture shows, with the lowest and the highest of each column of
    pixels. `points` counts all that were logged, `not_finite` those that are not numbers; first, last, lowest
    and highest are of all of them."""

    run: str
    metric: str
    role: str
    points: int
    not_finite: int
    first: Point | None
    last: Point | None
    lowest: Point | None
    highest: Point | None
    steps: tuple[int, ...]
    values: tuple[Number, ...]


class CurvePanel(Piece, frozen=True):
    """Curves of the same quantity; `logarithmic` if an axis of powers shows more of them."""

    title: str
    logarithmic: bool
    curves: tuple[Curve, ...]


class CurveRun(Piece, frozen=True):
    """A run, or a log of it: the version that was read, its rows and events. `trouble` says why nothing was
    read."""

    run: str
    ref: str
    rows: int
    time: Number
    events: tuple[Event, ...]
    trouble: str


class Curves(Whole, frozen=True, tag="saver.curves.1"):
    """The curves of some runs, from the step `low` to `high`; null if that is all there is. `more` counts the
    panels that were not read."""

    runs: tuple[CurveRun, ...]
    panels: tuple[CurvePanel, ...]
    metrics: tuple[str, ...]
    more: int
    low: int | None
    high: int | None
    columns: int
