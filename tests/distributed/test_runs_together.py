"""Training runs of many ranks: when all save, what an error of one does, and from what they resume."""

from __future__ import annotations

import random
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ranks import end, ranks, together

import saver
from saver import Every, Keep, OnSignal
from saver.checkpoints.events import Resumed, SaveDue, SaveSkipped, SaveWritten
from saver.cluster import Cluster
from saver.distributed.members import Members
from saver.distributed.notes import Board
from saver.distributed.running import Announcements
from saver.distributed.session import Session
from saver.errors import CannotSaveError, CannotWriteError, DamagedError, LostRankError, NotFoundError
from saver.policy import Checkpoint, Moment, Policy
from saver.repo.manifest import manifest_key
from saver.storages.memory import MemoryStorage

SIGNAL = int(getattr(signal, "SIGUSR1", 10))
"""One that does not end the process: in tests, ranks are threads of one."""


class At(Policy, frozen=True):
    """Due at these steps, which no rank foresees."""

    steps: tuple[int, ...]

    def due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return "it was time" if moment.step in self.steps else None

    def next_due(self, moment: Moment, saved: Sequence[Checkpoint]) -> str | None:
        return None


class Trained:
    """What a rank trains, and what it saw of its run."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.model, self.own = {"w": np.zeros(100), "n": 0}, {"seen": [0]}
        self.due: list[int] = []
        self.reasons: list[str] = []
        self.skipped: list[int] = []
        self.written: list[str] = []
        self.start = -1
        self.log: Any = None

    def note(self, event: Any) -> None:
        match event:
            case SaveDue(step=step, reason=reason):
                self.due.append(step)
                self.reasons.append(reason)
            case SaveSkipped(step=step):
                self.skipped.append(step)
            case SaveWritten(version=version) | Resumed(version=version):
                self.written.append(str(version))

    def step(self, step: int) -> None:
        self.model["w"] += step
        self.model["n"] = step
        self.own["seen"][0] += self.rank + 1


Act = Callable[[Trained, Any, int], None]


def nothing(trained: Trained, run: Any, step: int) -> None:
    """Between steps, nothing happens."""


def train(
    store: Any, clusters: Sequence[Cluster], until: int, act: Act = nothing, **options: Any
) -> list[Any]:
    """Train in all ranks; `act` is called before each step is reported. Returns what each trained, or its
    error."""
    options = {"every": Every(steps=3), "per_rank": ["own"], **options}

    def one(cluster: Cluster) -> Trained:
        trained = Trained(cluster.rank)
        run = saver.Saver(store).checkpoints(
            "m", {"model": trained.model, "own": trained.own}, cluster=cluster, **options
        )
        run.listen(trained.note)
        with run:
            trained.start = run.resume()
            for step in range(trained.start, until):
                trained.step(step)
                act(trained, run, step)
                run.step(step, loss=float(cluster.rank), epoch=step / 4)
        trained.log = run.log
        return trained

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return together(clusters, one)


@pytest.fixture
def three() -> Any:
    found = ranks(3)
    yield found
    end(found)


def steps_of(store: Any) -> list[int | None]:
    return [version.step for version in saver.Saver(store).versions("m")]


def test_what_no_policy_needs_is_not_exchanged(three: list[Cluster]) -> None:
    seen: list[str] = []
    others = {*threading.enumerate()}  # what other tests have left

    def act(trained: Trained, run: Any, step: int) -> None:
        seen.extend(thread.name for thread in threading.enumerate() if thread not in others)

    storage = MemoryStorage()
    found = train(storage, three, 7, act, keep=Keep(last=2))
    assert [each.due for each in found] == [[2, 5]] * 3
    assert [each.written for each in found] == [["m@1", "m@2"]] * 3
    assert "saver-run" not in seen
    train(storage, three, 13, act, keep=Keep(last=2))
    assert steps_of(storage) == [8, 11], "rank 0 drops what need not be kept"


def test_each_rank_has_its_own_parts_and_the_log_is_that_of_rank_0(three: list[Cluster]) -> None:
    storage = MemoryStorage()
    train(storage, three, 6)
    loaded = saver.Saver(storage).load("m", trust=["saver.*"])
    assert [loaded[f"own.rank{rank}"]["seen"] for rank in range(3)] == [[6], [12], [18]]
    assert {name for name in loaded if "rank" not in name} == {"model", "log", "run"}
    assert {name for name in loaded if name.startswith("random.")} == {f"random.rank{n}" for n in range(3)}
    assert set(loaded["log"]["loss"][1].tolist()) == {0.0}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_any_number_of_ranks_resumes(three: list[Cluster], size: int) -> None:
    storage, clusters = MemoryStorage(), ranks(size)
    train(storage, three, 7)
    found = train(storage, clusters, 6)
    end(clusters)
    for rank, each in enumerate(found):
        assert each.start == 6
        assert (each.model["w"] == sum(range(6))).all()
        assert each.own["seen"] == [6 * (rank + 1) if rank < 3 else 0]


@pytest.mark.parametrize(("before", "size", "says"), [
    (3, 2, r"saved by 3 ranks and is resumed by 2 ranks.*\(own, random\).*that of rank 2 is not restored"),
    (3, 1, "ranks 1 to 2 is not restored"),
    (1, 3, "saved by 1 rank and is resumed by 3 ranks.*ranks 1 to 2 stays what the script began with"),
    (None, 2, "that of rank 1 stays"),
    (3, None, r"saved by 3 ranks and is resumed by 1 rank:.*\(own, random\)"),
])  # fmt: skip
def test_another_number_of_ranks_is_said(before: int | None, size: int | None, says: str) -> None:
    """None is a run of one process without a cluster."""
    storage = MemoryStorage()

    def once(cluster: Cluster | None) -> list[int]:
        own = [7 if cluster is None else cluster.rank]
        more = {} if cluster is None else {"cluster": cluster, "per_rank": ["own"]}
        run = saver.Saver(storage).checkpoints("m", {"own": own}, every=Every(steps=1), **more)
        with run:
            start = run.resume()
            if start == 0:
                run.step(0)
            else:
                assert start == 1
        return own

    for ranks_now in (before, size):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            clusters = ranks(ranks_now or 1)
            found = [once(None)] if ranks_now is None else together(clusters, once)
            end(clusters)
        assert all(type(each) is list for each in found), found
    texts = [str(each.message) for each in said if "is resumed" in str(each.message)]
    assert len(texts) == 1
    assert re.search(says, texts[0]), texts
    assert found[0] == [7 if before is None else 0]


# When all of them save


@pytest.mark.parametrize("seed", range(6))
def test_what_rank_0_decides_all_do_after_the_same_step(seed: int) -> None:
    """Ranks that are faster and slower than rank 0, and saves that nobody foresees."""
    drawn = random.Random(seed)
    size, until = drawn.randint(2, 4), 60
    due = tuple(sorted(drawn.sample(range(until), 3)))
    pauses = [[drawn.choice([0.0, 0.0, 0.002, 0.02]) for _ in range(until)] for _ in range(size)]
    clusters, storage = ranks(size), MemoryStorage()
    found = train(
        storage,
        clusters,
        until,
        lambda trained, _, step: time.sleep(pauses[trained.rank][step]),
        every=At(due),
    )
    end(clusters)
    assert all(isinstance(each, Trained) for each in found), found
    assert len({tuple(each.due) for each in found}) == 1
    assert steps_of(storage) == found[0].due
    assert len(found[0].due) in (1, 2, 3)
    assert found[0].due[0] >= due[0]


def test_a_save_that_was_announced_for_a_step_that_does_not_come_is_made_at_the_end(
    three: list[Cluster],
) -> None:
    storage = MemoryStorage()
    found = train(storage, three, 4, every=At((3,)))
    assert [each.due for each in found] == [[3]] * 3
    assert steps_of(storage) == [3]
    assert [each.written for each in found] == [["m@1"]] * 3


@pytest.mark.parametrize("policy", [Every(improvement="loss"), Every(epochs=1), Every(steps=4) | At(())])
def test_a_save_that_a_step_shows_is_made_after_that_step(three: list[Cluster], policy: Policy) -> None:
    storage = MemoryStorage()
    found = train(storage, three, 12, every=policy)
    wanted = [0] if "improvement" in repr(policy) else [4, 8] if "epochs" in repr(policy) else [3, 7, 11]
    assert [each.due for each in found] == [wanted] * 3, found
    assert steps_of(storage) == wanted


@pytest.mark.parametrize("at", [0, 9])
@pytest.mark.parametrize("those", [[0], [1], [2], [0, 1, 2]])
def test_a_signal_in_any_rank_leads_to_one_save_of_all(at: int, those: list[int]) -> None:
    clusters, storage = ranks(3, lost_after=2), MemoryStorage()

    def act(trained: Trained, run: Any, step: int) -> None:
        if step == at and trained.rank in those:
            run._caught.arrived.add(SIGNAL)
        run._caught._before[SIGNAL] = signal.SIG_DFL  # as in a main thread
        time.sleep(0.02)

    found = train(storage, clusters, 25, act, every=OnSignal())
    end(clusters)
    assert all(isinstance(each, Trained) for each in found), found
    (step,) = found[0].due
    assert [each.due for each in found] == [[step]] * 3
    assert step >= at
    assert found[2].reasons == ["SIGUSR1"]
    assert steps_of(storage) == [step]


def test_saves_are_left_out_by_all_or_none(three: list[Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    before = Session.doing

    def doing(self: Session, stage: str, *sizes: int) -> None:
        before(self, stage, *sizes)
        if stage == "staging" and self.rank == 2:
            time.sleep(0.15)

    monkeypatch.setattr(Session, "doing", doing)
    storage = MemoryStorage()
    found = train(storage, three, 20, lambda *_: time.sleep(0.01), every=Every(steps=2), busy="skip")
    assert all(isinstance(each, Trained) for each in found), found
    assert len({tuple(each.due) for each in found}) == 1
    assert found[0].skipped
    assert sorted(found[0].skipped + found[0].due) == list(range(1, 20, 2))


def test_a_save_that_all_request_is_made_at_once(three: list[Cluster]) -> None:
    def act(trained: Trained, run: Any, step: int) -> None:
        if step == 4:
            run.save("asked for")

    found = train(storage := MemoryStorage(), three, 6, act, every=At(()))
    assert [each.due for each in found] == [[3]] * 3
    assert steps_of(storage) == [3]
    assert found[0].reasons == ["asked for"]


# Errors


@pytest.mark.parametrize("trains_on", [False, True])
def test_a_save_that_rank_0_alone_requests_is_an_error_soon(trains_on: bool) -> None:
    """The others are still after that step, as each step waits for all ranks; or they go on, and end."""
    clusters, storage, failed = ranks(3), MemoryStorage(), threading.Event()

    def act(trained: Trained, run: Any, step: int) -> None:
        if step == 4 and trained.rank == 0:
            try:
                run.save()
                run.flush()
            finally:
                failed.set()
        elif step == (8 if trains_on else 4):
            failed.wait(20)

    began = time.monotonic()
    found = train(storage, clusters, 9, act, every=Every(steps=3))
    end(clusters)
    assert time.monotonic() - began < 12
    assert [type(each) for each in found] == [LostRankError] * 3, found
    said = "is about to save m after step 5" if trains_on else "call `run.save()` in every rank"
    assert said in str(found[0])
    assert "save m after step 3" in str(found[0])
    assert steps_of(storage) == [2]


def test_each_rank_may_train_a_stage_of_its_own(three: list[Cluster], tmp_path: Path) -> None:
    """A pipeline: ranks have parts of other names, of which no other rank has any."""

    def one(cluster: Cluster) -> tuple[int, Any]:
        stage = {"w": np.zeros(300_000 + 1000 * cluster.rank), "steps": [0]}
        run = saver.Saver(tmp_path).checkpoints(
            "m", {f"stage{cluster.rank}": stage}, every=Every(steps=2), cluster=cluster
        )
        with run:
            start = run.resume()
            for step in range(start, start + 3):
                stage["w"] += step * (cluster.rank + 1)
                stage["steps"][0] += 1
                run.step(step)
        return start, stage

    assert [start for start, _ in together(three, one)] == [0] * 3
    found = together(three, one)
    assert [start for start, _ in found] == [2] * 3
    for rank, (_, stage) in enumerate(found):
        assert stage["steps"] == [5]
        assert (stage["w"] == sum(range(5)) * (rank + 1)).all()
    stages = {f"stage{rank}": {"w": np.zeros(300_000 + 1000 * rank), "steps": [0]} for rank in range(3)}
    assert saver.Saver(tmp_path).restore("m", stages)
    assert [stage["steps"] for stage in stages.values()] == [[4]] * 3
    assert all((stages[f"stage{rank}"]["w"] == 6 * (rank + 1)).all() for rank in range(3))


@pytest.mark.parametrize("at", ["encoding", "staging"])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_an_error_in_the_background_is_raised_in_all_and_the_run_goes_on(
    three: list[Cluster], at: str, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every rank catches it at the step at which it hears of it; they still save after the same steps."""
    before, left = Session.doing, [True]

    def doing(self: Session, stage: str, *sizes: int) -> None:
        before(self, stage, *sizes)
        if stage == at and self.rank == rank and left and self.what == "save m after step 3":
            left.clear()
            raise CannotWriteError("no space left")

    monkeypatch.setattr(Session, "doing", doing)
    storage, errors = MemoryStorage(), dict[int, BaseException]()

    def one(cluster: Cluster) -> list[int]:
        due: list[int] = []
        run = saver.Saver(storage).checkpoints("m", {"a": [1]}, every=Every(steps=2), cluster=cluster)
        run.listen(lambda event: due.append(event.step), SaveDue)
        with run:
            for step in range(run.resume(), 12):
                try:
                    run.step(step)
                except CannotWriteError as error:
                    errors[cluster.rank] = error
                time.sleep(0.01 * (1 + cluster.rank))
        return due

    found = together(three, one)
    assert found == [[1, 3, 5, 7, 9, 11]] * 3
    assert steps_of(storage) == [1, 5, 7, 9, 11]
    assert {*errors} == {0, 1, 2}, "each of them heard of it"
    for other in {0, 1, 2} - {rank}:
        assert f"rank {rank} (process " in str(errors[other])


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_an_object_that_one_rank_cannot_save_fails_the_save_of_all(three: list[Cluster], rank: int) -> None:
    def act(trained: Trained, run: Any, step: int) -> None:
        if step == 5 and trained.rank == rank:
            trained.own["lock"] = threading.Lock()

    storage = MemoryStorage()
    found = train(storage, three, 9, act)
    assert [type(each) for each in found] == [CannotSaveError] * 3, found
    assert "lock" in str(found[rank])
    assert all(f"rank {rank}" in str(found[other]) for other in {0, 1, 2} - {rank})
    assert steps_of(storage) == [2]


