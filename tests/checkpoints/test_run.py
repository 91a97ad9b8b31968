"""A run saves itself by its policy, and resumes."""

from __future__ import annotations

import errno
import gc
import os
import random
import re
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every, Keep, OnSignal, memory
from saver.device import Copying
from saver.policy import Moment, Policy
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key
from saver.staging import Snapshot, Staging, Torn
from saver.storage import Bytes, Content
from saver.storages.memory import MemoryStorage
from saver.tensors import TensorData


class Counter:
    """Something that trains: what it becomes depends on every step and every random number."""

    def __init__(self) -> None:
        self.weights = np.zeros(1000)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights.copy()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = state["weights"].copy()

    def train(self, step: int) -> float:
        self.weights = self.weights * 0.9 + np.random.rand(1000) + random.random() + step
        return float(self.weights.sum())


def train(store: saver.Saver, until: int, stop: int | None = None, **options: Any) -> tuple[Counter, Any]:
    counter = Counter()
    random.seed(1)
    np.random.seed(1)
    options = {"every": Every(steps=3), "keep": Keep(last=2), **options}
    run = store.checkpoints("run", {"counter": counter}, **options)
    with run:
        for step in range(run.resume(), until):
            if step == stop:
                break
            run.step(step, loss=counter.train(step))
    return counter, run


@pytest.fixture
def store() -> saver.Saver:
    return saver.Saver(MemoryStorage())


def test_a_run_that_was_stopped_goes_on_to_the_bit(store: saver.Saver) -> None:
    whole, whole_run = train(saver.Saver(MemoryStorage()), 20)
    for stop in (5, 6, 11, 16):
        train(store, 20, stop)
    resumed, run = train(store, 20)
    assert (resumed.weights == whole.weights).all()
    for mine, its in zip(run.log["loss"], whole_run.log["loss"], strict=True):
        assert (mine == its).all()
    assert [event.kind for event in run.log.events].count("resumed") >= 1


def test_versions_are_saved_by_the_policy_and_kept_by_the_other(store: saver.Saver) -> None:
    train(store, 14)
    versions = store.versions("run")
    assert [version.step for version in versions] == [8, 11]
    assert list(versions[-1].parts) == ["counter", "log", "random", "run"]
    assert store.version("run").metrics.keys() == {"loss"}
    assert store.check().sound


def test_a_newest_version_whose_manifest_is_lost_is_gone_back_from_too(store: saver.Saver) -> None:
    train(store, 7)
    newest = store.version("run")
    store.storage.delete(manifest_key(newest.manifest, newest.file))
    with _run(store) as run, pytest.warns(UserWarning, match="resumed from run@1; run@2 could not be used"):
        assert run.resume() == 3


@pytest.mark.parametrize("steps", [1, 3])
def test_after_going_back_a_save_is_due_from_where_the_run_goes_on(store: saver.Saver, steps: int) -> None:
    """The version that could not be used counts for nothing, though the store still lists it."""
    every = {"every": Every(steps=steps), "keep": None}
    train(store, 2 * steps, **every)
    newest = store.version("run")
    store.storage.delete(manifest_key(newest.manifest, newest.file))
    with _run(store, **every) as run:
        with pytest.warns(UserWarning, match="could not be used"):
            assert run.resume() == steps
        assert run.step(2 * steps - 1)


def test_the_newest_version_that_verifies_is_taken_and_it_says_so(store: saver.Saver) -> None:
    whole, _ = train(saver.Saver(MemoryStorage()), 20)
    train(store, 14)
    newest = store.version("run")
    older = store.versions("run")[-2]
    (own,) = set(newest.packs) - set(older.packs)
    raw = bytearray(store.storage.read(pack_key(own)))
    raw[-5] ^= 1
    store.storage.delete(pack_key(own))
    store.storage.put(pack_key(own), Bytes(bytes(raw)))
    with pytest.warns(UserWarning, match=rf"resumed from {older}; {newest} could not be used"):
        resumed, _ = train(store, 20)
    assert (resumed.weights == whole.weights).all()


