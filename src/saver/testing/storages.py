"""Tests of what every storage must do."""

from __future__ import annotations

import gc
import mmap
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from saver.errors import IncompatibleError, NotFoundError
from saver.storage import ALIGNMENT, Bytes, Content, Listed, Sink, Storage

SIZES = (0, 1, ALIGNMENT - 1, ALIGNMENT, ALIGNMENT + 1, 5_000_001)

NO_KEYS = (
    "", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", ".a", "a/.b", "A", "a b", "ä", "a\0b",
    "a\n", "a\\b", "C:a", "~", "a_b", "/".join("a" * 17), "a/" * 5000 + "a",
)  # fmt: skip
"""Keys that a damaged or forged document could contain."""


class StorageTests:
    """Tests of a storage: subclass it, say how an empty one is made, and run pytest.

        class TestMyStorage(StorageTests):
            @pytest.fixture
            def storage(self, tmp_path):
                return MyStorage(tmp_path)

    They test everything that a storage promises, except one thing that no program can observe: that objects
    survive a power loss. For files, `FaultyFiles` and `crash_states` test that as well.
    """

    @pytest.fixture
    def storage(self) -> Storage:
        """An empty storage."""
        raise NotImplementedError(f"{type(self).__name__} must override the fixture `storage`")

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_put_is_read(self, storage: Storage, size: int) -> None:
        data = bytes_of(size)
        put(storage, "packs/a.bin", data)
        assert storage.read("packs/a.bin") == data
        blob = storage.open("packs/a.bin")
        assert blob.size == size
        assert fetched(blob).tobytes() == data
        found = storage.stat("packs/a.bin")
        assert found is not None
        assert found.size == size

    @pytest.mark.parametrize("size", SIZES)
    def test_what_was_created_is_read(self, storage: Storage, size: int) -> None:
        data = bytes_of(size)
        assert storage.create("log/1.json", data) is True
        assert storage.read("log/1.json") == data

    def test_any_part_is_read(self, storage: Storage) -> None:
        data = bytes_of(100_000)
        put(storage, "a", data)
        blob = storage.open("a")
        edges = (0, 1, 4095, 4096, 50_000, 99_999, 100_000, 100_001, 10**12)
        for start in edges:
            assert blob.read(start) == data[start:]
            for end in edges:
                assert blob.read(start, end) == (data[start:end] if start < end else b"")

    def test_what_is_not_there_is_not_found(self, storage: Storage) -> None:
        put(storage, "a/b", b"x")
        for key in ("b", "a/c", "a/b.c", "c/d/e"):
            with pytest.raises(NotFoundError, match=key):
                storage.open(key)
            with pytest.raises(NotFoundError):
                storage.read(key)
            assert storage.stat(key) is None

    @pytest.mark.parametrize("key", NO_KEYS, ids=lambda key: ascii(key)[:40])
    def test_what_cannot_be_a_key_is_refused(self, storage: Storage, key: str) -> None:
        put(storage, "a", b"x")
        for ask in (storage.open, storage.read, storage.stat, storage.delete):
            with pytest.raises(IncompatibleError):
                ask(key)
        with pytest.raises(IncompatibleError):
            put(storage, key, b"y")
        with pytest.raises(IncompatibleError):
            storage.create(key, b"y")
        assert list(storage.keys("")) == ["a"]

    @pytest.mark.parametrize("prefix", ["a", "/", "../", "a/../", ".a/", "a//"])
    def test_what_cannot_be_a_prefix_is_refused(self, storage: Storage, prefix: str) -> None:
        with pytest.raises(IncompatibleError):
            list(storage.keys(prefix))

    def test_keys_may_be_sixteen_names_deep(self, storage: Storage) -> None:
        key = "/".join("abcdefghijklmnop")
        put(storage, key, b"x")
        assert list(storage.keys("")) == list(storage.keys("a/b/")) == [key]
        assert storage.read(key) == b"x"

    def test_an_object_is_seen_only_when_it_is_whole(self, storage: Storage) -> None:
        seen: list[Any] = []

        def halves() -> Iterator[bytes]:
            yield b"half"
            seen.extend([storage.stat("a/b"), list(storage.keys("")), list(storage.list("a/"))])
            with pytest.raises(NotFoundError):
                storage.open("a/b")
            yield b"whole"

        storage.put("a/b", Pieces(9, halves))
        assert seen == [None, [], []]
        assert storage.read("a/b") == b"halfwhole"

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
    def test_a_put_that_fails_leaves_nothing(self, storage: Storage, error: type[BaseException]) -> None:
        def broken() -> Iterator[bytes]:
            yield bytes(1000)
            raise error

        with pytest.raises(error):
            storage.put("a/b", Pieces(5000, broken))
        assert list(storage.keys("")) == []
        assert storage.stat("a/b") is None
        put(storage, "a/b", b"again")
        assert storage.read("a/b") == b"again"

    def test_parts_may_be_written_by_threads_in_any_order(self, storage: Storage) -> None:
        """As packs do: aligned pieces, the last of which reaches beyond the end, and the header last."""
        size = 40 * ALIGNMENT + 123
        data = bytes_of(size)
        memory = aligned(data)

        def write(sink: Sink) -> None:
            offsets = list(range(ALIGNMENT, size, ALIGNMENT))
            random.Random(0).shuffle(offsets)
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda at: sink.write_aligned(memory[at : at + ALIGNMENT], at), offsets))
            sink.write(data[1000:ALIGNMENT], 1000)
            sink.write(memoryview(data)[:1000], 0)

        storage.put("a", Pieces(size, lambda: iter([data[:1000], data[1000:]]), write))
        assert storage.read("a") == data

    def test_both_ways_to_write_go_together(self, storage: Storage) -> None:
        size = 64 * ALIGNMENT
        data = bytes_of(size)
        memory = aligned(data)

        def piece(sink: Sink, at: int) -> None:
            if at // ALIGNMENT % 2:
                sink.write(data[at : at + 1], at)
                sink.write(data[at + 1 : at + ALIGNMENT], at + 1)
            else:
                sink.write_aligned(memory[at : at + ALIGNMENT], at)

        def write(sink: Sink) -> None:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda at: piece(sink, at), range(0, size, ALIGNMENT)))

        storage.put("a", Pieces(size, lambda: iter([data]), write))
        assert storage.read("a") == data

    def test_pieces_of_any_size_follow_each_other(self, storage: Storage) -> None:
        """Also empty ones, and memory that is not bytes."""
        data = bytes_of(300_000)
        cuts = [0, 0, 1, 4095, 4096, 4096, 70_000, 299_999, 300_000, 300_000]
        views = [memoryview(data)[start:end] for start, end in pairwise(cuts)]
        storage.put("a", Pieces(len(data), lambda: iter(views)))
        assert storage.read("a") == data

    def test_a_created_object_is_never_changed(self, storage: Storage) -> None:
        assert storage.create("a/b", b"first") is True
        before = storage.stat("a/b")
        assert storage.create("a/b", b"second") is False
        assert storage.read("a/b") == b"first"
        assert storage.stat("a/b") == before
        assert list(storage.keys("")) == ["a/b"]
        assert list(storage.list("")) == [Listed("a/b", before)]

    def test_what_was_put_is_not_created(self, storage: Storage) -> None:
        put(storage, "a", b"put")
        assert storage.create("a", b"created") is False
        assert storage.read("a") == b"put"

    def test_what_was_deleted_can_be_created(self, storage: Storage) -> None:
        storage.create("a", b"first")
        storage.delete("a")
        assert storage.create("a", b"second") is True
        assert storage.read("a") == b"second"

    def test_of_all_who_create_at_the_same_time_one_succeeds(self, storage: Storage) -> None:
        writers, rounds = 8, 20
        barrier = threading.Barrier(writers)

        def write(writer: int) -> list[bool]:
            won = []
            for number in range(rounds):
                barrier.wait()
                won.append(storage.create(f"log/{number:03}", b"%d" % writer * 1000))
            return won

        with ThreadPoolExecutor(writers) as pool:
            results = list(pool.map(write, range(writers)))
        for number in range(rounds):
            (winner,) = (writer for writer in range(writers) if results[writer][number])
            assert storage.read(f"log/{number:03}") == b"%d" % winner * 1000

    def test_keys_are_listed_in_order_after_any_key(self, storage: Storage) -> None:
        """In the order of the keys as text, across what looks like folders: `a-b`, `a.b`, `a/b`, `a0`."""
        keys = ["a-b", "a.b", "a/b", "a/b-c", "a/b.c/d", "a/c/d/e", "a0", "a0-b", "b/1", "b/10", "b/2",
                "c"]  # fmt: skip
        for key in random.Random(1).sample(keys, len(keys)):
            put(storage, key, key.encode())
        keys.sort()
        assert list(storage.keys("")) == keys
        for prefix in ("", "a/", "b/", "a/c/", "none/", "a/b.c/"):
            within = [key for key in keys if key.startswith(prefix)]
            assert list(storage.keys(prefix)) == within
            assert list(storage.list(prefix)) == [Listed(key, storage.stat(key)) for key in within]
            for after in (*keys, "a", "a/", "a/bb", "a/c", "b", "z", "a/c/d/e/f", "a/b.c/"):
                rest = [key for key in within if key > after]
                assert list(storage.keys(prefix, after)) == rest
                assert [found.key for found in storage.list(prefix, after)] == rest

    def test_a_prefix_is_no_part_of_a_name(self, storage: Storage) -> None:
        for key in ("ab/c", "a/c", "a.b/c"):
            put(storage, key, b"x")
        assert list(storage.keys("a/")) == ["a/c"]

    def test_what_stays_is_listed_while_others_come_and_go(self, storage: Storage) -> None:
        steady = [f"a/{number:03}" for number in range(0, 200, 2)]
        for key in steady:
            storage.create(key, b"x")
        done = threading.Event()

        def disturb() -> None:
            chance = random.Random(2)
            while not done.is_set():
                key = f"a/{chance.randrange(1, 200, 2):03}"
                storage.create(key, b"y")
                storage.delete(key)

        with ThreadPoolExecutor(2) as pool:
            others = [pool.submit(disturb) for _ in range(2)]
            try:
                for _ in range(10):
                    found = list(storage.keys("a/"))
                    assert found == sorted(found)
                    assert set(steady) <= {each.key for each in storage.list("a/")}
                    assert set(steady) <= set(found)
            finally:
                done.set()
            for other in others:
                other.result()

    def test_deleting_takes_one_object_away(self, storage: Storage) -> None:
        for key in ("a/b", "a/c", "d"):
            put(storage, key, key.encode())
        storage.delete("a/b")
        assert list(storage.keys("")) == ["a/c", "d"]
        assert storage.stat("a/b") is None
        with pytest.raises(NotFoundError):
            storage.open("a/b")
        assert storage.read("a/c") == b"a/c"

    def test_deleting_what_is_not_there_does_nothing(self, storage: Storage) -> None:
        storage.delete("a/b")
        put(storage, "a/b", b"x")
        storage.delete("a/c")
        storage.delete("a/b/c")
        storage.delete("a/b")
        storage.delete("a/b")
        assert list(storage.keys("")) == []

    def test_many_are_deleted_at_once_and_those_that_are_not_there_do_not_matter(
        self, storage: Storage
    ) -> None:
        keys = [f"a/{number}" for number in range(30)]
        for key in keys:
            put(storage, key, b"x")
        storage.delete(*keys[::2], "a/none", "none/b")
        assert list(storage.keys("")) == sorted(keys[1::2])
        storage.delete()
        assert list(storage.keys("")) == sorted(keys[1::2])

    def test_many_ranges_are_read_at_once(self, storage: Storage) -> None:
        data = bytes_of(100_000)
        put(storage, "a", data)
        blob = storage.open("a")
        ranges = [(50_000, 50_001), (0, 4096), (4096, 8192), (10, 10), (0, 4096), (99_990, 100_010)]
        assert blob.read_many(ranges) == [data[start:end] for start, end in ranges]
        assert blob.read_many([]) == []

    def test_what_is_asked_together_is_answered_in_order(self, storage: Storage) -> None:
        for number in range(40):
            put(storage, f"a/{number}", b"%d" % number)
        keys = [f"a/{number}" for number in random.Random(3).sample(range(40), 40)]
        found = storage.together(partial(storage.read, key) for key in keys)
        assert list(found) == [key.removeprefix("a/").encode() for key in keys]
        assert list(storage.together([])) == []

    def test_an_error_among_what_is_asked_together_is_raised_when_its_turn_comes(
        self, storage: Storage
    ) -> None:
        put(storage, "a", b"x")
        found = storage.together(partial(storage.read, key) for key in ("a", "b", "a"))
        assert next(found) == b"x"
        with pytest.raises(NotFoundError):
            next(found)

    def test_an_opened_object_that_is_deleted_is_readable_or_not_found(self, storage: Storage) -> None:
        data = bytes_of(3_000_000)
        put(storage, "a", data)
        blob = storage.open("a")
        storage.delete("a")
        put(storage, "b", bytes(len(data)))
        try:
            assert blob.read() == data
            assert fetched(blob).tobytes() == data
        except NotFoundError:
            pass  # the contract allows either, but not other or fewer bytes

    def test_a_map_is_private_and_stays(self, storage: Storage) -> None:
        data = bytes_of(100_000)
        put(storage, "a", data)
        first, second = storage.open("a"), storage.open("a")
        one, other = fetched(first), fetched(second)
        assert first.map() is one
        one[:] = 0
        assert other.tobytes() == data
        assert storage.read("a") == data
        assert first.read() == data
        del first, second
        gc.collect()
        assert not one.any()
        assert other.tobytes() == data

    def test_threads_fetch_at_the_same_time(self, storage: Storage) -> None:
        data = bytes_of(4_000_000)
        put(storage, "a", data)
        blob = storage.open("a")
        step = 50_000

        def fetch(at: int) -> bool:
            blob.fetch(at, at + step, memoryview(bytearray(step)))
            return blob.map()[at : at + step].tobytes() == data[at : at + step]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(fetch, range(0, len(data), step)))
        for at in range(0, len(data), step):
            assert isinstance(blob.near(at, at + step), bool)

    def test_times_do_not_go_backwards(self, storage: Storage) -> None:
        times = []
        for number in range(20):
            put(storage, f"a/{number}", b"x")
            storage.create(f"b/{number}", b"x")
            for key in (f"a/{number}", f"b/{number}"):
                found = storage.stat(key)
                assert found is not None
                times.append(found.time)
        assert times == sorted(times)
        found = storage.stat("a/0")
        assert found is not None
        assert found.time == times[0]

    def test_threads_put_at_the_same_time(self, storage: Storage) -> None:
        def work(number: int) -> bool:
            data = bytes_of(10_000 + number)
            put(storage, f"a/{number:02}/b", data)
            return storage.read(f"a/{number:02}/b") == data

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(40)))
        assert list(storage.keys("a/")) == [f"a/{number:02}/b" for number in range(40)]

    def test_it_says_what_it_is(self, storage: Storage) -> None:
        put(storage, "a/b", b"x")
        assert str(storage)
        assert "a/b" in storage.open("a/b").name


