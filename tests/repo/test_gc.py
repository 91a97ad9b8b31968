"""Collection frees what no version needs, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from drafts import Save, contents, draft, same
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from saver.repo.check import check
from saver.repo.events import Commit, Condemn, Delete, Event, Relocate
from saver.repo.gc import Collected, collect, collection, moving
from saver.repo.log import log_key
from saver.repo.manifest import manifest_key
from saver.repo.objects import checkpoint_key, page_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.state import shortcuts, state, users
from saver.storage import Blob, Bytes, Listed, Storage
from saver.storages.memory import MemoryStorage

RANDOM = np.random.default_rng(1)


def array(count: int = 1000) -> Any:
    return RANDOM.standard_normal(count)


def delete(repo: Repository, model: str, *numbers: int) -> None:
    repo.append(lambda: Delete(model, numbers))


def objects(store: Storage) -> set[str]:
    return {*store.keys("packs/"), *store.keys("manifests/")}


def test_what_a_deleted_version_alone_needed_is_freed(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    shared = array()
    keep = {"a/x": shared, "b/y": array()}
    save("m", keep)
    before = objects(store)
    save("m", {"a/x": shared, "b/y": array()})
    delete(repo, "m", 2)
    done = collect(repo, grace=0)
    assert objects(store) == before
    assert set(done.condemned) == set(done.freed)
    assert len(done.freed) == 2
    assert done.freed_bytes > 8000
    assert same(repo, "m@1", keep)
    assert collect(repo, grace=0).condemned == ()


def test_a_store_without_garbage_gets_no_record(store: MemoryStorage, repo: Repository, save: Save) -> None:
    save("m", {"a/x": array()})
    head = repo.state.head
    assert collect(repo, grace=0) == Collected((), (), 0, (), 0, (), ())
    assert repo.state.head == head


def test_readers_get_a_grace_period_by_the_clock_of_the_store() -> None:
    now = 0.0
    store = MemoryStorage(clock=lambda: now)
    repo = Repository(store)
    save_version(repo, draft("m", {"a/x": array()}))
    save_version(repo, draft("m", {"a/x": array()}))
    delete(repo, "m", 1)
    now = 1000.0
    first = collect(repo, grace=100)
    assert len(first.condemned) == len(first.waiting) == 2
    assert first.freed == ()
    now = 1099.0
    assert collect(repo, grace=100).freed == ()
    now = 1101.0
    assert set(collect(repo, grace=100).freed) == set(first.condemned)
    assert len(objects(store)) == 2


def test_what_may_belong_to_a_save_under_way_is_left_alone() -> None:
    now = 0.0
    store = MemoryStorage(clock=lambda: now)
    repo = Repository(store)
    save_version(repo, draft("m", {"a/x": array()}))
    torn = "packs/0123456789abcdef0123456789abcdef.safetensors"
    store.put(torn, Bytes(b"torn"))
    now = 50.0
    done = collect(repo, grace=100)
    assert done.busy == (torn,)
    now = 200.0
    assert collect(repo, grace=100).condemned == (torn,)


def test_a_dry_run_changes_nothing_and_tells_what_would_be(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    save("m", {"a/x": array()})
    save("m", {"a/x": array()})
    delete(repo, "m", 1)
    before = {key: store.read(key) for key in store.keys("")}
    told = collect(repo, grace=0, dry_run=True)
    assert len(told.condemned) == 2
    assert told.waiting_bytes > 8000
    assert {key: store.read(key) for key in store.keys("")} == before
    assert collect(repo, grace=0).condemned == told.condemned


def test_a_gap_in_the_log_stops_the_collector(store: MemoryStorage, repo: Repository, save: Save) -> None:
    for _ in range(5):
        save("m", {"a/x": array()})
    delete(repo, "m", 1)
    store.delete(log_key(3))
    before = objects(store)
    with pytest.raises(saver.DamagedError, match=log_key(3)):
        collect(repo, grace=0)
    assert objects(store) == before


def test_a_listing_that_fails_stops_the_collector(repo: Repository, save: Save) -> None:
    class Unlistable(MemoryStorage):
        broken = ""

        def list(self, prefix: str, after: str = "") -> Any:
            if self.broken and prefix.startswith(self.broken):
                raise saver.CannotReadError(f"{prefix}: permission denied")
            return super().list(prefix, after)

    for broken in ("log/", "packs/", "manifests/"):
        store = Unlistable()
        repo = Repository(store)
        save_version(repo, draft("m", {"a/x": array()}))
        save_version(repo, draft("m", {"a/x": array()}))
        delete(repo, "m", 1)
        store.broken = broken
        with pytest.raises(saver.CannotReadError):
            collect(repo, grace=0)
        store.broken = ""
        assert len(objects(store)) == 4


@pytest.mark.parametrize("key", ["manifests/ab", "state/pages", "state/pages/cd"])
def test_what_stands_in_place_of_a_folder_stops_the_collector(
    key: str, store: MemoryStorage, repo: Repository, save: Save
) -> None:
    save("m", {"a/x": array()})
    save("m", {"a/x": array()})
    delete(repo, "m", 1)
    store.create(key, b"no folder")
    before = objects(store)
    with pytest.raises(saver.DamagedError, match=f"{key} is a file or a symbolic link"):
        collect(repo, grace=0)
    assert objects(store) == before or key.startswith("state/")
    assert same(Repository(store), "m", {"a/x": np.frombuffer(contents(repo, "m")["a/x"])})


def test_a_condemned_pack_is_never_shared_again(store: MemoryStorage, repo: Repository, save: Save) -> None:
    """A saver that found its tensors in a pack before it was condemned writes them anew."""
    tensors = {"a/x": array()}
    save("m", tensors)

    class Late(Repository):
        """Commits only after a collector came by."""

        def condemned(self, known: Any) -> list[str]:
            if not self.delayed:
                self.delayed = True
                delete(repo, "m", 1)
                collect(repo, grace=0)
                self.state.refresh()
            return super().condemned(known)

        delayed = False

    late = Late(store)
    assert save_version(late, draft("m", tensors)).number == 2
    assert same(Repository(store), "m@2", tensors)
    assert check(Repository(store)).sound


def test_a_save_whose_own_pack_was_condemned_writes_it_anew(store: MemoryStorage, repo: Repository) -> None:
    class Slow(Repository):
        delayed = False

        def condemned(self, known: Any) -> list[str]:
            if not self.delayed:
                self.delayed = True
                repo.open_to_write()
                assert len(collect(repo, grace=0).freed) == 1
                self.state.refresh()
            return super().condemned(known)

    tensors = {"a/x": array()}
    slow = Slow(store)
    save_version(slow, draft("m", tensors))
    assert same(Repository(store), "m", tensors)


class Raced(MemoryStorage):
    """Somebody else acts just before the next record is created."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], object] | None = None

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith("log/") and self.before is not None:
            act, self.before = self.before, None
            act()
        return super().create(key, data)


