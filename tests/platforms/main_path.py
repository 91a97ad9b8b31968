"""`python main_path.py windows|macos WHAT FOLDER` uses Saver as it would be used there."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simulated

SYSTEM, WHAT, FOLDER = sys.argv[1], sys.argv[2], Path(sys.argv[3])
os.environ.update(SAVER_CACHE=str(FOLDER / "cache"), SAVER_AUTHOR="", SAVER_STORE=str(FOLDER / "models"))
warnings.simplefilter("error")
getattr(simulated, SYSTEM)()

import signal

import numpy as np

import saver
from saver import Every, Keep, OnSignal
from saver.cli import program

LARGE = 3_000_000
"""Numbers: enough for the ring of aligned memory, and for direct writes where there are any."""


def same(first: Any, second: Any) -> None:
    np.testing.assert_array_equal(first, second)


def no_leftovers() -> None:
    found = [path for path in FOLDER.rglob("*") if path.name.endswith(".part")]
    assert not found, found


def of_files() -> None:
    path = FOLDER / "a.saver"
    first = np.arange(LARGE, dtype=np.float64)
    saver.dump({"w": first, "n": 3}, path)
    loaded = saver.load(path)
    same(loaded["w"], first)
    loaded["w"] += 1
    saver.dump(loaded, path)  # over the file that it came from
    same(saver.load(path)["w"], first + 1)
    assert {part.name for part in saver.describe(path).parts} == {"w", "n"}
    saver.verify(path)
    assert not saver.diff(path, path)
    with pytest.raises(saver.IncompatibleError, match="is a folder"):
        saver.load(FOLDER)
    lazy = saver.load(path, lazy=True)
    same(lazy["w"], first + 1)
    no_leftovers()


def of_stores() -> None:
    store = saver.Saver(FOLDER / "models")
    names = ["Churn", "churn", "CHURN", "aux", "nul.x", "con/prn", "ch\u00fcrn"]
    for number, name in enumerate(names):
        value = {"w": np.full(300_000, float(number)), "text": name}
        store.save(name, value, metrics={"auc": number / 10}, tags=["con"], notes="n")
    store.save("churn", {"w": np.arange(LARGE), "text": "new"}, labels={"team": "a"})
    again = saver.Saver(FOLDER / "models")
    assert sorted(again.models()) == sorted(names)
    for number, name in enumerate(names):
        found = again.load(f"{name}@con")
        assert found["text"] == name
        same(found["w"], np.full(300_000, float(number)))
    same(again.load("churn", parts=["w"])["w"], np.arange(LARGE))
    assert again.version("churn").number == 2
    again.tag("churn@2", "production")
    assert len(list(again.history("churn"))) >= 2
    assert again.diff("churn@1", "churn@2")
    again.note("churn", "text")
    again.delete("Churn@1", tags=True)
    again.gc()
    assert again.check().sound
    again.backup(FOLDER / "copy")
    copy = saver.Saver(FOLDER / "copy")
    same(copy.load("churn@production")["w"], np.arange(LARGE))
    copy.export("churn@1", FOLDER / "churn.saver")
    copy.import_(FOLDER / "churn.saver", "imported")
    target = {"w": np.zeros(300_000)}
    copy.restore("imported", target, strict=False)
    same(target["w"], np.full(300_000, 1.0))
    no_leftovers()


def of_a_broken_index() -> None:
    """It is a file of SQLite, which is replaced while nothing has it open."""
    store = saver.Saver(FOLDER / "models")
    store.save("a", {"w": np.arange(500_000)})
    (index,) = (FOLDER / "cache").glob("*.sqlite")
    index.write_bytes(b"no index" * 1000)
    again = saver.Saver(FOLDER / "models")
    again.save("b", {"w": np.arange(500_000)})
    again.save("c", {"w": np.arange(500_000)})
    assert again.check().sound


def of_runs() -> None:
    store = saver.Saver(FOLDER / "models")
    state = {"w": np.zeros(200_000)}
    with store.checkpoints("run", state, every=Every(steps=2), keep=Keep(last=2)) as run:
        for step in range(run.resume(), 6):
            state["w"] += 1
            run.step(step, loss=1 / (step + 1))
    fresh = {"w": np.zeros(200_000)}
    with store.checkpoints("run", fresh, every=Every(steps=2) | OnSignal(), keep=Keep(last=2)) as run:
        assert run.resume() == 6
        same(fresh["w"], state["w"])
    assert len(store.versions("run")) == 2


def of_signals() -> None:
    """A run in a thread passes the signal on to the main thread, which ends the process."""
    store = saver.Saver(FOLDER / "models")
    state = {"w": np.zeros(1000)}
    arrived: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: arrived.append(number))
    with store.checkpoints("run", state, every=OnSignal()) as run:
        for step in range(run.resume(), 4):
            if step == 2:
                signal.raise_signal(signal.SIGTERM)
            state["w"] += 1
            run.step(step)
    assert arrived == [signal.SIGTERM]
    assert store.version("run").step == 2
    from saver.checkpoints.signals import Caught

    caught = Caught([signal.SIGTERM])
    caught.install()
    signal.raise_signal(signal.SIGTERM)
    other = threading.Thread(target=caught.pass_on, args=(signal.SIGTERM,))
    other.start()
    other.join()
    assert arrived == [signal.SIGTERM, signal.SIGTERM]


def of_the_command_line() -> None:
    store = saver.Saver(FOLDER / "models")
    store.save("iris", {"w": np.arange(1000)}, metrics={"auc": 0.5})
    saver.dump([1, 2], FOLDER / "a.saver")
    lines: list[list[str]] = [
        ["ls"], ["ls", "iris"], ["show", "iris"], ["show", str(FOLDER / "a.saver")], ["tag", "iris@1", "nul"],
        ["check"], ["gc"], ["doctor"], ["doctor", "iris"], ["log"], ["label", "iris", "a=b"],
        ["export", "iris", str(FOLDER / "out.saver")],
        ["backup", str(FOLDER / "models"), str(FOLDER / "copy")], ["rm", "iris@1", "--tags", "--yes"], ["gc"],
    ]  # fmt: skip
    codes = {" ".join(line): exit_code(line) for line in lines}
    assert not any(codes.values()), codes
    if SYSTEM == "windows":
        assert exit_code(["rehearse", "--", "python"]) == 4


def exit_code(line: list[str]) -> Any:
    try:
        program(line, prog_name="saver")
    except SystemExit as end:
        return end.code
    raise AssertionError("click always exits")


ALL: dict[str, Callable[[], None]] = {
    name.removeprefix("of_"): value for name, value in list(globals().items()) if name.startswith("of_")
}

if __name__ == "__main__":
    ALL[WHAT]()
    print("done", *simulated.synced)
