"""Real signals to real processes: what is staged is flushed, then the last step; then the signal works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every, OnSignal
from saver.rehearsal.reporting import VARIABLE, RunEvent, read

PATIENCE = 180
"""Seconds for which a process may do nothing that is waited for."""

PROGRAM = """
import hashlib, os, signal, sys, threading, time
import numpy as np
import saver
from saver import Every, OnSignal
from saver.storages.local import LocalStorage

class Gated(LocalStorage):
    # Writes nothing but what a run begins with, until there is a file of the name `gate`.
    def put(self, key, content):
        while not os.path.exists("gate"):
            time.sleep(0.005)
        super().put(key, content)

def train(every=OnSignal(), count=10**9, store="models", before=lambda step: time.sleep(0.002), objects=None):
    objects = {"weights": np.zeros(1000)} if objects is None else objects
    with saver.Saver(store).checkpoints("run", objects, every=every) as run:
        for step in range(run.resume(), count):
            before(step)
            objects["weights"] += 1
            run.step(step, loss=1 / (step + 1))
    return run

def never():
    while True:
        time.sleep(60)
"""


class Training:
    """A process that trains, and what it reported."""

    def __init__(self, process: subprocess.Popen[str], events: Path) -> None:
        self.process = process
        self._events = events

    def told(self) -> list[RunEvent]:
        return read(self._events.read_bytes()) if self._events.exists() else []

    def wait_for(self, kind: str, count: int = 1, step: int = -1) -> RunEvent:
        """The event of this kind that comes at the `count`th place, among those from `step` on."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ended = self.process.poll() is not None
            found = [event for event in self.told() if event.kind == kind and event.step >= step]
            if len(found) >= count:
                return found[count - 1]
            assert not ended, f"it ended with {self.process.returncode}: {self.process.communicate()}"
            time.sleep(0.002)
        raise AssertionError(f"no {kind} in {PATIENCE} s: {self.told()[-5:]}")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        """How it ended by itself: the status, what it printed, and its errors."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Training]]:
    """Starts a process that runs some lines after `PROGRAM`, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    started: list[Training] = []

    def start(lines: str) -> Training:
        events = tmp_path / f"events-{len(started)}"
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + lines],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {VARIABLE: str(events)},
        )  # fmt: skip
        started.append(Training(process, events))
        return started[-1]

    yield start
    for training in started:
        training.process.kill()
        training.process.communicate()


def versions() -> list[saver.Version]:
    return saver.Saver("models").versions("run")


def agrees(version: saver.Version) -> bool:
    """Whether the weights and the log of a version are those of its step."""
    found = saver.Saver("models").load(str(version))
    step = version.step
    assert step is not None
    steps, _ = found["log"]["loss"]
    return bool((found["weights"] == step + 1).all()) and steps.tolist() == list(range(step + 1))


# The signal that ends it


LONG = {
    "native code": "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "sleep": "never()",
    "python": "while True: sum(range(1000))",
}


@pytest.mark.parametrize("busy", LONG.values(), ids=LONG)
def test_what_is_staged_is_flushed_while_a_step_goes_on(busy: str, begin: Callable[[str], Training]) -> None:
    training = begin(f"""
def long(step):
    if step == 1:
        print("busy", flush=True)
        {busy}
train(Every(steps=1) | OnSignal(), store=Gated("models"), before=long)
""")
    out = training.process.stdout
    assert out is not None
    assert out.readline() == "busy\n"
    training.send(signal.SIGTERM)
    assert not [event for event in training.told() if event.kind == "saved"], "the gate is closed"
    Path("gate").touch()
    assert training.wait_for("saved").step == 0
    assert training.process.poll() is None, "the step goes on"
    training.send(signal.SIGKILL)
    assert training.end()[0] == -signal.SIGKILL
    (version,) = versions()
    assert agrees(version)


def test_the_next_step_is_saved_and_the_signal_does_its_work(begin: Callable[[str], Training]) -> None:
    training = begin("train()")
    training.wait_for("step", step=3)
    training.send(signal.SIGTERM)
    assert training.end() == (-signal.SIGTERM, "", "")
    (version,) = versions()
    assert agrees(version)
    assert version.step == max(event.step for event in training.told())
    kinds = [event.kind for event in training.told() if event.kind not in ("started", "step")]
    assert kinds == ["signal", "saved", "flushed"]