class Overtaken(MemoryStorage):
    """When record `at` is about to be created, somebody acts; and before that one creates a record, the first
    is there."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self._first: tuple[str, bytes] | None = None

    def create(self, key: str, data: bytes) -> bool:
        if key == log_key(self.at):
            self.at, self._first = 0, (key, data)
            self.meanwhile()
            return self.read(key) == data
        if self._first is not None and key.startswith("log/"):
            first, self._first = self._first, None
            assert super().create(*first)
        return super().create(key, data)


@pytest.mark.parametrize("shared", [False, True])
def test_a_save_that_loses_the_race_against_a_collector_writes_anew_what_that_condemned(shared: bool) -> None:
    """Its pack and its manifest; or, where it shares all its tensors, its manifest alone."""
    store = Raced()
    repo = Repository(store)
    first = {"a/x": array()}
    save_version(repo, draft("m", first))
    tensors = first if shared else {"a/x": array()}
    freed: list[str] = []
    store.before = lambda: freed.extend(collect(Repository(store), grace=0).freed)
    assert save_version(repo, draft("m", tensors)).number == 2
    assert len(freed) == (1 if shared else 2)
    assert same(Repository(store), "m@2", tensors)
    assert check(Repository(store)).sound


def test_a_collector_that_loses_the_race_against_a_save_decides_anew() -> None:
    """It has seen a pack that nobody needed yet, and is about to condemn it."""

    store = Overtaken()
    repo = Repository(store)
    save_version(repo, draft("m", {"a/x": array()}))
    save_version(repo, draft("m", {"a/x": array()}))
    delete(repo, "m", 1)
    tensors = {"a/x": array()}
    done: list[Collected] = []
    store.at, store.meanwhile = 4, lambda: done.append(collect(Repository(store), grace=0))
    assert save_version(repo, draft("m", tensors)).number == 3
    assert len(done[0].freed) == 2, "what the first version needed alone"
    assert same(Repository(store), "m@3", tensors)
    assert check(Repository(store)).sound


def test_a_collector_moves_nothing_to_a_pack_that_another_one_condemned(eager: None) -> None:
    store = Raced()
    repo = Repository(store)
    tensors, _ = mostly_dead(repo)
    others: list[Collected] = []
    store.before = lambda: others.append(collect(Repository(store), grace=0))
    collect(repo, grace=0)
    assert len(others[0].moved) == 1
    assert same(Repository(store), "m", tensors)
    assert check(Repository(store)).sound


FOREIGN = ("notes/mine.txt", "packs/mine.safetensors", "packs/mine", "manifests/ab/mine.json")


@pytest.mark.parametrize(
    "forged",
    [
        Condemn((*FOREIGN, "store.json", log_key(1))),
        Relocate({}, (*FOREIGN, "store.json", log_key(1))),
        Commit("z", 1, "mine", {}, ("mine",)),
    ],
    ids=lambda event: type(event).__name__,
)
@pytest.mark.parametrize("listing", [False, True])
def test_whatever_comes_to_stand_in_the_log_only_what_is_savers_is_deleted(
    forged: Event,
    listing: bool,
    store: MemoryStorage,
    repo: Repository,
    save: Save,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a collector that has the store open meanwhile."""
    monkeypatch.setattr(collection, "SMALL", 0)
    save("m", {"a/x": array()})
    for key in FOREIGN:
        store.create(key, b"mine")
    collect(repo, grace=0)
    before = {key for key in store.keys("") if not key.startswith("state/")}
    other = Repository(store)
    other.append(lambda: forged)
    if isinstance(forged, Commit):
        delete(other, "z", 1)
    collect(repo, grace=0, listing=listing)
    assert before <= set(store.keys(""))


