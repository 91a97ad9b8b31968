"""What differs between two versions, as data."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from saver.page import Page, Said, Shown

Number: TypeAlias = float | str
"""A float; `"nan"`, `"inf"` or `"-inf"` if it is not finite, which JSON cannot express."""

Status: TypeAlias = Literal["same", "changed", "added", "removed"]


def number(value: float) -> Number:
    """A float as a `Number`."""
    return value if math.isfinite(value) else str(value)


def _side(value: object) -> str:
    return "-" if value is None else str(value)


class Field(Said, msgspec.Struct, frozen=True):
    """A value that differs, as Python would write it, in printable text; None if it is missing."""

    path: str
    old: str | None
    new: str | None

    def _line(self) -> str:
        return f"{self.path}: {_side(self.old)} -> {_side(self.new)}"


class ArrayInfo(Said, msgspec.Struct, frozen=True):
    """An array in one of the versions: its dtype as safetensors names it (or NumPy, or PyTorch), its shape,
    and its values if there are only a few."""

    dtype: str
    shape: tuple[int, ...]
    values: str | None = None

    def _line(self) -> str:
        return f"{self.dtype} {' x '.join(map(str, self.shape)) or 'scalar'}"


class Amount(Said, msgspec.Struct, frozen=True):
    """How much an array changed.

    Of its `entries`, `changed` have different bits, which is a `share` of 0 to 1. `norm` is the Frobenius
    norm of new minus old, `relative` the same divided by the norm of old (None if that is 0), `largest` the
    largest absolute change, all in float64. They leave out entries that are not finite in either version;
    `not_finite` counts those, before and after. Entries that are not numbers are only counted.
    """

    entries: int
    changed: int
    share: float
    norm: Number | None = None
    relative: Number | None = None
    largest: Number | None = None
    not_finite: tuple[int, int] = (0, 0)

    def _line(self) -> str:
        return f"{self.changed:,} of {self.entries:,} entries changed"


class ArrayChange(Said, msgspec.Struct, frozen=True):
    """An array or tensor that differs; None if it is missing.

    There is an `amount` if both have the same dtype, and the same shape except for the length of the first
    axis: then the rows that both have are compared.
    """

    path: str
    old: ArrayInfo | None
    new: ArrayInfo | None
    amount: Amount | None = None

    def _line(self) -> str:
        amount = f", {self.amount}" if self.amount is not None else ""
        return f"{self.path}: {_side(self.old)} -> {_side(self.new)}{amount}"


class PartChange(Said, msgspec.Struct, frozen=True):
    """A part: its version number and hash in each of the two; None if it is missing.

    `same` means that nothing in it differs. Its hashes may differ even then: a hash also covers whether
    another part refers to this one.
    """

    name: str
    status: Status
    old_version: int | None = None
    new_version: int | None = None
    old_hash: str | None = None
    new_hash: str | None = None

    def _line(self) -> str:
        return f"{self.name} {self.status}: {_side(self.old_version)} -> {_side(self.new_version)}"


class MetricChange(Said, msgspec.Struct, frozen=True):
    """A metric that differs; None if it is missing. `delta` is new minus old."""

    name: str
    old: Number | None
    new: Number | None
    delta: Number | None = None

    def _line(self) -> str:
        return f"{self.name}: {_side(self.old)} -> {_side(self.new)}"


class DataChange(Said, msgspec.Struct, frozen=True):
    """Data that a version was trained on, compared by its fingerprints; None if it is missing."""

    name: str
    status: Status
    old: str | None
    new: str | None

    def _line(self) -> str:
        return f"{self.name} {self.status}: {_side(self.old)} -> {_side(self.new)}"


class Difference(Shown, msgspec.Struct, frozen=True):
    """What differs between two versions; true if anything does.

    Time, author, version numbers and the location of bytes do not count as differences, and neither do the
    states of the random generators of the processes that saved. `fields` are plain values and `arrays` are
    values with entries, both by path, as tensors are named: `model/layers.0.weight`. `unchanged` counts the
    tensors that do not differ. `facts` are step, notes and the like. `msgspec.to_builtins` makes JSON of it;
    `str` a readable text.
    """

    old: str
    new: str
    parts: tuple[PartChange, ...]
    fields: tuple[Field, ...] = ()
    arrays: tuple[ArrayChange, ...] = ()
    unchanged: int = 0
    facts: tuple[Field, ...] = ()
    metrics: tuple[MetricChange, ...] = ()
    data: tuple[DataChange, ...] = ()
    environment: tuple[Field, ...] = ()

    def __bool__(self) -> bool:
        statuses = [*(part.status for part in self.parts), *(item.status for item in self.data)]
        listed = (self.fields, self.arrays, self.facts, self.metrics, self.environment)
        return any(listed) or any(status != "same" for status in statuses)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self

    def summary(self) -> str:
        """The difference in one line."""
        from saver.compare.sections import summary

        return summary(self)

    def _page(self) -> Page:
        from saver.compare.sections import page

        return page(self)

    def _line(self) -> str:
        return f"{self.old} -> {self.new}: {self.summary()}"
