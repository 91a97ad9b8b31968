"""What each operation costs in calls, for places where every one takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.repo import document, stage
from saver.repo.events import Note
from saver.repo.format import FORMAT, STORE_KEY, Format
from saver.repo.log import Record, log_key
from saver.repo.numbered import PartVersion
from saver.repo.objects import checkpoint_key, checkpoint_number, collectables, page_key
from saver.repo.state import Checkpoint, checkpoint, facts, keep_reserve, pages, shortcuts, state, updating
from saver.storage import Bytes, Storage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.testing import CountingStorage, FaultyStorage, LatencyStorage, StorageTests

LEVELS = 4
"""Levels of pages, the root included, among 100,000 versions: the test below builds them."""

LOAD = 3
"""Waits of a load besides one for each level of pages: `store.json` along with a listing; the checkpoint
along with the records after it; the manifest along with the pack. At 40 ms and 4 levels that is 0.28 s."""

SAVE = 5
"""Waits of a small save that opens the store, besides the levels: those two; the manifest of the version
before; the pack, which holds the manifest too; the record. With 4 levels 0.36 s. One save in 16 also writes
a checkpoint and deletes an old one, all beside these."""

AGAIN = 3
"""Waits of one where the store is open, at any size: `store.json` beside the next two records; the pack; the
record."""

STEPS = 1
"""What a checkpoint adds to those, besides the levels of the pages that it changes: it takes three steps, of
which two go beside the pack and the record."""


class TestCountingStorage(StorageTests):
    @pytest.fixture
    def storage(self) -> Storage:
        return CountingStorage(MemoryStorage())


class TestLatencyStorage(StorageTests):
    @pytest.fixture
    def storage(self) -> Storage:
        return LatencyStorage(MemoryStorage(), 0.0)


def held(*keys: str) -> CountingStorage:
    storage = CountingStorage(MemoryStorage())
    for key in keys:
        storage.put(key, Bytes(key.encode()))
    storage.begin_anew()
    return storage


def test_calls_are_counted_by_kind() -> None:
    storage = held("a/1", "a/2", "a/3")
    storage.create("b", b"x")
    assert list(storage.keys("a/")) == [found.key for found in storage.list("a/")]
    blob = storage.open("a/1")
    assert blob.read() == storage.read("a/1")
    storage.stat("a/2")
    storage.delete("a/1", "a/2", "a/3")
    assert storage.calls == {"create": 1, "list": 2, "open": 1, "read": 1, "stat": 1, "delete": 1}
    assert storage.waits == 7


def test_of_what_is_asked_together_the_longest_chain_counts() -> None:
    storage = held("a", "b")

    def chain(length: int) -> Callable[[], list[bytes]]:
        return lambda: [storage.read("a") for _ in range(length)]

    def nested() -> list[Any]:
        return [*storage.together([chain(2), chain(5), chain(1)]), storage.read("b")]

    assert len(list(storage.together([chain(1), nested, chain(3)]))) == 3
    assert storage.waits == 6
    assert storage.calls["read"] == 13
    assert list(storage.together([])) == []
    storage.read("a")
    assert storage.waits == 7


def test_an_error_counts_as_an_answer() -> None:
    storage = held("a")
    found = storage.together([partial(storage.read, "b"), partial(storage.read, "a")])
    assert storage.calls["read"] == 2
    assert storage.waits == 1
    with pytest.raises(saver.NotFoundError):
        next(found)


def test_a_caller_waits_once_for_what_is_asked_together() -> None:
    """And asks for it at the same time: all have begun before one of them ends."""
    from threading import Barrier

    barrier = Barrier(5)
    inner = held("a")
    storage = LatencyStorage(inner, 40.0, lambda seconds: barrier.wait(30) and None)
    assert list(storage.together([partial(storage.read, "a")] * 5)) == [b"a"] * 5


# What operations cost


def model(number: int) -> dict[str, Any]:
    return {"weights": np.arange(200.0) + number}


@cache
def made(versions: int, leaf: int = updating.LEAF_BYTES) -> MemoryStorage:
    """A store of three models, with some tags. `leaf` bytes of a page are patched in already."""
    storage = MemoryStorage()
    store = saver.Saver(storage)
    for number in range(versions):
        tags = [f"t{number % 7}"] if number % 9 == 0 else []
        store.save(f"m{number % 3}", model(number), step=number, tags=tags)
    return storage


@pytest.fixture(params=[(20, 2000), (60, 2000), (150, 2000)], ids=str)
def growing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MemoryStorage:
    """Stores of more and more versions, whose pages are small, and so of more and more levels."""
    versions, leaf = request.param
    monkeypatch.setattr(updating, "FAN_OUT", 4)
    monkeypatch.setattr(updating, "LEAF_BYTES", leaf)
    return made(versions, leaf).copy()


def test_the_stores_have_more_and_more_levels(growing: MemoryStorage, request: Any) -> None:
    assert levels(growing) == {20: 3, 60: 4, 150: 5}[request.node.callspec.params["growing"][0]]


def levels(storage: Storage) -> int:
    now = state.State(storage)
    now.refresh()
    assert now._view.root is not None
    return now.shortcuts.pages._page(now._view.root).height + 1


def at_every_distance(storage: MemoryStorage) -> Iterator[tuple[CountingStorage, bool]]:
    """The store as it is after each of the next saves, and whether the next one keeps a checkpoint."""
    store = saver.Saver(storage)
    for number in range(state.INTERVAL):
        store.save("m0", model(-1 - number))
        yield CountingStorage(storage.copy()), store._repo.state.head % state.INTERVAL == 0


@pytest.mark.parametrize("ref", ["m0", "m1", "m2@1", "m2@latest"])
def test_a_load_waits_three_times_and_once_for_each_level(growing: MemoryStorage, ref: str) -> None:
    storage, most = growing, 0
    for counting, _ in at_every_distance(storage):
        saver.Saver(counting).load(ref)
        assert counting.calls["list"] == 1
        assert counting.calls["open"] == 1
        assert counting.calls["stat"] <= state.INTERVAL + 4, "of records, along with reading them"
        assert counting.waits <= LOAD + levels(storage)
        most = max(most, counting.waits - levels(storage))
    assert most == LOAD


@pytest.mark.parametrize("tags", [[], ["t1", "new"]], ids=["plain", "tagged"])
def test_a_save_waits_five_times_and_once_for_each_level_if_it_opens_the_store(
    growing: MemoryStorage, tags: list[str]
) -> None:
    """After any record; also the one that writes a checkpoint."""
    most = {False: 0, True: 0}
    for counting, is_due in at_every_distance(growing):
        before = checkpoints(counting.storage)
        saver.Saver(counting).save("m1", model(1000), step=1000, tags=tags)
        assert counting.calls["put"] == 1, "a pack that holds its manifest"
        assert counting.calls["list"] == 1
        assert is_due or counting.calls["create"] == 1
        assert (checkpoints(counting.storage) != before) == is_due
        most[is_due] = max(most[is_due], counting.waits - levels(growing))
    assert most == {False: SAVE, True: SAVE}


def test_a_save_waits_three_times_if_the_store_is_open_and_one_in_16_for_a_checkpoint_too(
    growing: MemoryStorage,
) -> None:
    counting = CountingStorage(growing)
    store, due = saver.Saver(counting), 0
    for number in range(3 * state.INTERVAL):
        before = checkpoints(counting.storage)
        counting.begin_anew()
        store.save("m1", model(2000 + number), step=2000 + number)
        waits = counting.waits
        if checkpoints(counting.storage) == before:
            assert waits == AGAIN or number == 0, "whatever the store holds"
        else:
            assert waits <= AGAIN + STEPS + levels(growing)
            assert counting.calls["list"] <= 1
            due += number > 0
    assert due >= 2


CHANGES: list[tuple[str, int, int, Callable[[saver.Saver], object]]] = [
    ("tag", 3, 5, lambda store: store.tag("m1@3", "new")),
    ("untag", 4, 6, lambda store: store.untag("m0", "t0")),
    ("label", 3, 5, lambda store: store.label("m1@2", {"a": "b"})),
    ("note", 3, 5, lambda store: store.note("m1@2", "seen")),
    ("delete", 9, 9, lambda store: store.delete("m1@2", tags=True)),
]


@pytest.mark.parametrize(
    ("ordinary", "due", "act"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_a_change_waits_little_longer_where_it_writes_a_checkpoint(
    growing: MemoryStorage, ordinary: int, due: int, act: Callable[[saver.Saver], object]
) -> None:
    """Of three steps, one goes with the record. Besides the levels."""
    for counting, is_due in at_every_distance(growing):
        before = checkpoints(counting.storage)
        act(saver.Saver(counting))
        assert (checkpoints(counting.storage) != before) == is_due
        assert counting.waits <= levels(growing) + (due if is_due else ordinary)


def checkpoints(storage: Storage) -> list[str]:
    """The keys of the checkpoints of a store, at most four and all of them whole."""
    found = [key for key in storage.keys("state/") if checkpoint_number(key)]
    assert len(found) <= shortcuts.CHECKPOINTS_KEPT
    return found


@pytest.mark.parametrize("key", [None, "store.key"], ids=["plain", "sealed"])
def test_a_save_of_many_large_tensors_waits_no_longer_than_one_of_few(
    tmp_path: Path, key: str | None
) -> None:
    """Where calls are slow, no bytes are read to find out what is there, and what is there is shared."""
    if key is not None:
        pytest.importorskip("cryptography")
        pytest.importorskip("pyrage")
        from saver.keys import age

        key = str(tmp_path / key)
        Path(key).write_text(age.new_identity().reveal() + "\n")
        Path(key).chmod(0o600)
    waits = dict[int, list[int]]()
    for count in (2, 9):
        folder = tmp_path / str(count)
        folder.mkdir()
        storage = CountingStorage(LatencyStorage(LocalStorage(folder), 0.0))
        store = saver.Saver(storage, key=key)
        state = {f"t{n}": np.full(1_300_000, n + 0.5) for n in range(count)}  # three blocks each
        store.save("m", state)
        waits[count] = []
        for turn, names in enumerate([[*state], ["t0"], []]):
            for name in names:
                state[name] = state[name].copy()
                state[name][0 if turn == 0 else 600_000] += 100 * (turn + 1)
            storage.begin_anew()
            version = store.save("m", state)
            waits[count].append(storage.waits)
            assert version.bytes_added <= (10_600_000 * count, 4_250_000, 50_000)[turn]
        found = saver.Saver(storage, key=key).load("m")
        assert all(np.array_equal(found[name], state[name]) for name in state)
    assert waits[2] == waits[9]


def test_nothing_but_bytes_that_are_needed_takes_more_calls_for_many_large_tensors() -> None:
    """Whatever is done with a version: only `fetch` may grow, which threads call at the same time."""
    doing: dict[str, Callable[[saver.Saver, Any], object]] = {
        "load": lambda store, state: store.load("m"),
        "parts": lambda store, state: store.load("m", parts=["t0"]),
        "lazy": lambda store, state: np.asarray(store.load("m", lazy=True)["t0"]),
        "restore": lambda store, state: store.restore("m", into=state),
        "diff": lambda store, state: store.diff("m@1", "m@2"),
        "verify": lambda store, state: store.verify("m"),
        "check": lambda store, state: store.check(),
        "save again": lambda store, state: store.save("m", state),
        "save with a base": lambda store, state: store.save("x", {**state, "more": np.ones(9)}, base="m"),
        "push": lambda store, state: store.push("m", f"memory://counted-{len(state)}"),
        "delete": lambda store, state: (store.delete("m@1"), store.gc(grace=0)),
    }
    calls = dict[str, list[dict[str, int]]]()
    for count in (2, 9):
        counting = CountingStorage(LatencyStorage(FaultyStorage(MemoryStorage()), 0.0))  # nothing is near
        state = {f"t{n}": np.full(1_100_000, n + 0.5) for n in range(count)}
        saver.Saver(counting).save("m", state)
        for each in state.values():
            each += 1
        saver.Saver(counting).save("m", state)
        for name, do in doing.items():
            counting.begin_anew()
            do(saver.Saver(counting), state)
            calls.setdefault(name, []).append({**counting.calls, "fetch": 0})
    few, many = ({name: its[turn] for name, its in calls.items()} for turn in (0, 1))
    assert {
        name for name in doing if any(n > few[name].get(call, 0) for call, n in many[name].items())
    } == set()


def test_a_backup_reads_the_documents_of_many_versions_at_the_same_time() -> None:
    """One that finds nothing new hardly waits longer for 30 versions than for 3: only where it looks for the
    end of the log. Both storages are slow."""
    waits = []
    for count in (3, 30):
        storages = [CountingStorage(LatencyStorage(FaultyStorage(MemoryStorage()), 0.0)) for _ in range(2)]
        store = saver.Saver(storages[0])
        for number in range(count):
            store.save("m", {"w": np.full(9, number)})
        store.backup(storages[1])
        for storage in storages:
            storage.begin_anew()
        assert saver.Saver(storages[0]).backup(storages[1]).objects == 0
        waits.append([storage.waits for storage in storages])
    assert all(many - few < 15 for few, many in zip(*waits, strict=True)), waits


@pytest.mark.parametrize("what", ["check", "backup from", "backup to"])
def test_many_versions_are_read_and_copied_at_the_same_time(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check, and a first backup, wait little longer for 30 versions than for 3: for more records, of which
    a copy writes one after another."""
    monkeypatch.setattr(stage, "TREE_BYTES", 0)
    waits = []
    for count in (3, 30):
        here, far = MemoryStorage(), CountingStorage(LatencyStorage(FaultyStorage(MemoryStorage()), 0.0))
        source, target = (here, far) if what == "backup to" else (far, here)
        store = saver.Saver(source)
        for number in range(count):  # one of two has documents of its own
            monkeypatch.setattr(stage, "FILE_BYTES", number % 2 << 20)
            state = {"w": np.full(9, number), "t": [number]}
            store.save("m", state)
        far.begin_anew()
        if what == "check":
            assert saver.Saver(source).check().versions == count
        else:
            assert saver.Saver(source).backup(target).whole
        waits.append(far.waits)
        assert saver.Saver(target if what != "check" else source).check().sound
        assert any(version.trees for version in store.versions("m"))
    records = 27 * 2 if what == "backup to" else 0
    assert waits[1] - waits[0] - records < 20, waits


