"""What goes into a model and comes out, and how its golden predictions are answered."""

from __future__ import annotations

from typing import Any

from saver.documents.piece import Number, Piece, Whole, document, utc
from saver.documents.upkeep import Finding
from saver.repo.version import plain_metric


class Seen(Piece, frozen=True):
    """What the example held of a field: how many values, of which `missing` and `infinite`; the smallest and
    the largest number, and deciles."""

    count: int
    missing: int
    infinite: int
    low: float | None
    high: float | None
    quantiles: tuple[float, ...]


class Field(Piece, frozen=True):
    """An input or an output. `shape` has null for an axis of any length; the first one counts rows. `native`
    is the dtype in the library of the container, if that says more. `each` is what was seen in each column of
    an array with two axes."""

    name: str
    dtype: str
    native: str
    shape: tuple[int | None, ...]
    categories: tuple[Any, ...]
    ordered: bool
    seen: Seen
    each: tuple[Seen, ...]
    unit: str
    description: str


class Schema(Piece, frozen=True):
    """What goes into a model and what comes out. `container` is `array`, `arrays`, `frame`, `column` or
    `texts`, of the `library` of that name."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    container: str
    library: str


class Tolerance(Piece, frozen=True):
    """By how much predictions may differ: `absolute + relative * |recorded|`."""

    absolute: float
    relative: float


class Predictions(Piece, frozen=True):
    """How a model predicts: its schema; the `pipeline`, names of parts (`scaler | model`) or that of a
    function; how many rows of golden predictions there are, and by how much these may differ."""

    schema: Schema
    pipeline: str
    rows: int
    tolerance: Tolerance


class Differs(Piece, frozen=True):
    """An output that differs from the recorded one, in so many `rows`, by `largest` at most; `within` says
    whether the tolerance allows it, and `why` whether it differs in kind."""

    output: str
    rows: int
    largest: Number
    within: bool
    why: str


class Predicted(Piece, frozen=True):
    """The golden predictions of a version or file, answered again: `identical` of `rows`. `same` says whether
    others are within the tolerance. `moved` is what is different here since `saved`, if anything differs."""

    where: str
    rows: int
    identical: int
    same: bool
    differing: tuple[Differs, ...]
    tolerance: Tolerance
    saved: float
    saved_utc: str | None
    moved: tuple[Finding, ...]


class CheckedPredictions(Whole, frozen=True, tag="saver.predicted.1"):
    """`saver check --predict`. `without` are the versions that were saved without an example."""

    predicted: tuple[Predicted, ...]
    without: tuple[str, ...]


class Scored(Whole, frozen=True, tag="saver.scored.1"):
    """`saver predict`: how many `rows` of `source` were answered to `target`. The first `resumed` were there
    from a run that was interrupted."""

    where: str
    source: str
    target: str
    rows: int
    resumed: int


def predicted(found: object) -> Predicted:
    """The document of what `check_predictions` returned."""
    differing = [
        document(Differs, each, largest=plain_metric(each.largest))
        for each in getattr(found, "differing", ())
    ]
    return document(Predicted, found, differing=differing, saved_utc=utc(getattr(found, "saved", 0.0)))
