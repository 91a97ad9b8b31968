"""What a collection learned is kept for the next one, which costs what changed. It is only a shortcut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from drafts import draft

import saver
from saver.repo import document
from saver.repo.check import check
from saver.repo.events import Delete, Tag
from saver.repo.gc import collect, collection
from saver.repo.objects import USERS, checkpoint_key, checkpoint_number, pack_key, page_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.state import state, users
from saver.repo.state.checkpoint import UsersCheckpoint
from saver.storage import Bytes, Listed, Storage
from saver.storages.memory import MemoryStorage
from saver.testing import CountingStorage

SHARED = np.random.default_rng(1).standard_normal(20_000)


def delete(repo: Repository, model: str, *numbers: int) -> None:
    repo.open()
    repo.append(lambda: Delete(model, numbers))


def made(versions: int) -> MemoryStorage:
    """A store with a base that all versions share, and where a collection took place."""
    storage = MemoryStorage()
    repo = Repository(storage)
    for number in range(versions):
        tensors = {"a/base": SHARED, "a/head": np.full(50, float(number))}
        save_version(repo, draft(f"m{number % 3}", tensors, bases=("m0@1",) if number else ()))
        if number % 7 == 6:
            delete(repo, f"m{number % 3}", number // 3)
    collect(Repository(storage), grace=0)
    return storage


@pytest.fixture(scope="module")
def stores() -> dict[int, MemoryStorage]:
    return {versions: made(versions) for versions in (150, 600)}


def garbage(storage: Storage) -> tuple[str, ...]:
    return check(Repository(storage)).garbage


def live(storage: Storage) -> set[str]:
    repo = Repository(storage)
    repo.open()
    return {f"{model}@{number}" for model, number, _ in repo.state.all_versions()}


def checkpoints(storage: Storage) -> list[str]:
    return [key for key in storage.keys(USERS) if checkpoint_number(key, USERS)]


def pages(storage: Storage) -> list[str]:
    """The keys of the pages of the newest checkpoint of who needs what."""
    own = Repository(storage).users.shortcuts
    root = own.read(checkpoint_number(checkpoints(storage)[0], USERS)).root
    return sorted(map(page_key, own.pages.reachable(root)))


class Listing(CountingStorage):
    """Counts, and notes what is listed from where."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.listed: list[tuple[str, str]] = []

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        self.listed.append((prefix, after))
        return super().keys(prefix, after)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self.listed.append((prefix, after))
        return super().list(prefix, after)


@pytest.mark.parametrize("kept", [False, True], ids=["what a run keeps", "what a first process kept"])
def test_a_collection_in_a_new_process_costs_what_was_deleted_and_not_what_there_is(
    kept: bool, stores: dict[int, MemoryStorage]
) -> None:
    reads, waits = [], []
    for versions, large in stores.items():
        storage = large.copy()
        deleting = Repository(storage)
        deleting.open()
        delete(deleting, "m1", deleting.state.model("m1").latest)  # type: ignore[union-attr]
        if kept:
            collect(deleting, grace=0, listing=False)
            delete(deleting, "m2", deleting.state.model("m2").latest)  # type: ignore[union-attr]
        counting = Listing(storage)
        repo = Repository(counting)
        assert len(collect(repo, grace=0, listing=False).freed) == 2
        counts = counting.calls
        reads.append(counts["read"] + counts["open"] + counts["stat"])
        waits.append(counting.waits)
        prefixes = {prefix for prefix, _ in counting.listed}
        assert not prefixes & {"packs/", "manifests/", "trees/"}
        (after,) = {after for prefix, after in counting.listed if prefix == "log/"}
        assert int(after.removeprefix("log/").removesuffix(".json")) > versions
        assert garbage(storage) == ()
    assert reads[1] <= reads[0] + 8, "another level of pages"
    assert waits[1] <= waits[0] + 4


def test_a_user_who_collects_again_in_a_new_process_pays_for_what_was_deleted(
    stores: dict[int, MemoryStorage],
) -> None:
    counts = []
    for large in stores.values():
        storage = large.copy()
        saver.Saver(storage).delete("m1@latest")
        counting = CountingStorage(storage)
        assert len(saver.Saver(counting).gc(grace=0).freed) == 2
        counts.append(sum(counting.calls.values()))
    assert counts[1] <= counts[0] + 8, "another level of pages"


def test_the_first_collection_reads_the_state_and_not_the_log(stores: dict[int, MemoryStorage]) -> None:
    storage = stores[600].copy()
    storage.delete(*checkpoints(storage))
    counting = CountingStorage(storage)
    collect(Repository(counting), grace=0, listing=False)
    assert counting.calls["read"] < 300 < len(list(storage.keys("log/")))


# What is found without listing


