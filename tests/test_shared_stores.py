"""A store that a group shares: its members save, tag and collect after each other, whatever their umask."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import saver
from saver.access import access
from saver.errors import CannotWriteError, SaverError
from saver.repo import stage
from saver.storages import _shared
from users import ANN, BEN, EVE, TEAM, User, as_user, place, skip_unless_root

pytestmark = pytest.mark.slow

UMASKS = [0o000, 0o002, 0o022, 0o027, 0o077]


@pytest.fixture
def desk() -> Iterator[Path]:
    """A folder in which members of the team may make folders."""
    skip_unless_root()
    os.environ["SAVER_CACHE"] = "/proc/nothing"
    with place() as folder:
        warm(folder / "warm")  # what is imported on first use, others may not read
        os.chown(folder, 0, TEAM)
        folder.chmod(0o775)
        yield folder


def warm(folder: Path) -> None:
    if not WARM:
        WARM.append(True)
        work(folder, 0), work(folder, 1), saver.Saver(folder).save("iris", [1]), access(str(folder))
        saver.Saver(folder).create(), saver.Saver(f"{folder}-shared").create(shared=str(TEAM))


WARM: list[bool] = []


def work(folder: Path, seed: int, together: bool = False) -> str:
    """Everything that writes to a store; a backup to one that all use, or to one of its own."""
    store = saver.Saver(folder, author=f"user {seed}")
    store.save("iris", {"w": np.arange(5000.0) + seed, "small": [seed]}, metrics={"f1": seed}, tags=["best"])
    store.save("iris", {"w": np.arange(5000.0) + seed, "small": [seed, 1]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "FILE_BYTES", 0)  # so that manifest and documents are objects of their own
        store.save("large", {"w": np.arange(5000.0) - seed, "small": [*range(3000)]})
    for number in range(20):  # more than one checkpoint of the log
        store.note("iris", f"{seed} {number}")
    store.tag("iris", "production"), store.untag("iris", "production"), store.label("iris@latest", {"a": "b"})
    with store.checkpoints(
        "run", {"a": {"b": 1}}, every=saver.Every(steps=1), keep=saver.Keep(last=1)
    ) as run:
        run.step(run.resume(), loss=1.0)
    store.delete("iris@latest")
    store.gc(grace=0, everything=True)
    store.backup(Path(f"{folder}-copy{'' if together else seed}"))
    assert not store.check().damage
    return str(store.load("iris")["small"])


def shared(folder: Path, user: User = ANN, umask: int = 0o077) -> Path:
    assert as_user(user, lambda: saver.Saver(folder).create(shared=str(TEAM)), umask=umask) is True
    return folder


def modes(folder: Path) -> set[tuple[bool, int, int]]:
    """Of each file and folder: whether it is a folder, its mode, and its group."""
    found = [folder, *folder.rglob("*")]
    return {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) for path in found
    }  # fmt: skip


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_members_work_after_each_other_and_everything_stays_shared(umask: int, desk: Path) -> None:
    folder = shared(desk / "models", umask=umask)
    (desk / "models-copy").mkdir()
    os.chown(desk / "models-copy", ANN.uid, TEAM)
    (desk / "models-copy").chmod(0o2770)
    for seed, user in enumerate([ANN, BEN, ANN, BEN]):
        assert as_user(user, work, folder, seed, True, umask=umask) == f"[{seed}]"
        both = {(True, 0o2770, TEAM), (False, 0o660, TEAM)}
        assert modes(folder) == both
        assert modes(desk / "models-copy") == both
    found, findings = access(str(folder))
    assert found.shared
    assert found.group.collect
    assert not found.others.read
    assert [each for each in findings if each.severity != "ok"] == []


def test_others_may_not_even_look(desk: Path) -> None:
    folder = shared(desk / "models")
    as_user(ANN, lambda: str(saver.Saver(folder).save("iris", [1])))
    for act in (lambda: saver.Saver(folder).load("iris"), lambda: str(saver.Saver(folder).save("iris", [2]))):
        with pytest.raises(SaverError, match="Permission denied"):
            as_user(EVE, act)
    assert as_user(BEN, lambda: saver.Saver(folder).load("iris")) == [1]


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_a_plain_store_follows_the_umask(umask: int, desk: Path) -> None:
    desk.chmod(0o777)
    folder = desk / "models"
    assert as_user(EVE, lambda: saver.Saver(folder).create(), umask=umask) is True
    as_user(EVE, work, folder, 1, True, umask=umask)
    wanted = {(True, 0o777 & ~umask, 59_003), (False, 0o666 & ~umask, 59_003)}
    assert modes(folder) == wanted
    assert modes(desk / "models-copy") == wanted


@pytest.mark.parametrize("umask", UMASKS, ids=oct)
def test_files_follow_the_umask(umask: int, desk: Path) -> None:
    desk.chmod(0o777)

    def act() -> None:
        saver.dump({"w": np.arange(9.0)}, desk / "a.saver")
        for ending in ("npz", "json", "saver"):
            saver.export(desk / "a.saver", desk / f"b.{ending}")

    saver.export(_dumped(desk), desk / "warm.npz"), saver.export(_dumped(desk), desk / "warm.json")
    as_user(EVE, act, umask=umask)
    for name in ("a.saver", "b.npz", "b.json", "b.saver"):
        assert stat.S_IMODE((desk / name).stat().st_mode) == 0o666 & ~umask, name


def _dumped(folder: Path) -> Path:
    saver.dump({"w": np.arange(9.0)}, folder / "warm.saver")
    return folder / "warm.saver"


def test_others_may_read_where_the_folder_lets_them_but_what_the_umask_denies(desk: Path) -> None:
    """The group's rights are the store's; those of others are asked of the umask, too."""
    folder = shared(desk / "models")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o2775 if path.is_dir() else 0o664)
    as_user(BEN, lambda: str(saver.Saver(folder).save("iris", {"w": np.arange(5000.0)})), umask=0o022)
    assert modes(folder) == {(True, 0o2775, TEAM), (False, 0o664, TEAM)}
    assert as_user(EVE, lambda: saver.Saver(folder).load("iris")["w"][3]) == 3
    as_user(BEN, lambda: str(saver.Saver(folder).save("rose", {"w": np.arange(5000.0) + 1})), umask=0o077)
    assert (False, 0o660, TEAM) in modes(folder)


def test_only_a_member_can_give_a_folder_to_a_group(desk: Path) -> None:
    desk.chmod(0o777)
    with pytest.raises(CannotWriteError, match=r"could not be given to the group 59000.*no store was made"):
        as_user(EVE, lambda: saver.Saver(desk / "models").create(shared=str(TEAM)))
    assert not (desk / "models").exists()


def test_root_makes_one_for_a_team(desk: Path) -> None:
    assert saver.Saver(desk / "models").create(shared=str(TEAM))
    for seed, user in enumerate([ANN, BEN]):
        as_user(user, lambda seed=seed: str(saver.Saver(desk / "models").save("iris", [seed])), umask=0o077)
    assert as_user(ANN, lambda: saver.Saver(desk / "models").load("iris")) == [1]


# A process that is killed, or slow, after it created a folder and before the group may use it


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared, "_PATIENCE", 0.05)


def folders(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_dir()]


def test_what_a_killed_member_left_closed_its_next_save_opens(desk: Path, impatient: None) -> None:
    folder = shared(desk / "models")
    as_user(ANN, work, folder, 1, umask=0o077)
    for name in folders(folder):
        (folder / name).chmod(0o2700)  # as it is between the two calls
        owner = (folder / name).stat().st_uid
        assert owner == ANN.uid
        as_user(ANN, work, folder, 2, umask=0o077)
        if stat.S_IMODE((folder / name).stat().st_mode) != 0o2770:  # one of manifests/, and not that of these
            assert "/" in name
            (folder / name).chmod(0o2770)
    assert as_user(BEN, lambda: saver.Saver(folder).load("iris")["small"]) == [2]


@pytest.mark.parametrize("name", ["log", "packs", "manifests", "state"])
def test_until_then_others_get_an_error_and_doctor_names_the_folder(
    name: str, desk: Path, impatient: None
) -> None:
    folder = shared(desk / "models")
    as_user(ANN, work, folder, 1, umask=0o077)
    (folder / name).chmod(0o2700)
    with pytest.raises(SaverError, match="Permission denied"):
        as_user(BEN, work, folder, 2, umask=0o077)
    if name == "state":  # it holds shortcuts alone, so a reader may do without
        assert as_user(BEN, lambda: saver.Saver(folder).load("iris")["small"]) == [1]
    found, findings = access(str(folder))
    assert not found.group.read
    assert {each.topic for each in findings if each.severity == "warning"} >= {"not readable", "not writable"}
    assert any(each.here.startswith(name) for each in findings)
    (folder / name).chmod(0o2770)
    as_user(BEN, work, folder, 3, umask=0o077)


@pytest.mark.parametrize("name", ["log", "packs", "manifests", "state"])
def test_a_folder_that_is_being_created_is_waited_for(
    name: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_shared, "_PATIENCE", 30.0)
    folder = shared(desk / "models")
    as_user(ANN, work, folder, 1, umask=0o077)
    (folder / name).chmod(0o2700)
    opening = threading.Timer(0.2, lambda: (folder / name).chmod(0o2770))
    opening.start()
    assert as_user(BEN, lambda: saver.Saver(folder).load("iris")["small"]) == [1]
    opening.join()
    (folder / name).chmod(0o2700)
    opening = threading.Timer(0.2, lambda: (folder / name).chmod(0o2770))
    opening.start()
    assert as_user(BEN, work, folder, 2, umask=0o077) == "[2]"
    opening.join()


def test_two_members_save_at_the_same_time(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each meets folders that the other has just created."""
    monkeypatch.setattr(stage, "FILE_BYTES", 0)
    share = _shared.share
    monkeypatch.setattr(_shared, "share", lambda *args: (time.sleep(0.02), share(*args)))
    for attempt in range(2):
        folder = shared(desk / f"models{attempt}")
        begin = time.time() + 0.1

        def act(name: str, folder: Path = folder, begin: float = begin) -> int:
            time.sleep(max(0.0, begin - time.time()))
            store = saver.Saver(folder)
            for number in range(5):
                store.save(name, {"w": np.arange(3000.0) + number, "x": name})
            return len(store.versions(name))

        with ThreadPoolExecutor(2) as threads:
            doing = [
                threads.submit(as_user, *each, umask=0o077) for each in ((ANN, act, "ann"), (BEN, act, "ben"))
            ]
            assert [each.result() for each in doing] == [5, 5]
        assert modes(folder) == {(True, 0o2770, TEAM), (False, 0o660, TEAM)}