@pytest.mark.parametrize(("back", "grace"), [(600.0, 0.0), (864_000.0, 100.0)])
def test_a_clock_that_was_set_back_keeps_nothing_from_being_freed(back: float, grace: float) -> None:
    ahead = MemoryStorage(clock=lambda: 1e9)
    repo = Repository(ahead)
    save_version(repo, draft("m", {"a/x": array()}))
    save_version(repo, draft("m", {"a/x": array()}))
    delete(repo, "m", 1)
    store = MemoryStorage(clock=lambda: 1e9 - back)
    store._objects = dict(ahead._objects)
    found = collect(Repository(store, clock=lambda: 1e9 - back), grace=grace)
    assert len(found.condemned) == 2
    if not grace:
        assert len(found.freed) == 2


def test_a_record_that_went_missing_since_it_was_read_stops_the_collector(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    for _ in range(3):
        save("m", {"a/x": array()})
    delete(repo, "m", 1)
    store.delete(log_key(4))
    before = objects(store)
    with pytest.raises(saver.DamagedError, match=log_key(4)):
        collect(repo, grace=0)
    assert objects(store) == before


def test_a_checkpoint_of_a_record_that_came_meanwhile_is_left_alone() -> None:
    now = 1e9
    store = MemoryStorage(clock=lambda: now)
    repo = Repository(store)
    save_version(repo, draft("m", {"a/x": array(3)}))
    store.create(checkpoint_key(99), b"{}")
    now += 1e6
    collect(repo, grace=0)
    assert store.stat(checkpoint_key(99))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "DEAD_BYTES", 5000)