def orphan(storage: Storage) -> str:
    key = pack_key(f"{len(list(storage.keys('packs/'))):032x}")
    storage.put(key, Bytes(b"what a killed save left"))
    return key


def test_what_a_killed_save_left_is_found_once_a_day_and_when_asked_for() -> None:
    now = 1e6
    storage = MemoryStorage(clock=lambda: now)
    repo = Repository(storage, clock=lambda: now)
    for number in range(collection.SMALL + 10):
        save_version(repo, draft("m", {"a/x": np.full(50, float(number))}))

    def collected(**more: Any) -> tuple[str, ...]:
        return collect(Repository(storage, clock=lambda: now), grace=0, **more).freed

    first = orphan(storage)
    assert collected(listing=False) == (first,), "there was no listing before"
    second = orphan(storage)
    now += collection.LISTED_FOR / 2
    assert collected(listing=False) == ()
    assert collected(listing=True) == (second,)
    third = orphan(storage)
    now += collection.LISTED_FOR - 1
    assert collected(listing=False) == ()
    now += 1
    assert collected(listing=False) == (third,)


def test_in_a_small_store_everything_is_looked_at(store: MemoryStorage, repo: Repository) -> None:
    for _ in range(3):
        save_version(repo, draft("m", {"a/x": np.ones(50)}))
        key = orphan(store)
        assert collect(Repository(store), grace=0, listing=False).freed == (key,)
    assert checkpoints(store) == [], "none is needed"


def test_what_was_too_young_when_all_was_listed_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SMALL", 0)
    now = 0.0
    storage = MemoryStorage(clock=lambda: now)
    repo = Repository(storage, clock=lambda: now)
    for number in range(5):
        save_version(repo, draft("m", {"a/x": np.full(50, float(number))}))
    key = orphan(storage)
    now = 50.0
    assert collect(Repository(storage, clock=lambda: now), grace=100).busy == (key,)
    now = 90.0
    assert collect(Repository(storage, clock=lambda: now), grace=100, listing=False).busy == (key,)
    now = 150.0
    done = collect(Repository(storage, clock=lambda: now), grace=100, listing=False)
    assert (done.condemned, done.busy) == ((key,), ())
    now = 260.0
    assert collect(Repository(storage, clock=lambda: now), grace=100, listing=False).freed == (key,)
    assert garbage(storage) == ()


def test_a_listing_whose_collection_failed_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SMALL", 0)
    storage = MemoryStorage(clock=lambda: 1.0)
    repo = Repository(storage, clock=lambda: 1.0)
    save_version(repo, draft("m", {"a/x": np.ones(50)}))
    key = orphan(storage)
    with monkeypatch.context() as patch:
        patch.setattr(repo, "append", _refused)
        with pytest.raises(saver.CannotWriteError):
            collect(repo, grace=0, listing=False)
    assert collect(repo, grace=0, listing=False).freed == (key,)


def _refused(decide: Callable[[], Any]) -> Any:
    decide()
    raise saver.CannotWriteError("no")


# It is only a shortcut


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SMALL", 0)
    monkeypatch.setattr(users, "INTERVAL", 1)