def test_a_signal_at_any_instant_costs_no_finished_step(begin: Callable[[str], Training]) -> None:
    """Beside saves that are due anyway, and while the one before is being written."""
    seed = random.Random(7)
    reached = -1
    for _ in range(10):
        training = begin("train(Every(steps=2) | OnSignal(), before=lambda step: time.sleep(0.0015))")
        training.wait_for("step", step=reached + 1 + seed.randrange(6))
        time.sleep(seed.uniform(0, 0.02))
        training.send(signal.SIGTERM)
        assert training.end() == (-signal.SIGTERM, "", "")
        finished = max(event.step for event in training.told())
        last = versions()[-1]
        assert last.step == finished > reached
        reached = finished
    assert agrees(last)


@pytest.mark.parametrize("wait", ["a long step", "a flush"])
def test_who_asks_twice_means_it(wait: str, begin: Callable[[str], Training]) -> None:
    if wait == "a long step":
        training = begin("train(before=lambda step: never() if step == 2 else None)")
        training.wait_for("step", step=1)
        time.sleep(0.05)
        training.send(signal.SIGTERM)
        training.wait_for("signal")
    else:
        training = begin("train(store=Gated('models'))")
        training.wait_for("step", step=1)
        training.send(signal.SIGTERM)
        training.wait_for("signal")
        time.sleep(0.05)  # for it to come to the flush, which never ends
    assert training.process.poll() is None
    training.send(signal.SIGTERM)
    assert training.end() == (-signal.SIGTERM, "", "")
    assert not [event for event in training.told() if event.kind == "saved"]


def test_a_signal_in_the_last_step_does_its_work_too(begin: Callable[[str], Training]) -> None:
    training = begin("""
train(count=5, before=lambda step: os.kill(os.getpid(), signal.SIGTERM) if step == 4 else None)
print("not reached")
""")
    assert training.end() == (-signal.SIGTERM, "", "")
    assert [version.step for version in versions()] == [4]


def test_a_signal_after_the_last_step_does_its_work_too(begin: Callable[[str], Training]) -> None:
    training = begin("""
with saver.Saver("models").checkpoints("run", {"weights": np.zeros(3)}, every=OnSignal()) as run:
    run.step(run.resume())
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
print("not reached")
""")
    assert training.end() == (-signal.SIGTERM, "still here\n", "")


def test_a_save_that_fails_is_reported_before_the_signal_ends_the_process(
    begin: Callable[[str], Training],
) -> None:
    training = begin("""
def before(step):
    if step == 0:
        open("models", "w").close()  # the store's folder comes with the first save

train(before=before)
""")
    training.wait_for("step", step=1)
    training.send(signal.SIGTERM)
    status, _, errors = training.end()
    assert status == -signal.SIGTERM
    assert "CannotWriteError: models/store.json: Not a directory" in errors


# Signals after which it goes on


def test_after_sigusr1_it_goes_on(begin: Callable[[str], Training]) -> None:
    training = begin("train()")
    for count in (1, 2):
        training.wait_for("step")
        training.send(signal.SIGUSR1)
        saved = training.wait_for("saved", count)
        training.wait_for("step", step=saved.step + 3)
    training.send(signal.SIGTERM)
    assert training.end()[0] == -signal.SIGTERM
    assert [agrees(version) for version in versions()] == [True, True, True]


# Handlers of the caller's own


def test_the_callers_handler_is_called_when_it_is_saved_and_training_goes_on(
    begin: Callable[[str], Training],
) -> None:
    training = begin("""
def handle(number, frame):
    newest = saver.Saver("models").version("run")
    print(signal.Signals(number).name, frame is not None, newest.step, flush=True)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, handle)
train()
""")
    out = training.process.stdout
    assert out is not None
    for count, number in enumerate((signal.SIGTERM, signal.SIGUSR1, signal.SIGTERM), 1):
        training.wait_for("step")
        training.send(number)
        name, frame, step = out.readline().split()
        assert (name, frame) == (number.name, "True")
        assert int(step) == training.wait_for("saved", count).step
        training.wait_for("step", step=int(step) + 2)


def test_a_handler_that_leaves_the_loop_is_called_once(begin: Callable[[str], Training]) -> None:
    training = begin("""
def handle(number, frame):
    print("leaving")
    sys.exit(3)
signal.signal(signal.SIGTERM, handle)
try:
    train()
finally:
    print(signal.getsignal(signal.SIGTERM) is handle)
""")
    training.wait_for("step", step=1)
    training.send(signal.SIGTERM)
    assert training.end() == (3, "leaving\nTrue\n", "")
    assert [agrees(version) for version in versions()] == [True]


