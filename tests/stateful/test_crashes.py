"""Power loss and failing calls at every moment of a store's life: nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unsynced import unsynced

import saver
from saver import Every, Keep
from saver.checkpoints import history
from saver.disk.files import Path as DiskPath
from saver.repo import stage
from saver.repo.gc import moving
from saver.repo.state import state
from saver.storages.local import LocalStorage
from saver.testing import Crash, FaultyFiles, crash_states


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))


def value(number: int) -> dict[str, Any]:
    return {"scaler": np.arange(200.0), "model": np.full(2000, float(number))}


def holds(store: saver.Saver, ref: str) -> bool:
    """Whether a version loads, to the bit, as it was saved: its first number says which it was."""
    found = store.load(ref)
    number = int(found["model"][0])
    return bool(
        (found["scaler"] == np.arange(200.0)).all() and (found["model"] == np.full(2000, number)).all()
    )


class Life:
    """A store with two versions; then a save, a tag, a delete and a collection, by way of `files`.

    `acknowledged` says what was done, each with the number of file operations by then.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = folder.parent / "before"
        folder.mkdir()
        store = saver.Saver(folder / "models")
        for number in (1, 2):
            store.save("iris", value(number))
        shutil.copytree(folder, self.before)
        self.acknowledged: dict[str, int] = {}

    def acts(self, store: saver.Saver) -> Iterator[tuple[str, Callable[[], Any]]]:
        yield "save", lambda: store.save("iris", value(3))
        yield "tag", lambda: store.tag("iris@3", "best")
        yield "delete", lambda: store.delete("iris@1", tags=True)
        yield "gc", lambda: store.gc(grace=0)

    def live(self, files: FaultyFiles) -> None:
        store = saver.Saver(LocalStorage(str(self.folder / "models"), files))
        for name, act in self.acts(store):
            act()
            self.acknowledged[name] = len(files.operations)


def sound(folder: Path, done: set[str]) -> None:
    """Everything that was acknowledged is there; the store goes on."""
    store = unsynced(folder / "models")
    versions = {version.number for version in store.versions("iris")}
    assert versions >= {2}
    assert versions <= {1, 2, 3}
    if "save" in done:
        assert 3 in versions
    if "tag" in done:
        assert store.version("iris@best").number == 3
    if "delete" in done:
        assert 1 not in versions
    elif "save" not in done:
        assert 1 in versions
    for number in versions:
        assert store.load(f"iris@{number}")["model"][0] == number
        assert holds(store, f"iris@{number}")
    new = store.save("iris", value(4))
    assert new.number == max(versions | {3} if "save" in done else versions) + 1
    assert holds(store, str(new))
    assert store.check().sound
    store.gc(grace=0)
    assert store.check() == unsynced(folder / "models").check()
    assert all(holds(store, str(version)) for version in store.versions("iris"))


def test_a_power_loss_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    life = Life(tmp_path / "disk")
    files = FaultyFiles()
    life.live(files)
    states = 0
    for found in crash_states(life.before, life.folder, files.operations, tmp_path / "state"):
        done = {name for name, operations in life.acknowledged.items() if found.done >= operations}
        try:
            sound(found.folder, done)
        except (AssertionError, saver.SaverError) as error:
            raise AssertionError(f"after {found.what}, {sorted(done)} acknowledged: {error}") from error
        states += 1
    assert states > 60


def test_a_power_loss_while_a_store_is_made_leaves_one_or_none(tmp_path: Path) -> None:
    folder, files = tmp_path / "disk", FaultyFiles()
    folder.mkdir()
    shutil.copytree(folder, tmp_path / "before")
    saver.Saver(LocalStorage(folder / "team" / "models", files)).save("iris", value(1), tags=["best"])
    done = len(files.operations)
    saved = set()
    for found in crash_states(tmp_path / "before", folder, files.operations, tmp_path / "state"):
        store = unsynced(found.folder / "team" / "models")
        models = store.models() if store.exists() else []
        saved.add(models == ["iris"])
        assert models == ["iris"] or (found.done < done and models == []), found.what
        assert store.save("iris", value(2)).number == 1 + (len(store.versions("iris")) == 2), found.what
        assert all(holds(store, str(version)) for version in store.versions("iris")), found.what
        assert store.check().sound, found.what
    assert saved == {False, True}


