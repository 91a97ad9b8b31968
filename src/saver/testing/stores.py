"""What every store must do, as tests."""

from __future__ import annotations

import gc
import mmap
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from saver.errors import Damaged, NotFound
from saver.store import ALIGNMENT, Sink, Store

SIZES = (0, 1, ALIGNMENT - 1, ALIGNMENT, ALIGNMENT + 1, 5_000_001)

NO_KEYS = (
    "", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", ".a", "a/.b", "A", "a b", "ä", "a\0b",
    "a\n", "a\\b", "C:a", "~", "a_b", "/".join("a" * 17), "a/" * 5000 + "a",
)  # fmt: skip
"""What a damaged or forged document could name."""


class StoreTests:
    """Tests of a store: subclass it, say how an empty one is made, and run pytest.

        class TestMyStore(StoreTests):
            @pytest.fixture
            def store(self, tmp_path):
                return MyStore(tmp_path)

    They test all that a store promises but one thing, which no program can see: that what was put outlasts
    a power loss. For files, `FaultyFiles` and `crash_states` test that as well.
    """

    @pytest.fixture
    def store(self) -> Store:
        """An empty store."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `store`")

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_put_is_read(self, store: Store, size: int) -> None:
        data = bytes_of(size)
        put(store, "packs/a.bin", data)
        assert store.read("packs/a.bin") == data
        blob = store.open("packs/a.bin")
        assert blob.size == size
        assert fetched(blob).tobytes() == data
        found = store.stat("packs/a.bin")
        assert found is not None
        assert found.size == size

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_created_is_read(self, store: Store, size: int) -> None:
        data = bytes_of(size)
        assert store.create("log/1.json", data) is True
        assert store.read("log/1.json") == data

    def test_any_part_is_read(self, store: Store) -> None:
        data = bytes_of(100_000)
        put(store, "a", data)
        blob = store.open("a")
        edges = (0, 1, 4095, 4096, 50_000, 99_999, 100_000, 100_001, 10**12)
        for start in edges:
            assert blob.read(start) == data[start:]
            for end in edges:
                assert blob.read(start, end) == (data[start:end] if start < end else b"")

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        put(store, "a/b", b"x")
        for key in ("b", "a/c", "a/b.c", "c/d/e"):
            with pytest.raises(NotFound, match=key):
                store.open(key)
            with pytest.raises(NotFound):
                store.read(key)
            assert store.stat(key) is None

    @pytest.mark.parametrize("key", NO_KEYS, ids=lambda key: ascii(key)[:40])
    def test_what_cannot_be_a_key_is_refused(self, store: Store, key: str) -> None:
        put(store, "a", b"x")
        for ask in (store.open, store.read, store.stat, store.delete):
            with pytest.raises(Damaged):
                ask(key)
        with pytest.raises(Damaged):
            put(store, key, b"y")
        with pytest.raises(Damaged):
            store.create(key, b"y")
        assert list(store.list("")) == ["a"]

    @pytest.mark.parametrize("prefix", ["a", "/", "../", "a/../", ".a/", "a//"])
    def test_what_cannot_be_a_prefix_is_refused(self, store: Store, prefix: str) -> None:
        with pytest.raises(Damaged):
            list(store.list(prefix))

    def test_keys_may_be_sixteen_names_deep(self, store: Store) -> None:
        key = "/".join("abcdefghijklmnop")
        put(store, key, b"x")
        assert list(store.list("")) == list(store.list("a/b/")) == [key]
        assert store.read(key) == b"x"

    def test_an_object_is_seen_only_when_it_is_whole(self, store: Store) -> None:
        seen: list[Any] = []

        def fill(sink: Sink) -> None:
            sink.write(b"half", 0)
            seen.extend([store.stat("a/b"), list(store.list("")), list(store.list("a/"))])
            with pytest.raises(NotFound):
                store.open("a/b")
            sink.write(b"whole", 4)

        store.put("a/b", 9, fill)
        assert seen == [None, [], []]
        assert store.read("a/b") == b"halfwhole"

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
    def test_a_put_that_fails_leaves_nothing(self, store: Store, error: type[BaseException]) -> None:
        def fill(sink: Sink) -> None:
            sink.write(bytes(1000), 0)
            raise error

        with pytest.raises(error):
            store.put("a/b", 5000, fill)
        assert list(store.list("")) == []
        assert store.stat("a/b") is None
        put(store, "a/b", b"again")
        assert store.read("a/b") == b"again"

    def test_parts_may_be_written_by_threads_in_any_order(self, store: Store) -> None:
        """As packs are: aligned pieces, the last of which reaches beyond the end, and the header last."""
        size = 40 * ALIGNMENT + 123
        data = bytes_of(size)
        memory = aligned(data)

        def fill(sink: Sink) -> None:
            offsets = list(range(ALIGNMENT, size, ALIGNMENT))
            random.Random(0).shuffle(offsets)
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda at: sink.write_aligned(memory[at : at + ALIGNMENT], at), offsets))
            sink.write(data[1000:ALIGNMENT], 1000)
            sink.write(memoryview(data)[:1000], 0)

        store.put("a", size, fill)
        assert store.read("a") == data

    def test_both_ways_to_write_go_together(self, store: Store) -> None:
        size = 64 * ALIGNMENT
        data = bytes_of(size)
        memory = aligned(data)

        def piece(sink: Sink, at: int) -> None:
            if at // ALIGNMENT % 2:
                sink.write(data[at : at + 1], at)
                sink.write(data[at + 1 : at + ALIGNMENT], at + 1)
            else:
                sink.write_aligned(memory[at : at + ALIGNMENT], at)

        def fill(sink: Sink) -> None:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda at: piece(sink, at), range(0, size, ALIGNMENT)))

        store.put("a", size, fill)
        assert store.read("a") == data

    def test_a_created_object_is_never_changed(self, store: Store) -> None:
        assert store.create("a/b", b"first") is True
        before = store.stat("a/b")
        assert store.create("a/b", b"second") is False
        assert store.read("a/b") == b"first"
        assert store.stat("a/b") == before
        assert list(store.list("")) == ["a/b"]

    def test_what_was_put_is_not_created(self, store: Store) -> None:
        put(store, "a", b"put")
        assert store.create("a", b"created") is False
        assert store.read("a") == b"put"

    def test_what_was_deleted_can_be_created(self, store: Store) -> None:
        store.create("a", b"first")
        store.delete("a")
        assert store.create("a", b"second") is True
        assert store.read("a") == b"second"

    def test_of_all_who_create_at_the_same_time_one_succeeds(self, store: Store) -> None:
        writers, rounds = 8, 20
        barrier = threading.Barrier(writers)

        def write(writer: int) -> list[bool]:
            won = []
            for number in range(rounds):
                barrier.wait()
                won.append(store.create(f"log/{number:03}", b"%d" % writer * 1000))
            return won

        with ThreadPoolExecutor(writers) as pool:
            results = list(pool.map(write, range(writers)))
        for number in range(rounds):
            (winner,) = (writer for writer in range(writers) if results[writer][number])
            assert store.read(f"log/{number:03}") == b"%d" % winner * 1000

    def test_keys_are_listed_in_order_after_any_key(self, store: Store) -> None:
        """In the order of the keys as text, across what looks like folders: `a-b`, `a.b`, `a/b`, `a0`."""
        keys = ["a-b", "a.b", "a/b", "a/b-c", "a/b.c/d", "a/c/d/e", "a0", "a0-b", "b/1", "b/10", "b/2",
                "c"]  # fmt: skip
        for key in random.Random(1).sample(keys, len(keys)):
            put(store, key, key.encode())
        keys.sort()
        assert list(store.list("")) == keys
        for prefix in ("", "a/", "b/", "a/c/", "none/", "a/b.c/"):
            within = [key for key in keys if key.startswith(prefix)]
            assert list(store.list(prefix)) == within
            for after in (*keys, "a", "a/", "a/bb", "a/c", "b", "z", "a/c/d/e/f", "a/b.c/"):
                assert list(store.list(prefix, after)) == [key for key in within if key > after]

    def test_a_prefix_is_no_part_of_a_name(self, store: Store) -> None:
        for key in ("ab/c", "a/c", "a.b/c"):
            put(store, key, b"x")
        assert list(store.list("a/")) == ["a/c"]

    def test_what_stays_is_listed_while_others_come_and_go(self, store: Store) -> None:
        steady = [f"a/{number:03}" for number in range(0, 200, 2)]
        for key in steady:
            store.create(key, b"x")
        done = threading.Event()

        def disturb() -> None:
            chance = random.Random(2)
            while not done.is_set():
                key = f"a/{chance.randrange(1, 200, 2):03}"
                store.create(key, b"y")
                store.delete(key)

        with ThreadPoolExecutor(2) as pool:
            others = [pool.submit(disturb) for _ in range(2)]
            try:
                for _ in range(10):
                    found = list(store.list("a/"))
                    assert found == sorted(found)
                    assert set(steady) <= set(found)
            finally:
                done.set()
            for other in others:
                other.result()

    def test_deleting_takes_one_object_away(self, store: Store) -> None:
        for key in ("a/b", "a/c", "d"):
            put(store, key, key.encode())
        store.delete("a/b")
        assert list(store.list("")) == ["a/c", "d"]
        assert store.stat("a/b") is None
        with pytest.raises(NotFound):
            store.open("a/b")
        assert store.read("a/c") == b"a/c"

    def test_deleting_what_is_not_there_does_nothing(self, store: Store) -> None:
        store.delete("a/b")
        put(store, "a/b", b"x")
        store.delete("a/c")
        store.delete("a/b/c")
        store.delete("a/b")
        store.delete("a/b")
        assert list(store.list("")) == []

    def test_an_opened_object_that_is_deleted_is_readable_or_not_found(self, store: Store) -> None:
        data = bytes_of(3_000_000)
        put(store, "a", data)
        blob = store.open("a")
        store.delete("a")
        put(store, "b", bytes(len(data)))
        try:
            assert blob.read() == data
            assert fetched(blob).tobytes() == data
        except NotFound:
            pass  # the contract allows either; other bytes, or fewer, it does not

    def test_a_map_is_private_and_stays(self, store: Store) -> None:
        data = bytes_of(100_000)
        put(store, "a", data)
        first, second = store.open("a"), store.open("a")
        one, other = fetched(first), fetched(second)
        assert first.map() is one
        one[:] = 0
        assert other.tobytes() == data
        assert store.read("a") == data
        assert first.read() == data
        del first, second
        gc.collect()
        assert not one.any()
        assert other.tobytes() == data

    def test_threads_fetch_at_the_same_time(self, store: Store) -> None:
        data = bytes_of(4_000_000)
        put(store, "a", data)
        blob = store.open("a")
        step = 50_000

        def fetch(at: int) -> bool:
            blob.fetch(at, at + step, memoryview(bytearray(step)))
            return blob.map()[at : at + step].tobytes() == data[at : at + step]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(fetch, range(0, len(data), step)))
        for at in range(0, len(data), step):
            assert isinstance(blob.near(at, at + step), bool)

    def test_times_do_not_go_backwards(self, store: Store) -> None:
        times = []
        for number in range(20):
            put(store, f"a/{number}", b"x")
            store.create(f"b/{number}", b"x")
            for key in (f"a/{number}", f"b/{number}"):
                found = store.stat(key)
                assert found is not None
                times.append(found.time)
        assert times == sorted(times)
        found = store.stat("a/0")
        assert found is not None
        assert found.time == times[0]

    def test_threads_put_at_the_same_time(self, store: Store) -> None:
        def work(number: int) -> bool:
            data = bytes_of(10_000 + number)
            put(store, f"a/{number:02}/b", data)
            return store.read(f"a/{number:02}/b") == data

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(40)))
        assert list(store.list("a/")) == [f"a/{number:02}/b" for number in range(40)]

    def test_it_says_what_it_is(self, store: Store) -> None:
        put(store, "a/b", b"x")
        assert str(store)
        assert "a/b" in store.open("a/b").name


def put(store: Store, key: str, data: bytes) -> None:
    """Put a small object."""
    store.put(key, len(data), lambda sink: sink.write(data, 0))


def bytes_of(size: int) -> bytes:
    """Bytes of which no two pieces are alike."""
    return np.random.default_rng(size).bytes(size)


def aligned(data: bytes) -> memoryview:
    """`data` where direct I/O wants it, and some bytes more up to a multiple of `ALIGNMENT`."""
    memory = mmap.mmap(-1, -(-len(data) // ALIGNMENT) * ALIGNMENT + ALIGNMENT)
    memory[: len(data)] = data
    memory[len(data) :] = b"\xff" * (len(memory) - len(data))
    return memoryview(memory)[:-ALIGNMENT]


def fetched(blob: Any) -> Any:
    """All bytes of a blob, as they are mapped."""
    blob.fetch(0, blob.size, memoryview(bytearray(blob.size)))
    return blob.map()
