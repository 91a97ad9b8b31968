"""Who may read, write and collect: compared with what the system lets them do, over modes of everything."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import saver
from saver.access import Access, Who, access
from saver.repo.objects import is_own
from users import ANN, BEN, EVE, TEAM, User, as_user, place, skip_unless_root

USERS: dict[str, User] = {"owner": ANN, "group": BEN, "others": EVE}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store of ann, which her team shares."""
    skip_unless_root()
    monkeypatch.setenv("SAVER_CACHE", "/proc/nothing")
    with place() as folder:
        made = saver.Saver(folder / "models")
        made.create(shared=str(TEAM))
        for seed in range(2):
            made.save("iris", {"w": np.arange(3000.0) + seed})
        for path in (folder / "models", *(folder / "models").rglob("*")):
            os.chown(path, ANN.uid, -1)
            path.chmod(0o2770 if path.is_dir() else 0o660)
        yield folder / "models"


def own(store: Path) -> list[Path]:
    return [
        path for path in sorted(store.rglob("*"))
        if path.is_dir() or is_own(str(path.relative_to(store)))
    ]  # fmt: skip


def allowed(store: Path) -> Who:
    """What the system lets this process do, tried at every folder and file."""
    items = own_or_nothing(store)
    read = items is not None and all(
        os.access(path, os.R_OK | os.X_OK if path.is_dir() else os.R_OK) for path in (store, *items)
    )
    folders = [path for path in (store, *items) if path.is_dir()] if read and items is not None else []
    write = read and all(os.access(path, os.W_OK) for path in folders)
    sticky = any(
        path.stat().st_mode & stat.S_ISVTX and path.stat().st_uid != os.geteuid() for path in folders
    )
    return Who("", read, write, write and not sticky)


def own_or_nothing(store: Path) -> list[Path] | None:
    try:
        found = [store / name for name in os.listdir(store)]
        for path in found:
            if path.is_dir():
                found += [path / name for name in os.listdir(path)]
    except PermissionError:
        return None
    return [path for path in found if path.is_dir() or is_own(str(path.relative_to(store)))]


def same(found: Who, other: Who) -> bool:
    return (found.read, found.write, found.collect) == (other.read, other.write, other.collect)


@pytest.mark.parametrize("times", [12, pytest.param(120, marks=pytest.mark.long)])
@pytest.mark.slow
def test_it_says_what_the_system_does(store: Path, times: int) -> None:
    """Modes, owners and groups of some folders and files at a time, chosen by a fixed seed."""
    chance = random.Random(1)
    items = [store, *own(store)]
    usual = {path: path.stat() for path in items}
    for _ in range(times):
        changed = chance.sample(items, chance.randint(1, 3))
        for path in changed:
            bits = chance.choice(
                [0o770, 0o750, 0o700, 0o755, 0o775, 0o777, 0o070, 0o007, 0o570, 0o771, 0o1770]
            )
            path.chmod(bits | stat.S_ISGID * chance.randint(0, 1) if path.is_dir() else bits & 0o666)
            if path != store and chance.random() < 0.3:
                os.chown(path, *chance.choice([(59_004, TEAM), (ANN.uid, 59_001), (59_004, 59_004)]))
        found, _ = access(str(store))
        for name, user in USERS.items():
            assert same(getattr(found, name), as_user(user, allowed, store)), (name, changed)
            you = as_user(user, lambda: access(str(store))[0].you) if may_look(store, user) else None
            assert you is None or same(you, as_user(user, allowed, store)), (name, changed)
        for path in changed:
            os.chown(path, usual[path].st_uid, usual[path].st_gid)
            path.chmod(stat.S_IMODE(usual[path].st_mode))


def may_look(store: Path, user: User) -> bool:
    return as_user(user, lambda: os.access(store, os.R_OK | os.X_OK))


def said(store: Path) -> dict[str, str]:
    """What is warned of, and where."""
    return {
        each.topic: each.here for each in access(str(store))[1] if each.severity in ("warning", "problem")
    }


def test_a_shared_store_as_it_is_made_is_sound(store: Path) -> None:
    found, findings = access(str(store))
    assert found == Access(
        True, Who("59001", True, True, True), Who("59000", True, True, True), Who("", False, False, False),
        Who("root", True, True, True),
    )  # fmt: skip
    assert {each.severity for each in findings} == {"ok"}


CONTRADICTIONS = {
    "not readable": lambda store: (store / "store.json").chmod(0o600),
    "not writable": lambda store: (store / "packs").chmod(0o2750),
    "another group": lambda store: os.chown(store / "log" / f"{1:020}.json", ANN.uid, 59_001),
    "no set-gid bit": lambda store: (store / "log").chmod(0o770),
    "closed folder": lambda store: store.parent.chmod(0o700),
    "sticky bit": lambda store: (store / "packs").chmod(0o3770),
    "open to all": lambda store: store.chmod(0o2777),
    "not shared": lambda store: store.chmod(0o770),
}


@pytest.mark.parametrize("topic", CONTRADICTIONS)
def test_each_contradiction_is_named(topic: str, store: Path) -> None:
    CONTRADICTIONS[topic](store)
    assert topic in said(store)


def test_what_another_user_left_in_a_plain_store_is_named(store: Path) -> None:
    """As where root saved once in the store of somebody else."""
    for path in (store, *store.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert said(store) == {}
    os.chown(store / "packs", 0, 0)
    assert said(store) == {"not writable": "packs"}
    found, _ = access(str(store))
    assert (found.owner.read, found.owner.write) == (True, False)


def test_what_cannot_be_looked_into_is_said(store: Path) -> None:
    (store / "packs").chmod(0o2700)

    def act() -> dict[str, str]:
        return said(store)

    assert as_user(BEN, act)["not looked into"] == "packs"


def test_links_and_foreign_files_are_left_alone(store: Path) -> None:
    (store / "mine.txt").write_text("x")
    (store / "mine.txt").chmod(0o600)
    (store / "log" / "link").symlink_to("/etc/shadow")
    (store / "notes").symlink_to("/root")
    assert said(store) == {}