def test_a_power_loss_while_bytes_move_and_checkpoints_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "INTERVAL", 2)
    monkeypatch.setattr(moving, "DEAD_BYTES", 6000)
    monkeypatch.setattr(stage, "FILE_BYTES", 0)  # versions that share
    folder, files = tmp_path / "disk", FaultyFiles()
    store = saver.Saver(folder / "models")
    for number in (1, 2, 3):
        store.save("iris", value(number))
    store.delete("iris@1", tags=True)
    shutil.copytree(folder, tmp_path / "before")
    store = saver.Saver(LocalStorage(folder / "models", files))
    assert store.gc(grace=0).moved, "the shared part of the first version moved"
    store.save("iris", value(4))
    saved = len(files.operations)
    states = 0
    for found in crash_states(tmp_path / "before", folder, files.operations, tmp_path / "state"):
        store = unsynced(found.folder / "models")
        numbers = [version.number for version in store.versions("iris")]
        assert numbers == [2, 3, 4] or (found.done < saved and numbers == [2, 3]), found.what
        assert all(holds(store, f"iris@{number}") for number in numbers), found.what
        assert store.check().sound, found.what
        store.save("iris", value(5))
        store.gc(grace=0)
        assert store.check().garbage == (), found.what
        assert all(holds(store, str(version)) for version in store.versions("iris")), found.what
        states += 1
    assert states > 100


FAULTS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS]


@pytest.mark.parametrize("after", [False, True], ids=["instead", "after"])
@pytest.mark.parametrize("number", FAULTS, ids=[errno.errorcode[number] for number in FAULTS])
def test_an_error_at_any_moment_is_reported_and_loses_nothing(
    number: int, after: bool, tmp_path: Path
) -> None:
    """A full disk, a failing one, a folder that became read-only: an error, and the next save succeeds."""
    life = Life(tmp_path / "disk")
    counting = FaultyFiles()
    life.live(counting)
    told = 0
    for at in range(1, len(counting.calls) + 1, 3):
        shutil.rmtree(life.folder)
        shutil.copytree(life.before, life.folder)
        files = FaultyFiles()
        files.fail(at, number, after)
        store = saver.Saver(LocalStorage(str(life.folder / "models"), files))
        done = set()
        for name, act in life.acts(store):
            try:
                act()
                done.add(name)
            except saver.SaverError:
                told += 1
                if name == "save":
                    break
        sound(life.folder, done)
    assert told > 10


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_process_that_dies_at_any_moment_loses_nothing(after: bool, tmp_path: Path) -> None:
    life = Life(tmp_path / "disk")
    counting = FaultyFiles()
    life.live(counting)
    for at in range(1, len(counting.calls) + 1, 2):
        shutil.rmtree(life.folder)
        shutil.copytree(life.before, life.folder)
        files = FaultyFiles()
        files.crash(at, after)
        done = set()
        try:
            for name, act in life.acts(saver.Saver(LocalStorage(str(life.folder / "models"), files))):
                act()
                done.add(name)
        except Crash:
            pass
        sound(life.folder, done)


def test_a_failed_save_leaves_no_file_behind(tmp_path: Path) -> None:
    life = Life(tmp_path / "disk")
    store = saver.Saver(LocalStorage(str(life.folder / "models"), FaultyFiles()))
    before = {path for path in life.folder.rglob("*") if path.is_file()}
    counting = FaultyFiles()
    counted = saver.Saver(LocalStorage(str(tmp_path / "copy"), counting))
    counted.save("iris", value(9))
    for at in range(1, len(counting.calls) + 1):
        files = FaultyFiles()
        files.fail(at, errno.ENOSPC)
        store = saver.Saver(LocalStorage(str(life.folder / "models"), files))
        try:
            store.save("iris", value(9))
        except saver.CommitUnknownError:
            pass
        except saver.SaverError:
            assert {path for path in life.folder.rglob("*") if path.is_file()} <= before, at
        before = {path for path in life.folder.rglob("*") if path.is_file()}
    assert saver.Saver(life.folder / "models").check().sound


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs at /dev/shm")
def test_a_store_may_lie_in_memory() -> None:
    folder = Path(f"/dev/shm/saver-test-{os.getpid()}")
    try:
        store = saver.Saver(folder)
        store.save("iris", value(1))
        assert holds(saver.Saver(folder), "iris")
        assert store.check().sound
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Unlucky(FaultyFiles):
    """The folder of the log cannot be synced, once."""

    unlucky = False

    def sync_folder(self, path: DiskPath) -> None:
        if self.unlucky and self._real(path).endswith("/log"):
            self.unlucky = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync_folder(path)


