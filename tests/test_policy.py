"""Policies: when a run saves itself, and what stays. Everything here is decided without a disk or a clock."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saver.direction import GROWING, SHRINKING
from saver.policy import Checkpoint, Every, Keep, Moment, OnSignal, Policy, Retention, doomed, widened
from saver.repo.refs import parse_extreme

METRICS = st.dictionaries(
    st.sampled_from(["val_loss", "accuracy"]), st.floats(allow_nan=True) | st.integers(-3, 3).map(float)
)
COUNTS = st.integers(1, 9)
MODES = st.sampled_from(["min", "max"])

POLICIES = st.one_of(
    st.integers(1, 2000).map(lambda n: Every(steps=n)),
    st.floats(0, 1e9, exclude_min=True).map(lambda n: Every(minutes=n)),
    st.integers(1, 20).map(lambda n: Every(epochs=n)),
    MODES.map(lambda mode: Every(improvement="val_loss", mode=mode)),
    st.floats(0, 1, exclude_min=True, exclude_max=True).map(lambda share: Every(overhead=share)),
    st.lists(st.sampled_from(sorted(signal.valid_signals() - {9, 19})), max_size=3).map(
        lambda some: OnSignal(*some)
    ),
)
KEEPS = st.one_of(
    COUNTS.map(lambda n: Keep(last=n)),
    st.builds(lambda n, mode: Keep(best=n, by="val_loss", mode=mode), COUNTS, MODES),
    st.integers(1, 50).map(lambda n: Keep(every=n)),
    st.integers(1, 2000).map(lambda n: Keep(budget=n)),
)
JOINED = st.lists(KEEPS, min_size=1, max_size=4).map(lambda some: joined(some))

MOMENTS = st.builds(
    Moment,
    step=st.integers(0, 5000),
    previous=st.none() | st.integers(0, 5000),
    epoch=st.none() | st.integers(0, 50) | st.floats(0, 50),
    previous_epoch=st.none() | st.integers(0, 50),
    metrics=METRICS,
    signals=st.frozensets(st.sampled_from([signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])),
    since=st.floats(0, 1e5),
    cost=st.none() | st.floats(0, 100),
)


def version(number: int, **known: Any) -> Checkpoint:
    found = {"step": None, "time": 0.0, "metrics": {}, "tags": (), "bytes": 100, "bytes_added": 100} | known
    return Checkpoint(number=number, **found)


def moment(step: int = 0, since: float = 0.0, **known: Any) -> Moment:
    return Moment(step=step, since=since, **known)


def joined(some: Sequence[Any]) -> Any:
    first, *others = some
    for other in others:
        first = first | other
    return first


@st.composite
def histories(draw: st.DrawFn) -> list[Checkpoint]:
    """Versions of a run, oldest first: some were deleted, some are tagged, and the run went back at times."""
    numbers = sorted(draw(st.sets(st.integers(1, 30), max_size=12)))
    return [
        version(
            number,
            step=draw(st.none() | st.integers(0, 200)),
            metrics=draw(METRICS),
            tags=draw(st.sampled_from([(), (), (), ("best",)])),
            bytes=draw(st.integers(0, 500)),
            bytes_added=draw(st.integers(0, 500)),
            epoch=draw(st.none() | st.integers(0, 9)),
        )
        for number in numbers
    ]


# Joining


@pytest.mark.slow
@given(POLICIES, POLICIES, POLICIES, MOMENTS, histories())
def test_joined_policies_save_when_any_of_them_would(
    a: Policy, b: Policy, c: Policy, now: Moment, saved: list[Checkpoint]
) -> None:
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a | a == a
    for some in (a | b, a | b | c):
        reasons = [policy.due(now, saved) for policy in some.members]
        assert some.due(now, saved) == ("; ".join(filter(None, reasons)) or None)
    assert (a | b).signals == a.signals | b.signals
    assert (a | b).metrics == a.metrics | b.metrics


@given(KEEPS, KEEPS, KEEPS, histories())
def test_joined_policies_keep_what_any_of_them_keeps(
    a: Retention, b: Retention, c: Retention, saved: list[Checkpoint]
) -> None:
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a | a == a
    assert (a | b | c).kept(saved) == a.kept(saved) | b.kept(saved) | c.kept(saved)
    assert (a | b).metrics == a.metrics | b.metrics


@given(st.lists(POLICIES, min_size=1, max_size=4).map(joined) | JOINED)
def test_a_repr_is_what_one_writes_to_get_the_policy_again(policy: Policy | Retention) -> None:
    again = eval(repr(policy), {"Every": Every, "Keep": Keep, "OnSignal": OnSignal, "signal": signal})
    assert again == policy
    assert hash(again) == hash(policy)


def test_reprs_are_short() -> None:
    assert repr(Every(steps=1000) | Every(minutes=10) | OnSignal()) == (
        "Every(minutes=10) | Every(steps=1000) | OnSignal()"
    )
    assert repr(Keep(best=2, by="val_loss") | Keep(budget="20000 MB")) == (
        "Keep(best=2, by='val_loss', mode='min') | Keep(budget='20GB')"
    )


def test_when_to_save_and_what_to_keep_do_not_join() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        Every(steps=1) | Keep(last=1)  # type: ignore[operator]
    with pytest.raises(TypeError, match="unsupported operand"):
        Keep(last=1) | Every(steps=1)  # type: ignore[operator]


# Every


@given(
    st.integers(1, 40), st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60), st.integers(0, 5)
)
def test_steps_are_counted_on_one_grid_whatever_is_reported_and_however_often_it_resumes(
    n: int, calls: list[tuple[int, bool]], first: int
) -> None:
    """Each multiple of `n` is saved at the first call that has it behind it, kills or not."""
    saved: list[Checkpoint] = []
    previous, step = None, first - 1
    for stride, killed in calls:
        if killed:
            step = (saved[-1].step or 0) if saved else first - 1
            previous = step if saved else None
        step += stride
        reason = Every(steps=n).due(moment(step, previous=previous), saved)
        before = -1 if previous is None else previous
        crossed = any(finished % n == 0 for finished in range(before + 2, step + 2))
        assert (reason is not None) == crossed
        if reason:
            saved.append(version(len(saved) + 1, step=step))
        previous = step


def test_steps_say_when_they_are_due_again() -> None:
    every = Every(steps=1000)
    assert every.due(moment(998, previous=997), []) is None
    assert every.due(moment(999, previous=998), []) == "every 1,000 steps"
    assert every.due(moment(999, previous=999), []) is None
    assert every.due(moment(5000, previous=4999), [version(1, step=2999)]) is None
    assert every.next_due(moment(999), []) == "in 1,000 steps"
    assert every.next_due(moment(1658), []) == "in 341 steps"
    assert Every(steps=1).next_due(moment(7), []) == "in 1 step"
    assert Every(steps=1).due(moment(0), []) == "every step"


@given(st.integers(1, 50), st.integers(0, 10_000))
def test_the_next_step_that_is_announced_is_the_next_that_is_due(n: int, step: int) -> None:
    text = Every(steps=n).next_due(moment(step), [])
    assert text is not None
    left = int(text.split()[1])
    later = range(step + 1, step + left + 1)
    assert [
        at for at in later if Every(steps=n).due(moment(at, previous=at - 1), [])
    ] == [step + left]  # fmt: skip


def test_minutes_are_counted_from_the_last_save() -> None:
    every = Every(minutes=10)
    assert every.due(moment(since=599.9), []) is None
    assert every.due(moment(since=600), []) == "every 10 min"
    assert every.next_due(moment(since=0), []) == "in 10 min"
    assert every.next_due(moment(since=570), []) == "in 30 s"
    assert every.next_due(moment(since=601), []) == "now"
    assert Every(minutes=90).next_due(moment(), []) == "in 1.5 h"


def test_epochs_are_saved_once_each() -> None:
    def saves(epochs: list[float | None], every: Policy, saved: Sequence[Checkpoint] = ()) -> list[int]:
        found, previous = [], None
        for step, epoch in enumerate(epochs):
            now = moment(step, epoch=epoch, previous_epoch=previous)
            if every.due(now, saved):
                found.append(step)
            previous = epoch if epoch is not None else previous
        return found

    in_the_loop = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert saves(in_the_loop, Every(epochs=1)) == [3, 6]
    assert saves(in_the_loop, Every(epochs=2)) == [6]
    at_the_end = [None, None, 1, None, None, 2]
    assert saves(at_the_end, Every(epochs=1)) == [2, 5]
    assert saves([0.5, 1.0, 1.5, 2.0], Every(epochs=1)) == [1, 3]
    assert saves([None, math.nan], Every(epochs=1)) == []
    # After a resume it goes on from what was saved, as far as that is known.
    assert saves([4, 4, 5], Every(epochs=1), [version(1, epoch=4), version(2)]) == [2]
    assert saves([5, 5], Every(epochs=1), [version(1, epoch=4)]) == [0]
    assert saves([4, 4], Every(epochs=1), [version(1)]) == []


def test_epochs_say_when_they_are_due_again() -> None:
    assert Every(epochs=1).due(moment(epoch=1), []) == "every epoch"
    assert Every(epochs=5).due(moment(epoch=5), []) == "every 5 epochs"
    assert Every(epochs=5).next_due(moment(epoch=7), []) == "in 3 epochs"
    assert Every(epochs=1).next_due(moment(epoch=7.9), []) == "in 1 epoch"
    assert Every(epochs=1).next_due(moment(), []) == "when step(epoch=...) says so"


@given(st.lists(st.floats()), MODES, st.booleans())
def test_an_improvement_beats_every_save_before_it(values: list[float], mode: Any, dropped: bool) -> None:
    """Whether the versions before are still there or not."""
    every, better = Every(improvement="val_loss", mode=mode), min if mode == "min" else max
    saved: list[Checkpoint] = []
    ranges: dict[str, tuple[float, float]] = {}
    best: list[float] = []
    for number, value in enumerate(values, 1):
        now = moment(metrics={"val_loss": value}, ranges=ranges)
        improves = math.isfinite(value) and (not best or better(value, best[-1]) != best[-1])
        assert (every.due(now, saved) is not None) == improves
        if improves:
            best.append(value)
            if dropped:
                ranges = widened(ranges, now.metrics)
            else:
                saved.append(version(number, metrics=now.metrics))


def test_nothing_is_compared_with_what_is_not_finite() -> None:
    every = Every(improvement="val_loss")
    wild = [version(1, metrics={"val_loss": math.nan}), version(2, metrics={"val_loss": -math.inf})]
    assert every.next_due(moment(), wild) == "with the first val_loss"
    assert every.due(moment(metrics={"val_loss": 5.0}), wild) == "val_loss 5, best so far"
    assert every.due(moment(metrics={"val_loss": -math.inf}), []) is None
    assert widened({}, {"val_loss": math.nan, "accuracy": math.inf}) == {}
    assert widened({"val_loss": (1.0, 2.0)}, {"val_loss": 3.0, "loss": 0.5}) == {
        "val_loss": (1.0, 3.0),
        "loss": (0.5, 0.5),
    }


def test_an_improvement_says_what_it_beats() -> None:
    every = Every(improvement="val_loss")
    assert every.metrics == {"val_loss"}
    assert every.next_due(moment(), []) == "with the first val_loss"
    assert every.due(moment(metrics={"val_loss": 0.31}), []) == "val_loss 0.31, best so far"
    saved = [version(1, metrics={"val_loss": 0.31}), version(2, metrics={"val_loss": math.nan}), version(3)]
    assert every.next_due(moment(), saved) == "when val_loss is below 0.31"
    assert every.due(moment(metrics={"val_loss": 0.31}), saved) is None
    assert every.due(moment(metrics={"loss": 0.1}), saved) is None
    assert every.due(moment(metrics={"val_loss": math.nan}), []) is None
    assert Every(improvement="accuracy", mode="max").due(moment(metrics={"accuracy": 0.9}), []) is not None


@pytest.mark.slow
@given(st.floats(0.001, 0.5), st.floats(0.01, 5), st.lists(st.floats(0.01, 20), min_size=50, max_size=200))
def test_saving_stops_training_for_no_more_than_its_share(
    share: float, cost: float, steps: list[float]
) -> None:
    clock, last, blocked, saves, longest = 0.0, 0.0, 0.0, 0, max(steps)
    for step, seconds in enumerate(steps):
        clock += seconds
        now = moment(step, since=clock - last, cost=cost if saves else None)
        if Every(overhead=share).due(now, []):
            assert blocked <= share * clock + 1e-6, "what was blocked until now, over all the time until now"
            last, saves, blocked, clock = clock, saves + 1, blocked + cost, clock + cost
        else:
            assert now.since < max(10.0, cost / share), "as often as it may"
    assert saves or clock < 10.0 + longest


def test_the_share_of_time_says_what_it_waits_for() -> None:
    every = Every(overhead=0.01)
    assert every.due(moment(since=9.9), []) is None
    assert every.due(moment(since=10), []) == "to measure what a save costs"
    assert every.due(moment(since=49, cost=0.5), []) is None
    assert every.due(moment(since=50, cost=0.5), []) == "saving takes at most 1 % of the time"
    assert every.due(moment(since=9, cost=0.0), []) is None, "free saves are no reason for endless ones"
    assert every.next_due(moment(since=20, cost=0.5), []) == "in 30 s"


def test_a_signal_saves_if_it_was_named() -> None:
    assert OnSignal().signals == {signal.SIGTERM, signal.SIGUSR1}
    assert OnSignal(signal.SIGUSR2).signals == {signal.SIGUSR2}
    assert OnSignal("SIGTERM", "SIGINT") == OnSignal(signal.SIGINT, signal.SIGTERM)
    both = moment(signals=frozenset({signal.SIGUSR1, signal.SIGTERM, signal.SIGINT}))
    assert OnSignal().due(both, []) == "SIGUSR1, SIGTERM"
    assert OnSignal(signal.SIGUSR2).due(both, []) is None
    assert OnSignal().due(moment(), []) is None
    assert OnSignal().next_due(moment(), []) is None
    assert OnSignal(signal.SIGTERM, 40).due(moment(signals=frozenset({40})), []) == "signal 40"


def test_joined_policies_tell_all_their_reasons_and_terms() -> None:
    every = Every(steps=1000) | Every(minutes=10) | OnSignal()
    now = moment(999, since=700, signals=frozenset({signal.SIGTERM}))
    assert every.due(now, []) == "every 10 min; every 1,000 steps; SIGTERM"
    assert every.due(moment(5, since=1, previous=4), []) is None
    assert every.next_due(moment(659, since=360), []) == "in 4 min or in 340 steps"
    assert (OnSignal(10) | OnSignal(12)).next_due(moment(), []) is None


# Keep


@pytest.mark.slow
@given(histories(), JOINED, st.data())
def test_what_must_stay_stays_whatever_the_policy(
    saved: list[Checkpoint], keep: Retention, data: st.DataObject
) -> None:
    numbers = [one.number for one in saved]
    verified = data.draw(st.sampled_from([*numbers, None, 31]))
    gone = doomed(saved, keep, verified)
    assert gone == sorted(gone)
    assert set(gone) <= set(numbers)
    left = [one for one in saved if one.number not in gone]
    if saved:
        assert saved[-1] in left
    assert {one.number for one in saved if one.tags} <= {one.number for one in left}
    assert keep.kept(saved) <= {one.number for one in left}
    if verified in numbers:
        assert verified not in gone
        assert set(gone) == set(numbers) - keep.kept(saved) - {saved[-1].number, verified} - {
            one.number for one in saved if one.tags
        }
        assert doomed(left, keep, verified) == [], "what stayed stays when it is asked again"
    else:
        assert gone == [], "none is known to be sound"


@pytest.mark.slow
@given(histories(), KEEPS, KEEPS)
def test_joining_a_policy_never_drops_more(saved: list[Checkpoint], a: Retention, b: Retention) -> None:
    for verified in (one.number for one in saved):
        assert set(doomed(saved, a | b, verified)) <= set(doomed(saved, a, verified))


@pytest.mark.parametrize("word", sorted(GROWING | SHRINKING))
def test_a_name_tells_which_way_is_better_as_it_does_in_a_ref(word: str) -> None:
    for name in (word, f"val_{word}", f"val/{word.upper()}@5"):
        wanted = parse_extreme(f"best:{name}")
        assert wanted is not None
        mode: Any = "max" if wanted.largest else "min"
        assert Keep(best=2, by=name) == Keep(best=2, by=name, mode=mode)
        assert Every(improvement=name) == Every(improvement=name, mode=mode)


@pytest.mark.slow
@given(histories(), COUNTS, MODES)
def test_asking_for_more_keeps_more(saved: list[Checkpoint], n: int, mode: Any) -> None:
    grown: list[Callable[[int], Retention]] = [
        lambda n: Keep(last=n),
        lambda n: Keep(best=n, by="val_loss", mode=mode),
        lambda n: Keep(budget=100 * n),
    ]
    for make in grown:
        assert make(n).kept(saved) <= make(n + 1).kept(saved)


def test_the_last_so_many_are_kept() -> None:
    saved = [version(number) for number in (1, 2, 5, 6)]
    assert Keep(last=3).kept(saved) == {2, 5, 6}
    assert Keep(last=9).kept(saved) == {1, 2, 5, 6}
    assert doomed(saved, Keep(last=1), 5) == [1, 2]


def test_the_best_are_kept_and_of_equals_the_first() -> None:
    losses = {1: 0.5, 2: 0.3, 3: math.nan, 4: 0.3, 5: -math.inf, 6: 0.4}
    saved = [version(number, metrics={"val_loss": loss}) for number, loss in losses.items()] + [version(7)]
    assert Keep(best=1, by="val_loss").kept(saved) == {2}
    assert Keep(best=3, by="val_loss", mode="min").kept(saved) == {2, 4, 6}
    assert Keep(best=2, by="val_loss", mode="max").kept(saved) == {1, 6}
    assert Keep(best=2, by="other", mode="max").kept(saved) == set()


@pytest.mark.slow
@given(histories(), st.integers(1, 50))
def test_one_is_kept_for_each_multiple_of_steps(saved: list[Checkpoint], n: int) -> None:
    kept = Keep(every=n).kept(saved)
    finished = {one.number: one.step + 1 for one in saved if one.step is not None}
    reached = {steps // n for steps in finished.values() if steps >= n}
    assert sorted(finished[number] // n for number in kept) == sorted(reached)
    for number, steps in finished.items():
        if steps >= n and steps % n == 0:
            newest = max(other for other, same in finished.items() if same == steps)
            assert newest in kept, f"{number} lies on the grid"


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_what_was_kept_at_a_multiple_of_steps_is_kept_for_ever(strides: list[int], n: int) -> None:
    saved: list[Checkpoint] = []
    kept: frozenset[int] = frozenset()
    step = -1
    for number, stride in enumerate(strides, 1):
        step += stride
        saved.append(version(number, step=step))
        assert kept <= Keep(every=n).kept(saved)
        kept = Keep(every=n).kept(saved)
        saved = [one for one in saved if one.number in kept or one is saved[-1]]


@given(
    st.lists(st.lists(st.integers(0, 60), min_size=3, max_size=3), min_size=1, max_size=10),
    st.sets(st.integers(1, 10)),
    st.integers(1, 400),
)
def test_a_budget_holds_on_the_disk(changes: list[list[int]], deleted: set[int], budget: int) -> None:
    """Versions of three parts, each of which is replaced (by so many new bytes) or stays as it was."""
    parts = [(0, 0)] * 3
    saved: list[Checkpoint] = []
    stored: dict[int, set[tuple[int, int]]] = {}
    for number, sizes in enumerate(changes, 1):
        new = {(number * 3 + place, size) for place, size in enumerate(sizes) if size > 20}
        parts = [
            (number * 3 + place, size) if size > 20 else parts[place] for place, size in enumerate(sizes)
        ]
        stored[number] = set(parts)
        whole, added = sum(size for _, size in set(parts)), sum(size for _, size in new)
        saved.append(version(number, bytes=whole, bytes_added=added))
    left = [one for one in saved if one.number not in deleted]
    kept = sorted(Keep(budget=budget).kept(left))

    def taken(numbers: Sequence[int]) -> int:
        return sum(size for _, size in set().union(*(stored[number] for number in numbers)))

    assert kept == [one.number for one in left][len(left) - len(kept) :], "the newest"
    assert taken(kept) <= budget
    if not deleted and len(kept) < len(saved):
        older = [one.number for one in saved][len(saved) - len(kept) - 1 :]
        assert taken(older) > budget, "one more would not have fitted"


def test_weights_that_never_change_count_once_in_a_budget() -> None:
    adapters = [version(1, bytes=10_100, bytes_added=10_100)] + [
        version(number, bytes=10_100, bytes_added=100) for number in range(2, 50)
    ]
    assert len(Keep(budget=12_100).kept(adapters)) == 21
    assert len(Keep(budget=12_100).kept([one for one in adapters if one.number != 48])) == 1
    assert Keep(budget=10_000).kept(adapters) == set()
    assert doomed(adapters, Keep(budget=10_000), 49) == list(range(1, 49))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9), ("20 gb", 20 * 10**9), ("1.5kB", 1500), ("1.5 KiB", 1536), ("2MiB", 2 << 20),
        ("3TiB", 3 << 40), ("0.1TB", 10**11), ("7B", 7), (12345, 12345), (np.int64(1000), 1000),
        ("0.1GB", 10**8), ("1PB", 10**15),
    ],
)  # fmt: skip
def test_sizes_are_read_exactly(text: str | int, size: int) -> None:
    assert Keep(budget=text) == Keep(budget=size)
    assert Keep(budget=size - 1 or 1).kept([version(1, bytes=size)]) == set()
    assert Keep(budget=text).kept([version(1, bytes=size)]) == {1}


# Misuse


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (lambda: Every(), TypeError, r"given nothing; pass exactly one of steps.* join several: Every\("),
        (lambda: Every(steps=1, minutes=2), TypeError, r"steps and minutes together.*\| Every\(min"),
        (lambda: Every(steps=0), ValueError, r"whole number of at least 1, as in Every\(steps=1000\)"),
        (lambda: Every(steps=1e3), TypeError, r"Every\(steps=1000.0\): steps must be a whole number"),
        (lambda: Every(steps=True), TypeError, "whole number"),
        (lambda: Every(epochs=-1), ValueError, "whole number of at least 1"),
        (lambda: Every(minutes=0), ValueError, "above 0, as in minutes=10"),
        (lambda: Every(minutes=math.nan), ValueError, "above 0"),
        (lambda: Every(minutes=math.inf), ValueError, "above 0"),
        (lambda: Every(minutes="10"), TypeError, "above 0"),
        (lambda: Every(overhead=1), ValueError, "write 0.01 for 1 %"),
        (lambda: Every(improvement=""), TypeError, 'improvement="val_loss"'),
        (lambda: Every(improvement="loss", mode="less"), ValueError, 'mode="min" or mode="max"'),
        (lambda: Every(improvement="val/x"), ValueError, 'not known.*write mode="max" or mode="min"'),
        (lambda: Keep(best=1, by="loss_accuracy"), ValueError, 'not known.*write mode="max" or mode="min"'),
        (lambda: Every(steps=5, mode="min"), TypeError, "mode belongs to improvement"),
        (lambda: OnSignal("SIGNOPE"), TypeError, r"OnSignal\(signal.SIGTERM\)"),
        (lambda: OnSignal(signal.SIGKILL), ValueError, "no program can catch SIGKILL"),
        (lambda: OnSignal(4000), ValueError, "no such signal"),
        (lambda: Keep(), TypeError, r"given nothing; pass exactly one of last, best, every, budget"),
        (lambda: Keep(last=3, every=5), TypeError, r"last and every together.*: Keep\(last=3\) \|"),
        (lambda: Keep(best=2), TypeError, r'needs a metric; write Keep\(best=2, by="val_loss"\)'),
        (lambda: Keep(best=2, by="x"), ValueError, r"Keep\(best=2, by='x'\): it is not known"),
        (lambda: Keep(last=2, by="loss"), TypeError, "by and mode belong to best"),
        (lambda: Keep(last=0), ValueError, r"as in Keep\(last=3\)"),
        (lambda: Keep(budget="20"), ValueError, r'write a size such as "20GB"'),
        (lambda: Keep(budget="20G"), ValueError, r'"20GiB" \(2\*\*30 each\)'),
        (lambda: Keep(budget="-1GB"), ValueError, "write a size"),
        (lambda: Keep(budget="0.1B"), ValueError, "write a size"),
        (lambda: Keep(budget=True), ValueError, "write a size"),
        (lambda: Keep(budget=1.5), ValueError, "write a size"),
    ],
)  # fmt: skip
def test_misuse_is_answered_with_what_to_write(
    make: Callable[[], Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says):
        make()


def test_policies_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Every(steps=5).steps = 6  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        Keep(last=5).count = 6  # type: ignore[attr-defined]
