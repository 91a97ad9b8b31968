"""A backup is a sound store at every instant, whatever happens to the store or to the copy meanwhile."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drafts import draft, same

import saver
from saver.repo import stage
from saver.repo.backup import Copied, backup
from saver.repo.check import check
from saver.repo.events import Delete, Tag
from saver.repo.gc import collect, moving
from saver.repo.log import log_key
from saver.repo.manifest import manifest_key
from saver.repo.objects import pack_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.storage import Blob, Listed, Storage
from saver.storages.memory import MemoryStorage
from saver.testing import Crash, FaultyStorage, every_fault
from saver.testing.kinds import READ_KINDS

BASE = np.random.default_rng(1).normal(size=2000)


def tensors(number: int) -> dict[str, Any]:
    return {"p/base": BASE, "p/head": np.full(200, float(number))}


def save(store: Storage, count: int = 1, model: str = "m") -> None:
    repo = Repository(store)
    for _ in range(count):
        repo.open_to_write()
        found = repo.state.model(model)
        save_version(repo, draft(model, tensors(1 if found is None else found.last + 1), step=1))


def busy_day(store: Storage) -> None:
    """Versions, a tag, a deletion, a collection, and one more version."""
    save(store, 4)
    repo = Repository(store)
    repo.open()
    repo.append(lambda: Tag("m", "best", 4))
    repo.append(lambda: Delete("m", (2,)))
    collect(repo, grace=0)
    save(store)


@pytest.fixture
def store() -> MemoryStorage:
    found = MemoryStorage("source")
    busy_day(found)
    return found


def copy_of(store: Storage, target: Storage) -> Copied:
    return backup(Repository(store), target)


def holds_all(target: Storage, live: set[int]) -> bool:
    """Whether the copy has these versions of `m`, to the bit, and is sound."""
    repo = Repository(target)
    repo.open()
    assert {version.number for version in repo.versions("m")} == live
    assert all(same(Repository(target), f"m@{number}", tensors(number)) for number in live)
    return check(Repository(target)).sound


def test_a_copy_is_a_store_with_all_that_lives(store: MemoryStorage) -> None:
    target = MemoryStorage("target")
    copied = copy_of(store, target)
    assert (copied.versions, copied.head, copied.records, copied.present) == (4, 8, 8, 0)
    assert copied.whole
    assert holds_all(target, {1, 3, 4, 5})
    assert Repository(target).exists()
    repo = Repository(target)
    repo.open()
    assert repo.version("m@best").number == 4
    assert check(Repository(target)).garbage == ()


def test_the_next_backup_copies_what_is_new_and_removes_what_was_freed(store: MemoryStorage) -> None:
    target = MemoryStorage("target")
    copy_of(store, target)
    again = copy_of(store, target)
    assert (again.objects, again.records, again.removed, again.present) == (0, 0, 0, 8)
    save(store)
    repo = Repository(store)
    repo.open()
    repo.append(lambda: Delete("m", (3,)))
    collect(repo, grace=0)
    new = copy_of(store, target)
    assert (new.objects, new.records, new.removed) == (2, 3, 2)
    assert holds_all(target, {1, 4, 5, 6})
    assert check(Repository(target)).garbage == ()


@pytest.mark.slow
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_backup_that_is_killed_at_any_moment_leaves_a_store_or_none_and_goes_on(
    store: MemoryStorage, after: bool
) -> None:
    older = MemoryStorage("older")
    copy_of(store, older)
    save(store, 3)
    for begun in (MemoryStorage("target"), older):
        for at in itertools.count(1):
            target = begun.copy()
            faulty = FaultyStorage(target)
            faulty.crash(at, after)
            try:
                copy_of(store, faulty)
            except Crash:
                pass
            if not faulty.struck:
                break
            killed = Repository(target.copy())
            if target.stat("store.json") is not None:
                killed.open()
                numbers = {version.number for version in killed.versions("m")}
                assert {1, 3, 4, 5} <= numbers <= {1, 3, 4, 5, 6, 7, 8}
                assert holds_all(target.copy(), numbers)
            elif next(target.keys("log/"), None) is None:
                assert not killed.exists()
            copy_of(store, target)
            assert holds_all(target, {1, 3, 4, 5, 6, 7, 8})


@pytest.mark.slow
@pytest.mark.of_files
@pytest.mark.parametrize("limit", [-1, stage.FILE_BYTES], ids=["apart", "files"])
def test_a_backup_that_is_killed_leaves_readable_what_the_copy_had_though_its_bytes_moved_twice(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "FILE_BYTES", limit)
    monkeypatch.setattr(moving, "DEAD_BYTES", 0)
    monkeypatch.setattr(moving, "DEAD_SHARE", 0)
    wanted = {"p/base": BASE, "q/own": np.arange(300)}
    store, older = MemoryStorage("source"), MemoryStorage("older")
    repo = Repository(store)

    def forget(number: int) -> tuple[str, ...]:
        repo.append(lambda: Delete("m", (number,)))
        return collect(repo, grace=0).moved

    save_version(repo, draft("m", {"p/base": BASE, "r/large": np.arange(9000)}))
    save_version(repo, draft("m", wanted))
    save_version(repo, draft("m", {**wanted, "q/own": np.arange(301)}))
    copy_of(store, older)
    assert forget(1), "bytes move"
    save_version(repo, draft("m", {"p/base": BASE}))
    assert forget(4), "and once more"
    forget(3)
    for after in (False, True):
        for at in itertools.count(1):
            target = older.copy()
            faulty = FaultyStorage(target)
            faulty.crash(at, after)
            with suppress(Crash):
                copy_of(store, faulty)
            if not faulty.struck:
                break
            assert same(Repository(target.copy()), "m@2", wanted), at
            with suppress(saver.NotFoundError):  # as long as the copy does not know that it was deleted
                assert same(Repository(target.copy()), "m@3", {**wanted, "q/own": np.arange(301)}), at
            copy_of(store, target)
            assert same(Repository(target), "m@2", wanted)
            assert check(Repository(target)).sound
        assert at > 30


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_what_the_copy_has_whole_stays_though_its_bytes_moved_and_were_damaged_there(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "DEAD_BYTES", 6000)
    store, target = MemoryStorage("source"), MemoryStorage("target")
    repo = Repository(store)
    save_version(repo, draft("m", {"p/base": BASE, "r/large": np.arange(9000)}))
    save_version(repo, draft("m", tensors(2)))
    copy_of(store, target)
    repo.append(lambda: Delete("m", (1,)))
    assert collect(repo, grace=0).moved
    (pack,) = {shard.extents[0][0] for name, shard in repo.known(repo.version("m")).items() if "base" in name}
    data, time = store._objects.pop(pack_key(pack))
    if how == "flipped":
        store._objects[pack_key(pack)] = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], time
    for _ in range(2):
        assert {damage.key for damage in copy_of(store, target).damage} == {pack_key(pack)}
        assert same(Repository(target.copy()), "m@2", tensors(2))
    store._objects[pack_key(pack)] = data, time
    assert copy_of(store, target).whole, "it was mended"
    assert holds_all(target, {2})
    assert not check(Repository(target)).garbage


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_nothing_that_a_killed_backup_left_stays_for_ever(store: MemoryStorage, after: bool) -> None:
    clock, rest = itertools.count(1000.0, 7200), store.copy()
    now = partial(next, clock)
    repo = Repository(rest)
    repo.open()
    repo.append(lambda: Delete("m", (5,)))
    collect(repo, grace=0)
    for at in itertools.count(1):
        target = MemoryStorage("target", now)
        faulty = FaultyStorage(target)
        faulty.crash(at, after)
        with suppress(Crash):
            copy_of(store, faulty)
        if not faulty.struck:
            break
        copy_of(rest, target)
        assert list(target.keys("clock/")) == []
        assert check(Repository(target)).garbage == ()
    assert at > 30


class Meanwhile(MemoryStorage):
    """Does something just before one of the calls by which it is read."""

    def __init__(self, other: MemoryStorage, at: int, act: Callable[[Storage], Any]) -> None:
        super().__init__("source")
        self._objects = other._objects
        self._at, self._act, self._other, self.calls = at, act, other, 0

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._at:
            self._act(self._other)

    def open(self, key: str) -> Blob:
        self._count()
        return super().open(key)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self._count()
        return super().list(prefix, after)


def deletes_and_collects(store: Storage) -> None:
    repo = Repository(store)
    repo.open()
    repo.append(lambda: Delete("m", (1, 3)))
    collect(repo, grace=0)


@pytest.mark.slow
@pytest.mark.parametrize("act", [save, deletes_and_collects, busy_day], ids=lambda act: act.__name__)
def test_whatever_others_do_at_any_moment_the_copy_is_sound(
    store: MemoryStorage, act: Callable[[Storage], Any]
) -> None:
    for at in itertools.count(1):
        begun = MemoryStorage("source")
        begun._objects = dict(store._objects)
        source, target = Meanwhile(begun, at, act), MemoryStorage("target")
        copied = copy_of(source, target)
        assert copied.whole
        repo = Repository(target)
        repo.open()
        holds_all(target, {version.number for version in repo.versions("m")})
        assert check(Repository(target)).sound, at
        copy_of(begun, target)
        now = Repository(begun)
        now.open()
        assert holds_all(target, {version.number for version in now.versions("m")})
        if source.calls < at:
            break
    assert at > 30


def test_two_backups_to_the_same_place_do_no_harm(store: MemoryStorage) -> None:
    for at in itertools.count(1):
        target = MemoryStorage("target")
        source = Meanwhile(store, at, lambda other: copy_of(other, target))  # noqa: B023
        copy_of(source, target)
        assert holds_all(target, {1, 3, 4, 5}), at
        if source.calls < at:
            break


@pytest.mark.parametrize("key", ["store.json", log_key(1), log_key(7), log_key(8)])
def test_what_is_read_wrongly_once_never_gets_into_the_copy(key: str, store: MemoryStorage) -> None:
    flips = [kind for kind in READ_KINDS if kind.name == "flipped"]
    cases = every_fault(store.copy, lambda source: copy_of(source, MemoryStorage("elsewhere")), flips)
    for at in (case.at for case in cases if case.call == f"open {key}"):
        source, target = FaultyStorage(store.copy()), MemoryStorage("target")
        source.strike(at, flips[0])
        with suppress(saver.SaverError):
            copy_of(source, target)
        assert copy_of(store, target).whole
        assert holds_all(target, {1, 3, 4, 5})


def test_what_is_not_a_copy_is_refused_and_left_as_it_is(store: MemoryStorage) -> None:
    other = MemoryStorage("other")
    save(other, 2)
    foreign = MemoryStorage("foreign")
    foreign.create("holiday/beach.jpg", b"sand")
    written, ahead = MemoryStorage("written"), MemoryStorage("ahead")
    for each in (written, ahead):
        copy_of(store, each)
    save(written)
    save(store)
    save(ahead, 3)
    for target, why in (
        (other, "another store"),
        (foreign, "holds other files: holiday/beach.jpg"),
        (written, "somebody wrote to it"),
        (ahead, "it has 11 records"),
        (store, "itself; nothing was copied"),
    ):
        before = dict(target._objects)
        with pytest.raises(saver.CannotWriteError, match=why):
            copy_of(store, target)
        assert target._objects == before


@pytest.mark.parametrize("where", ["packs/x", "log/y", "sub", "link/z"])
def test_a_copy_is_not_made_inside_of_the_store(where: str, tmp_path: Path) -> None:
    own = saver.Saver(tmp_path / "models")
    own.save("m", {"a": 1})
    (tmp_path / "link").symlink_to(tmp_path / "models")
    place = tmp_path / where if where.startswith("link") else tmp_path / "models" / where
    with pytest.raises(saver.CannotWriteError, match="it is inside of the store"):
        own.backup(place)
    assert not place.exists()
    assert own.backup(tmp_path / "models2").whole  # its name only begins like that of the store


@pytest.mark.parametrize("how", ["flipped", "missing"])
@pytest.mark.parametrize("what", ["manifests/", "packs/"])
def test_what_is_damaged_in_the_store_is_named_and_all_the_rest_is_copied(
    store: MemoryStorage, what: str, how: str
) -> None:
    repo = Repository(store)
    repo.open()
    version = repo.version("m@4")
    known = repo.known(version)["p/head"].extents[0][0]
    key = f"packs/{known}.safetensors" if what == "packs/" else manifest_key(version.manifest)
    data, time = store._objects.pop(key)
    if how == "flipped":
        store._objects[key] = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], time
    target = MemoryStorage("target")
    copied = copy_of(store, target)
    assert not copied.whole
    assert {(damage.key, damage.model, damage.number) for damage in copied.damage} == {(key, "m", 4)}
    for number in (1, 3, 5):
        assert same(Repository(target), f"m@{number}", tensors(number))
    again = copy_of(store, target)
    assert {damage.number for damage in again.damage} == {4}, "it is reported each time"
    assert {damage.number for damage in check(Repository(target.copy())).damage if damage.model} == {4}
    store._objects[key] = data, time
    assert copy_of(store, target).whole, "it was mended"
    assert holds_all(target, {1, 3, 4, 5})


def test_a_pack_that_agrees_with_itself_and_not_with_the_manifest_is_named(store: MemoryStorage) -> None:
    repo = Repository(store)
    repo.open()
    one, other = (repo.known(repo.version(ref))["p/head"].extents[0][0] for ref in ("m@4", "m@5"))
    store._objects[pack_key(one)] = store._objects[pack_key(other)]
    copied = copy_of(store, MemoryStorage("target"))
    assert {(damage.key, damage.number) for damage in copied.damage} == {(pack_key(one), 4)}


def test_a_disk_that_keeps_other_bytes_is_reported_and_nothing_of_it_stays(store: MemoryStorage) -> None:
    class Lying(MemoryStorage):
        def _add(self, key: str, data: bytes) -> bool:
            return super()._add(key, data[:-1] + b"!" if key.startswith("packs/") else data)

    target = Lying("target")
    with pytest.raises(saver.CannotWriteError, match="is not what was written there"):
        copy_of(store, target)
    assert list(target.keys("packs/")) == []
    assert target.stat("store.json") is None


def test_backups_of_a_store_in_use_are_sound(tmp_path: Path) -> None:
    source = saver.Saver(tmp_path / "models")
    source.save("m", {"x": np.full(3000, 1.0)})
    over = threading.Event()

    def work(act: Callable[[saver.Saver, int], Any]) -> None:
        own = saver.Saver(tmp_path / "models")
        for number in itertools.count(2):
            if over.is_set():
                return
            act(own, number)

    def one(own: saver.Saver, number: int) -> None:
        version = own.save("m", {"x": np.full(3000, float(number)), "y": np.arange(2000.0)}, step=number)
        if version.number > 3:
            own.delete(f"m@{version.number - 3}")

    threads = [
        threading.Thread(target=work, args=(act,), daemon=True)
        for act in (one, lambda own, _: own.gc(grace=0))
    ]
    for thread in threads:
        thread.start()
    copies = 0
    try:
        while copies < 8:
            try:
                copied = saver.Saver(tmp_path / "models").backup(tmp_path / "copy")
            except saver.CannotWriteError:  # collected too often while it was copied
                continue
            copies += 1
            assert copied.whole
            copy = saver.Saver(tmp_path / "copy")
            assert copy.check().sound
            for version in copy.versions("m"):
                found = copy.load(str(version))["x"]
                assert (found == found[0]).all()
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_copying_tool_must_take_the_log_first(store: MemoryStorage) -> None:
    """Everything that a record needs is there before it: a reader who has the record finds it later, too."""

    def copied(order: tuple[str, ...]) -> MemoryStorage:
        source = MemoryStorage("source")
        source._objects = dict(store._objects)
        target = MemoryStorage("target")
        for prefix in order:
            save(source)
            for key in [key for key in source.keys("") if key.startswith(prefix)]:
                target.create(key, source.read(key))
        return target

    good = copied(("store.json", "log/", "manifests/", "packs/"))
    assert check(Repository(good)).sound
    bad = copied(("store.json", "packs/", "manifests/", "log/"))
    assert not check(Repository(bad)).sound


def test_a_record_of_the_copy_is_that_of_the_store(store: MemoryStorage) -> None:
    target = MemoryStorage("target")
    copied = copy_of(store, target)
    for number in range(1, copied.head + 1):
        assert target.read(log_key(number)) == store.read(log_key(number))