@pytest.mark.parametrize(
    ("obj", "way"),
    [(3, "{'thing': {'value': ...}}"), ((1, 2), "{'thing': {'value': ...}}"), (object(), "load_state_dict")],
)
def test_what_cannot_be_put_back_in_place_is_refused_before_days_of_training(
    store: saver.Saver, obj: Any, way: str
) -> None:
    with pytest.raises(saver.CannotSaveError, match=r"thing: .* the run could not resume") as caught:
        store.checkpoints("run", {"thing": obj}, every=Every(steps=1))
    assert way in str(caught.value)


def test_objects_that_were_not_saved_cannot_be_resumed(store: saver.Saver) -> None:
    train(store, 5)
    run = store.checkpoints("run", {"counter": Counter(), "other": [1]}, every=Every(steps=1))
    with run, pytest.raises(saver.SaverError, match="run@1 has counter; the run has counter, other"):
        run.resume()


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({"log": []}, "log: the run itself"),
        ({"data": (n for n in range(3))}, "data: a generator cannot be resumed"),
    ],
)
def test_what_cannot_be_resumed_is_refused_at_once(
    store: saver.Saver, objects: dict[str, Any], message: str
) -> None:
    with pytest.raises(saver.CannotSaveError, match=message):
        store.checkpoints("run", objects, every=Every(steps=1))


def test_outside_of_with_nothing_is_done(store: saver.Saver) -> None:
    run = store.checkpoints("run", {"counter": Counter()}, every=Every(steps=1))
    for act in (run.resume, lambda: run.step(0), run.flush, run.save):
        with pytest.raises(saver.CannotSaveError, match="with run:"):
            act()


class Failing(MemoryStorage):
    """A store whose disk is full while `full`."""

    full = False

    def put(self, key: str, content: Content) -> None:
        if self.full:
            raise saver.CannotWriteError(f"{key}: no room")
        super().put(key, content)


@pytest.mark.parametrize("where", ["step", "flush", "exit"])
def test_an_error_in_the_background_cannot_be_missed(where: str) -> None:
    place = Failing()
    store = saver.Saver(place)
    counter = Counter()
    run = store.checkpoints("run", {"counter": counter}, every=Every(steps=1))
    with pytest.raises(saver.CannotWriteError, match="no room"), run:  # noqa: PT012
        run.step(0)
        run.flush()
        place.full = True
        run.step(1)
        if where == "step":
            while run._saving.writer.busy:
                time.sleep(0.001)
            run.step(2)
        elif where == "flush":
            run.flush()
    place.full = False
    assert store.version("run").step == 0, "the last good version stays"
    with store.checkpoints("run", {"counter": counter}, every=Every(steps=1)) as again:
        assert again.resume() == 1
        again.step(1)
    assert store.version("run").step == 1


def test_after_an_error_the_same_run_goes_on() -> None:
    place = Failing()
    store = saver.Saver(place)
    run = store.checkpoints("run", {"counter": Counter()}, every=Every(steps=1))
    with run:
        place.full = True
        run.step(0)
        with pytest.raises(saver.CannotWriteError):
            run.flush()
        place.full = False
        run.step(1)
        run.flush()
    assert store.version("run").step == 1


def test_an_error_of_the_loop_comes_first_and_tells_of_the_other() -> None:
    place = Failing()
    run = saver.Saver(place).checkpoints("run", {"counter": Counter()}, every=Every(steps=1))
    with pytest.raises(KeyError) as caught, run:  # noqa: PT012
        place.full = True
        run.step(0)
        raise KeyError("mine")
    assert "the last save failed" in str(caught.value.__notes__)


