"""Checkpoints are shortcuts: whatever becomes of them, and whenever, the log says what is true."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from drafts import draft

import saver
from saver.repo.check import check
from saver.repo.events import Delete, Tag
from saver.repo.gc import collect
from saver.repo.log import ZERO, record_after
from saver.repo.objects import page_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.state import RESERVE, State, pages, state, updating
from saver.repo.state.pages import Pages
from saver.repo.state.view import Broken, View
from saver.storage import Blob, Storage
from saver.storages.memory import MemoryStorage

RECORDS = 400

STRIDE = int(os.environ.get("SAVER_STRIDE", "5"))
"""Of so many instants one is tried; with 1, all of them, which takes half an hour."""


class Poor(MemoryStorage):
    """Reading below `state/` fails, once or for good, as decided by `fails(number of the read, key)`."""

    def __init__(self, other: MemoryStorage, fails: Callable[[int, str], bool], error: Exception) -> None:
        super().__init__()
        self._objects = dict(other._objects)
        self._fails, self._error = fails, error
        self.reads = 0

    def open(self, key: str) -> Blob:
        if key.startswith("state/"):
            self.reads += 1
            if self._fails(self.reads, key):
                raise self._error
        return super().open(key)


ERRORS = [
    saver.DamagedError("the disk cannot read it"),
    saver.CannotReadError("too many open files"),
    saver.NotFoundError("there is no such object"),
    saver.IncompatibleError("of a newer Saver"),
]


def every(error: Exception) -> tuple[int, int]:
    """The first instant at which an error is tried, and how far it is to the next one. Each instant has one
    of the errors in turn; with `SAVER_STRIDE=1` all of them."""
    return (1, 1) if STRIDE == 1 else (STRIDE * (1 + ERRORS.index(error)), STRIDE * len(ERRORS))


@pytest.fixture(scope="module")
def small_pages() -> Iterator[None]:
    """Pages small enough that some hundred records make several levels of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(updating, "FAN_OUT", 4)
        patch.setattr(updating, "LEAF_BYTES", 700)
        yield


@pytest.fixture(scope="module")
def large(small_pages: None) -> MemoryStorage:
    """400 records: versions of two models, tags, deletions, collections, and pages of several levels."""
    store = MemoryStorage()
    repo = Repository(store)
    while repo.state.head < RECORDS:
        count = repo.state.head
        model = "ab"[count % 2]
        version = save_version(repo, draft(model, {"p/x": np.full(3, count)}, step=count))
        if count % 5 == 0:
            repo.append(lambda: Tag(model, f"t{count % 3}", version.number))  # noqa: B023
        if count % 7 == 0 and version.number > 3:
            repo.append(lambda: Delete(model, (version.number - 3,)))  # noqa: B023
        if count % 100 == 99:
            collect(repo, grace=0)
    repo.state.keep_checkpoint().finish()
    shortcuts = repo.state.shortcuts
    root = shortcuts.read(shortcuts.numbers(RECORDS + 100)[-1]).root
    assert root is not None
    assert shortcuts.pages._page(root).height >= 3
    return store


def truth(store: MemoryStorage) -> dict[str, Any]:
    """What the log alone says."""
    bare = MemoryStorage()
    bare._objects = {key: value for key, value in store._objects.items() if not key.startswith("state/")}
    alone = State(bare)
    alone.refresh()
    return dict(alone.scan(""))


def lagging(store: MemoryStorage, behind: int) -> tuple[State, MemoryStorage]:
    """A state that has read the log but for its last records, and its store, which now has them."""
    view = MemoryStorage()
    last = f"log/{truth_head(store) - behind:020}.json"
    view._objects = {k: v for k, v in store._objects.items() if not k.startswith("log/") or k <= last}
    found = State(view)
    found.refresh()
    return found, view


def truth_head(store: MemoryStorage) -> int:
    return len(list(store.keys("log/")))


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("behind", [0, 1, 15, 40])
def test_a_read_of_a_shortcut_that_fails_once_changes_nothing(
    large: MemoryStorage, behind: int, error: Exception
) -> None:
    """At any instant, of who opens the store, and of who had it open and reads on."""
    expected = truth(large)
    first, step = every(error)
    at, reads = first - step, 0
    while at <= reads:
        at += step
        found, _ = lagging(large, behind)
        poor = Poor(large, lambda count, key: count == at, error)  # noqa: B023
        found._storage = poor
        found.log.storage = found.shortcuts._storage = poor
        found.shortcuts.pages._page.cache_clear()
        found.refresh()
        key = "version a 000000000100"
        assert found.get(key) == expected.get(key)
        assert dict(found.scan("")) == expected
        assert list(found.scan("version a ", reverse=True)) == [
            (k, expected[k]) for k in sorted(expected, reverse=True) if k.startswith("version a ")
        ]
        reads = poor.reads
    assert at > 20, "several levels of pages were read"


