"""The processes of a soak. Each does its work until it should stop, and writes down what Saver said."""

from __future__ import annotations

import errno
import os
import random
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
from tests.stateful.soak.journal import Journal, Workspace, same, trained, value
from tests.stateful.unsynced import Unsynced

import saver
from saver import Every, Keep
from saver.disk.files import Files
from saver.errors import NotFoundError, SaverError
from saver.storages.local import LocalStorage
from saver.testing import Crash, FaultyFiles

MODELS = ("iris", "team/bert", "rose")
LIVING = 10
"""Versions that the deleter leaves of each model, at least."""

ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ESTALE, errno.EINTR, errno.EACCES)
FAULTS = 0.15
"""How likely it is that one of the file operations of an act fails, for whom it may."""

RUN_STEPS = 200
LAST = RUN_STEPS - 1


class Worker:
    """A process at work: its open store, its journal, and the faults that it meets."""

    def __init__(self, name: str, number: int, life: int, workspace: Workspace, faulty: bool) -> None:
        self.name, self.workspace, self.faulty = name, workspace, faulty
        self.chance = random.Random(f"{name} {life}")
        self.files = FaultyFiles(Files() if workspace.sync else Unsynced())
        self.store = self.opened()
        self.journal = Journal(workspace, name)
        self._first = (number * 10_000 + life) * 1_000_000
        self._count = 0

    def opened(self) -> saver.Saver:
        return saver.Saver(LocalStorage(self.workspace.store, self.files))

    def fresh(self) -> int:
        """A number that nobody else has."""
        self._count += 1
        return self._first + self._count

    def going(self) -> bool:
        """Whether to go on; takes a breath, and now and then a new Saver."""
        time.sleep(self.chance.uniform(0.001, 0.02))
        if self.chance.random() < 0.01:
            self.store = self.opened()
        return not self.workspace.stop.exists()

    def arm(self) -> None:
        """Let some file operation from here on fail, perhaps."""
        self.disarm()
        if self.faulty and self.chance.random() < FAULTS:
            self.files.fail(self.chance.randint(1, 80), self.chance.choice(ERRORS))

    def disarm(self) -> None:
        self.files.calls.clear()  # it would grow for ever
        self.files.operations.clear()
        self.files.fail(0, Crash())  # no operation has this number
        self.files.struck = False

    def act(self, what: str, about: list[Any], do: Callable[[], Any], gone: bool = False) -> Any:
        """Do something, and write down before what it is, and then how it ended. None when it failed, which
        it may do when a fault struck, or, with `gone`, because what it is about was deleted meanwhile.
        """
        ident = self.fresh()
        self.journal.tell("try", ident, what, *about)
        self.arm()
        try:
            found = do()
        except SaverError as error:
            if not self.files.struck and not (gone and isinstance(error, NotFoundError)):
                self.bad(f"{what} {about} failed by itself")
            self.journal.tell("failed", ident, what, error.code, str(error)[:300])
            return None
        finally:
            self.disarm()
        self.journal.tell("done", ident, what, str(found))
        return found

    @contextmanager
    def reading(self, gone: bool = True) -> Iterator[None]:
        """Something that changes nothing that was saved, and may fail as in `act`."""
        self.arm()
        try:
            yield
        except SaverError as error:
            if not self.files.struck and not (gone and isinstance(error, NotFoundError)):
                self.bad("reading failed by itself")
            self.journal.tell("count", f"reading: {error.code}")
        finally:
            self.disarm()

    def bad(self, what: str) -> None:
        """A promise was broken."""
        self.journal.tell("bad", self.name, what, traceback.format_exc()[-3000:])

    def versions(self, model: str) -> list[saver.Version]:
        """Those that live, by number; none where that cannot be learned."""
        with self.reading():
            return self.store.versions(model)
        return []


def save(worker: Worker) -> None:
    while worker.going():
        model, seed = worker.chance.choice(MODELS), worker.fresh()
        step = seed % 50 if seed % 3 == 0 else None
        worker.act("save", [model, seed], partial(worker.store.save, model, value(seed), step=step))


def tag(worker: Worker) -> None:
    while worker.going():
        model = worker.chance.choice(MODELS)
        for version in worker.versions(model)[-5:]:
            name = f"{worker.name}-{worker.chance.randrange(3)}"
            act = partial(worker.store.tag, str(version), name)
            worker.act("tag", [model, name, version.number], act, True)


def delete(worker: Worker) -> None:
    while worker.going():
        for model in MODELS:
            for version in worker.versions(model)[:-LIVING]:
                if worker.chance.random() < 0.7:
                    act = partial(worker.store.delete, str(version), tags=True)
                    worker.act("delete", [str(version)], act, True)


