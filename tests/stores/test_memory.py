"""The store in memory."""

from __future__ import annotations

import pytest

from saver import registry
from saver.errors import CannotWrite, Damaged
from saver.stores.memory import MemoryStore
from saver.testing import StoreTests


class TestMemoryStore(StoreTests):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore("test")


def test_an_address_gives_the_same_store_within_a_process() -> None:
    open_store = registry.find("stores", "memory").open_store
    one = open_store("memory://one")
    one.create("a", b"x")
    assert open_store("memory://one") is one
    assert open_store("memory://two") is not one
    assert str(one) == "memory://one"


def test_a_clock_that_goes_backwards_is_held() -> None:
    times = iter([5.0, 3.0, 7.0])
    store = MemoryStore(clock=lambda: next(times))
    found = []
    for key in "abc":
        store.create(key, b"")
        stat = store.stat(key)
        assert stat is not None
        found.append(stat.time)
    assert found == [5.0, 5.0, 7.0]


def test_a_key_is_put_once() -> None:
    store = MemoryStore()
    store.create("a", b"first")
    with pytest.raises(CannotWrite, match="already"):
        store.put("a", 1, lambda sink: sink.write(b"x", 0))
    assert store.read("a") == b"first"


@pytest.mark.parametrize("key", ["../a", "/a", "A", ""])
def test_what_cannot_be_a_key_is_refused(key: str) -> None:
    with pytest.raises(Damaged, match="cannot be the key"):
        MemoryStore().open(key)


def test_a_copy_holds_the_same_and_goes_its_own_way() -> None:
    store = MemoryStore("there")
    store.create("a", b"1")
    copy = store.copy()
    assert str(copy) == str(store)
    assert copy.stat("a") == store.stat("a")
    copy.create("b", b"2")
    store.delete("a")
    assert (list(store.list("")), list(copy.list(""))) == ([], ["a", "b"])
