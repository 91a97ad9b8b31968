"""A folder of model files becomes a store: what came, what did not, and why."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import CannotWriteError, LimitExceededError, NotFoundError
from saver.migrating import Migrated, walking
from saver.migrating.naming import Naming, ending_of
from saver.storages.memory import MemoryStorage

JOBLIB = Path(__file__).parents[1] / "formats" / "pickles" / "joblib"


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def old(path: Path, time: float) -> None:
    os.utime(path, (time, time))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What people have: versions, several endings, a program in a pickle, and other files."""
    made = tmp_path / "in"
    (made / "nets").mkdir(parents=True)
    for number, time in ((10, 3e9), (9, 1e9), (2, 2e9)):
        path = made / f"iris_v{number}.pkl"
        path.write_bytes(pickle.dumps({"w": np.full(3, number)}))
        old(path, time)
    np.savez(made / "nets" / "w-2024-01-05.npz", a=np.ones(3))
    np.save(made / "nets" / "w.npy", np.ones(4))
    (made / "evil.pkl").write_bytes(pickle.dumps([Evil(), eval]))
    (made / "cut.safetensors").write_bytes(b"\x10\0\0")
    (made / "read me.txt").write_text("hello")
    (made / "settings.json").write_text("{}")
    (made / "empty.pt").write_bytes(b"")
    saver.dump({"x": 1}, made / "own.saver")
    return made


def test_files_become_versions_by_time_and_the_others_are_named(folder: Path) -> None:
    store = saver.Saver(MemoryStorage())
    found = saver.migrate(folder, store)
    assert store.models() == ["iris", "nets/w.npy", "nets/w.npz", "own"]
    assert [store.load(f"iris@{number}")["w"][0] for number in (1, 2, 3)] == [9, 2, 10]
    assert store.version("iris@1").labels["migrated-from"] == "iris_v9.pkl"
    assert store.version("iris@1").labels["made"] == "2001-09-09T01:46:40Z"
    assert [each.version for each in found.came if each.model == "iris"] == ["iris@1", "iris@2", "iris@3"]
    assert found.came[0].time == 1e9
    why = {each.path: each.why for each in found.refused}
    assert why.keys() == {"evil.pkl", "cut.safetensors"}
    assert "system('touch ran')" in why["evil.pkl"]
    assert "builtins.eval" in why["evil.pkl"]
    assert not Path("ran").exists()
    assert {each.path: each.why for each in found.left} == {
        "read me.txt": "of no format that Saver reads", "settings.json": "of no format that Saver reads",
        "empty.pt": "empty",
    }  # fmt: skip
    assert "6 versions of 4 models came, 2 refused, 3 left out" in repr(found)
    assert "evil.pkl" in str(found)
    assert "<table" in found._repr_html_()