def test_ctrl_c_may_be_one_of_the_signals(begin: Callable[[str], Training]) -> None:
    training = begin("""
try:
    train(OnSignal(signal.SIGINT))
except KeyboardInterrupt as error:
    print("interrupted", error.__context__)
""")
    training.wait_for("step", step=1)
    training.send(signal.SIGINT)
    assert training.end() == (0, "interrupted None\n", "")
    assert [agrees(version) for version in versions()] == [True]


def test_what_was_ignored_stays_ignored(begin: Callable[[str], Training]) -> None:
    training = begin("signal.signal(signal.SIGHUP, signal.SIG_IGN); train(OnSignal(signal.SIGHUP))")
    training.wait_for("step", step=1)
    training.send(signal.SIGHUP)
    training.wait_for("step", step=training.wait_for("saved").step + 3)
    assert training.process.poll() is None


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> saver.checkpoints.Checkpoints:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    store = saver.Saver(tmp_path / "models")
    return store.checkpoints("run", {"weights": np.zeros(3)}, every=Every(steps=1) | OnSignal())


@contextmanager
def handled(number: int, handler: Any) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back(run: Any) -> None:
    def own(*_: Any) -> None: ...

    with handled(signal.SIGTERM, own), handled(signal.SIGUSR1, signal.SIG_IGN):
        for _ in range(2):
            with run:
                assert signal.getsignal(signal.SIGTERM) is not own
            assert signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN


def test_a_handler_that_was_set_in_the_loop_stays(run: Any) -> None:
    def newer(*_: Any) -> None: ...

    with handled(signal.SIGTERM, signal.SIG_DFL):
        with run:
            signal.signal(signal.SIGTERM, newer)
        assert signal.getsignal(signal.SIGTERM) is newer


# Threads and children


def in_a_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_outside_the_main_thread_a_warning_says_that_signals_are_not_caught(run: Any) -> None:
    def train() -> None:
        with run:
            run.step(0)

    with pytest.warns(RuntimeWarning, match=r"run: signals reach the main thread only.*OnSignal\(\)") as told:
        in_a_thread(train)
    assert len(told) == 1
    assert run.progress.saved.step == 0


def test_where_no_signal_is_requested_there_is_no_warning(tmp_path: Path) -> None:
    run = saver.Saver("memory://quiet").checkpoints("run", {"weights": np.zeros(3)}, every=Every(steps=1))
    failures = []

    def train() -> None:
        try:
            with run:
                run.step(0)
        except BaseException as error:
            failures.append(error)

    in_a_thread(train)
    assert failures == []


def test_steps_may_be_reported_from_another_thread(begin: Callable[[str], Training]) -> None:
    training = begin("""
with saver.Saver("models").checkpoints("run", {"weights": np.zeros(3)}, every=OnSignal()) as run:
    def train():
        for step in range(10**9):
            time.sleep(0.002)
            run.step(step)
    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    thread.join()
""")
    training.wait_for("step", step=1)
    training.send(signal.SIGTERM)
    assert training.end() == (-signal.SIGTERM, "", "")
    assert len(versions()) == 1


def test_a_forked_child_ends_as_it_would_without_the_run(begin: Callable[[str], Training]) -> None:
    """A data loader's worker, or a pool's: it must not take a signal for one to its parent."""
    training = begin("""
with saver.Saver("models").checkpoints("run", {"weights": np.zeros(3)}, every=OnSignal()) as run:
    run.step(0)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        ready, tell = os.pipe()
        child = os.fork()
        if not child:
            os.write(tell, b"!")
            for _ in range(1200):  # a signal just before a sleep is heard after it
                time.sleep(0.05)
            os._exit(1)
        os.read(ready, 1)
        os.kill(child, number)
        print(signal.Signals(os.WTERMSIG(os.waitpid(child, 0)[1])).name)
    run.step(1)
print(saver.Saver("models").exists())
""")
    assert training.end() == (0, "SIGTERM\nSIGUSR1\nFalse\n", "")


# The time there is


def test_a_save_that_takes_longer_than_there_is_after_a_signal_is_reported(tmp_path: Path) -> None:
    store = saver.Saver("memory://slow")
    run = store.checkpoints("run", {"weights": np.zeros(3)}, every=Every(steps=1) | OnSignal(), grace=1e-6)
    with (
        pytest.warns(
            RuntimeWarning, match=r"run@1 took .* s to save, but after a signal the process has 1e-06 s"
        ),
        run,
    ):
        run.step(0)
    assert len(store.versions("run")) == 1