def mostly_dead(repo: Repository) -> tuple[dict[str, Any], str]:
    """A version that needs a tenth of an old pack."""
    backbone = {"a/small": array(1000)}
    save_version(repo, draft("m", {**backbone, "a/large": array(9000)}))
    (pack,) = repo.storage.keys("packs/")
    tensors = {**backbone, "b/new": array(10)}
    save_version(repo, draft("m", tensors))
    delete(repo, "m", 1)
    return tensors, pack


def test_what_lives_in_a_mostly_dead_pack_moves(eager: None, store: MemoryStorage, repo: Repository) -> None:
    tensors, pack = mostly_dead(repo)
    reader = Repository(store)
    reader.open()
    before = sum(len(store.read(key)) for key in store.keys("packs/"))
    done = collect(repo, grace=0)
    assert done.moved == (pack,)
    assert pack in done.freed
    assert sum(len(store.read(key)) for key in store.keys("packs/")) < before / 3
    assert same(Repository(store), "m", tensors)
    assert same(reader, "m", tensors), "who opened the store before follows the move"
    assert check(Repository(store)).sound
    added = save_version(repo, draft("m", tensors)).bytes_added
    assert added < 3000, "moved tensors are shared where they lie now"
    assert same(Repository(store), "m@3", tensors)
    assert collect(repo, grace=0).moved == ()


def test_bytes_may_move_again_and_again(eager: None, store: MemoryStorage, repo: Repository) -> None:
    sizes = {"a/1": 200, "a/2": 2000, "a/3": 9000, "a/4": 40_000}
    tensors = {name: array(size) for name, size in sizes.items()}
    while len(tensors) > 1:
        save_version(repo, draft("m", tensors))
        del tensors[max(tensors)]
        last = save_version(repo, draft("m", tensors))
        delete(repo, "m", *range(1, last.number))
        assert len(collect(repo, grace=0).moved) == 1
        assert same(Repository(store), "m", tensors)
    assert check(Repository(store)).sound
    assert sum(len(store.read(key)) for key in store.keys("packs/")) < 8000


@pytest.mark.parametrize("moved", [False, True])
def test_a_version_whose_manifest_is_lost_keeps_its_packs(
    moved: bool, eager: None, store: MemoryStorage, repo: Repository, save: Save
) -> None:
    """And all others are collected from as ever."""
    if moved:
        mostly_dead(repo)
        collect(repo, grace=0)
    else:
        save("m", {"a/x": array()})
    lost = repo.version("m")
    data = store.read(manifest_key(lost.manifest))
    packs = set(store.keys("packs/"))
    store.delete(manifest_key(lost.manifest))
    save("other", {"c/x": array()})
    delete(repo, "other", 1)
    fresh = Repository(store)
    assert len(collect(fresh, grace=0).freed) == 2
    assert set(store.keys("packs/")) == packs
    store.put(manifest_key(lost.manifest), Bytes(data))
    assert contents(Repository(store), "m")


def test_damage_is_never_moved(eager: None, store: MemoryStorage, repo: Repository) -> None:
    _, pack = mostly_dead(repo)
    data = bytearray(store.read(pack))
    place = repo.known(repo.version("m"))["a/small"].extents[0]
    data[place[1] + 5] ^= 1
    store.delete(pack)
    store.put(pack, Bytes(bytes(data)))
    assert collect(repo, grace=0).moved == ()
    with pytest.raises(saver.DamagedError, match="a/small"):
        contents(repo, "m")


def test_a_version_that_came_while_bytes_were_moved_keeps_them(eager: None) -> None:
    """The mover gives up when somebody has come to need more of the pack than it moved: a save that began
    when the version was there that is deleted now."""

    class Late(Repository):
        deleted = False

        def condemned(self, known: Any) -> list[str]:
            if not self.deleted:
                self.deleted = True
                delete(Repository(store), "m", 1)
                self.state.refresh()
            return super().condemned(known)

    store = Overtaken()
    repo = Repository(store)
    small, large = array(1000), array(9000)
    save_version(repo, draft("m", {"a/small": small, "a/large": large}))
    (pack,) = store.keys("packs/")
    save_version(repo, draft("m", {"a/small": small, "b/new": array(10)}))
    done: list[Collected] = []
    store.at, store.meanwhile = 4, lambda: done.append(collect(Repository(store), grace=0))
    late = Late(store)
    assert save_version(late, draft("m", {"a/large": large}, bases=("m@1",))).number == 3
    assert done[0].moved == ()
    assert pack in store.keys("packs/"), "it was shared"
    assert same(Repository(store), "m@3", {"a/large": large})
    assert check(Repository(store)).sound