@pytest.mark.parametrize("leave", [SystemExit(0), SystemExit(None), SystemExit()])
def test_a_process_does_not_end_well_with_a_save_that_failed(leave: SystemExit) -> None:
    place = Failing()
    run = saver.Saver(place).checkpoints("run", {"counter": Counter()}, every=Every(steps=1))
    with pytest.raises(saver.CannotWriteError, match="no room"), run:  # noqa: PT012
        place.full = True
        run.step(0)
        raise leave


def test_an_exit_code_of_the_loop_stays(store: saver.Saver) -> None:
    with pytest.raises(SystemExit, match="3"), _run(store) as run:  # noqa: PT012
        run.step(0)
        raise SystemExit(3)
    with pytest.raises(SystemExit) as caught, _run(store) as run:  # noqa: PT012
        run.step(run.resume())
        raise SystemExit(0)
    assert caught.value.code == 0
    assert store.version("run").step == 1


def _run(store: saver.Saver, **options: Any) -> Any:
    return store.checkpoints("run", {"counter": Counter()}, **{"every": Every(steps=1), **options})


NEVER_LEFT = """
import sys
import threading
import saver
from saver import Every

store = saver.Saver(sys.argv[1])
run = store.checkpoints("run", {"weights": {"w": 1}}, every=Every(steps=1))
run.__enter__()
run.step(0)
if sys.argv[2] == "failing":
    run.flush()

    def create(key, data):
        raise saver.CannotWriteError("no room")

    store.storage.create = create
    run.step(1)
sys.exit(0)
"""