def put(storage: Storage, key: str, data: bytes) -> None:
    """Put a small object."""
    storage.put(key, Bytes(data))


class Pieces(Content):
    """A content of these pieces; `write` writes them by offset, which need not be in their order."""

    def __init__(
        self,
        size: int,
        pieces: Callable[[], Iterator[bytes | memoryview]],
        write: Callable[[Sink], None] | None = None,
    ) -> None:
        self.size = size
        self._pieces = pieces
        self._write = write

    def pieces(self) -> Iterator[bytes | memoryview]:
        return self._pieces()

    def write(self, sink: Sink) -> None:
        (self._write or super().write)(sink)


def bytes_of(size: int) -> bytes:
    """Bytes in which no two pieces are equal."""
    return np.random.default_rng(size).bytes(size)


def aligned(data: bytes) -> memoryview:
    """`data` in aligned memory, padded to a multiple of `ALIGNMENT`."""
    memory = mmap.mmap(-1, -(-len(data) // ALIGNMENT) * ALIGNMENT + ALIGNMENT)
    memory[: len(data)] = data
    memory[len(data) :] = b"\xff" * (len(memory) - len(data))
    return memoryview(memory)[:-ALIGNMENT]


def fetched(blob: Any) -> Any:
    """All bytes of a blob, as mapped."""
    blob.fetch(0, blob.size, memoryview(bytearray(blob.size)))
    return blob.map()