def collect(worker: Worker, grace: float) -> None:
    while worker.going():
        if not worker.store.exists():
            continue
        with worker.reading(gone=False):
            began = time.monotonic()
            found = worker.store.gc(grace=grace)
            seconds = round(time.monotonic() - began, 3)
            worker.journal.tell("collected", len(found.condemned), len(found.freed), seconds)
        time.sleep(worker.chance.uniform(0.0, 0.3))


def check(worker: Worker) -> None:
    while worker.going():
        if not worker.store.exists():
            continue
        with worker.reading(gone=False):
            found = worker.store.check()
            damage = [item for item in found.damage if not item.key.startswith("state/")]
            if damage and not worker.files.struck:
                worker.bad(f"check found {damage}")
            worker.journal.tell("count", "check")
        time.sleep(worker.chance.uniform(0.1, 0.5))


def read(worker: Worker) -> None:
    """Reads whole versions, and holds some that are read later, part by part."""
    held: list[tuple[str, Any]] = []
    while worker.going():
        model = worker.chance.choice(MODELS)
        there = worker.versions(model)
        if not there:
            continue
        ref = str(worker.chance.choice(there))
        with worker.reading():
            found = worker.store.load(ref, lazy=worker.chance.random() < 0.3)
            if isinstance(found, dict):
                _look(worker, ref, found)
            else:
                held.append((ref, found))
        if len(held) > 20:
            ref, found = held.pop(worker.chance.randrange(20))
            with worker.reading():
                _look(worker, ref, dict(found))


def _look(worker: Worker, ref: str, found: Any) -> None:
    if not same(found, found["seed"]):
        worker.bad(f"{ref} is not what was saved")
    worker.journal.tell("read", ref, found["seed"])


def train(worker: Worker) -> None:
    """Runs that are killed, and resumed: one after the other. Those before the last one are dropped."""
    while worker.going():
        number = max(_runs(worker), default=0)
        if number in _runs(worker) and worker.store.versions(_run_name(worker, number))[-1].step == LAST:
            number += 1
        for old in _runs(worker):
            if old < number - 1:
                _drop(worker, _run_name(worker, old))
        try:
            _run(worker, _run_name(worker, number))
        except SaverError as error:
            worker.journal.tell("count", f"run: {error.code}")
            if not worker.files.struck:
                worker.bad(f"run {number} failed by itself")
        worker.disarm()


def _run_name(worker: Worker, number: int) -> str:
    return f"runs/{worker.name}-{number}"


def _runs(worker: Worker) -> list[int]:
    """The numbers of this worker's runs that are there."""
    names = [
        name
        for name in (worker.store.models() if worker.store.exists() else ())
        if name.startswith(f"runs/{worker.name}-")
    ]
    return [int(name.rpartition("-")[2]) for name in names]


def _run(worker: Worker, name: str) -> None:
    """Train from where the run was, to its end."""
    weights = np.zeros(20)
    run = worker.opened().checkpoints(
        name, {"weights": weights}, every=Every(steps=3), keep=Keep(last=2) | Keep(every=50), progress=False
    )
    with run:
        start = run.resume()  # without faults: when it cannot read, it goes back, and says so
        worker.journal.tell("resumed", name, start, weights.tolist())
        worker.arm()
        for step in range(start, RUN_STEPS):
            weights[:] = trained(weights, step)
            run.step(step, loss=1 / (step + 1))
            if worker.chance.random() < 0.1 or step == LAST:
                run.flush()
                if run.progress.saved is not None:
                    worker.journal.tell("saved", name, run.progress.saved.step, str(run.progress.saved))
                worker.arm()
            if worker.workspace.stop.exists():
                break
            time.sleep(worker.chance.uniform(0, 0.02))
        else:
            run.save()


def _drop(worker: Worker, name: str) -> None:
    """A run that ended some time ago is of no use any more."""
    for version in worker.versions(name):
        worker.act("delete", [str(version)], partial(worker.store.delete, str(version)), True)


ROLES: dict[str, Callable[[Worker], None]] = {
    "save": save,
    "tag": tag,
    "delete": delete,
    "collect": lambda worker: collect(worker, 0.0),
    "collect-late": lambda worker: collect(worker, 1.5),
    "check": check,
    "read": read,
    "train": train,
}


def live(role: str, name: str, number: int, life: int, workspace: Workspace, faulty: bool) -> int:
    """A life. Its exit code: 1 when something went wrong that nobody expected."""
    warnings.simplefilter("ignore")
    os.environ["SAVER_CACHE"] = str(workspace.folder / f"cache-{number % 2}")
    worker = Worker(name, number, life, workspace, faulty)
    try:
        ROLES[role](worker)
    except BaseException:
        with suppress(OSError):
            worker.bad("it died of")
        return 1
    return 0
