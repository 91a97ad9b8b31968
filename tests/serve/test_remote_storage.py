"""A storage behind a server keeps the contract of storages, also where answers are lost, cut off or late."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharings import shared
from visits import Running

import proxy
import saver
from saver.errors import CannotReadError, CannotWriteError, CommitUnknownError, NotFoundError
from saver.storage import Bytes, Storage
from saver.storages.remote import open_storage
from saver.testing import StorageTests
from saver.testing.storages.contents import Pieces, bytes_of, fetched


@pytest.fixture(scope="module")
def sharing() -> Iterator[Running]:
    """One server for all tests, each of which puts a folder of its own behind it."""
    with shared(f"memory://{secrets.token_hex(8)}", "full") as running:
        yield running


@pytest.fixture
def empty(sharing: Running, tmp_path: Path) -> Storage:
    """An empty folder behind a server."""
    kept: Any = sharing.server._sharing
    kept._keeper.outer = saver.addresses.open_storage(str(tmp_path / "store"))
    return open_storage(sharing.server.address)


class TestBehindAFolder(StorageTests):
    @pytest.fixture
    def storage(self, empty: Storage) -> Storage:
        return empty


class TestSealedBehindAServer(StorageTests):
    @pytest.fixture
    def storage(self, empty: Storage) -> Storage:
        pytest.importorskip("cryptography")
        from sealing import sealed

        return sealed(empty)


@pytest.fixture(scope="module")
def spoiled() -> Iterator[tuple[proxy.Proxy, str, str]]:
    """A proxy before a server, its address, and that of what the server shares."""
    place = f"memory://{secrets.token_hex(8)}"
    with shared(place, "full") as running, proxy.between(running.server.address) as (between, address):
        yield between, address, place


LARGE = 9 << 20

ACTS: dict[str, Callable[[Storage, str], Any]] = {
    "create": lambda storage, key: storage.create(key, b"mine" * 100),
    "put": lambda storage, key: storage.put(key, Bytes(bytes_of(5000))),
    "put large": lambda storage, key: storage.put(key, Pieces(LARGE, lambda: iter([bytes_of(LARGE)]))),
    "read": lambda storage, key: storage.read(f"{key}-there"),
    "stat": lambda storage, key: storage.stat(f"{key}-there"),
    "list": lambda storage, key: [each.key for each in storage.list(f"{key.partition('/')[0]}/")],
    "delete": lambda storage, key: storage.delete(f"{key}-there"),
}

AFTER: dict[str, Callable[[Storage, str], Any]] = {
    "create": lambda storage, key: storage.read(key) == b"mine" * 100,
    "put": lambda storage, key: storage.read(key) == bytes_of(5000),
    "put large": lambda storage, key: storage.read(key) == bytes_of(LARGE),
    "delete": lambda storage, key: storage.stat(f"{key}-there") is None,
}


@pytest.mark.parametrize("kind", proxy.KINDS)
@pytest.mark.parametrize("name", ACTS)
def test_one_spoiled_request_changes_no_outcome(
    spoiled: tuple[proxy.Proxy, str, str], name: str, kind: str
) -> None:
    """Every request of every call, spoiled in every way."""
    between, address, place = spoiled
    key = f"k{secrets.token_hex(4)}/a"
    behind = saver.addresses.open_storage(place)
    for at in range(20):
        one = f"{key}{at}"
        behind.create(f"{one}-there", b"there")
        between.spoil(-2, "")
        plain = ACTS[name](open_storage(address), one)
        again = f"{one}-again"
        behind.create(f"{again}-there", b"there")
        between.spoil(at, kind)
        got = ACTS[name](open_storage(address), again)
        asked = len(between.seen)
        between.spoil(-2, "")
        if name not in ("list", "stat"):
            assert got == plain
        assert AFTER.get(name, lambda *_: True)(behind, again)
        if asked <= at:
            return
    raise AssertionError("it never ended")


@pytest.mark.parametrize("kind", proxy.KINDS)
def test_an_object_of_another_is_not_taken_for_ours(spoiled: tuple[proxy.Proxy, str, str], kind: str) -> None:
    between, address, place = spoiled
    key = f"k{secrets.token_hex(4)}"
    saver.addresses.open_storage(place).create(key, b"theirs")
    between.spoil(0, kind)
    assert open_storage(address).create(key, b"mine") is False
    assert open_storage(address).read(key) == b"theirs"
    between.spoil(0, kind)
    with pytest.raises(CannotWriteError, match="exists already"):
        open_storage(address).put(key, Bytes(b"mine"))


@pytest.mark.parametrize("kind", ["lost", "500"])
def test_what_never_answers_is_unknown_or_found(spoiled: tuple[proxy.Proxy, str, str], kind: str) -> None:
    between, address, place = spoiled
    key = f"k{secrets.token_hex(4)}"
    storage = open_storage(f"{address}?deadline=0.5")
    storage.stat("a")
    between.spoil(-1, kind)
    with pytest.raises(CommitUnknownError, match="unknown"):
        storage.create(key, b"mine")
    with pytest.raises(CannotReadError):
        storage.read(key)
    with pytest.raises(CannotWriteError):
        storage.delete(key)
    between.spoil(-2, "")
    assert saver.addresses.open_storage(place).stat(key) is None if kind == "500" else True


@pytest.mark.parametrize("status", [429, 503])
def test_what_was_never_done_is_known(spoiled: tuple[proxy.Proxy, str, str], status: int) -> None:
    between, address, _ = spoiled
    storage = open_storage(f"{address}?deadline=0.5")
    storage.stat("a")
    between.spoil(-1, str(status))
    with pytest.raises(CannotWriteError, match=str(status) if status != 429 else "often") as found:
        storage.create(f"k{secrets.token_hex(4)}", b"mine")
    assert not isinstance(found.value, CommitUnknownError)
    between.spoil(-2, "")


def test_two_racers_create_one_key(spoiled: tuple[proxy.Proxy, str, str]) -> None:
    """Also if each loses its first answer: the transaction in a record tells whose it is."""
    between, address, place = spoiled
    between.spoil(-2, "")
    for _ in range(5):
        key, won, barrier = f"k{secrets.token_hex(4)}", [], threading.Barrier(2)

        def race(name: bytes, key: str = key, won: list[bytes] = won, barrier: Any = barrier) -> None:
            storage = open_storage(address)
            storage.stat("a")
            barrier.wait()
            if storage.create(key, name * 1000):
                won.append(name)

        between.spoil(2, "lost")  # the third request: one of the two that create
        racers = [threading.Thread(target=race, args=(name,)) for name in (b"one", b"two")]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert len(won) == 1
        assert saver.addresses.open_storage(place).read(key) == won[0] * 1000


def test_a_large_object_is_read_in_ranges_at_the_same_time(spoiled: tuple[proxy.Proxy, str, str]) -> None:
    between, address, place = spoiled
    between.spoil(-2, "")
    data = bytes_of(24 << 20)
    saver.addresses.open_storage(place).create("large", data)
    between.most = 0
    blob = open_storage(address).open("large")
    blob.fetch_many([(0, len(data))], memoryview(bytearray(len(data))))
    assert blob.map().tobytes() == data
    assert between.most > 1


def test_a_forked_child_has_connections_of_its_own(tmp_path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    with shared(str(tmp_path / "store"), "full") as running:
        storage = open_storage(running.server.address)
        storage.create("a", b"parent")
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            ok = storage.read("a") == b"parent" and storage.create("b", b"child")
            os.write(writing, b"ok" if ok else b"no")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 2) == b"ok"
        assert [storage.read("a"), storage.read("b")] == [b"parent", b"child"]


def test_a_content_that_raises_leaves_nothing(tmp_path: Path) -> None:
    with shared(str(tmp_path / "store"), "full") as running:
        storage = open_storage(running.server.address)

        def broken() -> Iterator[bytes]:
            yield bytes(10 << 20)
            raise MemoryError

        with pytest.raises(MemoryError):
            storage.put("a/b", Pieces(20 << 20, broken))
        with pytest.raises(NotFoundError):
            storage.read("a/b")
        assert running.server.house.bodies.held == 0
        assert np.asarray(fetched(_with(storage, "c", b"x"))).tobytes() == b"x"


def _with(storage: Storage, key: str, data: bytes) -> Any:
    storage.create(key, data)
    return storage.open(key)