def test_the_mode_of_what_is_created_is_never_more_than_the_folder_allows() -> None:
    """Of every mode that a folder can have, and every umask."""
    for root in range(0o10000):
        mode = stat.S_IFDIR | root
        if not _shared.is_shared(mode):
            continue
        for umask in UMASKS:
            file = _shared.shared_mode(mode, stat.S_IFREG | 0o666 & ~umask)
            folder = _shared.shared_mode(mode, stat.S_IFDIR | 0o777 & ~umask)
            assert file & 0o770 == 0o660
            assert folder & 0o2770 == 0o2770
            for made in (file, folder):
                assert not made & 0o007 & (~root | umask)
                assert not made & (stat.S_ISUID | stat.S_ISVTX)


def test_no_other_folder_is_shared() -> None:
    kinds = (stat.S_IFDIR, stat.S_IFREG)
    found = {
        kind | mode for kind in kinds for mode in range(0o10000) if _shared.is_shared(kind | mode)
    }  # fmt: skip
    assert found == {
        stat.S_IFDIR | mode for mode in range(0o10000) if mode & stat.S_ISGID and mode & 0o070 == 0o070
    }


def test_a_link_that_a_member_puts_in_place_of_a_folder_opens_nothing_of_another(desk: Path) -> None:
    """The group may replace a folder of the store; what it leads to belongs to somebody else."""
    folder = shared(desk / "models")
    as_user(ANN, work, folder, 1, umask=0o077)
    as_user(ANN, lambda: (desk / "private").mkdir(0o700))
    for name in ("packs", "log", "state"):
        os.rename(folder / name, folder / "aside")
        as_user(BEN, lambda name=name: (folder / name).symlink_to(desk / "private"))
        with pytest.raises(SaverError, match="symbolic link"):
            as_user(ANN, work, folder, 2, umask=0o077)
        assert stat.S_IMODE((desk / "private").stat().st_mode) == 0o700
        assert list((desk / "private").iterdir()) == []
        (folder / name).unlink()
        os.rename(folder / "aside", folder / name)