@pytest.mark.parametrize(("how", "code"), [("well", 0), ("failing", 1)])
def test_a_run_that_nobody_left_is_on_disk_or_the_process_fails(how: str, code: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NEVER_LEFT, str(tmp_path / "models"), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("no room" in done.stderr) == (how == "failing")
    assert saver.Saver(tmp_path / "models").version("run").step == 0


class Slow(MemoryStorage):
    """A store that takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def put(self, key: str, content: Content) -> None:
        self.gate.wait(30)
        super().put(key, content)


def test_a_save_that_comes_too_soon_is_left_out_if_the_caller_said_so() -> None:
    place = Slow()
    store = saver.Saver(place)
    run = store.checkpoints("run", {"counter": Counter()}, every=Every(steps=1), busy="skip")
    with run:
        assert run.step(0)
        assert not run.step(1)
        assert run.progress.skipped == 1
        place.gate.set()
        run.flush()
        assert run.step(2)
    assert [version.step for version in store.versions("run")] == [0, 2]


def test_step_returns_while_it_writes() -> None:
    place = Slow()
    store = saver.Saver(place)
    with store.checkpoints("run", {"counter": Counter()}, every=Every(steps=1)) as run:
        run.step(0)
        assert not store.exists() or not store.models(), "nothing is acknowledged before it is on disk"
        place.gate.set()
        run.flush()
        assert store.models() == ["run"]


def test_tagged_versions_are_never_dropped(store: saver.Saver) -> None:
    train(store, 4)
    store.tag("run@1", "keep")
    train(store, 20)
    assert store.version("run@keep").number == 1
    assert len(store.versions("run")) == 3


def test_a_version_that_is_tagged_while_the_run_drops_it_stays(store: saver.Saver, monkeypatch: Any) -> None:
    """Whether it may go is decided by what the record finds, not by what was read before."""
    with _run(store, keep=Keep(last=1)) as run:
        run.step(0)
        run.flush()
        repo, append = run._repo, run._repo.append

        def after_another(decide: Any) -> Any:
            saver.Saver(store.storage).tag("run@1", "mine")
            return append(decide)

        monkeypatch.setattr(repo, "append", after_another)
        run.step(1)
    assert [(version.number, version.tags) for version in store.versions("run")] == [(1, ("mine",)), (2, ())]


class Always(Policy, frozen=True):
    """Records what policies get."""

    def due(self, moment: Moment, saved: Any) -> str | None:
        MOMENTS.append((moment, len(saved)))
        return "always"

    def next_due(self, moment: Moment, saved: Any) -> str | None:
        return None


MOMENTS: list[tuple[Moment, int]] = []


def test_policies_get_what_is_known(store: saver.Saver) -> None:
    MOMENTS.clear()
    with store.checkpoints("run", {"counter": Counter()}, every=Always()) as run:
        for step in range(3):
            run.step(step, epoch=step // 2, loss=1.0 - step)
            run.flush()
    first, second, third = (moment for moment, _ in MOMENTS)
    assert (first.previous, second.previous, third.previous_epoch) == (None, 0, 0)
    assert first.cost is None
    assert second.cost is not None
    assert third.ranges == {"loss": (0.0, 1.0)}
    assert [count for _, count in MOMENTS] == [0, 1, 2]
    MOMENTS.clear()
    with store.checkpoints("run", {"counter": Counter()}, every=Always()) as run:
        assert run.resume() == 3
        run.step(3)
    assert MOMENTS[0][0].ranges == {"loss": (-1.0, 1.0)}, "what was best survives a resume"
    assert MOMENTS[0][1] == 3


def test_what_a_save_costs_includes_what_an_optimizer_waits_for_it(store: saver.Saver) -> None:
    """With a stand-in for an optimizer: it is its next step that waits."""
    with _run(store, every=Always()) as run:
        run.step(0)
        run.flush()
        MOMENTS.clear()
        copy = Waits(0.5)
        run._saving._snapshot = Snapshot({}, [copy])
        run._saving._hold(0)
        assert copy.held
        run.step(1)
    ((moment, _),) = MOMENTS
    assert moment.cost is not None
    assert moment.cost >= 0.5
    assert run.progress.blocked_seconds >= 0.5


class Waits(Copying):
    """A copy that takes a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.held = False

    def hold(self) -> None:
        time.sleep(self.seconds)
        self.held = True

    def wait(self) -> None:
        raise AssertionError("nobody writes it")


def test_a_resume_goes_on_with_the_epoch_that_was_saved(store: saver.Saver) -> None:
    with _run(store, every=Every(epochs=1)) as run:
        assert not run.step(0, epoch=0.5)
        assert run.step(1, epoch=1)
    with _run(store, every=Every(epochs=1)) as run:
        assert run.resume() == 2
        assert not run.step(2, epoch=1.5)
        assert run.step(3, epoch=2)
    with _run(store, every=Every(epochs=1)) as run:
        assert run.resume() == 4
        assert run.step(4, epoch=3), "the first call crosses it"


def test_a_state_without_memory_for_a_copy_is_written_while_training_waits(store: saver.Saver) -> None:
    with _run(store, staging="1kB") as run:
        counter = run.objects.live["counter"]
        assert run.step(0, loss=counter.train(0))
        assert run.progress.saved.step == 0, "it is on disk"
        then = counter.weights.copy()
        counter.train(1)
        assert run.progress.staging_bytes == 0
        np.testing.assert_array_equal(store.load("run")["counter"]["weights"], then)
    with _run(store, staging="8MB") as run:
        run.step(run.resume())
        assert 8000 <= run.progress.staging_bytes < 8_000_000


def test_where_memory_is_short_a_warning_says_that_training_waits(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saver.staging.available_memory", lambda: 1000)
    with _run(store) as run, pytest.warns(RuntimeWarning, match="not enough memory for a snapshot"):
        run.step(0)
    assert store.version("run").step == 0


def test_an_invalid_size_is_refused_at_once(store: saver.Saver) -> None:
    with pytest.raises(ValueError, match="checkpoints\\(staging='much'\\)"):
        _run(store, staging="much")


def test_a_metric_that_never_came_is_reported(store: saver.Saver) -> None:
    every, keep = (
        Every(improvement="val_los", mode="min") | Every(steps=1),
        Keep(best=1, by="val_acc", mode="max"),
    )
    with pytest.warns(RuntimeWarning, match="no step reported val_acc, val_los, .* reported loss, val_loss"):  # noqa: SIM117
        with _run(store, every=every, keep=keep) as run:
            run.step(0, loss=1.0, val_loss=2.0)


def test_a_change_by_others_while_it_is_copied_is_taken_again(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = Staging.take

    def torn(*arguments: Any) -> Any:
        monkeypatch.setattr(Staging, "take", take)
        raise Torn("counter.weights")

    monkeypatch.setattr(Staging, "take", torn)
    with _run(store, every=Every(steps=2)) as run:
        run.step(0)
        assert not run.step(1)
        assert run.step(2), "though the policy would not"
    assert [version.step for version in store.versions("run")] == [2]


def test_who_forgets_to_resume_loses_nothing(store: saver.Saver) -> None:
    train(store, 9)
    before = [str(version) for version in store.versions("run")]
    with _run(store) as run:
        with pytest.raises(
            saver.CannotSaveError, match=r"run@3 of step 8 exists already; begin the loop with .*resume"
        ):
            run.step(0)
        with pytest.raises(saver.CannotSaveError, match="run@3"):
            run.save()
    assert [str(version) for version in store.versions("run")] == before


@pytest.mark.filterwarnings("ignore:.*nothing was saved:RuntimeWarning")
def test_what_was_trained_and_never_saved_is_not_begun_again(store: saver.Saver) -> None:
    """As in a notebook, where a cell is run again after an error."""
    run = _run(store, every=Every(steps=100))
    with pytest.raises(ZeroDivisionError), run:  # noqa: PT012
        assert run.resume() == 0
        run.step(0)
        raise ZeroDivisionError
    with (
        run,
        pytest.raises(
            saver.CannotSaveError, match="trained up to step 0; create the objects and the run again"
        ),
    ):
        run.resume()


def test_a_run_that_was_left_can_be_gone_on_with(store: saver.Saver) -> None:
    run = _run(store)
    for step in range(3):
        with run:
            run.step(step)
    assert [version.step for version in store.versions("run")] == [0, 1, 2]
    with run, pytest.raises(saver.CannotSaveError, match="already open"), run:
        pass
    with pytest.raises(saver.CannotSaveError, match="with run:"):
        run.__exit__(None, None, None)


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8])
def test_steps_are_whole_numbers_of_any_kind(kind: Any, store: saver.Saver) -> None:
    with _run(store) as run:
        for step in range(3):
            run.step(kind(step))
        for wrong in (3.0, "3", None):
            with pytest.raises(TypeError, match="is not a whole number; count steps from 0"):
                run.step(wrong)
    assert [version.step for version in store.versions("run")] == [0, 1, 2]


def test_each_step_is_reported_once_and_in_order(store: saver.Saver) -> None:
    """A second row of a step that was saved with the first would be gone after a resume."""
    with _run(store) as run:
        run.step(5, loss=1.0)
        with pytest.raises(saver.CannotSaveError, match="step 5 was reported already; report each step once"):
            run.step(5, val_loss=1.0)
        with pytest.raises(saver.CannotSaveError, match="4 after 5"):
            run.step(4, loss=1.0)
        with pytest.raises(saver.CannotSaveError, match="time: the log has its own column of this name"):
            run.step(6, time=0.5)
        run.step(6, loss=2.0, val_loss=None)
    assert run.log["loss"][0].tolist() == [5, 6]


def test_what_was_saved_and_is_no_longer_given_is_reported(store: saver.Saver) -> None:
    objects = {"a": Counter(), "b": Counter()}
    with store.checkpoints("run", objects, every=Every(steps=1)) as run:
        run.step(0)
    del objects["b"]
    run = store.checkpoints("run", objects, every=Every(steps=1))
    with run, pytest.warns(RuntimeWarning, match="run@1 has a, b; the run has a: objects that the run lacks"):
        assert run.resume() == 1


def test_what_no_longer_fits_is_reported_with_the_way_to_begin_from_it(store: saver.Saver) -> None:
    with store.checkpoints("run", {"w": np.zeros(3)}, every=Every(steps=1)) as run:
        run.step(0)
    run = store.checkpoints("run", {"w": np.zeros(4)}, every=Every(steps=1))
    with run, pytest.raises(saver.DoesNotFitError) as caught:
        run.resume()
    (note,) = caught.value.__notes__
    assert "store.restore('run@1', into=..., strict=False)" in note


@dataclass
class Setting:
    """A class of the caller's own."""

    rate: float


def test_classes_of_the_objects_that_are_there_are_trusted(store: saver.Saver) -> None:
    for stop in (2, 4):
        objects = {"settings": {"all": [Setting(0.5)]}}
        with store.checkpoints("run", objects, every=Every(steps=1)) as run:
            for step in range(run.resume(), stop):
                objects["settings"]["all"][0].rate += 1
                run.step(step)
    assert objects["settings"]["all"] == [Setting(4.5)]


def test_classes_of_others_are_not_trusted_by_a_resume(store: saver.Saver) -> None:
    with store.checkpoints("run", {"settings": {"all": [Setting(0.5)]}}, every=Every(steps=1)) as run:
        run.step(0)
    with store.checkpoints("run", {"settings": {"all": None}}, every=Every(steps=1)) as run:
        with pytest.raises(saver.UntrustedError, match="Setting") as caught:
            run.resume()
        assert "run.resume(trust=...)" in caught.value.__notes__[0]
        assert run.resume(trust=[f"{Setting.__module__}.Setting"]) == 1


def test_another_run_that_saves_under_the_name_is_reported(store: saver.Saver) -> None:
    with _run(store) as run:
        run.step(0)
        run.flush()
        store.save("run", [1])
        with pytest.warns(RuntimeWarning, match="run@3 follows run@1 of this run: another run"):  # noqa: PT031
            run.step(1)
            run.flush()


def test_an_end_without_any_version_is_reported(store: saver.Saver) -> None:
    run = _run(store, every=Every(steps=9))
    run.__enter__()
    for step in range(5):
        run.step(step)
    with pytest.warns(
        RuntimeWarning, match=r"ended after step 4 and nothing was saved, because Every\(steps=9\)"
    ):
        run.__exit__(None, None, None)


def test_epochs_that_nobody_reported_are_missed(store: saver.Saver) -> None:
    run = _run(store, every=Every(epochs=1) | Every(steps=1))
    with pytest.warns(RuntimeWarning, match="no step reported epoch"), run:
        run.step(0)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"every": None}, TypeError, "every=None is not a policy; write every=Every"),
        ({"every": 100}, TypeError, "every=100"),
        ({"keep": 3}, TypeError, "keep=3 is not a policy; write keep=Keep"),
        ({"objects": [1]}, TypeError, "objects: a list has no names"),
        ({"objects": {1: {}}}, ValueError, "1 is not a name for a part"),
        ({"objects": {"a/b": {}}}, ValueError, "'a/b' is not a name"),
        ({"busy": "drop"}, ValueError, "busy='drop' is not a choice"),
        ({"grace": "x"}, ValueError, "grace='x'"),
        ({"grace": -1}, ValueError, "grace=-1"),
        ({"total": "5"}, ValueError, "total='5'"),
    ],
)
def test_invalid_arguments_are_refused_at_once(
    wrong: dict[str, Any], error: type[Exception], message: str, store: saver.Saver
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        store.checkpoints("run", **{"objects": {"c": Counter()}, "every": Every(steps=1), **wrong})


def test_a_run_tells_what_it_is(store: saver.Saver) -> None:
    run = _run(store)
    assert repr(run) == f"<run run in {store.storage}: step -1>"
    with run:
        run.step(0)
    assert repr(run) == f"<run run in {store.storage}: step 0, saved run@1>"


class Tight(MemoryStorage):
    """A store with little room."""

    room = 110_000

    def put(self, key: str, content: Content) -> None:
        if sum(found.stat.size for found in self.list("")) + content.size > self.room:  # type: ignore[union-attr]
            raise saver.CannotWriteError(f"{key}: no room") from OSError(errno.ENOSPC, "full")
        super().put(key, content)


def test_where_there_is_no_room_what_was_dropped_makes_some() -> None:
    """Dropped versions are left to who is loading them for a while; not while training fails for it."""
    place = Tight("tight")
    store = saver.Saver(place)
    counter = Counter()
    with store.checkpoints("run", {"counter": counter}, every=Every(steps=1), keep=Keep(last=1)) as run:
        for step in range(6):
            counter.train(step)
            run.step(step)
    assert [version.step for version in store.versions("run")] == [5]


def test_where_all_is_kept_nothing_makes_room() -> None:
    counter = Counter()
    run = saver.Saver(Tight("full")).checkpoints("all", {"counter": counter}, every=Every(steps=1))
    with pytest.raises(saver.CannotWriteError, match="no room"), run:  # noqa: PT012
        for step in range(6):
            counter.train(step)
            run.step(step)


def test_no_thread_and_no_memory_is_left(tmp_path: Path) -> None:
    before = threading.active_count()
    _, run = train(saver.Saver(tmp_path / "models"), 10)
    assert threading.active_count() == before
    assert run._saving._staging.bytes == 0


def test_a_run_that_nobody_holds_any_more_is_gone_at_once(store: saver.Saver) -> None:
    """With all it holds, the workers of loaders among it: it does not wait for the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        with _run(store, every=Every(steps=1) | OnSignal(), keep=Keep(last=1)) as run:
            run.resume()
            run.step(0, loss=1.0)
        gone = weakref.ref(run)
        del run
        assert gone() is None
    finally:
        gc.enable()


def test_versions_tell_what_they_were_trained_on(store: saver.Saver) -> None:
    train(store, 3, data={"train": np.arange(10.0)})
    train(store, 6, data={"train": np.arange(11.0)})
    (found,) = store.diff("run@1", "run@2").data
    assert (found.name, found.status) == ("train", "changed")


def test_a_run_saves_where_the_system_starts_no_thread(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user has as many as may be, or there is no memory: then training waits for its saves."""
    whole, _ = train(saver.Saver(MemoryStorage()), 14)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    train(store, 14, 8)
    counter, run = train(store, 14)
    assert (counter.weights == whole.weights).all()
    assert str(run.progress.saved) == str(store.version("run"))


@pytest.mark.parametrize("given", [0, 1])
def test_a_snapshot_is_copied_by_the_threads_that_there_are(
    given: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, left = threading.Thread.start, [given]

    def scarce(thread: threading.Thread) -> None:
        if left[0] == 0:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    staging = Staging()
    weights = np.arange(4_000_000.0)
    tensors = {
        "now": TensorData("F64", weights.shape, weights),
        "later": TensorData("F64", weights.shape, weights),
    }
    for later in ((), ("later",)):
        snapshot = staging.take(tensors, later)
        snapshot.hold()
        snapshot.wait()
        for data in snapshot.tensors.values():
            assert np.array_equal(np.asarray(data.data).view(np.float64), weights)
    staging.close()


def test_training_waits_for_saves_when_the_process_may_have_no_more_memory(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has enough, but a limit keeps it from the process."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(memory.mmap, "mmap", refuse)
    with pytest.warns(RuntimeWarning, match="not enough memory for a snapshot.*training waits"):
        train(store, 7)
    assert [version.step for version in store.versions("run")] == [2, 5]
    assert store.check().sound