def test_old_checkpoints_are_dropped_by_who_makes_new_ones(
    store: MemoryStorage, repo: Repository, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "INTERVAL", 4)
    counts = []
    for _ in range(40):
        save("m", {"a/x": array(3)})
        counts.append(len(list(store.keys("state/"))))
    assert max(counts[20:]) <= max(counts[:20]) + 8, "a few pages for forty versions"
    repo.state.keep_checkpoint().finish()
    keys = list(store.keys("state/"))
    assert len([key for key in keys if is_checkpoint(key)]) == shortcuts.CHECKPOINTS_KEPT
    assert set(keys) == repo.state.needed(), "nothing else is left"
    fresh = Repository(store)
    fresh.open()
    assert fresh.state.trouble is None
    assert [version.number for version in fresh.versions("m")] == list(range(1, 41))


def is_checkpoint(key: str) -> bool:
    return key.removeprefix("state/")[:20].isdigit()


@pytest.mark.parametrize("age", [1.0, 3600.0])
def test_pages_that_no_checkpoint_needs_are_dropped_once_they_are_old(age: float) -> None:
    now = 1e9
    store = MemoryStorage(clock=lambda: now)
    repo = Repository(store)
    for _ in range(20):
        save_version(repo, draft("m", {"a/x": array(3)}))
    left = page_key("ab" * 32)
    store.create(left, b"left by a writer that was killed")
    now += age
    collect(repo, grace=0)
    assert (store.stat(left) is None) == (age > collection.PAGES_LEFT)
    assert repo.state.needed() <= set(store.keys("state/"))


def test_what_others_need_of_a_model_that_is_gone_moves(
    eager: None, store: MemoryStorage, repo: Repository, save: Save
) -> None:
    shared = array(1000)
    save("m", {"a/small": shared, "a/large": array(9000)})
    save("n", {"a/small": shared}, bases=("m",))
    delete(repo, "m", 1)
    assert len(collect(repo, grace=0).moved) == 1
    assert same(Repository(store), "n", {"a/small": shared})


class Counted(MemoryStorage):
    """Says what was read and listed."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock=clock)
        self.calls: list[str] = []

    def open(self, key: str) -> Blob:
        self.calls.append(key)
        return super().open(key)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        self.calls.append(f"list {prefix}")
        return super().list(prefix, after)

    def read_of(self, prefix: str) -> int:
        return sum(call.startswith(prefix) for call in self.calls)


def test_a_collection_after_one_deletion_reads_what_that_freed_and_not_all_manifests() -> None:
    store = Counted()
    repo = Repository(store)
    shared = array(300_000)
    for count in range(200):
        model = f"m{count % 10}"
        save_version(
            repo, draft(model, {"a/base": shared, "a/head": array(50)}, bases=("m0@1",) if count else ())
        )
    delete(repo, "m3", 2)
    cold = Repository(store)
    store.calls.clear()
    assert len(collect(cold, grace=0).freed) == 2
    assert store.read_of("manifests/") <= 2
    delete(cold, "m4", 2)
    store.calls.clear()
    assert len(collect(cold, grace=0, listing=False).freed) == 2
    assert store.read_of("manifests/") <= 2
    assert store.read_of("list packs/") == store.read_of("list manifests/") == 0
    assert len(store.calls) < 30
    store.calls.clear()
    assert collect(cold, grace=0, listing=False).freed == ()
    assert store.read_of("manifests/") == 0
    assert check(Repository(store)).garbage == ()


@pytest.mark.slow
@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_collections_without_listing_free_what_one_with_listing_would(random: Random) -> None:
    """A process that collects now and then, others that save, delete and collect beside it, and new ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving, "DEAD_BYTES", 3000)
        patch.setattr(state, "INTERVAL", random.choice((3, 16)))
        patch.setattr(users, "INTERVAL", random.choice((1, 3, 16)))
        patch.setattr(collection, "SMALL", random.choice((0, 0, 100)))
        store = MemoryStorage()
        repo, other = Repository(store), Repository(store)
        pieces = [np.random.default_rng(n).normal(size=random.choice((40, 400))) for n in range(8)]
        live: dict[str, dict[str, Any]] = {}
        collect_at_first = random.random() < 0.5
        for count in range(40):
            model = random.choice("ab")
            what = random.random()
            if what < 0.5 or not live:
                tensors = {f"p/{n}": pieces[n] for n in random.sample(range(8), 3)}
                bases = tuple(random.sample(sorted(live), min(2, len(live))))
                live[str(save_version(other, draft(model, tensors, bases=bases)))] = tensors
            elif what < 0.75:
                ref = random.choice(sorted(live))
                other.open()
                delete(other, ref[0], other.version(ref).number)
                del live[ref]
            elif what < 0.9 and (count > 10 or collect_at_first):
                collect(random.choice((repo, Repository(store))), grace=0, listing=False)
            else:
                collect(other, grace=0)
        collect(repo, grace=0, listing=False)
        assert check(Repository(store)).garbage == ()
        assert check(Repository(store)).sound
        for ref, tensors in live.items():
            assert same(Repository(store), ref, tensors)


