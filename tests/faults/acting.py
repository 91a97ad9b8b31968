"""A process that saves, tags, deletes, collects, checks and trains in a store, and tells of each act.

    python acting.py

It imports all that it needs, then reads tasks from its standard input, one JSON document a line, and forks
for each. The child tells on the standard output who it is (`begun`), and what it does, a line each, before
(`try`) and after (`done`, `failed`) the act; `wrong` is a broken promise that it saw itself. A line `ended`
with the status follows.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from judging import judge, state_of, value

import saver
from saver import Every, Keep
from saver.disk.files import Files
from saver.repo.gc import moving
from saver.storages.local import LocalStorage

Act: TypeAlias = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
"""What is reported of it beforehand, and what does it: it returns what is reported afterwards."""

PR_SET_PTRACER = 0x59616D61


def tell(what: str, **about: Any) -> None:
    os.write(1, (json.dumps({"what": what, **about}) + "\n").encode())


def hear() -> str:
    """The next line of the standard input, or nothing at its end. Never more than the line is taken."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode()


# What is done


def save(store: saver.Saver, model: str, seed: int) -> Act:
    def act() -> dict[str, Any]:
        return {"ref": str(store.save(model, value(seed), notes=str(seed)))}

    return {"act": "save", "model": model, "seed": seed}, act


def tag(store: saver.Saver, ref: str, name: str) -> Act:
    def act() -> dict[str, Any]:
        version = str(store.version(ref))
        store.tag(version, name)
        return {"ref": version}

    return {"act": "tag", "model": ref.partition("@")[0], "tag": name}, act


def delete(store: saver.Saver, ref: str) -> Act:
    return {"act": "delete", "ref": ref}, lambda: {"ref": str(store.delete(ref, tags=True)[0])}


def collect(store: saver.Saver) -> Act:
    return {"act": "gc"}, lambda: {"freed": len(store.gc(grace=0).freed)}


def check(store: saver.Saver) -> Act:
    return {"act": "check"}, lambda: {"damage": [f"{d.key}: {d.what}" for d in store.check().damage]}


def load(store: saver.Saver, ref: str) -> Act:
    def act() -> dict[str, Any]:
        version = store.version(ref)
        if state_of(store.load(str(version))) != state_of(value(int(version.notes))):
            tell("wrong", text=f"{version} was loaded as something else")
        return {"ref": str(version)}

    return {"act": "load", "ref": ref}, act


class Weights:
    """Something that trains."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, Any]:
        return value(self.step)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = int(state["seed"])
        if state_of(state) != state_of(value(self.step)):
            tell("wrong", text=f"a run was resumed from something else than step {self.step}")


def train(store: saver.Saver, steps: int) -> Act:
    def act() -> dict[str, Any]:
        weights = Weights()
        run = store.checkpoints(
            "run", {"state": weights}, every=Every(steps=1), keep=Keep(last=1), progress=False
        )
        with run:
            begin = run.resume()
            for step in range(begin, begin + steps):
                weights.step = step
                run.step(step, loss=1.0)
                run.flush()
                tell("done", act="step", ref=str(run.progress.saved), seed=step)
        return {"begin": begin}

    return {"act": "run"}, act


LARGE = 100_000
"""Seeds from here on make values that are written by threads, past the page cache."""


def everything(store: saver.Saver, seed: int) -> Iterator[Act]:
    """Each kind of act, and what follows on it."""
    yield save(store, "m", seed)
    yield tag(store, "m", "best")
    yield load(store, "m@best")
    yield delete(store, "m@1")
    yield collect(store)
    yield save(store, "m", LARGE + seed)
    yield load(store, "m")
    yield train(store, 2)
    yield train(store, 1)
    yield check(store)
    yield delete(store, "m@2")
    yield collect(store)
    yield save(store, "n", seed + 1)
    yield save(store, "m", seed + 2)
    yield load(store, "m")


def briefly(store: saver.Saver, seed: int) -> Iterator[Act]:
    """Few acts, for what is tried at every call, or on stores that are large."""
    yield save(store, "m", seed)
    yield tag(store, "m", "best")
    yield delete(store, "m@1")
    yield collect(store)
    yield load(store, "m")
    yield save(store, "m", seed + 1)


def for_ever(store: saver.Saver, seed: int) -> Iterator[Act]:
    while True:
        yield save(store, "m", seed)
        yield tag(store, "m", "best")
        seed += 1


def saves(store: saver.Saver, seed: int) -> Iterator[Act]:
    """More saves than a small disk has room for."""
    for number in range(seed, seed + 300):
        yield save(store, "m", number)


def frees(store: saver.Saver, seed: int) -> Iterator[Act]:
    """What is done where nothing more can be saved."""
    yield delete(store, "m@1")
    yield delete(store, "m@2")
    yield collect(store)
    yield save(store, "m", seed)


def commits(store: saver.Saver, seed: int) -> Iterator[Act]:
    """Two saves that share tensors, and a tag; nothing that frees."""
    yield save(store, "m", seed)
    yield tag(store, "m", "best")
    yield save(store, "m", seed + 1)


def collects(store: saver.Saver, seed: int) -> Iterator[Act]:
    yield collect(store)
    yield check(store)


def looks(store: saver.Saver, seed: int) -> Iterator[Act]:
    yield load(store, "m")
    yield check(store)


LIVES = {
    "looks": looks, "everything": everything, "briefly": briefly, "for ever": for_ever, "saves": saves,
    "frees": frees, "commits": commits, "collects": collects,
}  # fmt: skip


# How it is done


class Unsynced(Files):
    """The local file system, without waiting for the disk: for what no power loss is tried on."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, path: Any) -> None:
        pass


