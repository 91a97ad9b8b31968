"""Kills at every step of a scoring, and of another after it: the answers are always those of one model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.disk.files import Files
from saver.errors import CannotWriteError
from saver.predicting import Predictor, open_predictor, scoring

X = np.arange(6.0).reshape(2, 3)

STEPS = (
    "create", "create_unnamed", "truncate", "write", "sync", "link", "replace", "remove", "sync_folder",
)  # fmt: skip


def model(parts: Any, batch: Any) -> Any:
    return {"sum": batch.sum(axis=1) + parts["added"]}


class Killed(BaseException):
    pass


class Process:
    """A process that is killed before its step number `at`: none of its calls does anything after that, and
    what it held is free. A name that was removed is there again unless its folder was synced since: so it is
    after a power loss. A write that is cut short leaves half of its bytes."""

    def __init__(self, at: int) -> None:
        self.at, self.done = at, 0
        self.held: set[int] = set()
        self.removed: dict[str, bytes] = {}

    def step(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(files: Files, *args: Any) -> Any:
            if self.done == self.at:
                if name == "write":
                    real(files, args[0], args[1][: len(args[1]) // 2], args[2])
                self.at = -1
            if self.at < 0:
                raise Killed
            self.done += 1
            if name == "remove":
                self.removed[args[0]] = Path(args[0]).read_bytes()
            found = real(files, *args)
            if name == "sync_folder":
                self.removed.clear()
            if name in ("create", "create_unnamed"):
                self.held.add(found)
            return found

        return call

    def opened(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(files: Files, path: Any) -> int:
            found = real(files, path)
            self.held.add(found)
            return found

        return call

    def closed(self, real: Callable[..., None]) -> Callable[..., None]:
        def call(files: Files, file: int) -> None:
            self.held.discard(file)
            real(files, file)

        return call

    def end(self) -> None:
        for file in self.held:
            os.close(file)
        for path, data in self.removed.items():
            if not os.path.lexists(path):
                Path(path).write_bytes(data)


@contextmanager
def killed(at: int) -> Iterator[Process]:
    process = Process(at)
    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(Files, name, process.step(name, getattr(Files, name)))
        patch.setattr(Files, "open_existing", process.opened(Files.open_existing))
        patch.setattr(Files, "close", process.closed(Files.close))
        try:
            yield process
        except Killed:
            process.end()


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Predictor]:
    monkeypatch.setattr(scoring, "SECONDS", 0.0)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # thousands of them; the steps stay the same
    np.save(tmp_path / "data.npy", X)
    found = []
    for added in (0, 500):  # so many digits that what one leaves is as long as what the other noted
        saver.dump({"added": added}, tmp_path / "a.saver", example=X, pipeline=model)
        found.append(open_predictor(tmp_path / "a.saver", trust=[f"{__name__}.model"]))
    return found


def whole(model: Predictor, folder: Path) -> bytes:
    model.score(folder / "data.npy", folder / "whole.csv", rows=1, replace=True)
    return (folder / "whole.csv").read_bytes()


def run(model: Predictor, folder: Path, at: int, replace: bool = True) -> int:
    """Let a process that is killed before step `at` score; how many steps it took."""
    with killed(at) as process:
        model.score(folder / "data.npy", folder / "out.csv", rows=1, replace=replace)
    return process.done


def clean(folder: Path) -> None:
    for path in folder.glob("*out.csv*"):
        path.unlink()


@pytest.mark.slow
def test_another_model_in_between_leaves_nothing_of_its_own(models: list[Predictor], tmp_path: Path) -> None:
    first, second = models
    expected, of_second = whole(first, tmp_path), whole(second, tmp_path)
    steps = run(first, tmp_path, 1 << 30)
    clean(tmp_path)
    for one in range(steps):
        for other in range(steps + 9):  # it also removes what the first one left
            run(first, tmp_path, one)
            run(second, tmp_path, other)
            out = tmp_path / "out.csv"
            assert not out.exists() or out.read_bytes() in (expected, of_second), (one, other)
            first.score(tmp_path / "data.npy", out, rows=1, replace=True)
            assert out.read_bytes() == expected, f"killed before step {one}, and the other before {other}"
            assert not list(tmp_path.glob("out.csv.*"))
            clean(tmp_path)


@pytest.mark.slow
def test_no_kill_lets_a_scoring_replace_what_it_may_not(models: list[Predictor], tmp_path: Path) -> None:
    """It puts its file in place only if nothing is there, and a kill in between takes nothing from it."""
    first, second = models
    expected, of_second = whole(first, tmp_path), whole(second, tmp_path)
    out = tmp_path / "out.csv"
    steps = run(first, tmp_path, 1 << 30, replace=False)
    clean(tmp_path)
    for one in range(steps):
        for other in range(steps + 9):
            run(first, tmp_path, one, replace=False)
            there = out.exists()
            assert not there or out.read_bytes() == expected, one
            run(second, tmp_path, other, replace=there)
            assert not there or out.read_bytes() in (expected, of_second), (one, other)
            if out.exists():
                before = out.read_bytes()
                with pytest.raises(CannotWriteError, match="--force"):
                    first.score(tmp_path / "data.npy", out, rows=1)
                assert out.read_bytes() == before
            first.score(tmp_path / "data.npy", out, rows=1, replace=out.exists())
            assert out.read_bytes() == expected, f"killed before step {one}, and the other before {other}"
            assert not list(tmp_path.glob("out.csv.*"))
            clean(tmp_path)