def flipped(data: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def hows(storage: Storage, key: str) -> Iterator[tuple[str, bytes | None]]:
    """Everything that may become of a shortcut: None if it is gone."""
    data, chance = storage.read(key), Random(key)
    yield "missing", None
    yield "empty", b""
    yield "cut off", data[: len(data) // 2]
    for _ in range(3):
        yield "changed", flipped(data, chance)
    others = [each for each in storage.keys("state/") if each != key and each.endswith(".json")]
    same = checkpoint_key(checkpoint_number(key, USERS))
    for other in {*chance.sample(others, min(6, len(others))), *({same} & {*others})}:
        yield f"what {other} holds", storage.read(other)


def test_whatever_becomes_of_it_the_next_collection_frees_what_it_would_have_freed(eager: None) -> None:
    """And a check names what is damaged; after that, and after the next collection, all is sound."""
    storage = made(48)  # then a checkpoint of the state is of the same record
    repo = Repository(storage)
    repo.open()
    while repo.state.head % state.INTERVAL:
        repo.append(lambda: Tag("m1", f"t{repo.state.head}", 3))
    collect(Repository(storage), grace=0)
    save_version(repo, draft("other", {"a/x": np.ones(50)}))
    assert checkpoint_number(checkpoints(storage)[0], USERS) == repo.state.head - 1
    assert storage.stat(checkpoint_key(repo.state.head - 1)) is not None
    delete(repo, "m1", 5, 6)
    expected = storage.copy()
    wanted = set(collect(Repository(expected), grace=0).freed)
    assert len(wanted) == 4
    tried = 0
    for key in [*checkpoints(storage), *pages(storage)]:
        for how, data in hows(storage, key):
            spoilt = storage.copy()
            spoilt.delete(key)
            if data is not None:
                spoilt.create(key, data)
            checked = spoilt.copy()
            assert set(collect(Repository(spoilt), grace=0, listing=False).freed) == wanted, (key, how)
            assert live(spoilt) == live(expected), (key, how)
            assert garbage(spoilt) == (), (key, how)
            assert {damage.key for damage in check(Repository(checked)).damage} <= {key}, (key, how)
            assert check(Repository(checked)).damage == ()
            collect(Repository(checked), grace=0, listing=False)
            assert check(Repository(checked)).damage == ()
            tried += 1
    assert tried > 60


def test_a_missing_page_is_named_by_a_check(eager: None) -> None:
    storage = made(30)
    key = pages(storage)[-1]
    storage.delete(key)
    assert [damage.key for damage in check(Repository(storage)).damage] == [key]
    assert checkpoints(storage) == []


def forged(storage: Storage, **changes: Any) -> None:
    """A checkpoint with other content, and a right hash."""
    (key, *_) = checkpoints(storage)
    found, _ = document.decode(storage.read(key), UsersCheckpoint, key)
    storage.delete(key)
    storage.create(key, document.encode(msgspec.structs.replace(found, **changes)))


@pytest.mark.parametrize("changes", [{"previous": "0" * 64}, {"number": 3}, {"format": 3}, {"root": "ab"}])
def test_one_of_another_log_is_not_believed(changes: dict[str, Any], eager: None) -> None:
    storage = made(30)
    for key in checkpoints(storage)[1:]:
        storage.delete(key)
    forged(storage, **({"root": None} | changes))
    repo = Repository(storage)
    delete(repo, "m1", 5)
    assert len(collect(Repository(storage), grace=0, listing=False).freed) == 2
    assert {damage.key for damage in check(Repository(storage)).damage} <= {"state/pages/ab/ab.json"}


def test_a_root_of_what_the_state_says_says_nothing_about_who_needs_what(eager: None) -> None:
    storage = made(30)
    repo = Repository(storage)
    repo.open()
    own = repo.users.shortcuts
    own.pages.update(None, {"version m0 000000000001": 1})
    root = next(iter(own._held))
    storage.create(page_key(root), own._held[root])
    for key in checkpoints(storage)[1:]:
        storage.delete(key)
    forged(storage, root=root)
    delete(repo, "m1", 5)
    collect(Repository(storage), grace=0, listing=False)
    assert check(Repository(storage)).damage == ()


def test_condemned_objects_are_deleted_only_if_the_log_condemned_them(eager: None) -> None:
    storage = made(30)
    repo = Repository(storage)
    collect(repo, grace=0, listing=False)
    version = repo.version("m0@latest")
    repo.users._note({f"gone {pack_key(version.packs[0])}": True})
    collect(repo, grace=0, listing=False)
    assert check(Repository(storage)).damage == ()


def test_an_older_one_serves_if_the_newest_are_gone(eager: None) -> None:
    storage = made(30)
    for number in range(3, 6):
        delete(Repository(storage), "m2", number)
        collect(Repository(storage), grace=0, listing=False)
    newest, *older = checkpoints(storage)
    assert len(older) == 3
    delete(Repository(storage), "m2", 7)
    storage.delete(newest)
    assert len(collect(Repository(storage), grace=0, listing=False).freed) == 2
    assert garbage(storage) == ()


def test_collectors_that_come_and_go_leave_a_small_state() -> None:
    """Old checkpoints and their pages are dropped by who writes new ones."""
    storage = made(150)
    for turn in range(60):
        repo = Repository(storage)
        for number in range(10):
            save_version(repo, draft(f"n{number}", {"a/x": np.full(50, float(turn))}))
            if turn:
                delete(repo, f"n{number}", turn)
        assert collect(Repository(storage), grace=0, listing=False).freed or not turn
    assert garbage(storage) == ()
    assert len(checkpoints(storage)) == 4
    repo = Repository(storage)
    repo.open()
    needed = repo.state.needed() | repo.users.shortcuts.needed(repo.state.head)
    assert set(storage.keys("state/")) == needed


def test_two_that_collect_in_turn_agree(eager: None) -> None:
    """Each rests on what the other kept, or on what it knows itself."""
    storage = made(30)
    pair = Repository(storage), Repository(storage)
    for turn in range(12):
        repo = pair[turn % 2]
        for _ in range(2):
            save_version(repo, draft("n", {"a/x": np.full(50, float(turn))}))
        if turn:
            delete(repo, "n", 2 * turn)
            assert len(collect(pair[turn // 2 % 2], grace=0, listing=False).freed) >= 1
    assert garbage(storage) == ()
    assert check(Repository(storage)).damage == ()