ANSWERS: dict[str, Callable[[Any], Any]] = {
    "value": lambda found: found.get("version a 000000000100"),
    "listing": lambda found: list(found.scan("version a ", reverse=True)),
}


@pytest.mark.slow
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_page_that_cannot_be_read_changes_no_answer(large: MemoryStorage, answer: str) -> None:
    """Each page that it takes, one after another."""
    whole, _ = lagging(large, 0)
    expected = ANSWERS[answer](whole)
    assert expected
    at = reads = 0
    while at <= reads:
        at += 1
        poor = Poor(large, lambda count, key: count == at, ERRORS[2])  # noqa: B023
        found, _ = lagging(large, 0)
        found._storage = found.log.storage = found.shortcuts._storage = poor
        found.shortcuts.pages._page.cache_clear()
        assert ANSWERS[answer](found) == expected
        reads = poor.reads
    assert at > 3, "several levels of pages were read"


@pytest.mark.slow
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_read_that_fails_while_a_record_is_taken_in_loses_no_record(
    large: MemoryStorage, error: Exception
) -> None:
    """It was forgotten once: `save` then gave a number twice, and `gc` deleted what lives."""
    first, step = every(error)
    at, reads = first - step, 0
    while at <= reads:
        at += step
        own = MemoryStorage()
        own._objects = dict(large._objects)
        writer = Repository(own)
        writer.open()
        for number in range(5):
            writer.append(lambda: Tag("a", f"new{number}", writer.version("a").number))  # noqa: B023
        poor = Poor(own, lambda count, key: count == at, error)  # noqa: B023
        reader = Repository(poor)
        reader.open()
        assert reader.state.head == writer.state.head
        assert dict(reader.state.scan("")) == truth(own)
        saved = save_version(reader, draft("a", {"p/x": np.arange(3)}))
        collect(reader, grace=0)
        reads = poor.reads
        assert check(Repository(poor)).sound
        assert saved.number == writer.version("a").number + 1
        fresh = Repository(poor)
        fresh.open()
        assert dict(fresh.state.scan("")) == truth(poor), "and the check has read every version of it"


@pytest.mark.parametrize("pages", ["one", "all", "all but roots"])
@pytest.mark.parametrize("ask", ["scan", "refresh"])
def test_a_log_that_cannot_be_read_either_is_reported_and_nothing_is_forgotten(
    large: MemoryStorage, ask: str, pages: str
) -> None:
    """A page is bad; then, while a view of the log is made anew, some record cannot be read, once."""

    class Worse(Poor):
        left = -1

        def open(self, key: str) -> Blob:
            if key.startswith("log/"):
                self.left -= 1
                if self.left == 0:
                    raise saver.CannotReadError(f"{key}: too many open files")
            return super().open(key)

    own = MemoryStorage()
    own._objects = dict(large._objects)
    writer = Repository(own)
    writer.open()
    for number in range(5):
        writer.append(lambda: Tag("a", f"new{number}", writer.version("a").number))  # noqa: B023
    expected, head, shortcuts = truth(own), writer.state.head, writer.state.shortcuts
    roots = {page_key(shortcuts.read(n).root or "") for n in shortcuts.numbers(head)}

    def fails(count: int, key: str) -> bool:
        kinds = {"one": count == 1, "all": True, "all but roots": "/pages/" in key and key not in roots}
        return kinds[pages]

    failed = 0
    for at in [1, 2, 3, 4, 5, 6, 7, 8, 100, 300, 404]:
        found, _ = lagging(own, head - RECORDS + 1)
        assert found._view.base < RECORDS
        for store in (found.log, found):
            setattr(store, "storage" if store is found.log else "_storage", own)
        if ask == "scan":
            found.refresh()
            assert found.head == head
        poor = Worse(own, lambda count, key: fails(count, key), saver.NotFoundError("no page"))
        poor.left = at
        found._storage = found.log.storage = found.shortcuts._storage = poor
        found.shortcuts.pages._page.cache_clear()
        try:
            dict(found.scan("version a ")) if ask == "scan" else found.refresh()
        except saver.CannotReadError:
            failed += 1
        assert ask == "refresh" or found.head == head, f"after record read {at}"
        found.refresh()
        assert dict(found.scan("")) == expected, f"after record read {at}"
    assert failed > 2


def test_a_record_that_cannot_be_applied_changes_nothing_that_a_view_says() -> None:
    def lost(name: str) -> bytes:
        raise saver.NotFoundError(name)

    view = View(Pages(lost, lambda name, data: None), base=16, root="0" * 64)
    record = record_after(view.last, Tag("m", "best", 1), "transaction", 0.0, "")
    for _ in range(2):
        with pytest.raises(Broken):
            view.follow(record, "1" * 64, "here", 16)
        assert (view.last, view.due, view.settled) == ((16, ZERO), None, {})