@pytest.mark.parametrize("policy", [Every(steps=3), At((7,)), Every(epochs=2)])
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_if_the_loop_of_one_rank_fails_the_others_do_not_wait(rank: int, policy: Policy) -> None:
    clusters, storage = ranks(3), MemoryStorage()

    def act(trained: Trained, run: Any, step: int) -> None:
        if step == 4 and trained.rank == rank:
            raise ZeroDivisionError
        time.sleep(0.01)

    began = time.monotonic()
    found = train(storage, clusters, 30, act, every=policy)
    end(clusters)
    assert time.monotonic() - began < 12
    assert type(found[rank]) is ZeroDivisionError
    for other in {0, 1, 2} - {rank}:
        assert type(found[other]) is LostRankError, found
        assert f"rank {rank} (process " in str(found[other])


def test_a_rank_that_hears_that_rank_0_ended_says_why(
    three: list[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 2 fails, rank 0 hears of it and ends, and rank 1 knows the end before the reason: its own looks
    for that come too early, and those of its thread for signs of life are slow."""
    get = Board.get

    def slow(board: Board, key: str, kind: Any) -> Any:
        if key.endswith("/verdict"):
            time.sleep(0.5)
        return get(board, key, kind)

    def act(trained: Trained, run: Any, step: int) -> None:
        if trained.rank == 2 and step == 5:
            raise ZeroDivisionError

    monkeypatch.setattr(Board, "get", slow)
    monkeypatch.setattr(Session, "_look", lambda session: None)
    found = train(MemoryStorage(), three, 9, act)
    assert [type(each) for each in found] == [LostRankError, LostRankError, ZeroDivisionError], found
    assert all("rank 2 (process " in str(each) for each in found[:2]), found


def test_a_session_hears_of_a_problem_as_soon_as_it_has_begun(
    three: list[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Members.begin

    def slow(members: Members, *rest: Any) -> None:
        begin(members, *rest)
        time.sleep(1.5)  # its thread for signs of life sees meanwhile that rank 0 has ended

    def act(trained: Trained, run: Any, step: int) -> None:
        if trained.rank == 0 and step == 5:
            raise ZeroDivisionError

    monkeypatch.setattr(Members, "begin", slow)
    found = train(MemoryStorage(), three, 9, act)
    assert [type(each) for each in found] == [ZeroDivisionError, LostRankError, LostRankError], found
    assert all("rank 0 (process " in str(each) for each in found[1:]), found


def test_a_rank_that_waits_hears_how_rank_0_ended_although_it_left(
    three: list[Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rank 0 says how its loop ended, then leaves; rank 1 read its word before, its sign of life after."""
    hear = Announcements._hear

    def slow(said: Announcements) -> None:
        if threading.current_thread().name != "saver-run":
            hear(said)
            time.sleep(0.6)

    def act(trained: Trained, run: Any, step: int) -> None:
        if trained.rank == 0 and step == 4:
            time.sleep(0.5)  # the others wait for its decision
            raise ZeroDivisionError("in the loop of rank 0")

    monkeypatch.setattr(Announcements, "_hear", slow)
    found = train(MemoryStorage(), three, 9, act, every=At((7,)))
    assert type(found[0]) is ZeroDivisionError
    assert all("ZeroDivisionError: in the loop of rank 0" in str(each) for each in found[1:]), found


def test_ranks_that_report_other_steps_hear_of_it(three: list[Cluster]) -> None:
    def one(cluster: Cluster) -> None:
        run = saver.Saver(storage).checkpoints("m", {"a": [1]}, every=At((2,)), cluster=cluster)
        with run:
            for step in range(run.resume(), 4 if cluster.rank == 0 else 9):
                run.step(step)

    storage = MemoryStorage()
    found = together(three, one)
    assert [type(each) for each in found[1:]] == [LostRankError] * 2, found


def test_no_rank_begins_anew_where_versions_are(three: list[Cluster]) -> None:
    train(storage := MemoryStorage(), three, 3)

    def one(cluster: Cluster) -> None:
        with saver.Saver(storage).checkpoints("m", {"a": [1]}, every=Every(steps=1), cluster=cluster) as run:
            run.step(0)

    found = together(three, one)
    assert [type(each) for each in found] == [CannotSaveError] * 3, found
    assert all("run.resume()" in str(each) for each in found)


# Resuming


@pytest.mark.parametrize("rank", [0, 1, 2, None])
def test_all_go_back_to_the_newest_version_that_verifies_in_all(
    tmp_path: Path, three: list[Cluster], rank: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank finds the second of three versions damaged; nobody finds the manifest of the third."""
    train(tmp_path, three, 10)
    assert steps_of(tmp_path) == [2, 5, 8]
    newest = saver.Saver(tmp_path).version("m@3")
    (tmp_path / manifest_key(newest.manifest)).unlink(missing_ok=True) if not newest.file else (
        tmp_path / "packs" / f"{newest.file}.safetensors"
    ).write_bytes(b"")
    if rank is not None:
        from saver.checkpoints import objects

        read = objects.own_parts.read

        def reading(opened: Any, log: str, own: str, run: str) -> Any:
            if "m@2" in opened.where and own == f"random.rank{rank}":
                raise DamagedError(f"{opened.where}: bytes differ")
            return read(opened, log, own, run)

        monkeypatch.setattr(objects.own_parts, "read", reading)
    found = train(tmp_path, three, 6)
    assert [each.start for each in found] == [6 if rank is None else 3] * 3, found
    assert [each.own["seen"] for each in found] == [[6], [12], [18]]
    assert all((each.model["w"] == sum(range(6))).all() for each in found)


def test_if_no_version_verifies_all_say_so(tmp_path: Path, three: list[Cluster]) -> None:
    train(tmp_path, three, 6)
    for pack in (tmp_path / "packs").glob("*"):
        pack.write_bytes(b"damaged")
    found = train(tmp_path, three, 6)
    assert [type(each) for each in found] == [DamagedError] * 3, found
    assert all("can be resumed" in str(each) for each in found)


def test_an_object_that_no_rank_saved_is_refused_by_all(three: list[Cluster]) -> None:
    train(storage := MemoryStorage(), three, 3)

    def one(cluster: Cluster) -> int:
        more = {"more": [1]} if cluster.rank == 1 else {}
        objects = {"model": {"w": np.zeros(100), "n": 0}, "own": {"seen": [0]}, **more}
        run = saver.Saver(storage).checkpoints(
            "m", objects, every=Every(steps=1), cluster=cluster, per_rank=["own"]
        )
        with run:
            return run.resume()

    found = together(three, one)
    assert [type(each) for each in found] == [NotFoundError] * 3, found
    assert all("more" in str(each) for each in found)
