"""A sealed store that is about to be made, by several at once, or by one that is killed: in the end its keys
are those of one of them, and nothing is left that opens nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cases import content_of
from explorer import Actor, Moment, explore

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

import saver
from saver.keys import age
from saver.repo import document
from saver.repo.format import STORE_KEY, Format, new_format
from saver.storage import Bytes, Storage
from saver.storages._wrapped import WrappedStorage
from saver.storages.memory import MemoryStorage
from saver.storages.sealed import SealedStorage, Secrets
from saver.testing import Crash, FaultyStorage, every_fault


def bundle(name: str, what: str = "0") -> str:
    return f"keys/{name * 16}{what * 16}.age"


class Somebody:
    """Makes keys that are always the same."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.names, self.epochs = name.encode() * 32, [name.encode() * 32]

    def make(self, storage: Storage) -> tuple[Secrets, dict[str, Any]]:
        storage.put(bundle(self.name, "1"), Bytes(self.name.encode()))
        storage.put(bundle(self.name), Bytes(self.name.encode()))
        return self, {"seal": "aead-1", "keys": self.name}

    def open(self, storage: Storage, seal: Mapping[str, Any]) -> Secrets:
        return Somebody(seal["keys"])


def founder(name: str) -> Actor:
    def act(storage: Storage) -> str:
        sealed = SealedStorage(storage, Somebody(name))
        made = sealed.create(STORE_KEY, document.encode(new_format(sealed, name * 32)))
        return "made" if made else "found"

    return act


def opener(storage: Storage) -> str:
    """Adds a bundle to the store, if there is one: another holder."""
    if storage.stat(STORE_KEY) is None:
        return "nothing"
    storage.put(bundle("c"), Bytes(store_of({STORE_KEY: storage.read(STORE_KEY)}).encode()))
    return "added"


def store_of(content: Mapping[str, bytes]) -> str:
    """Whose store there is; "" if there is none."""
    if STORE_KEY not in content:
        return ""
    seal = document.decode(content[STORE_KEY], Format, "it")[0].seal
    assert seal is not None
    return str(seal["keys"])


def judge(moment: Moment) -> None:
    """At every moment, so also when any of them is killed there, the keys of the store are there."""
    owner = store_of(moment.content)
    there = {key for key in moment.content if key.startswith("keys/")}
    if owner:
        assert {bundle(owner), bundle(owner, "1")} <= there
    if moment.ended.get("c") == "added":
        assert bundle("c") in there
    if {"a", "b"} <= moment.ended.keys():
        assert sorted((moment.ended["a"], moment.ended["b"])) == ["found", "made"]
        assert there - {bundle("c")} == {bundle(owner), bundle(owner, "1")}


@pytest.mark.parametrize("remote", [False, True], ids=["near", "far"])
@pytest.mark.parametrize("before", [False, True], ids=["nothing", "what a killed one left"])
def test_two_make_a_store_at_once_while_another_one_opens_it(before: bool, remote: bool) -> None:
    storage = MemoryStorage()
    if before:
        storage.put(bundle("d"), Bytes(b"d"))
    actors = {"a": founder("a"), "b": founder("b"), "c": opener}
    assert explore(content_of(storage), actors, judge, remote=remote).ends


KEY = age.new_identity()


def key() -> Any:
    return lambda: KEY.reveal()


def left(storage: Storage, caplog: pytest.LogCaptureFixture) -> tuple[int, list[str]]:
    """How many objects there are in `keys/`, and what is warned of when the store is opened."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "saver"):
        saver.Saver(storage, key=key()).models()
    return len([*storage.keys("keys/")]), [each.getMessage() for each in caplog.records]


def test_one_who_is_killed_anywhere_leaves_nothing_that_the_next_one_keeps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    counted = FaultyStorage(MemoryStorage())
    saver.Saver(counted, key=key()).create()
    total = len(counted.calls)
    assert total > 4
    for at in range(1, total + 1):
        for after in (False, True):
            storage = MemoryStorage()
            faulty = FaultyStorage(storage)
            faulty.crash(at, after)
            with pytest.raises(Crash):
                saver.Saver(faulty, key=key()).create()
            store = saver.Saver(storage, key=key())
            store.save("iris", [at])
            assert saver.Saver(storage, key=key()).load("iris") == [at]
            found, warned = left(storage, caplog)
            if warned:  # it was killed after it had made the store: then the next change of holders does it
                store.rotate()
                found, warned = left(storage, caplog)
            assert (found, warned) == (1, []), (at, after)


def test_whatever_call_fails_the_store_opens_with_its_key() -> None:
    def act(storage: Storage) -> bool:
        return saver.Saver(storage, key=key()).create()

    for case in every_fault(MemoryStorage, act):
        struck = case.strike()
        store = saver.Saver(struck.storage, key=key())
        store.save("iris", [1])
        assert saver.Saver(struck.storage, key=key()).load("iris") == [1], case


class Late(WrappedStorage):
    """A storage where answers to a `create` get lost, so that it is repeated, and finds what is there."""

    def call(self, name: str, act: Callable[[], Any]) -> Any:
        found = act()
        return False if name == "create" else found


def test_an_answer_that_came_late_costs_no_keys() -> None:
    storage = MemoryStorage()
    sealed = SealedStorage(Late(storage), Somebody("a"))
    assert not sealed.create(STORE_KEY, document.encode(new_format(sealed, "a" * 32)))
    assert store_of({STORE_KEY: storage.read(STORE_KEY)}) == "a"
    assert [*storage.keys("keys/")] == sorted([bundle("a"), bundle("a", "1")])


def test_a_bundle_that_is_of_no_store_is_taken_away_by_the_next_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage, other = MemoryStorage(), MemoryStorage()
    store = saver.Saver(storage, key=key())
    store.save("iris", [1])
    saver.Saver(other, key=key()).create()
    (foreign,) = other.keys("keys/")
    storage.put(foreign, Bytes(other.read(foreign)))
    assert left(storage, caplog)[0] == 2
    assert left(storage, caplog)[1]
    store.rotate()
    assert left(storage, caplog) == (1, [])
