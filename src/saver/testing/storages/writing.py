"""Tests of how objects come into a storage: whole or not at all."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest

from saver.errors import NotFoundError
from saver.storage import ALIGNMENT, Listed, Sink, Storage
from saver.testing.storages.contents import Pieces, Shrinking, aligned, bytes_of, fetched, put

SIZES = (0, 1, ALIGNMENT - 1, ALIGNMENT, ALIGNMENT + 1, 5_000_001)


class WritingTests:
    """What is put or created is there whole or not at all; what one writer created no other changes."""

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

    @pytest.mark.parametrize("size", SIZES)
    def test_a_content_may_turn_out_smaller_than_announced(self, storage: Storage, size: int) -> None:
        """Its size is an upper bound until it is written, as that of what is compressed meanwhile."""
        content = Shrinking(size + 3 * ALIGNMENT, bytes_of(size))
        storage.put("packs/a.bin", content)
        assert storage.read("packs/a.bin") == bytes_of(size)
        found = storage.stat("packs/a.bin")
        assert found is not None
        assert found.size == storage.open("packs/a.bin").size == size

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

    def test_threads_put_at_the_same_time(self, storage: Storage) -> None:
        def work(number: int) -> bool:
            data = bytes_of(10_000 + number)
            put(storage, f"a/{number:02}/b", data)
            return storage.read(f"a/{number:02}/b") == data

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(40)))
        assert list(storage.keys("a/")) == [f"a/{number:02}/b" for number in range(40)]

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