def test_a_dry_run_says_the_same_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    plan = saver.migrate(folder, tmp_path / "models", dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    done = saver.migrate(folder, tmp_path / "models")
    assert [each.path for each in plan.came] == [each.path for each in done.came]
    assert [each.model for each in plan.came] == [each.model for each in done.came]
    assert (plan.refused, plan.left) == (done.refused, done.left)
    assert {each.number for each in plan.came} == {0}
    assert "would come" in str(plan)


def test_what_came_does_not_come_again(folder: Path) -> None:
    store = saver.Saver(MemoryStorage())
    first = saver.migrate(folder, store)
    again = saver.migrate(folder, store)
    assert not again.came
    assert {each.path: each.why for each in again.there} == {each.path: each.version for each in first.came}
    (folder / "iris_v11.pkl").write_bytes(pickle.dumps({"w": np.full(3, 11)}))
    (folder / "iris_v12.pkl").write_bytes((folder / "iris_v2.pkl").read_bytes())
    more = saver.migrate(folder, store)
    assert [each.version for each in more.came] == ["iris@4"]
    assert ("iris_v12.pkl", "iris@2") in [(each.path, each.why) for each in more.there]
    os.rename(folder / "nets" / "w.npy", folder / "nets" / "v.npy")
    assert [each.model for each in saver.migrate(folder, store).came] == ["nets/v"]


@pytest.mark.parametrize("at", range(6))
def test_a_migration_that_ends_early_goes_on_where_it_was(
    at: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails at each version in turn, as after a kill or on a full disk."""
    from saver.migrating import migration

    whole, store, calls = saver.Saver(MemoryStorage()), saver.Saver(MemoryStorage()), []
    saver.migrate(folder, whole)
    save = migration.save_version

    def failing(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == at + 1:
            raise CannotWriteError("full")
        return save(*args)

    monkeypatch.setattr(migration, "save_version", failing)
    with pytest.raises(CannotWriteError, match="full"):
        saver.migrate(folder, store)
    rest = saver.migrate(folder, store)
    assert len(rest.there) == at
    assert len(rest.came) == 6 - at
    told = [
        [(str(each), each.labels) for model in one.models() for each in one.versions(model)]
        for one in (whole, store)
    ]
    assert told[0] == told[1]


@pytest.mark.slow
def test_a_killed_migration_goes_on(folder: Path, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, saver\nfrom saver.migrating import migration\n"
        "save = migration.save_version\n"
        "def dying(*args):\n    found = save(*args)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "migration.save_version = dying\nsaver.migrate(*sys.argv[1:])"
    )
    for count in range(1, 3):
        subprocess.run([sys.executable, "-c", program, folder, tmp_path / "models"], check=False)
        store = saver.Saver(tmp_path / "models")
        assert sum(len(store.versions(model)) for model in store.models()) == count
    assert len(saver.migrate(folder, tmp_path / "models").came) == 4
    assert store.check().sound


NAMES = {
    "iris_v2.pkl": "iris", "iris-2024-01-05.pkl": "iris", "iris.20240105T101112.joblib": "iris",
    "iris_1.2.3.pkl": "iris", "iris step=500.pt": "iris", "epoch=3-step=100.ckpt": "nets",
    "run/checkpoint-500/model.pt": "run/model", "run/3/model.pt": "run/model", "iris/v3.pkl": "iris",
    "iris_final.pkl": "iris_final", "resnet50.pt": "resnet50", "3.pkl": "nets", "a b/ü&c.pkl": "a-b/ü-c",
    "-.+x.pkl": "x", "net.weights.h5": "net.weights", "iris_v2.pkl.gz": "iris", "e\u0301.pkl": "é",
    "v1.2": "nets", "x_checkpoint_10": "x", "b2b-model.pt": "b2b-model", "2024/05/net.pt": "net",
}  # fmt: skip


@pytest.mark.parametrize("path", NAMES)
def test_a_model_is_named_after_its_path_without_numbers(path: str) -> None:
    naming = Naming({}, False, (), "nets")
    found = naming.model(path, ending_of(path.rpartition("/")[2]))
    saver.Saver(MemoryStorage()).save(found, 1)
    assert found == NAMES[path]


@pytest.mark.parametrize(
    "path", ["///", "....", "\udcff", "a/" * 300, "x" * 250, "\0\x1b", "+-", "1/2/3", ""]
)
def test_each_path_gives_a_name(path: str) -> None:
    for apart in (False, True):
        saver.Saver(MemoryStorage()).save(Naming({}, apart, ()).model(path, ""), 1)


def test_names_are_given_and_files_left_out(folder: Path) -> None:
    store = saver.Saver(MemoryStorage())
    found = saver.migrate(folder, store, names={"nets/*": "team/net"}, apart=True, leave=["iris_v1*", "own*"])
    assert store.models() == ["iris_v2", "iris_v9", "team/net"]
    assert len(store.versions("team/net")) == 2
    assert {"iris_v10.pkl", "own.saver"} <= {each.path for each in found.left}


def test_links_pipes_hidden_folders_and_stores_are_left_out(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.pkl"
    outside.write_bytes(pickle.dumps({"secret": 1}))
    (folder / "out.pkl").symlink_to(outside)
    (folder / "round").symlink_to(folder)
    (folder / "same.pkl").symlink_to("iris_v2.pkl")
    (folder / "away").symlink_to(tmp_path)
    (folder / "broken").symlink_to("nowhere")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.pkl").write_bytes(outside.read_bytes())
    os.mkfifo(folder / "pipe.pkl")
    saver.Saver(folder / "models").save("inner", 1)
    found = saver.migrate(folder, folder / "models")
    why = {each.path: each.why for each in found.left}
    assert why["out.pkl"] == why["away"] == "a link that leaves the folder"
    assert why["same.pkl"] == why["round"] == "a link; what it points to comes by itself"
    assert why["pipe.pkl"] == "a pipe or a device"
    assert why[".git"] == "a hidden folder"
    assert "store" in why["models"]
    assert len(found.came) == 6
    assert "secret" not in str(saver.Saver(folder / "models").models())


def test_a_folder_whose_files_are_links_to_outside_is_refused(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    (tmp_path / "in" / "hf").mkdir(parents=True)
    (tmp_path / "in" / "blobs").mkdir()
    safetensors.save_file({"w": np.ones(3)}, tmp_path / "outside")
    safetensors.save_file({"w": np.ones(4)}, tmp_path / "in" / "blobs" / "inside")
    (tmp_path / "in" / "hf" / "config.json").write_text("{}")
    link = tmp_path / "in" / "hf" / "model.safetensors"
    link.symlink_to(tmp_path / "outside")
    refused = saver.migrate(tmp_path / "in", MemoryStorage(), dry_run=True)
    assert [(each.path, "leaves the folder" in each.why) for each in refused.refused] == [("hf", True)]
    link.unlink()
    link.symlink_to("../blobs/inside")
    found = saver.migrate(tmp_path / "in", MemoryStorage(), dry_run=True)
    assert [(each.path, each.format) for each in found.came] == [("hf", "huggingface")], (
        "blobs are part of it"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "iris_v2.pkl").chmod(0)
    (folder / "nets").chmod(0)
    try:
        found = saver.migrate(folder, MemoryStorage())
    finally:
        (folder / "nets").chmod(0o700)
    assert {"nets", "iris_v2.pkl"} <= {each.path for each in found.refused}


def test_a_folder_that_cannot_be_listed_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def failing(path: Any) -> Any:
        if str(path).endswith("nets"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", failing)
    found = saver.migrate(folder, MemoryStorage())
    assert ("nets", "the folder cannot be read: Permission denied") in [
        (each.path, each.why) for each in found.refused
    ]
    assert len(found.came) == 4


def test_what_is_too_much_is_counted_or_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walking, "LISTED", 1)
    found = saver.migrate(folder, MemoryStorage(), dry_run=True)
    assert (len(found.left), found.more) == (1, 2)
    assert "3 left out" in found.verdict()
    assert "and 2 more" in str(found)
    monkeypatch.setattr(walking, "ENTRIES", 5)
    store = saver.Saver(MemoryStorage())
    with pytest.raises(LimitExceededError, match="one by one"):
        saver.migrate(folder, store)
    assert not store.exists()


def test_deep_folders_are_walked_to_their_end(tmp_path: Path) -> None:
    """Deeper than paths may be: the rest is refused, not followed for ever."""
    here = os.getcwd()
    (tmp_path / "in").mkdir()
    os.chdir(tmp_path / "in")
    try:
        for _ in range(30):
            os.mkdir("d" * 200)
            os.chdir("d" * 200)
        Path("a.pkl").write_bytes(pickle.dumps([1]))
    finally:
        os.chdir(here)
    found = saver.migrate(tmp_path / "in", MemoryStorage())
    assert not found.came
    assert "cannot be read" in found.refused[0].why


def test_every_cut_and_change_of_a_file_is_saved_or_refused(tmp_path: Path) -> None:
    data = pickle.dumps({"w": np.arange(2.0)}, protocol=4)
    (tmp_path / "in").mkdir()
    for at in range(len(data)):
        (tmp_path / "in" / f"cut{at}x.pkl").write_bytes(data[:at])
        (tmp_path / "in" / f"changed{at}x.pkl").write_bytes(
            data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1 :]
        )
    found = saver.migrate(tmp_path / "in", MemoryStorage(), dry_run=True)
    assert len(found.came) + len(found.refused) + len(found.left) + len(found.there) == 2 * len(data)
    assert len(found.refused) > len(data)


def test_classes_that_will_need_trust_are_named(tmp_path: Path) -> None:
    (tmp_path / "own.pkl").write_bytes(b"\x80\x02cmine.models\nNet\nq\0)\x81q\1}q\2U\1aq\3K\1sb.")
    found = saver.migrate(tmp_path, MemoryStorage())
    assert found.came[0].asks == ("mine.models.Net",)
    assert "mine.models.Net" in str(found)


def test_compressed_files_come_too(tmp_path: Path) -> None:
    (tmp_path / "a_v1.pkl.gz").write_bytes(gzip.compress(pickle.dumps({"w": np.arange(9.0)}), mtime=0))
    store = saver.Saver(MemoryStorage())
    saver.migrate(tmp_path, store)
    assert np.array_equal(store.load("a")["w"], np.arange(9.0))


def test_files_that_belong_to_another_one_come_with_it(tmp_path: Path) -> None:
    """Whichever was written first: the arrays of an old joblib, the data of a checkpoint."""
    (tmp_path / "in").mkdir()
    for path in JOBLIB.glob("joblib_0.9.2_pickle_py35_np19.pkl*"):
        shutil.copy(path, tmp_path / "in" / path.name)
    saver.dump({"w": np.arange(9.0)}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "in" / "net.index")
    for path in (tmp_path / "in").iterdir():
        old(path, 2e9 if path.suffix in (".index", ".pkl") else 1e9)
    found = saver.migrate(tmp_path / "in", MemoryStorage())
    assert [each.path for each in found.came] == ["joblib_0.9.2_pickle_py35_np19.pkl", "net.index"]
    assert not found.left


def test_progress_rises_to_all_bytes(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = saver.migrate(folder, MemoryStorage(), progress=lambda *each: seen.append(each))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1] > 0
    assert isinstance(found, Migrated)


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        saver.migrate(tmp_path / "nowhere", tmp_path / "models")
    (tmp_path / "empty").mkdir()
    assert saver.migrate(tmp_path / "empty", tmp_path / "models").verdict() == "0 versions of 0 models came"
    assert not (tmp_path / "models").exists()