@pytest.mark.parametrize("ref", ["m0@best:loss", "m0@time=2000-01-01"])
def test_a_search_of_all_versions_reads_many_pages_at_once(ref: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updating, "FAN_OUT", 32)
    monkeypatch.setattr(updating, "LEAF_BYTES", 500)  # about one version a page
    waits = []
    for versions in (96, 384):
        storage = MemoryStorage()
        store = saver.Saver(storage)
        for number in range(versions):
            store.save("m0", number, metrics={"loss": 1.0 / (number + 1)})
        counting = CountingStorage(storage)
        with suppress(saver.NotFoundError):
            assert saver.Saver(counting).load(ref) == versions - 1
        assert counting.calls["read"] >= versions
        waits.append(counting.waits)
    assert waits[1] <= 12 + levels(storage) + (384 // pages.AHEAD) * 2
    assert waits[1] - waits[0] <= (384 - 96) // pages.AHEAD * 2 + 2


@cache
def large() -> MemoryStorage:
    """A store of 100,000 versions, as far as its newest checkpoint says: no older record is ever read."""
    storage = MemoryStorage()
    storage.create(STORE_KEY, document.encode(Format(FORMAT, "0" * 32)))
    keep_reserve(storage)
    tree = pages.Pages(
        lambda name: storage.read(page_key(name)),
        lambda name, data: storage.create(page_key(name), data) and None,
    )
    part = {"model": PartVersion(1, "0" * 64, 1000)}
    value = facts.VersionState(
        "0" * 64, part, 1_767_225_600.0, "somebody", ("0" * 32,), 1, 1, {"loss": 0.123456789}, "", 1000, 500
    )
    changes: dict[str, Any] = {facts.model_key("iris"): facts.ModelState(100_000, 100_000, 100_000)}
    for number in range(1, 100_001):
        changes[facts.version_key("iris", number)] = value
        changes[facts.step_key("iris", number, number)] = number
    root, last = tree.update(None, changes), 100_000 - 100_000 % state.INTERVAL
    record = document.encode(Record(1, last, "0" * 64, "0" * 32, 0.0, Note("iris", None, "")))
    storage.create(log_key(last), record)
    newest = Checkpoint(checkpoint.FORMAT, last, document.digest(record), root)
    storage.create(checkpoint_key(last), document.encode(newest))
    return storage


@pytest.mark.slow
def test_among_100_000_versions_there_are_four_levels_of_pages() -> None:
    assert levels(large()) == LEVELS
    assert LOAD + LEVELS <= 7
    assert SAVE + LEVELS <= 9


@pytest.mark.slow
def test_among_100_000_versions_each_save_waits_nine_times_and_each_load_seven_times() -> None:
    """Whatever the number of its record; also those that write a checkpoint."""
    counting, due = CountingStorage(large().copy()), 0
    saver.Saver(counting).save("iris", model(-1))  # the versions before have no manifests
    for number in range(5 * state.INTERVAL):
        before = checkpoints(counting.storage)
        counting.begin_anew()
        store = saver.Saver(counting)
        store.save("iris", model(number), step=200_000 + number, tags=["newest"] if number % 5 == 0 else [])
        assert counting.waits <= SAVE + LEVELS
        due += checkpoints(counting.storage) != before
        counting.begin_anew()
        saver.Saver(counting).load("iris")
        assert counting.waits <= LOAD + LEVELS
    assert due == 5
    assert levels(counting.storage) == LEVELS


def test_a_log_without_checkpoints_is_read_many_records_at_a_time() -> None:
    storage = made(300).copy()
    storage.delete(*storage.keys("state/"))
    counting = CountingStorage(storage)
    assert saver.Saver(counting).models() == ["m0", "m1", "m2"]
    assert counting.waits < 40


def test_a_collection_waits_as_often_for_much_garbage_as_for_little() -> None:
    """The sizes and times come with the listing, and deletions go together."""
    waits = []
    for deleted in (3, 90):
        storage = MemoryStorage()
        store = saver.Saver(storage)
        for number in range(deleted + 1):
            store.save("m", model(number))
        for number in range(deleted):
            store.delete(f"m@{number + 1}")
        store.save("m", model(-1))
        before = len(list(collectables(storage)))
        counting = CountingStorage(storage)
        collector = saver.Saver(counting)
        collector._repo.open()
        collector._repo.state.keep_checkpoint().finish()
        counting.begin_anew()
        assert len(collector.gc(grace=0).freed) == deleted == before - len(list(collectables(storage)))
        waits.append(counting.waits)
    assert waits[1] <= waits[0] + 15, "pages of a larger state, and keeping what it knows of them"
