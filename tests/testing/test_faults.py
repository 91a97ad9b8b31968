"""Crashes and faults: what was acknowledged survives each, and what was not is whole or absent."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import file
from saver.disk import files as file_module
from saver.disk.durable import NewFile
from saver.disk.files import Files
from saver.errors import CannotWriteError, CommitUnknownError, SaverError
from saver.pack import ring, write
from saver.storage import Sink
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.testing import Crash, FaultyFiles, FaultyStorage, StorageTests, crash_states
from saver.testing.storages.contents import Pieces

Act = Callable[[LocalStorage], object]


class TestFaultyStorage(StorageTests):
    """Without a fault it is the store that it wraps."""

    @pytest.fixture
    def storage(self) -> FaultyStorage:
        return FaultyStorage(MemoryStorage())


class TestFaultyFiles(StorageTests):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path, FaultyFiles())


@pytest.fixture(params=["unnamed", "named"])
def temporary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "named":
        monkeypatch.setattr(file_module, "_O_TMPFILE", 0)
    return str(request.param)


def put(storage: LocalStorage, key: str, data: bytes) -> None:
    """In two halves, the first of them last."""

    def write(sink: Sink) -> None:
        sink.write(data[len(data) // 2 :], len(data) // 2)
        sink.write(data[: len(data) // 2], 0)

    storage.put(key, Pieces(len(data), lambda: iter([data]), write))


ACTS: dict[str, Act] = {
    "put": lambda storage: put(storage, "packs/b", b"new" * 5000),
    "create": lambda storage: storage.create("log/2", b"new"),
    "create in a new folder": lambda storage: storage.create("state/3f/1", b"new"),
}
OLD = {"log/1": b"old", "packs/a": b"old" * 1000}
NEW = {
    "put": {"packs/b": b"new" * 5000},
    "create": {"log/2": b"new"},
    "create in a new folder": {"state/3f/1": b"new"},
}


def old_store(folder: Path) -> LocalStorage:
    storage = LocalStorage(folder)
    for key, data in OLD.items():
        put(storage, key, data)
    return storage


def content(storage: LocalStorage) -> dict[str, bytes]:
    return {key: storage.read(key) for key in storage.keys("")}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("fresh", [False, True])
def test_an_object_survives_every_crash_once_it_is_acknowledged(
    act: str, fresh: bool, temporary: str, tmp_path: Path
) -> None:
    old = {} if fresh else OLD
    for name in ("before", "disk"):
        (tmp_path / name).mkdir()
        if not fresh:
            old_store(tmp_path / name / "models")
    files = FaultyFiles()
    ACTS[act](LocalStorage(tmp_path / "disk" / "models", files))
    acknowledged, kinds = len(files.operations), set()
    for state in crash_states(tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"):
        found = content(LocalStorage(state.folder / "models"))
        assert found == old | NEW[act] or (found == old and state.done < acknowledged), state.what
        kinds.add(found == old)
    assert kinds == {True, False}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_dies_anywhere_leaves_the_object_whole_or_absent(
    act: str, after: bool, temporary: str, tmp_path: Path
) -> None:
    at, struck = 0, True
    while struck:
        at += 1
        folder = tmp_path / str(at)
        old_store(folder)
        files = FaultyFiles()
        files.crash(at, after)
        try:
            ACTS[act](LocalStorage(folder, files))
        except Crash:
            pass
        struck = files.struck
        found = content(LocalStorage(folder))
        assert found in (OLD, OLD | NEW[act])
        if found == OLD:
            ACTS[act](LocalStorage(folder))
        assert content(LocalStorage(folder)) == OLD | NEW[act], "the next one succeeds"
    assert at > 8


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("after", [False, True])
def test_a_fault_anywhere_is_reported_and_leaves_nothing_half(
    act: str, number: int, after: bool, temporary: str, tmp_path: Path
) -> None:
    at, struck = 0, True
    while struck:
        at += 1
        folder = tmp_path / str(at)
        old_store(folder)
        files = FaultyFiles()
        files.fail(at, number, after)
        wanted = OLD | NEW[act]
        try:
            ACTS[act](LocalStorage(folder, files))
        except CommitUnknownError:
            assert content(LocalStorage(folder)) in (OLD, wanted)
        except SaverError:
            assert content(LocalStorage(folder)) == OLD
        else:
            assert content(LocalStorage(folder)) == wanted
        struck = files.struck
        if content(LocalStorage(folder)) == OLD:
            ACTS[act](LocalStorage(folder))
        assert content(LocalStorage(folder)) == wanted, "the next one succeeds"
    assert at > 8


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("replaces", [False, True])
def test_a_dump_survives_every_crash_once_it_is_acknowledged(
    large: bool, replaces: bool, temporary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        monkeypatch.setattr(write, "SMALL", 0)
        monkeypatch.setattr(ring, "RING_BUFFER", 1 << 14)
    for name in ("before", "disk"):
        (tmp_path / name).mkdir()
    if replaces:
        saver.dump(np.zeros(3000), tmp_path / "disk" / "a.saver")
        (tmp_path / "before" / "a.saver").write_bytes((tmp_path / "disk" / "a.saver").read_bytes())
    files = FaultyFiles()
    monkeypatch.setattr(file, "NewFile", partial(NewFile, files=files))
    saver.dump(np.ones(9000), tmp_path / "disk" / "a.saver")
    acknowledged, seen = len(files.operations), set()
    for state in crash_states(tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"):
        try:
            found = saver.load(state.folder / "a.saver").tolist()
        except saver.NotFoundError:
            found = []
        old = [0.0] * 3000 if replaces else []
        assert found == [1.0] * 9000 or (found == old and state.done < acknowledged), state.what
        seen.add(len(found))
    assert len(seen) == 2


def forgetting(name: str) -> type[FaultyFiles]:
    """A file system of which a careless program does not ask all that it should."""

    def forget(self: FaultyFiles, *arguments: Any) -> None:
        pass

    return type("Careless", (FaultyFiles,), {name: forget})


@pytest.mark.parametrize("careless", ["sync", "sync_folder"])
def test_a_store_that_syncs_too_little_is_found_out(careless: str, temporary: str, tmp_path: Path) -> None:
    for name in ("before", "disk"):
        (tmp_path / name).mkdir()
    files = forgetting(careless)()
    LocalStorage(tmp_path / "disk" / "models", files).create("log/1", b"new")
    found = [
        content(LocalStorage(state.folder / "models"))
        for state in crash_states(
            tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"
        )
        if state.done == len(files.operations)
    ]
    assert [each for each in found if each != {"log/1": b"new"}]


def test_what_is_deleted_may_come_back_after_a_power_loss(tmp_path: Path) -> None:
    for name in ("before", "disk"):
        (tmp_path / name).mkdir()
        old_store(tmp_path / name)
    files = FaultyFiles()
    storage = LocalStorage(tmp_path / "disk", files)
    storage.delete("packs/a")
    found = [
        sorted(content(LocalStorage(state.folder)))
        for state in crash_states(
            tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"
        )
    ]
    assert found == [["log/1", "packs/a"], ["log/1"], ["log/1", "packs/a"]]


def test_without_power_losses_there_is_one_state_for_each_operation(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "disk").mkdir()
    files = FaultyFiles()
    LocalStorage(tmp_path / "disk", files).create("a", b"x")
    states = crash_states(
        tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state", power=False
    )
    assert [state.done for state in states] == list(range(len(files.operations) + 1))


def test_of_many_crash_states_each_so_many_th_is_made(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "disk").mkdir()
    files = FaultyFiles()
    LocalStorage(tmp_path / "disk", files).create("a", b"x")
    places = tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"
    every = [state.what for state in crash_states(*places)]
    assert [state.what for state in crash_states(*places, stride=3)] == every[2::3]


@pytest.mark.parametrize("kind", ["lost", "zeros", "torn"])
def test_unsynced_data_may_be_lost_zero_or_torn(kind: str, tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "disk").mkdir()
    files = FaultyFiles()
    path = str(tmp_path / "disk" / "a")
    file = files.create(path)
    files.write(file, memoryview(b"abcd"), 0)
    files.sync(file)
    files.sync_folder(str(tmp_path / "disk"))
    files.write(file, memoryview(b"efgh"), 4)
    files.close(file)
    found = {
        (state.folder / "a").read_bytes()
        for state in crash_states(
            tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"
        )
        if state.done == len(files.operations)
    }
    assert found == {b"abcdefgh", b"abcd", b"abcd\0\0\0\0", b"abcdef"}


def test_a_renamed_file_has_one_name_or_the_other(tmp_path: Path) -> None:
    for name in ("before", "disk"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(b"old")
    files = FaultyFiles()
    disk = str(tmp_path / "disk")
    file = files.create(f"{disk}/b")
    files.write(file, memoryview(b"new"), 0)
    files.sync(file)
    files.close(file)
    files.sync_folder(disk)
    files.replace(f"{disk}/b", f"{disk}/a")
    found = {
        tuple((path.name, path.read_bytes()) for path in sorted(state.folder.iterdir()))
        for state in crash_states(
            tmp_path / "before", tmp_path / "disk", files.operations, tmp_path / "state"
        )
        if state.done == len(files.operations)
    }
    assert found == {(("a", b"new"),), (("a", b"old"), ("b", b"new"))}


def test_after_a_crash_nothing_has_any_effect(tmp_path: Path) -> None:
    files = FaultyFiles()
    storage = LocalStorage(tmp_path, files)
    files.crash(1)
    for _ in range(3):
        with pytest.raises(Crash):
            storage.create("a", b"x")
    assert os.listdir(tmp_path) == []


def test_faults_are_counted_from_where_they_are_set(tmp_path: Path) -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.create("a", b"1")
    storage.fail(2, CannotWriteError("the disk is full"))
    storage.create("b", b"2")
    with pytest.raises(CannotWriteError, match="full"):
        storage.create("c", b"3")
    assert storage.struck
    storage.create("d", b"4")
    assert list(storage.keys("")) == ["a", "b", "d"]
    assert storage.calls == ["create a", "create b", "create c", "create d", "list "]


def test_a_lost_answer_leaves_what_was_done(tmp_path: Path) -> None:
    storage = FaultyStorage(MemoryStorage())
    storage.lose(1)
    with pytest.raises(CommitUnknownError, match="the reply was lost"):
        storage.create("a", b"1")
    assert storage.read("a") == b"1"


def test_a_dead_process_does_nothing_more_to_a_store() -> None:
    inner = MemoryStorage()
    storage = FaultyStorage(inner)
    storage.crash(1, after=True)
    with pytest.raises(Crash):
        storage.create("a", b"1")
    with pytest.raises(Crash):
        storage.delete("a")
    assert list(inner.keys("")) == ["a"]


def test_every_operation_can_fail() -> None:
    """Whoever adds one to `Files` adds it here."""
    ours = {name for name in vars(FaultyFiles) if not name.startswith("_")} - {"fail", "shorten"}
    assert ours == {name for name in vars(Files) if not name.startswith("_")}