def harmed(store: MemoryStorage, key: str, how: str) -> MemoryStorage:
    found = MemoryStorage()
    found._objects = dict(store._objects)
    data, time = found._objects.pop(key)
    others = [other for other in store._objects if other.startswith(key[:12]) and other != key]
    new = {
        "missing": None,
        "empty": b"",
        "cut": data[: len(data) // 2],
        "flipped": data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "another": store._objects[others[0]][0],
    }[how]
    if new is not None:
        found._objects[key] = new, time
    return found


HARMS = ["missing", "empty", "cut", "flipped", "another"]


@pytest.mark.slow
@pytest.mark.parametrize("how", HARMS)
def test_any_shortcut_may_be_damaged_for_good_and_the_next_writer_mends_it(
    large: MemoryStorage, how: str
) -> None:
    expected = truth(large)
    whole = Repository(large)
    whole.open()
    shortcuts = sorted(whole.state.needed() - {*RESERVE})
    assert len(shortcuts) > 40
    for key in (shortcuts[0], *shortcuts[1 + HARMS.index(how) :: 4 * STRIDE]):  # other pages for each
        store = harmed(large, key, how)
        reader = Repository(store)
        reader.open()
        assert dict(reader.state.scan("")) == expected, key
        told = check(Repository(store))
        if how == "missing" and key.count("/") == 1:
            assert told.sound, "a checkpoint that is not there is no damage"
        else:
            assert key in {damage.key for damage in told.damage}, key
            assert all(damage.key.startswith("state/") for damage in told.damage)
        assert check(Repository(store)).sound, f"{key} was made anew"
        fresh = Repository(store)
        fresh.open()
        assert dict(fresh.state.scan("")) == expected
        assert fresh.state.trouble is None


@pytest.mark.slow
def test_who_noticed_a_broken_page_writes_all_of_the_next_checkpoint_anew(large: MemoryStorage) -> None:
    whole = Repository(large)
    whole.open()
    for key in sorted(k for k in whole.state.needed() if "pages" in k)[::STRIDE]:
        store = harmed(large, key, "flipped")
        writer = Repository(store)
        writer.open()
        dict(writer.state.scan(""))
        if writer.state.trouble is None:
            continue  # it is a page of an older checkpoint
        while writer.state.head % state.INTERVAL:
            writer.append(lambda: Tag("a", f"n{writer.state.head}", writer.version("a").number))  # noqa: B023
        writer.state.keep_checkpoint().finish()
        fresh = Repository(store)
        fresh.open()
        assert dict(fresh.state.scan("")) == truth(store)
        assert fresh.state.trouble is None


def test_who_had_the_store_open_does_not_go_on_from_a_checkpoint_that_was_made_anew(
    large: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pages are in the memory of the one, and nowhere else."""
    monkeypatch.setattr(pages, "_CACHED", 10_000)
    store = MemoryStorage()
    store._objects = dict(large._objects)
    writer = Repository(store)
    writer.open()
    dict(writer.state.scan(""))
    page = min(key for key in writer.state.needed() if "pages" in key)
    broken = harmed(store, page, "flipped")
    store._objects = broken._objects
    with monkeypatch.context() as patch:
        patch.setattr(updating, "LEAF_BYTES", 500)
        assert not check(Repository(store)).sound, "and makes them anew, with other leaves"
    needed = Repository(store)
    needed.open()
    store.delete(*set(store.keys("state/pages/")) - needed.state.needed())  # as a collection does
    while writer.state.head % state.INTERVAL or writer.state.head == RECORDS:
        writer.append(lambda: Tag("a", f"n{writer.state.head}", writer.version("a").number))
    writer.state.keep_checkpoint().finish()
    fresh = Repository(store)
    fresh.open()
    assert dict(fresh.state.scan("")) == truth(store)
    assert fresh.state.trouble is None
    assert check(Repository(store)).sound


def test_a_checkpoint_that_cannot_be_written_is_no_reason_not_to_save(
    large: MemoryStorage,
) -> None:
    class Unwilling(MemoryStorage):
        def create(self, key: str, data: bytes) -> bool:
            if key.startswith("state/"):
                raise saver.CannotWriteError(f"{key}: no")
            return super().create(key, data)

    store = Unwilling()
    store._objects = {key: value for key, value in large._objects.items() if not key.startswith("state/")}
    repo = Repository(store)
    saved = [save_version(repo, draft("a", {"p/x": np.arange(3)})).number for _ in range(40)]
    assert saved == [*range(saved[0], saved[0] + 40)]
    assert repo.state.trouble == f"{saver_key(repo)}: no"
    assert check(Repository(store)).sound


def saver_key(repo: Repository) -> str:
    assert repo.state.trouble is not None
    return repo.state.trouble.removesuffix(": no")


def test_a_checkpoint_of_another_log_is_not_believed(large: MemoryStorage) -> None:
    """Nobody may write the next record after what such a checkpoint says was the last."""
    other = MemoryStorage()
    repo = Repository(other)
    while repo.state.head < 96:
        save_version(repo, draft("z", {"p/x": np.arange(3)}))
    repo.state.keep_checkpoint().finish()
    for records in (96, 97, 100):
        mixed = MemoryStorage()
        mixed._objects = {
            key: value
            for key, value in large._objects.items()
            if not key.startswith("state/") and (not key.startswith("log/") or int(key[4:24]) <= records)
        }
        mixed._objects |= {k: v for k, v in other._objects.items() if k.startswith("state/")}
        found = Repository(mixed)
        found.open()
        assert dict(found.state.scan("")) == truth(mixed), records
        version = save_version(found, draft("a", {"p/x": np.arange(3)}))
        assert Repository(mixed).storage is mixed
        again = Repository(mixed)
        again.open()
        assert again.version("a").number == version.number


def test_what_two_maps_share_is_not_only_in_one(small_pages: None) -> None:
    kept: dict[str, bytes] = {}

    def read(name: str) -> bytes:
        return kept[name]

    tree = pages.Pages(read, kept.__setitem__)
    random = np.random.default_rng(3)
    roots: list[str | None] = [None]
    for _ in range(60):
        keys = random.choice(300, size=int(random.integers(1, 20)), replace=False)
        changes = {f"k{key:05}": None if random.random() < 0.3 else int(random.integers(9)) for key in keys}
        roots.append(tree.update(roots[-1], changes))
    for _ in range(200):
        root, *others = (roots[int(at)] for at in random.integers(0, len(roots), size=4))
        expected = set(tree.reachable(root)).difference(*(set(tree.reachable(each)) for each in others))
        assert tree.only_in(root, others) == expected


class Full(MemoryStorage):
    """A disk with room for so many bytes and so many objects."""

    def __init__(self, most: int, objects: int) -> None:
        super().__init__()
        self.most, self.objects = most, objects

    def _add(self, key: str, data: bytes) -> bool:
        used = sum(len(held) for held, _ in self._objects.values())
        if key not in self._objects and (used + len(data) > self.most or len(self._objects) >= self.objects):
            try:
                raise OSError(28, "No space left on device")
            except OSError as error:
                raise saver.CannotWriteError(f"{key}: {error.strerror}; free some room") from error
        return super()._add(key, data)


@pytest.mark.parametrize("versions", [3, 12, 40])
@pytest.mark.parametrize("kind", ["bytes", "objects"])
def test_on_a_full_disk_versions_can_be_deleted_and_freed(kind: str, versions: int) -> None:
    store = Full(1 << 40, 1 << 40)
    repo = Repository(store)
    for _ in range(versions):
        save_version(repo, draft("m", {"p/x": np.random.default_rng().normal(size=1000)}))
    store.most = sum(len(data) for data, _ in store._objects.values()) if kind == "bytes" else 1 << 40
    store.objects = len(store._objects) if kind == "objects" else 1 << 40
    full = Repository(store)
    with pytest.raises(saver.CannotWriteError, match="No space left"):
        save_version(full, draft("m", {"p/x": np.arange(1000.0)}))
    full.append(lambda: Delete("m", (1, 2)))
    found = collect(Repository(store), grace=0)
    assert len(found.freed) == 4
    again = Repository(store)
    assert save_version(again, draft("m", {"p/x": np.arange(1000.0)})).number == versions + 1
    assert check(Repository(store)).sound


def test_when_the_reserve_is_used_up_checkpoints_give_their_room() -> None:
    store = Full(1 << 40, 1 << 40)
    repo = Repository(store)
    for count in range(40):
        save_version(repo, draft("m", {"p/x": np.full(100, count)}))
    store.objects = len(store._objects)
    for number in range(1, 10):
        Repository(store).append(lambda: Delete("m", (number,)))  # noqa: B023
    assert len(collect(Repository(store), grace=0).freed) == 18
    again = Repository(store)
    again.open()
    assert [version.number for version in again.versions("m")] == [*range(10, 41)]
    assert check(Repository(store)).sound


def test_a_store_that_others_follow_stays_small_beside_its_log(small_pages: None) -> None:
    store: Storage = MemoryStorage()
    repo = Repository(store)
    sizes = []
    for count in range(320):
        save_version(repo, draft("m", {"p/x": np.full(2, count)}))
        if count % 32 == 31:
            sizes.append(len(list(store.keys("state/"))) / (count + 1))
    assert sizes[-1] < 1.2 * sizes[2], "it grows with what lives, not with what was written"
