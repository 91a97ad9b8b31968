"""Many processes, or threads, at one store: every acknowledged version is there, and loads to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver

SAVERS, SAVES = 8, 12

PROGRAM = """
import json, sys, time
import numpy as np
import saver

role, name, folder, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
store = saver.Saver(folder)
reported = []

def value(number):
    return {"shared": np.arange(3000.0), "own": np.full(500, name * 1000.0 + number)}

if role == "save":
    for number in range(count):
        reported.append([str(store.save("m", value(number))), name, number])
elif role == "collect":
    end = time.monotonic() + count
    while time.monotonic() < end:
        store.gc(grace=0)
        reported.append(1)
elif role == "delete":
    end = time.monotonic() + count
    while time.monotonic() < end:
        there = store.exists() and "m" in store.models()
        numbers = [version.number for version in store.versions("m")] if there else []
        for number in numbers[1:-4:3]:
            reported.append(str(store.delete(f"m@{number}", tags=True)[0]))
elif role == "read":
    end = time.monotonic() + count
    while time.monotonic() < end:
        if not store.exists() or "m" not in store.models():
            continue
        for version in store.versions("m")[-3:]:
            try:
                found = store.load(str(version))
            except saver.NotFoundError:
                continue  # deleted meanwhile
            assert (found["shared"] == np.arange(3000.0)).all(), version
            assert (found["own"] == found["own"][0]).all(), version
            reported.append(str(version))
print(json.dumps(reported))
"""


def start(role: str, name: int, folder: Path, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, role, str(name), str(folder), str(count)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer(process: subprocess.Popen[str]) -> list[Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    found: list[Any] = json.loads(out)
    return found


def check_all(store: saver.Saver, reported: list[list[Any]], deleted: set[str]) -> None:
    refs = [ref for ref, _, _ in reported]
    assert sorted(refs) == sorted(f"m@{number}" for number in range(1, len(reported) + 1)), (
        "no gap and no double"
    )
    assert {str(version) for version in store.versions("m")} == set(refs) - deleted
    for ref, name, number in reported:
        if ref not in deleted:
            found = store.load(ref)
            assert (found["own"] == np.full(500, name * 1000.0 + number)).all()
            assert (found["shared"] == np.arange(3000.0)).all()
    assert store.check().sound


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "models"


def test_eight_processes_save_to_one_model_at_once(folder: Path) -> None:
    savers = [start("save", name, folder, SAVES) for name in range(SAVERS)]
    reported = [line for process in savers for line in answer(process)]
    assert len(reported) == SAVERS * SAVES
    check_all(saver.Saver(folder), reported, set())


def test_and_while_others_read_delete_and_collect(folder: Path) -> None:
    others = [start("collect", 0, folder, 6), start("read", 1, folder, 6), start("read", 2, folder, 6)]
    deleting = start("delete", 3, folder, 6)
    saver.Saver(folder).save("other", 1)
    savers = [start("save", name, folder, SAVES) for name in range(SAVERS)]
    reported = [line for process in savers for line in answer(process)]
    deleted = set(answer(deleting))
    collected, *read = [answer(process) for process in others]
    assert collected
    assert all(read), "the readers read"
    store = saver.Saver(folder)
    check_all(store, reported, deleted)
    store.gc(grace=0)
    assert store.check().garbage == ()


def test_eight_threads_share_one_saver(folder: Path) -> None:
    store = saver.Saver(folder)
    reported: list[list[Any]] = []

    def save(name: int) -> None:
        for number in range(SAVES):
            value = {"shared": np.arange(3000.0), "own": np.full(500, name * 1000.0 + number)}
            version = str(store.save("m", value))
            reported.append([version, name, number])
            assert (store.load(version)["own"] == value["own"]).all()
            store.tag(version, f"of-{name}")
            store.gc(grace=0)

    with quick_switches(), ThreadPoolExecutor(SAVERS) as threads:
        list(threads.map(save, range(SAVERS)))
    check_all(saver.Saver(folder), reported, set())
    last = {name: ref for ref, name, number in reported if number == SAVES - 1}
    assert {str(store.version(f"m@of-{name}")) for name in last} == set(last.values())


@contextmanager
def quick_switches() -> Iterator[None]:
    """Threads take turns a hundred times as often as usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


STRUCTS = """
import gc, importlib, os, pkgutil
import msgspec, numpy as np
import saver
from saver.repo.state import state

def modules(package):  # those that need nothing but the core: a struct is known once its module is imported
    for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if found.name not in BEYOND:
            module = importlib.import_module(found.name)
            if found.ispkg:
                modules(module)

BEYOND = [f"saver.{name}" for name in "__main__ cli distributed families integrations pages serve".split()]
modules(saver)

def structs(kind=msgspec.Struct):
    for each in kind.__subclasses__():
        yield each
        yield from structs(each)

def learned():
    return {each for each in structs() if "StructInfo" in (type(r).__name__ for r in gc.get_referents(each))}

before = learned()
assert saver.repo.log.Record in before
state.INTERVAL = 2
for _ in range(2):
    store = saver.Saver("models")
    for number in range(5):
        store.save("m", {"a": np.arange(900.0) + number, "b": np.zeros(300)}, tags=["new"], metrics={"x": 1})
    store.load("m"), store.versions("m"), store.history("m"), store.diff("m@1", "m@2"), store.describe("m")
    store.delete("m@latest", tags=True), store.gc(grace=0), store.check(), store.export("m", "m.saver")
    store.import_("m.saver", "n"), saver.load("m.saver"), saver.describe("m.saver")
print([f"{each.__module__}.{each.__qualname__}" for each in learned() - before])
"""


def test_what_is_decoded_is_known_before_threads_can_ask(tmp_path: Path) -> None:
    """msgspec crashes when two threads are the first to decode a struct."""
    done = subprocess.run(
        [sys.executable, "-c", STRUCTS], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "SAVER_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
