"""The proof that a run can be resumed: the same steps, trained twice from one state, compared to the bit."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import msgspec

from saver import framework
from saver.checkpoints.objects import RANDOM, Objects
from saver.compare import Amount, ArrayChange, Difference, Field, compare
from saver.compare.sections import digits
from saver.errors import printable
from saver.opened import Opened
from saver.random_states import random_states
from saver.storage import Progress

ROUNDING = 1e-4
"""Largest change relative to the norm of an array that the order of sums can explain, over a few steps."""


class Number(NamedTuple):
    """A number that training reported for a step: a metric, or the value that `train_step` returned."""

    step: int
    name: str
    value: float


class Differing(msgspec.Struct, frozen=True):
    """A value that differed: its path, as in a `Difference`, both values as text if that is short, and the
    `amount` for an array. Without `fits` nothing could be compared: `path` is what restoring said."""

    path: str
    old: str | None = None
    new: str | None = None
    amount: Amount | None = None
    fits: bool = True

    def __str__(self) -> str:
        amount = self.amount
        if not self.fits:
            return f"what was saved cannot be restored: {self.path}"
        if self.old is not None and self.new is not None and max(len(self.old), len(self.new)) <= _SHORT:
            return f"{self.path} differs: {self.old} the first time, {self.new} the second"
        if amount is None:
            return f"{self.path} differs"
        by = "" if amount.largest is None else f", by up to {digits(amount.largest, '.2g')}"
        return f"{self.path} differs in {amount.changed:,} of {amount.entries:,} entries{by}"


_SHORT = 60


class Proof(msgspec.Struct, frozen=True):
    """Whether training resumes to the bit from what a run saves; true if it does. `str` says why not.

    `steps` steps were trained, from `start` to `last`. `differences` counts the values that differ, and
    `first` is the first of them: objects come first, in their order, then random states, then the numbers
    that training reported. `since` is the first step for which such a number differs; None if none does.
    """

    start: int
    last: int
    steps: int
    differences: int = 0
    first: Differing | None = None
    since: int | None = None
    advice: str = ""

    def __bool__(self) -> bool:
        return self.first is None

    @property
    def finding(self) -> str:
        """The result in one line, without the advice."""
        if self.first is None:
            return "all bits agree"
        text = str(self.first)
        if self.differences > 1:
            text += f", and so do {self.differences - 1:,} more"
        if self.since is not None and self.steps > 1:
            text += f"; the reported numbers first differ at step {self.since}"
        return text

    def __str__(self) -> str:
        text = f"{steps_text(self.start, self.last)}, trained twice from the same state: {self.finding}"
        return text if self.first is None else f"{text}. {self.advice}"


def steps_text(start: int, last: int) -> str:
    """`step 3`, `steps 3 to 5`."""
    return f"step {start}" if start == last else f"steps {start} to {last}"


_ORDER = "perhaps the order of the data"


class Trained(NamedTuple):
    """The result of training some steps: the state after them, and the numbers reported for them."""

    steps: Sequence[int]
    state: Opened
    reported: list[Number]


def comparable(objects: Objects) -> dict[str, Any]:
    """The content of a version that must be equal to the bit: the objects, and the random states."""
    return objects.state() | {RANDOM: random_states()}


def compared(first: Trained, second: Trained, cause: str = _ORDER, progress: Progress | None = None) -> Proof:
    """Whether the same steps, one or more, had the same result both times. `cause` is the cause that the
    advice suggests if objects differ."""
    found = compare(first.state, second.state, progress=progress)
    values = [*_missing(found), *map(_of_value, _in_order(found))]
    unequal = _unequal(first.reported, second.reported)
    listed = [*values, *(_of_numbers(old, new) for old, new in unequal)]
    start, last, steps = first.steps[0], first.steps[-1], len(first.steps)
    if not listed:
        return Proof(start, last, steps)
    since = min((number.step for pair in unequal for number in pair if number is not None), default=None)
    advice = _advice(found, values, cause, _deterministic(first.state))
    return Proof(start, last, steps, len(listed), listed[0], since, advice)


def unfit(steps: Sequence[int], error: Exception | None) -> Proof:
    """The proof of a run whose objects became others in training, so that nothing could be restored."""
    advice = (
        "Training has changed what the objects are made of, so a script that is started again cannot resume "
        "with them: make that change before resume(), from the step that the run comes back to"
    )
    return Proof(
        steps[0], steps[-1], len(steps), 1, Differing(printable(str(error)), fits=False), None, advice
    )


def _unequal(first: Iterable[Number], second: Iterable[Number]) -> list[tuple[Number | None, Number | None]]:
    return [pair for pair in zip_longest(first, second) if _bits(pair[0]) != _bits(pair[1])]


def _bits(number: Number | None) -> Any:
    return None if number is None else (number.step, number.name, struct.pack("<d", number.value))


def _missing(found: Difference) -> Iterable[Differing]:
    """Parts that only one of the two states has."""
    there, missing = "among the objects", "missing"
    for part in found.parts:
        if part.status in ("added", "removed"):
            both = (there, missing) if part.status == "removed" else (missing, there)
            yield Differing(part.name, *both)


def _in_order(found: Difference) -> Iterable[ArrayChange | Field]:
    """The values that differ, part by part. Arrays come first: weights say more than counters."""
    values: list[ArrayChange | Field] = [*found.arrays, *found.fields]
    order = {part.name: at for at, part in enumerate(found.parts)}
    return sorted(values, key=lambda value: order.get(_part(value.path, order), len(order)))


def _part(path: str, names: Iterable[str]) -> str:
    """The part that a path belongs to: the longest name with which it begins."""
    begun = (name for name in names if path == name or path.startswith((f"{name}/", f"{name} ")))
    return max(begun, key=len, default="")


def _of_value(value: ArrayChange | Field) -> Differing:
    if isinstance(value, Field):
        return Differing(value.path, value.old, value.new)
    old, new = (None if info is None else info.values for info in (value.old, value.new))
    return Differing(value.path, old, new, value.amount)


def _of_numbers(old: Number | None, new: Number | None) -> Differing:
    (number, *_) = (each for each in (old, new) if each is not None)
    first, second = ("nothing" if each is None else repr(each.value) for each in (old, new))
    return Differing(f"{printable(number.name)} at step {number.step}", first, second)


_NEXT = "add its source (the data loader, a random generator, a counter) to the objects of the run"


def _advice(found: Difference, values: Sequence[Differing], cause: str, orderly: str) -> str:
    """The likely cause, and what to do about it."""
    if not values:
        return (
            f"The state agrees, but a reported number depends on something else: {_NEXT}, or ignore it. Or "
            "training has replaced an object (`weights = ...`), and the run still holds the old one: change "
            "it in place"
        )
    drawn = [value.path for value in values if _part(value.path, [RANDOM])]
    if len(drawn) == len(values):
        return (
            "The objects agree, but different counts of random numbers were drawn, or something seeds one of "
            "the generators again: seed it once, before the run"
        )
    also = f" ({drawn[0]} differs too, so different counts of random numbers were drawn)" if drawn else ""
    advice = f"Something that is not among the objects changes it: {cause}{also}; {_NEXT}"
    if orderly and _is_rounding(values):
        advice += (
            "; or, since the change is small, sums are not computed in the same order each time: "
            f"{orderly} prevents that, or names the operation"
        )
    return advice


def _deterministic(state: Opened) -> str:
    """The setting with which a framework in use computes sums in the same order each time; "" if there is
    none. A framework was in use if the state has its random state."""
    used = {package for part in state.manifest.parts.values() for package in part.packages}
    return next((each.deterministic for name, each in framework.loaded().items() if name in used), "")


def _is_rounding(values: Iterable[Differing]) -> bool:
    """Whether all changes of arrays are small enough for rounding to explain them."""
    amounts = [value.amount for value in values]
    return all(
        amount is not None and isinstance(amount.relative, float) and amount.relative < ROUNDING
        for amount in amounts
    )
