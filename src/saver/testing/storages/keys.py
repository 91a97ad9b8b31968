"""Tests of the keys of a storage: which are allowed, how they are listed, and how they are deleted."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest

from saver.errors import IncompatibleError, NotFoundError
from saver.storage import Listed, Storage
from saver.testing.storages.contents import put

NO_KEYS = (
    "", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", ".a", "a/.b", "A", "a b", "ä", "a\0b",
    "a\n", "a\\b", "C:a", "~", "a_b", "a.", "a./b", "a/b..", "con", "nul.json", "a/aux.txt", "com1/a", "lpt9",
    "/".join("a" * 17), "a/" * 5000 + "a",
)  # fmt: skip
"""Keys that a damaged or forged document could contain."""


class KeysTests:
    """Only keys of the exact form exist, and they are listed in their order."""

    @pytest.mark.parametrize("key", NO_KEYS, ids=lambda key: ascii(key)[:40])
    def test_what_cannot_be_a_key_is_refused(self, storage: Storage, key: str) -> None:
        put(storage, "a", b"x")
        for ask in (storage.open, storage.read, storage.stat, storage.delete):
            with pytest.raises(IncompatibleError):
                ask(key)
        for keys in (("a", key), (key, "a")):
            with pytest.raises(IncompatibleError):
                list(storage.stats(*keys))
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

    def test_a_prefix_is_not_part_of_a_name(self, storage: Storage) -> None:
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

    def test_several_are_looked_at_as_each_alone_is(self, storage: Storage) -> None:
        for key in ("a/b", "a/c/d", "e"):
            put(storage, key, key.encode())
        there = ["a/b", "a/none", "a/c/d", "e", "none/a", "none/b", "e/b"]
        for keys in ((), *product(there), *product(there, there)):
            assert list(storage.stats(*keys)) == [storage.stat(key) for key in keys]

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