@pytest.mark.parametrize("grace", [0.0, 60.0])
@pytest.mark.parametrize("years", [-30, -1, 1, 30])
def test_a_clock_that_is_years_off_keeps_nothing_from_being_freed(grace: float, years: int) -> None:
    class Turned(MemoryStorage):
        now = 2e9

        def _add(self, key: str, data: bytes) -> bool:
            self._last, self._clock = 0.0, lambda: self.now
            return super()._add(key, data)

    store = Turned()
    repo = Repository(store, clock=lambda: store.now)
    for _ in range(3):
        save_version(repo, draft("m", {"a/x": array()}))
    delete(repo, "m", 1)
    collect(repo, grace=1e12)
    store.now += years * 365 * 86400.0
    freed = len(collect(Repository(store), grace=grace).freed)
    store.now += 61.0
    freed += len(collect(Repository(store), grace=grace).freed)
    assert freed == 2
    assert check(Repository(store)).garbage == ()
    assert same(Repository(store), "m@3", contents_of(repo, "m@3"))


def contents_of(repo: Repository, ref: str) -> dict[str, Any]:
    return {name: np.frombuffer(data) for name, data in contents(repo, ref).items()}


def test_objects_that_a_hostile_record_condemns_are_deleted_only_if_they_may_be_garbage(
    store: MemoryStorage, repo: Repository, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "SMALL", 0)
    save("m", {"a/x": array()})
    collect(repo, grace=0, listing=False)
    before = set(store.keys(""))
    repo.append(lambda: Condemn(("store.json", "log/00000000000000000001.json", "../../x", "state/free-0")))
    collect(repo, grace=0, listing=False)
    collect(Repository(store), grace=0)
    assert before <= set(store.keys(""))


def test_nothing_is_requested_again_once_it_is_freed(
    eager: None, store: MemoryStorage, repo: Repository
) -> None:
    """Also what was moved before the last version that needed it was deleted, or is missing."""
    small = array(100)
    for number in range(3):
        tensors = {"a/small": small, "a/large": array(3000)}
        save_version(repo, draft("m", tensors, bases=("m@1",) if number else ()))
    delete(repo, "m", 1)
    assert len(collect(repo, grace=0).moved) == 1
    store.delete(manifest_key(repo.version("m@3").manifest))
    delete(repo, "m", 2, 3)
    for listing in (True, False):
        collect(repo, grace=0, listing=listing)
    assert list(repo.state.scan("freed ")) == []
    head = repo.state.head
    collect(repo, grace=0)
    assert repo.state.head == head
    assert objects(store) == set()
