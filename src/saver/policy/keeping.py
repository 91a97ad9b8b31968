"""What to keep: `Keep`, and the one function that decides what is dropped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import overload

from saver.direction import Mode
from saver.policy.arguments import metric, mode_of, one_of, size_of, size_text, whole
from saver.policy.contract import Checkpoint, Retention


def doomed(saved: Sequence[Checkpoint], keep: Retention, verified: int | None) -> list[int]:
    """The numbers of the versions to drop according to `keep`, oldest first; `saved` is sorted oldest first.

    Regardless of the policy, three kinds are never dropped: the newest version, versions with a tag, and
    `verified`, the newest whose bytes are known to be whole. If no version is known to be whole (None, or a
    number that is not among `saved`), nothing is dropped: any of them may be the only sound one.
    """
    numbers = [version.number for version in saved]
    if verified not in numbers:
        return []
    tagged = {version.number for version in saved if version.tags}
    safe = keep.kept(saved) | tagged | {verified, max(numbers)}
    return [number for number in numbers if number not in safe]


@overload
def Keep(*, last: int) -> Retention: ...
@overload
def Keep(*, best: int, by: str, mode: Mode | None = None) -> Retention: ...
@overload
def Keep(*, every: int) -> Retention: ...
@overload
def Keep(*, budget: str | int) -> Retention: ...
def Keep(
    *,
    last: int | None = None,
    best: int | None = None,
    every: int | None = None,
    budget: str | int | None = None,
    by: str | None = None,
    mode: Mode | None = None,
) -> Retention:
    """Keep some of the versions. Takes one of these arguments. Join several policies with `|`, which keeps
    what any of them keeps:

    `last`: this many of the newest.

    `best`: this many of the best, `by` a metric. Its name tells which way is better (`auc`, `val_loss`; as
    in docs/finding.md), or else `mode="max"` or `mode="min"` does. Of equal ones, the first is kept. Versions
    without the metric, or with nan or an infinity, do not count.

    `every`: one for every this many steps: for each multiple, the first version that was saved at it or
    after it, before the next multiple.

    `budget`: the newest that fit together into this many bytes: `"20GB"` is 20 * 10**9, `"20GiB"` is 20 *
    2**30. A version counts as the bytes that it added to the one before, or whole if that one is not kept
    with it, so weights that never change count once. It is not a cap: the newest version is kept however
    large it is, versions that tags and other policies keep come on top, and dropped versions take space
    until `gc` has freed it. Bytes that were freed and saved again (an old state) may be
    counted too low.

    The newest version, the newest verified one and those with a tag are kept in any case; see `doomed`.

    Raises TypeError or ValueError; the message says what to write instead.
    """
    given = {"last": last, "best": best, "every": every, "budget": budget}
    name = one_of("Keep", 'Keep(last=3) | Keep(best=2, by="val_loss")', given)
    if name == "best":
        if by is None:
            raise TypeError(f'Keep(best={best!r}) needs a metric; write Keep(best={best!r}, by="val_loss")')
        named = metric("Keep", "by", by)
        call = f"Keep(best={best!r}, by={named!r})"
        return Best(whole("Keep", name, best, 2), named, mode_of(call, named, mode))
    if by is not None or mode is not None:
        raise TypeError(f"Keep({name}=...): by and mode belong to best; leave them out")
    if name == "last":
        return Last(whole("Keep", name, last, 3))
    if name == "every":
        return Spaced(whole("Keep", name, every, 10_000))
    return Budget(size_of("Keep", "budget", budget))


class Last(Retention, frozen=True):
    """`Keep(last=...)`: the newest `count` versions."""

    count: int

    def kept(self, saved: Sequence[Checkpoint]) -> frozenset[int]:
        return frozenset(version.number for version in saved[-self.count :])

    def __repr__(self) -> str:
        return f"Keep(last={self.count})"


class Best(Retention, frozen=True):
    """`Keep(best=...)`: the best `count` versions by a metric; of equal ones, the first."""

    count: int
    by: str
    mode: Mode

    def kept(self, saved: Sequence[Checkpoint]) -> frozenset[int]:
        sign = 1 if self.mode == "min" else -1
        ranked = sorted(
            (sign * value, version.number)
            for version in saved
            if math.isfinite(value := version.metrics.get(self.by, math.nan))
        )
        return frozenset(number for _, number in ranked[: self.count])

    @property
    def metrics(self) -> frozenset[str]:
        return frozenset({self.by})

    def __repr__(self) -> str:
        return f"Keep(best={self.count}, by={self.by!r}, mode={self.mode!r})"


class Spaced(Retention, frozen=True):
    """`Keep(every=...)`: the first version at or after each multiple of `steps`, before the next multiple."""

    steps: int

    def kept(self, saved: Sequence[Checkpoint]) -> frozenset[int]:
        first: dict[int, tuple[int, int]] = {}
        for version in saved:
            if version.step is None:
                continue
            finished = version.step + 1
            multiple = finished // self.steps
            # If a step was saved again after the run went back, the newer version is the sound one.
            rank = finished, -version.number
            if multiple and rank < first.get(multiple, (math.inf, 0)):
                first[multiple] = rank
        return frozenset(-negated for _, negated in first.values())

    def __repr__(self) -> str:
        return f"Keep(every={self.steps})"


class Budget(Retention, frozen=True):
    """`Keep(budget=...)`: the newest versions that fit together into `size` bytes."""

    size: int

    def kept(self, saved: Sequence[Checkpoint]) -> frozenset[int]:
        found: list[Checkpoint] = []
        newer = 0  # the bytes of all but the oldest of those found
        for version in reversed(saved):
            if found:
                oldest = found[-1]
                follows = version.number == oldest.number - 1
                newer += oldest.bytes_added if follows else oldest.bytes
            if newer + version.bytes > self.size:
                break
            found.append(version)
        return frozenset(version.number for version in found)

    def __repr__(self) -> str:
        return f"Keep(budget={size_text(self.size)!r})"
