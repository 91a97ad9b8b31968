"""What differs between two versions or files, as `diff` prints it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from saver.documents.piece import Number, Piece, Whole

Status: TypeAlias = Literal["same", "changed", "added", "removed"]


class Value(Piece, frozen=True):
    """A value that differs, as text; null where it is missing."""

    path: str
    old: str | None
    new: str | None


class Array(Piece, frozen=True):
    """An array on one side; `values` is text if there are few."""

    dtype: str
    shape: tuple[int, ...]
    values: str | None


class Amount(Piece, frozen=True):
    """How much an array changed: `changed` of its `entries` have other bits, a `share` of 0 to 1.

    `norm` is the Frobenius norm of new minus old, `relative` that divided by the norm of old, `largest` the
    largest absolute change. `not_finite` counts entries that are not finite, before and after.
    """

    entries: int
    changed: int
    share: float
    norm: Number | None
    relative: Number | None
    largest: Number | None
    not_finite: tuple[int, int]


class ArrayChange(Piece, frozen=True):
    """An array that differs; a side is null if it is missing; `amount` is given if both could be compared."""

    path: str
    old: Array | None
    new: Array | None
    amount: Amount | None


class PartChange(Piece, frozen=True):
    """A part on both sides; a side is null if it is missing there."""

    name: str
    status: Status
    old_version: int | None
    new_version: int | None
    old_hash: str | None
    new_hash: str | None


class MetricChange(Piece, frozen=True):
    """A metric that differs; a side is null if it is missing there. `delta` is new minus old."""

    name: str
    old: Number | None
    new: Number | None
    delta: Number | None


class DataChange(Piece, frozen=True):
    """Data that the model was trained on, as text; a side is null if it is missing there."""

    name: str
    status: Status
    old: str | None
    new: str | None


class Difference(Whole, frozen=True, tag="saver.difference.1"):
    """`saver diff`. `unchanged` counts the tensors that do not differ; `facts` are step, notes and so on."""

    differs: bool
    summary: str
    old: str
    new: str
    parts: tuple[PartChange, ...]
    fields: tuple[Value, ...]
    arrays: tuple[ArrayChange, ...]
    unchanged: int
    facts: tuple[Value, ...]
    metrics: tuple[MetricChange, ...]
    data: tuple[DataChange, ...]
    environment: tuple[Value, ...]
