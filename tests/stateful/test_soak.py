"""Many processes with faults on, for a minute: see tests/stateful/soak, which can go on for hours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.stateful.soak.journal import Workspace, value
from tests.stateful.soak.judge import judge
from tests.stateful.soak.watch import Watch
from tests.stateful.soak.worker import Worker

import saver

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or not Path("/proc/self/status").exists(),
    reason="needs fork, and /proc to watch what processes take",
)


def test_a_minute_of_many_processes_breaks_no_promise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.stateful.soak", "--minutes", "0.75", "--store", tmp_path / "store"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    print(done.stdout)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "All promises were kept." in done.stdout


# The judge notices


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    found = Workspace(tmp_path, tmp_path / "store", False)
    found.journals.mkdir()
    return found


@pytest.fixture
def worker(workspace: Workspace) -> Worker:
    """One who has saved iris@1, iris@2 and iris@3, tagged the last, and deleted the first."""
    worker = Worker("somebody", 1, 1, workspace, faulty=False)
    for _ in range(3):
        save(worker)
    worker.act("tag", ["iris", "best", 3], lambda: worker.store.tag("iris@3", "best"))
    worker.act("delete", ["iris@1"], lambda: worker.store.delete("iris@1", tags=True))
    return worker


def save(worker: Worker) -> Any:
    seed = worker.fresh()
    return worker.act("save", ["iris", seed], lambda: worker.store.save("iris", value(seed)))


def wrong(workspace: Workspace) -> str:
    problems, _ = judge(workspace, final=False)
    return "; ".join(problems)


def test_what_was_reported_is_there(workspace: Workspace, worker: Worker) -> None:
    assert judge(workspace, final=True)[0] == []


def test_a_version_that_is_lost_is_missed(workspace: Workspace, worker: Worker) -> None:
    worker.store.delete("iris@2", tags=True)
    assert wrong(workspace) == "iris@2 is lost"


def test_a_version_that_nobody_saved_is_noticed(workspace: Workspace, worker: Worker) -> None:
    worker.store.save("iris", value(7))
    assert wrong(workspace) == "iris@4 holds 7, which nobody saved there"


def test_other_content_is_noticed(workspace: Workspace, worker: Worker) -> None:
    worker.act("save", ["iris", 7], lambda: worker.store.save("iris", {**value(7), "own": 1}))
    assert wrong(workspace) == "iris@4 is not what was saved"


def test_a_version_that_came_although_nothing_was_saved_is_noticed(
    workspace: Workspace, worker: Worker
) -> None:
    def act() -> None:
        worker.store.save("iris", value(7))
        worker.files.struck = True
        raise saver.CannotWriteError("nothing was saved")

    worker.act("save", ["iris", 7], act)
    assert wrong(workspace) == "iris@4 is there, and the error said that nothing was saved"


def test_a_number_that_was_given_twice_is_noticed(workspace: Workspace, worker: Worker) -> None:
    worker.act("save", ["iris", 7], lambda: "iris@3")
    assert wrong(workspace) == "iris@3 is given twice"


def test_a_deleted_version_that_is_there_is_noticed(workspace: Workspace, worker: Worker) -> None:
    worker.act("delete", ["iris@2"], lambda: None)
    assert wrong(workspace) == "iris@2 is deleted, and there"


def test_a_tag_that_leads_elsewhere_is_noticed(workspace: Workspace, worker: Worker) -> None:
    worker.store.tag("iris@2", "best")
    assert wrong(workspace) == "iris@best leads to 2, and should to one of {3}"


def test_a_failure_without_a_fault_is_noticed(workspace: Workspace, worker: Worker) -> None:
    def act() -> None:
        raise saver.CannotReadError("no reason")

    worker.act("save", ["iris", 7], act)
    assert "failed by itself" in wrong(workspace)


def test_a_run_that_lost_steps_is_noticed(workspace: Workspace, worker: Worker) -> None:
    worker.journal.tell("saved", "runs/a-0", 9, "runs/a-0@4")
    worker.journal.tell("resumed", "runs/a-0", 6, [0.0] * 20)
    assert wrong(workspace) == (
        "runs/a-0 went on at 6, and saved 9 before; runs/a-0 went on at 6 with other weights; "
        "runs/a-0: step 9 was saved, and is lost"
    )


def test_what_grows_without_bound_is_noticed(workspace: Workspace, worker: Worker) -> None:
    watch = Watch(workspace)
    opener = subprocess.Popen(
        [sys.executable, "-c", "import os, sys; [print(os.dup(0), flush=True) for line in sys.stdin]"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert opener.stdin
    assert opener.stdout
    for turn in range(40):
        (folder := workspace.store / "packs" / f"turn-{turn}").mkdir()
        for number in range(100):
            (folder / f"{number}").touch()
        for _ in range(4):
            print(file=opener.stdin, flush=True)
            opener.stdout.readline()
        watch.measure({"opener": opener.pid})
    opener.communicate()
    grown = [problem.partition(" grew")[0] for problem in watch.problems()]
    assert grown == ["data files", "descriptors opener"]
    assert "2nd quarter" in watch.table()


def test_what_stays_as_it_is_does_not_grow(workspace: Workspace, worker: Worker) -> None:
    watch = Watch(workspace)
    for _ in range(40):
        watch.measure({"me": os.getpid()})
    assert watch.problems() == []