def test_a_power_loss_never_leaves_a_checkpoint_of_a_record_that_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be taken for a log whose end somebody removed. One writer has made the record, and is yet to
    make it durable, when another one reads it and keeps the checkpoint."""
    monkeypatch.setattr(state, "INTERVAL", 4)
    folder, files = tmp_path / "disk", Unlucky()
    folder.mkdir()
    for number in (1, 2, 3):
        saver.Saver(folder / "models").save("iris", value(number))
    shutil.copytree(folder, tmp_path / "before")
    files.unlucky = True
    with pytest.raises(saver.CommitUnknownError):
        saver.Saver(LocalStorage(folder / "models", files)).save("iris", value(4))
    saver.Saver(LocalStorage(folder / "models", files)).save("iris", value(5))
    kept = set()
    for found in crash_states(tmp_path / "before", folder, files.operations, tmp_path / "state"):
        store = unsynced(found.folder / "models")
        kept.add(any((found.folder / "models" / "state").glob("9*.json")))
        assert store.check().sound, found.what
        store.save("iris", value(6))
        store.gc(grace=0)
        assert all(holds(store, str(version)) for version in store.versions("iris")), found.what
    assert kept == {False, True}


class Run:
    """A training run that is begun again, takes two more steps, drops what it need not keep, and collects.

    `saved` says by step how many operations were done when its version was acknowledged.
    """

    def __init__(self) -> None:
        self.saved: dict[int, int] = {}

    @staticmethod
    def weights(step: int) -> Any:
        return np.full(300, step + 0.5)

    def train(self, store: saver.Saver, steps: int, files: FaultyFiles | None = None) -> int:
        """Go on for so many steps. Returns the step that it went on from, -1 for none, after a look at what
        was restored."""
        weights = np.zeros(300)
        run = store.checkpoints(
            "run", {"model": {"weights": weights}}, every=Every(steps=1), keep=Keep(last=1), progress=False
        )
        with run:
            start = run.resume()
            assert (weights == (self.weights(start - 1) if start else 0)).all()
            assert [row["step"] for row in run.log.rows()] == list(range(start))
            for step in range(start, start + steps):
                weights[:] = self.weights(step)
                run.step(step, loss=1 / (step + 1))
                run.flush()
                if files is not None:
                    self.saved[step] = len(files.operations)
        return start - 1


@pytest.mark.parametrize("stride", [9, pytest.param(1, marks=pytest.mark.long)])
def test_a_power_loss_in_a_training_run_loses_no_acknowledged_step(
    stride: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saves, forgets and collects, and keeps checkpoints of its state."""
    monkeypatch.setattr(state, "INTERVAL", 2)
    monkeypatch.setattr(history, "GRACE", 0.0)
    monkeypatch.setattr(history, "COLLECTING", 0.0)
    folder, files, run = tmp_path / "disk", FaultyFiles(), Run()
    folder.mkdir()
    assert run.train(saver.Saver(folder / "models"), 2) == -1
    shutil.copytree(folder, tmp_path / "before")
    assert run.train(saver.Saver(LocalStorage(folder / "models", files)), 2, files) == 1
    assert {operation.name for operation in files.operations} >= {"link", "remove", "sync", "sync_folder"}
    resumed, states = set(), 0
    left = crash_states(tmp_path / "before", folder, files.operations, tmp_path / "state", stride=stride)
    for found in left:
        store = unsynced(found.folder / "models")
        acknowledged = max((step for step, done in run.saved.items() if done <= found.done), default=1)
        try:
            step = run.train(store, 1)
            assert step >= acknowledged, f"went on from step {step}"
            assert store.check().sound
            store.gc(grace=0)
            assert store.check().garbage == ()
            assert run.train(unsynced(found.folder / "models"), 0) == step + 1
        except (AssertionError, saver.SaverError) as error:
            raise AssertionError(f"{found.what}, step {acknowledged} acknowledged: {error}") from error
        resumed.add(step)
        states += 1
    assert resumed == {1, 2, 3}
    assert states > 200 / stride
    print(f"{states} states of a disk after a power loss in a training run")
