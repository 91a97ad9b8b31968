"""What policies know, and what they decide."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

Range = tuple[float, float]
"""The least and the greatest value of a metric."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a run reports a finished step.

    Steps are counted from 0, so `step` 999 is the thousandth. `epoch` is the number of finished epochs,
    which in a loop that counts from 0 is the current epoch; it may be a fraction. Seconds are from a clock
    that never goes back.
    """

    step: int
    """The step that was just finished."""

    previous: int | None = None
    """The step of the previous call, or the one that was resumed from; None in the first call after a
    start."""

    epoch: float | None = None
    """None if this call named no epoch."""

    previous_epoch: float | None = None
    """The epoch of the last earlier call that named one; None after a start or a resume."""

    metrics: Mapping[str, float] = {}
    """The metrics of this call."""

    ranges: Mapping[str, Range] = {}
    """The range that each metric reached in this run's saves before this moment; see `widened`. It includes
    what `Checkpoint` cannot: versions that were dropped since, and the save in progress."""

    signals: frozenset[int] = frozenset()
    """The signals that arrived since the last save began."""

    since: float
    """Seconds since the last save began; since the start or the resume, if there was none."""

    cost: float | None = None
    """How many seconds a save stops training, measured and smoothed; None before the first save."""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What the store records about one saved version of a run, as in `saver.Version`, and its epoch."""

    number: int
    step: int | None
    time: float
    metrics: Mapping[str, float]
    tags: tuple[str, ...]
    bytes: int
    bytes_added: int
    epoch: float | None = None
    """As in `Moment`; None if it was not recorded."""


class Policy(msgspec.Struct, frozen=True):
    """When to save. Policies joined with `|` save whenever any of them would."""

    @abstractmethod
    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        """The reason to save now, in words that are also kept with the version; None if no save is due.

        `saved` holds the existing versions of the run, oldest first.
        """

    @abstractmethod
    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        """When the next save after this moment will be due, such as `in 340 steps`; None if that cannot be
        known."""

    @property
    def certain(self) -> bool:
        """Whether the numbers of the steps alone decide. Then the ranks of a run decide alike, and need not
        ask each other."""
        return False

    def foreseen(self, moment: Moment) -> bool:
        """Whether the number of the step, its epoch, or the names of its metrics show that it may be due now.
        Then all ranks of a run wait until rank 0 has decided; otherwise rank 0 decides for a step to come.
        """
        return False

    @property
    def signals(self) -> frozenset[int]:
        """The signals that must be caught for this policy."""
        return frozenset()

    @property
    def metrics(self) -> frozenset[str]:
        """What steps must report for this policy: metrics, or `epoch`. If one is never reported, that is
        probably a mistake."""
        return frozenset()

    @property
    def members(self) -> tuple[Policy, ...]:
        """The policies that were joined into this one, in a fixed order; itself for a single one."""
        return (self,)

    def __or__(self, other: Policy) -> Policy:
        if not isinstance(other, Policy):
            return NotImplemented
        found = unique(self.members + other.members)
        return found[0] if len(found) == 1 else AnyOf(found)


class AnyOf(Policy, frozen=True):
    """Policies joined with `|`: due when any of them is, with the reasons of all that are."""

    policies: tuple[Policy, ...]

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        reasons = (policy.due(moment, saved) for policy in self.policies)
        return "; ".join(reason for reason in reasons if reason is not None) or None

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        texts = (policy.next_due(moment, saved) for policy in self.policies)
        return " or ".join(text for text in texts if text is not None) or None

    @property
    def signals(self) -> frozenset[int]:
        return frozenset().union(*(policy.signals for policy in self.policies))

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset().union(*(policy.metrics for policy in self.policies))

    @property
    def members(self) -> tuple[Policy, ...]:
        return self.policies

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.policies))


class Retention(msgspec.Struct, frozen=True):
    """Which versions to keep. Policies joined with `|` keep what any of them would."""

    @abstractmethod
    def kept(self, saved: Sequence[Checkpoint]) -> frozenset[int]:
        """The numbers of the versions to keep among `saved`, which come oldest first.

        This is the policy alone. `doomed` adds what must never be dropped, whatever the policy.
        """

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that this policy needs; a name that no version has is probably a mistake."""
        return frozenset()

    @property
    def members(self) -> tuple[Retention, ...]:
        """The policies that were joined into this one, in a fixed order; itself for a single one."""
        return (self,)

    def __or__(self, other: Retention) -> Retention:
        if not isinstance(other, Retention):
            return NotImplemented
        found = unique(self.members + other.members)
        return found[0] if len(found) == 1 else AllOf(found)


class AllOf(Retention, frozen=True):
    """Policies joined with `|`: what any of them keeps is kept."""

    policies: tuple[Retention, ...]

    def kept(self, saved: Sequence[Checkpoint]) -> frozenset[int]:
        return frozenset().union(*(policy.kept(saved) for policy in self.policies))

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset().union(*(policy.metrics for policy in self.policies))

    @property
    def members(self) -> tuple[Retention, ...]:
        return self.policies

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.policies))


T = TypeVar("T")


def unique(policies: Iterable[T]) -> tuple[T, ...]:
    """Each policy once, in the order of their reprs, so that `a | b` equals `b | a`."""
    found = {repr(policy): policy for policy in policies}
    return tuple(found[text] for text in sorted(found))


def widened(ranges: Mapping[str, Range], metrics: Mapping[str, float]) -> dict[str, Range]:
    """`ranges`, widened by the metrics of one more save; nan and infinities are ignored."""
    wider = dict(ranges)
    for name, value in metrics.items():
        if math.isfinite(value):
            least, greatest = wider.get(name, (value, value))
            wider[name] = min(least, value), max(greatest, value)
    return wider
