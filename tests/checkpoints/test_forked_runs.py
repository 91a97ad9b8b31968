"""A child that is forked while its parent trains: the run is the parent's, and nothing in the child waits for
threads that it does not have."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import saver
from saver import Every
from saver.checkpoints.run import Checkpoints
from saver.device import Copying
from saver.staging import Snapshot
from saver.storage import Content
from saver.storages.memory import MemoryStorage

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

PATIENCE = 20


class Held(MemoryStorage):
    """Writes nothing of a run before it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may = threading.Event(), threading.Event()

    def put(self, key: str, content: Content) -> None:
        if key.startswith("packs/"):
            self.begun.set()
            assert self.may.wait(PATIENCE)
        super().put(key, content)


class Endless(Copying):
    """Copies of a thread that the child does not have."""

    def hold(self) -> None:
        threading.Event().wait()

    def wait(self) -> None:
        threading.Event().wait()


REFUSED: dict[str, Callable[[Checkpoints], object]] = {
    "step": lambda run: run.step(1),
    "save": lambda run: run.save(),
    "flush": lambda run: run.flush(),
    "resume": lambda run: run.resume(),
    "steps aside": lambda run: run.aside(lambda event: None).__enter__(),
}

ALLOWED: dict[str, Callable[[Checkpoints], object]] = {
    "leaving": lambda run: run.__exit__(None, None, None),
    "ending": lambda run: run.__exit__(SystemExit, SystemExit(0), None),
    "failing": lambda run: run.__exit__(ValueError, ValueError(), None),
    "a step of an optimizer": lambda run: run._saving._hold(1),
    "printing": lambda run: print(repr(run)),
}


def in_child(act: Callable[[], object]) -> str:
    """What happens to `act` in a forked child: "returns", the name of its error, or "hangs"."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            act()
            os.write(write, b"returns")
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    end = time.monotonic() + PATIENCE
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return "hangs"
        time.sleep(0.01)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read().decode()


def test_the_run_of_the_parent_is_refused_in_a_child_and_ends_there_without_waiting() -> None:
    storage, weights = Held(), np.zeros(1000)
    store = saver.Saver(storage)
    with store.checkpoints("run", {"weights": weights}, every=Every(steps=1)) as run:
        run.resume()
        run.step(0)
        assert storage.begun.wait(PATIENCE)
        run._saving._snapshot = Snapshot({}, (Endless(),))
        for name, act in REFUSED.items():
            found = in_child(lambda act=act: act(run))  # type: ignore[misc]
            assert found.startswith("RuntimeError: run: this run belongs to the process that opened it"), name
        for name, act in ALLOWED.items():
            assert in_child(lambda act=act: act(run)) == "returns", name  # type: ignore[misc]
        run._saving._snapshot = None
        storage.may.set()
    assert store.version("run").step == 0
