"""What policies know, and what they answer."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

Range = tuple[float, float]
"""The least and the greatest value of a metric."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a run says that it has finished a step.

    Steps are counted from 0, so `step` 999 is the thousandth. `epoch` is how many epochs are finished, which
    for a loop that counts them from 0 is the epoch it is in; it may be a fraction. Seconds are of a clock
    that never goes back.
    """

    step: int
    """The step that was just finished."""

    previous: int | None = None
    """The step of the call before, or the one that was resumed from; None in the first call after a start."""

    epoch: float | None = None
    """None where this call named none."""

    previous_epoch: float | None = None
    """The epoch of the newest call before that named one; None after a start or a resume."""

    metrics: Mapping[str, float] = {}
    """Those of this call."""

    ranges: Mapping[str, Range] = {}
    """What the metrics of this run's saves reached before this moment; see `widened`. It remembers what
    `Saved` cannot: versions that were dropped since, and the save that is under way."""

    signals: frozenset[int] = frozenset()
    """The signals that arrived since the last save began."""

    since: float
    """Seconds since the last save began; since the start or the resume, if there was none."""

    cost: float | None = None
    """For how many seconds a save stops training, measured and smoothed; None before the first."""


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What the store tells of one saved version of a run, as in `saver.Version`, and its epoch."""

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
    """When to save. Joined with `|`: when any of them says so."""

    @abstractmethod
    def due(self, moment: Moment, saved: Sequence[Saved]) -> str | None:
        """Why to save now, in words that are also kept with the version; None for not now.

        `saved` holds the versions of the run that are there, oldest first.
        """

    @abstractmethod
    def next_due(self, moment: Moment, saved: Sequence[Saved]) -> str | None:
        """When it will be due after this moment, as `in 340 steps`; None for what nobody can foresee."""

    @property
    def signals(self) -> frozenset[int]:
        """The signals that must be caught for this policy."""
        return frozenset()

    @property
    def metrics(self) -> frozenset[str]:
        """What steps must tell for this policy: metrics, or `epoch`. What never comes is likely a mistake."""
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

    def due(self, moment: Moment, saved: Sequence[Saved]) -> str | None:
        reasons = (policy.due(moment, saved) for policy in self.policies)
        return "; ".join(reason for reason in reasons if reason is not None) or None

    def next_due(self, moment: Moment, saved: Sequence[Saved]) -> str | None:
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
    """Which versions to keep. Joined with `|`: those that any of them keeps."""

    @abstractmethod
    def kept(self, saved: Sequence[Saved]) -> frozenset[int]:
        """The numbers of the versions to keep among `saved`, which come oldest first.

        This is the policy alone. What must never be dropped, whatever the policy, `doomed` knows.
        """

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that this policy looks for: a name that no version has is likely a mistake."""
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

    def kept(self, saved: Sequence[Saved]) -> frozenset[int]:
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
    """`ranges` with the metrics of one more save in them; nan and infinities reach nothing."""
    wider = dict(ranges)
    for name, value in metrics.items():
        if math.isfinite(value):
            least, greatest = wider.get(name, (value, value))
            wider[name] = min(least, value), max(greatest, value)
    return wider
