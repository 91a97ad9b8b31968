"""Golden predictions: the model is asked again what it was asked when it was saved, and must answer the same.

They run in one batch of the recorded rows: another shape of batch changes bits (of a scaled logistic
regression in 58 % of rows, by up to 1e-14; of a small network in all, by 2e-6; of a forest in none).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from saver.doctor import Finding, diagnose
from saver.errors import IncompatibleError, PredictionsDifferError
from saver.needed import needed
from saver.opened import Opened
from saver.page import Facts, Page, Shown, Table
from saver.predicting.comparing import Compared, Differs, compared
from saver.predicting.example import Tolerance
from saver.predicting.pipeline import answering
from saver.predicting.record import Record
from saver.random_states import continued, random_states
from saver.repo.manifest import SOLE
from saver.times import moment
from saver.tree import Node
from saver.trust import Policy, dotted


class Predicted(Shown, msgspec.Struct, frozen=True):
    """What a check of golden predictions found: `identical` of `rows`, and the outputs that differ.

    `saved` is when the version was saved, in seconds since 1970; `moved` are the differences between the
    environment then and the one here that may be the cause.
    """

    where: str
    rows: int
    identical: int
    differing: tuple[Differs, ...]
    tolerance: Tolerance
    saved: float
    moved: tuple[Finding, ...] = ()

    @property
    def same(self) -> bool:
        """Whether all predictions are the same, or within the tolerance that the version states."""
        return all(each.within for each in self.differing)

    def verdict(self) -> str:
        """`200 of 200 identical`, or by how much they differ."""
        told = f"{self.identical:,} of {self.rows:,} identical"
        if self.differing:
            how = "; ".join(each._line() for each in self.differing[:5])
            within = f", {self.tolerance.text()} as the version allows" if self.same else ""
            told = f"{told}{within}: {how}"
        return told

    def since(self) -> str:
        """What is different here since it was saved, and may be the cause."""
        if not self.moved:
            return f"the packages and the processor are those of {moment(self.saved)}"
        told = "; ".join(f"{each.topic} {each.recorded} → {each.here}" for each in self.moved[:8])
        return f"since {moment(self.saved)}: {told}"

    def _line(self) -> str:
        return f"{self.where}: {self.verdict()}"

    def _page(self) -> Page:
        facts = {"predictions": self.verdict(), "different here": self.since() if self.differing else ""}
        rows = [(each.output, f"{each.rows:,}", f"{each.largest:.3g}", each.why) for each in self.differing]
        table = Table("Outputs that differ", ("output", ">rows", ">by at most", "why"), rows)
        return [Facts(self.where, facts), *([table] if rows else ())]


class _Needs(msgspec.Struct, frozen=True):
    """What a part needs, for `diagnose`."""

    packages: tuple[str, ...]
    classes: tuple[str, ...]


def check_parts(opened: Opened, record: Record, parts: Mapping[str, Any], trusted: Policy) -> Predicted:
    """Let loaded parts answer the golden predictions of the version that they come from."""
    answer = answering(record.call(trusted), parts, record.where, IncompatibleError)
    before = record.outputs(trusted)
    move_back = continued(random_states())
    inputs = record.inputs(trusted)
    try:
        found = compared(before, answer(inputs), record.rows, record.tolerance)
    except Exception as error:  # a model that a newer library broke raises what it likes
        why = f"it raises {type(error).__name__}: {str(error)[:500]}"
        found = Compared(record.rows, 0, (Differs("the model", record.rows, math.nan, False, why),))
    finally:
        move_back()
    return _predicted(opened, record, found)


def _predicted(opened: Opened, record: Record, found: Compared) -> Predicted:
    moved = _moved(opened) if found.differing else ()
    return Predicted(
        record.where, found.rows, found.identical, found.differing, record.tolerance, opened.manifest.time,
        moved,
    )  # fmt: skip


def _moved(opened: Opened) -> tuple[Finding, ...]:
    """What is different here, as `saver doctor` finds it."""
    parts = {name: _needs(opened, name) for name in opened.trees}
    found = diagnose(opened.manifest.environment, parts)
    return tuple(each for each in found if each.recorded != each.here and each.topic not in _BESIDE)


_BESIDE = ("git", "commit", "random", "seeds")
"""What does not change how a loaded model answers."""


def _needs(opened: Opened, name: str) -> _Needs:
    items = (item for item in opened.trees[name].items if isinstance(item, Node) and item.cls is not None)
    classes = tuple({dotted(str(item.cls)): None for item in items})
    recorded = opened.manifest.environment.get("packages", {})
    return _Needs(needed(opened.manifest.parts[name].packages, opened.trees[name].items, recorded), classes)


def confirm(opened: Opened, record: Record, loaded: Any, trusted: Policy) -> Predicted:
    """Check what was loaded whole. Raises PredictionsDifferError unless it answers as it did."""
    parts = loaded if opened.manifest.whole else {SOLE: loaded}
    return demand_same(check_parts(opened, record, parts, trusted))


def demand_same(found: Predicted) -> Predicted:
    """Raise PredictionsDifferError unless the predictions are the same."""
    if not found.same:
        raise PredictionsDifferError(
            f"{found.where}: its golden predictions differ: {found.verdict()}; {found.since()}. Load it "
            "without check_predictions, and judge the difference; or install what it was saved with, see "
            "`saver doctor`"
        )
    return found
