"""Two answers to the same inputs: which rows are the same to the bit, and by how much others differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.page import Said
from saver.predicting.example import Tolerance


class Differs(Said, msgspec.Struct, frozen=True):
    """How an output differs from the recorded one: in how many `rows`; by how much at most (`largest`; NaN
    if that cannot be said); and whether all of it is within the tolerance. `why` says what else is different:
    its dtype, its shape, or that it is not there."""

    output: str
    rows: int
    largest: float
    within: bool
    why: str = ""

    def _line(self) -> str:
        if self.why:
            return f"{self.output}: {self.why}"
        by = "" if self.largest != self.largest else f" by at most {self.largest:.3g}"
        return f"{self.output} differs in {self.rows:,} rows{by}"


class Compared(msgspec.Struct, frozen=True):
    """`identical` rows of `rows`, and the outputs that differ."""

    rows: int
    identical: int
    differing: tuple[Differs, ...]

    @property
    def same(self) -> bool:
        """Whether all of it is within the tolerance."""
        return all(each.within for each in self.differing)


def compared(
    recorded: Mapping[str, NDArray[Any]], now: Mapping[str, NDArray[Any]], rows: int, tolerance: Tolerance
) -> Compared:
    """Compare what was recorded with an answer of now, both by output."""
    changed = np.zeros(rows, bool)
    found = []
    for name, before in recorded.items():
        after = now.get(name)
        why = _unlike(before, after)
        if after is None or why:
            changed[:] = True
            found.append(Differs(name, rows, float("nan"), False, why))
            continue
        rows_of = _rows_that_differ(before, after)
        if rows_of.any():
            changed |= rows_of
            found.append(Differs(name, int(rows_of.sum()), *_amount(before, after, tolerance)))
    new = [name for name in now if name not in recorded]
    found += [Differs(name, rows, float("nan"), False, "it was not recorded") for name in new]
    return Compared(rows, int(rows - changed.sum()), tuple(found))


def _unlike(before: NDArray[Any], after: NDArray[Any] | None) -> str:
    if after is None:
        return "it is not answered any more"
    if before.dtype != after.dtype:
        return f"it was {before.dtype}, and is {after.dtype}"
    if before.shape != after.shape:
        return f"its shape was {before.shape}, and is {after.shape}"
    return ""


def _rows_that_differ(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.bool_]:
    """By row, whether any bit differs."""
    rows = len(before)
    if before.dtype == object:
        pairs = zip(before.reshape(rows, -1).tolist(), after.reshape(rows, -1).tolist(), strict=True)
        return np.array([one != other for one, other in pairs], bool)
    if not before.size:
        return np.zeros(rows, bool)
    old, new = (np.ascontiguousarray(each).reshape(rows, -1).view(np.uint8) for each in (before, after))
    return np.asarray((old != new).any(axis=1))


def _amount(before: NDArray[Any], after: NDArray[Any], tolerance: Tolerance) -> tuple[float, bool]:
    """The largest difference, and whether all are within the tolerance. NaN equals NaN, and 0 equals -0."""
    if before.dtype.kind not in "iufc":
        return float("nan"), False
    wide = complex if before.dtype.kind == "c" else np.longdouble
    old, new = before.astype(wide), after.astype(wide)
    alike = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(alike, 0, np.abs(old - new))
        allowed = tolerance.absolute + tolerance.relative * np.abs(old)
        within = bool((gap <= allowed).all()) and tolerance != Tolerance()
    return float(gap.max(initial=0)), within
