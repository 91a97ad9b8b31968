"""A run emits events: what is known of it afterwards is what its listeners got."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every, Keep
from saver.checkpoints.events import (
    Blocked,
    Ended,
    Event,
    Listener,
    Resumed,
    SaveDue,
    SaveFailed,
    SaveSkipped,
    SaveWritten,
    SnapshotTaken,
    Started,
    StepDone,
    StepTaken,
    Stream,
)
from saver.storage import Content
from saver.storages.memory import MemoryStorage


class Gated(MemoryStorage):
    """Writes nothing before its `gate` is open, and fails while it is `full`."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.full = False

    def put(self, key: str, content: Content) -> None:
        self.gate.wait(60)
        if self.full:
            raise saver.CannotWriteError(f"{key}: no room")
        super().put(key, content)


def begun(storage: MemoryStorage, listener: Listener, *kinds: type[Event], **options: Any) -> Any:
    options = {"every": Every(steps=2), "keep": Keep(last=1), **options}
    run = saver.Saver(storage).checkpoints("run", {"w": {"a": np.zeros(3)}}, **options)
    run.listen(listener, *kinds)
    return run


def told(events: list[Event], *kinds: type[Event]) -> list[tuple[str, int]]:
    return [(type(event).__name__, event.step) for event in events if not kinds or isinstance(event, kinds)]


def test_a_run_tells_all_that_happens_in_its_order() -> None:
    events: list[Event] = []
    with begun(Gated(), events.append) as run:
        for step in range(run.resume(), 3):
            run.step(step, loss=1.0)
    training = [event for event in events if not isinstance(event, SaveWritten)]
    assert told(training) == [
        ("Started", -1), ("StepTaken", 0), ("StepDone", 0), ("StepTaken", 1), ("SaveDue", 1), ("Blocked", 1),
        ("SnapshotTaken", 1), ("StepDone", 1), ("StepTaken", 2), ("StepDone", 2), ("Ended", 2),
    ]  # fmt: skip
    assert told(events, SaveDue, SaveWritten) == [("SaveDue", 1), ("SaveWritten", 1)]


def test_what_is_known_of_a_run_is_what_was_reported() -> None:
    storage, events = MemoryStorage(), list[Event]()
    for until in (5, 11):
        events.clear()
        with begun(storage, events.append) as run:
            for step in range(run.resume(), until):
                run.step(step, loss=1.0)
        written = [event for event in events if isinstance(event, SaveWritten)]
        blocked = [event.seconds for event in events if isinstance(event, Blocked)]
        counts = Counter(type(event) for event in events)
        assert (run.progress.saves, run.progress.skipped) == (counts[SnapshotTaken], 0)
        assert run.progress.saved == written[-1].version
        assert run.progress.blocked_seconds == sum(blocked)
        assert run.progress.step == max(event.step for event in events if isinstance(event, StepTaken))
        marks = [(mark.kind, mark.step) for mark in run.log.events]
        assert marks[-len(written) :] == [("saved", event.step) for event in written]
    (resumed,) = (event for event in events if isinstance(event, Resumed))
    assert (resumed.step, str(resumed.version)) == (3, "run@2")
    assert ("resumed", 3) in marks


def test_a_save_that_is_left_out_and_one_that_fails_are_reported() -> None:
    storage, events = Gated(), list[Event]()
    run = begun(storage, events.append, SaveSkipped, SaveFailed, every=Every(steps=1), busy="skip")
    with pytest.raises(saver.CannotWriteError, match="no room") as caught, run:  # noqa: PT012
        run.step(0)
        run.flush()
        storage.gate.clear()
        run.step(1)
        run.step(2)
        storage.full = True
        storage.gate.set()
        run.flush()
    assert told(events) == [("SaveSkipped", 2), ("SaveFailed", 1)]
    (failed,) = (event for event in events if isinstance(event, SaveFailed))
    assert failed.error is caught.value
    assert run.progress.skipped == 1


@pytest.mark.parametrize("fails", [False, True])
def test_the_end_says_whether_it_failed_and_nothing_is_reported_after_it(fails: bool) -> None:
    events: list[Event] = []
    run = begun(MemoryStorage(), events.append, every=Every(steps=1))
    for _ in range(2):
        events.clear()
        try:
            with run:
                run.step(run.progress.step + 1)
                if fails:
                    raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        assert [type(event) for event in events][:1] == [Started]
        assert [event.failed for event in events if isinstance(event, Ended)] == [fails]
        assert isinstance(events[-1], Ended)


@pytest.mark.parametrize("kind", [Started, StepTaken, SaveDue, SnapshotTaken, SaveWritten, StepDone, Ended])
def test_what_a_listener_raises_the_run_raises(kind: type[Event]) -> None:
    def refuse(event: Event) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), begun(MemoryStorage(), refuse, kind, every=Every(steps=1)) as run:
        run.step(0)


def test_steps_aside_are_heard_by_one_alone_and_leave_no_trace() -> None:
    events, aside = list[Event](), list[Event]()
    with begun(MemoryStorage(), events.append, every=Every(steps=1)) as run:
        run.step(0, loss=1.0)
        run.flush()
        events.clear()
        rows, marks = run.log.rows(), run.log.events
        with run.aside(aside.append):
            run.step(1, loss=2.0)
            run.step(7, loss=3.0)
        assert (run.log.rows(), run.log.events, events) == (rows, marks, [])
        assert run.step(1, loss=4.0)
    assert told(aside) == [("StepTaken", 1), ("StepTaken", 7)]
    assert [dict(event.moment.metrics) for event in aside if isinstance(event, StepTaken)] == [
        {"loss": 2.0},
        {"loss": 3.0},
    ]


def test_who_listens_to_some_kinds_hears_those_and_who_names_none_hears_all() -> None:
    stream, some, every = Stream(), list[Event](), list[Event]()
    stream.add(some.append, Started, Ended)
    stream.add(every.append)
    happened = [Started(-1), SaveSkipped(0), Ended(0, False)]
    for event in happened:
        stream(event)
    stream.clear()
    stream(Started(-1))
    assert some == [happened[0], happened[2]]
    assert every == happened


def test_a_run_that_stops_saving_trains_on_and_its_newest_version_stays() -> None:
    storage = MemoryStorage()
    with begun(storage, lambda event: None, every=Every(steps=1)) as run:
        assert run.step(0)
        run.stop_saving()
        assert not run.step(1)
        run.save()
    assert [version.step for version in saver.Saver(storage).versions("run")] == [0]
