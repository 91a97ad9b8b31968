"""The store in memory."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from saver import registry
from saver.errors import CannotWriteError, IncompatibleError
from saver.storage import Bytes
from saver.storages.memory import MemoryStorage
from saver.testing import StorageTests, every_interrupt


class TestMemoryStorage(StorageTests):
    @pytest.fixture
    def storage(self) -> MemoryStorage:
        return MemoryStorage("test")


def test_an_address_gives_the_same_store_within_a_process() -> None:
    open_storage = registry.find("storages", "memory").open_storage
    one = open_storage("memory://one")
    one.create("a", b"x")
    assert open_storage("memory://one") is one
    assert open_storage("memory://two") is not one
    assert str(one) == "memory://one"


def test_a_clock_that_goes_backwards_is_held() -> None:
    times = iter([5.0, 3.0, 7.0])
    storage = MemoryStorage(clock=lambda: next(times))
    found = []
    for key in "abc":
        storage.create(key, b"")
        stat = storage.stat(key)
        assert stat is not None
        found.append(stat.time)
    assert found == [5.0, 5.0, 7.0]


def test_a_key_is_put_once() -> None:
    storage = MemoryStorage()
    storage.create("a", b"first")
    with pytest.raises(CannotWriteError, match="already"):
        storage.put("a", Bytes(b"x"))
    assert storage.read("a") == b"first"


@pytest.mark.parametrize("key", ["../a", "/a", "A", ""])
def test_what_cannot_be_a_key_is_refused(key: str) -> None:
    with pytest.raises(IncompatibleError, match="cannot be the key"):
        MemoryStorage().open(key)


def test_a_copy_holds_the_same_and_goes_its_own_way() -> None:
    storage = MemoryStorage("there")
    storage.create("a", b"1")
    copy = storage.copy()
    assert str(copy) == str(storage)
    assert copy.stat("a") == storage.stat("a")
    copy.create("b", b"2")
    storage.delete("a")
    assert (list(storage.keys("")), list(copy.keys(""))) == ([], ["a", "b"])


def use(storage: MemoryStorage) -> list[str]:
    """Every operation once; the keys that are there then."""
    storage.create("a", b"1")
    storage.create("b", b"2")
    storage.open("a").map()
    storage.delete("a")
    return [*storage.copy().keys("")]


@pytest.mark.parametrize("case", every_interrupt(MemoryStorage, use), ids=str)
def test_an_interrupt_at_any_line_leaves_a_storage_that_answers(case: Any) -> None:
    """A lock around lines stays locked if one comes between the last of them and its release."""
    storage = case.strike().subject
    answers: list[list[str]] = []
    thread = threading.Thread(target=lambda: answers.append(use(storage)), daemon=True)
    thread.start()
    thread.join(20)
    assert answers == [["b"]]