def opened(task: dict[str, Any]) -> saver.Saver:
    folder = task["folder"]
    return saver.Saver(LocalStorage(folder, Unsynced()) if task.get("unsynced") else folder)


def live(task: dict[str, Any]) -> None:
    """Do all acts of a life, whether or not those before succeeded, with one Saver."""
    store = opened(task)
    for about, act in LIVES[task["life"]](store, task.get("seed", 1000)):
        tell("try", **about)
        try:
            found = act()
        except BaseException as error:
            tell("failed", **about, error=type(error).__name__, text=str(error)[:500], mine=is_told(error))
            if task.get("until") == "failure":
                break
        else:
            tell("done", **{**about, **found})


def is_told(error: BaseException) -> bool:
    """Whether it is of the errors that who calls Saver has to reckon with."""
    return isinstance(error, (saver.SaverError, MemoryError, KeyboardInterrupt))


TAKEN: list[bytearray] = []


def take_what_is_free() -> None:
    """Use the memory that the process has and does not need."""
    for size in (1 << 16, 1 << 12, 1 << 10):
        try:
            while True:
                TAKEN.append(bytearray(size))
        except MemoryError:
            continue


def prepare(task: dict[str, Any]) -> None:
    """Take over who this is to be, and what it may."""
    for name, amount in task.get("limits", {}).items():
        kind = getattr(resource, name)
        if isinstance(amount, str):  # more than there is now
            now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            if task.get("full"):
                resource.setrlimit(kind, (now, resource.getrlimit(kind)[1]))
                take_what_is_free()
            amount = now + int(amount)
        resource.setrlimit(kind, (amount, resource.getrlimit(kind)[1]))
    if "uid" in task:
        os.setgroups([])
        os.setgid(task["uid"])
        os.setuid(task["uid"])
    if task.get("xfsz") == "default":  # Python ignores it from its start; other programs do not
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def begin(task: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    os.environ["SAVER_CACHE"] = task["cache"]
    if task.get("judge"):
        tell("judged", wrong=judge(task["folder"], task["before"], task["heard"]))
        return
    tell("begun", pid=os.getpid())
    if task.get("wait"):
        ctypes.CDLL(None).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        tell("waits", pid=os.getpid())
        hear()
    prepare(task)
    live(task)


def warm() -> None:
    """Import what is imported on first use, so that what is counted is what acts do."""
    with tempfile.TemporaryDirectory() as folder:
        task = {"folder": os.path.join(folder, "models"), "cache": folder, "life": "everything"}
        os.environ["SAVER_CACHE"] = folder
        store = opened({**task, "unsynced": True})
        for seed in (1, 2):
            store.save("m", value(seed), notes=str(seed))
        for _, act in everything(store, 1000):
            act()
        judge(task["folder"], {}, [], strict=False)
        for ref in ("m@1", "missing", "m@missing"):
            with suppress(saver.NotFoundError):
                store.load(ref)


def serve() -> None:
    moving.DEAD_BYTES = 6000  # bytes are moved, too
    out = os.dup(1)
    os.dup2(2, 1)  # warming up tells nobody
    warm()
    os.dup2(out, 1)
    os.close(out)
    tell("ready")
    while line := hear():
        child = os.fork()
        if child == 0:
            code = 0
            try:
                begin(json.loads(line))
            except KeyboardInterrupt as error:  # before the first act, or between two: nothing was promised
                tell("failed", act="begin", error=type(error).__name__, text="", mine=is_told(error))
            except BaseException as error:
                tell("broken", error=repr(error))
                code = 1
            os._exit(code)
        tell("ended", status=os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    np.seterr(all="raise")
    serve()
