"""Objects that are sealed anew while they are read: every reader gets the bytes that were saved."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cryptography")

import saver
from saver.errors import DamagedError, SaverError
from saver.repo.resealing import reseal
from saver.seals.aead import Aead
from saver.storage import Blob, Bytes, Storage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryBlob, MemoryStorage
from saver.storages.sealed import SealedStorage
from saver.testing import Crash, every_fault
from sealing import OneHolder

KEYS = [bytes(range(n, n + 32)) for n in range(40)]
DATA = random.Random(8).randbytes(4096 + 6 * (256 << 10) + 3000)


def pack(key: bytes, first: int) -> bytes:
    content = Bytes(DATA)
    content.start = first  # type: ignore[misc]
    return b"".join(Aead(lambda: [key]).content("a", content).pieces())


PACKS = [pack(key, (4096, 0)[n % 2]) for n, key in enumerate(KEYS)]
"""The same pack, sealed with each key, and cut in two ways."""


class Place:
    """Where the object is, which is replaced."""

    def __init__(self) -> None:
        self.raw = PACKS[0]

    def open(self, by_name: bool) -> Blob:
        return ByName(self) if by_name else MemoryBlob("a", self.raw)


class ByName(MemoryBlob):
    """A file that is opened again by its name for each read: it may be another one by then."""

    def __init__(self, place: Place) -> None:
        super().__init__("a", place.raw)
        self._place = place

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self._place.raw[start:end]

    def read_into(self, start: int, memory: memoryview) -> int:
        found = self._place.raw[start : start + len(memory)]
        memory[: len(found)] = found
        return len(found)


def opened(place: Place, by_name: bool) -> Any:
    seal = Aead(lambda: KEYS)
    return seal.blob("a", place.open(by_name), lambda: place.open(by_name))


@pytest.mark.parametrize("by_name", [False, True])
def test_what_is_sealed_anew_between_two_reads_is_read_on(by_name: bool) -> None:
    place = Place()
    blob = opened(place, by_name)
    for number in range(1, 8):
        start = number * 200_000
        assert blob.read(start, start + 5) == DATA[start : start + 5]
        place.raw = PACKS[number]
        blob.fetch(start, start + 100_000, memoryview(b""))
        assert blob.map()[start : start + 100_000].tobytes() == DATA[start : start + 100_000]


@pytest.mark.parametrize("by_name", [False, True])
def test_threads_read_on_what_is_sealed_anew_meanwhile(by_name: bool) -> None:
    place, go = Place(), threading.Barrier(8)
    for turn in range(1, len(PACKS)):
        blob = opened(place, by_name)
        assert blob.read(0, 9) == DATA[:9]
        place.raw = PACKS[turn]

        def one(number: int, blob: Any = blob) -> bool:
            drawing = random.Random(number)
            go.wait()
            for _ in range(3):
                start = drawing.randrange(len(DATA))
                end = min(start + 300_000, len(DATA))
                if blob.read(start, end) != DATA[start:end]:
                    return False
            return True

        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(one, range(8)))


def test_what_was_sealed_anew_and_is_damaged_is_refused() -> None:
    place = Place()
    blob = opened(place, True)
    assert blob.read(0, 9) == DATA[:9]
    for raw in (PACKS[1][:-100], PACKS[1][: 4096 + 10] + bytes(len(PACKS[1]) - 4106), b"", bytes(9000)):
        place.raw = raw
        with pytest.raises(DamagedError):
            blob.read(10, 20)


# Stores


def value(number: int) -> dict[str, Any]:
    return {"scaler": np.arange(200.0), "model": np.full(40_000, float(number))}


def holds(store: saver.Saver, number: int) -> bool:
    found, expected = store.load(f"iris@{number}"), value(number)
    return bool(all((found[name] == expected[name]).all() for name in expected))


def rotated() -> tuple[MemoryStorage, OneHolder]:
    """A store whose objects are all sealed with the key before the newest one."""
    storage, holder = MemoryStorage(), OneHolder()
    store = saver.Saver(SealedStorage(storage, holder))
    for number in (1, 2):
        store.save("iris", value(number))
    for turn in range(20):
        store.tag(f"iris@{turn % 2 + 1}", "best")
    holder.epochs = [*holder.epochs, KEYS[0]]
    return storage, holder


@pytest.mark.slow
def test_no_fault_while_a_store_is_sealed_anew_loses_anything() -> None:
    base, holder = rotated()

    def act(storage: Storage) -> Any:
        return reseal(saver.Saver(SealedStorage(storage, holder))._repo)

    cases = every_fault(base.copy, act, sample=200)
    for case in cases:
        struck = case.strike()
        assert struck.error is None or isinstance(struck.error, SaverError | Crash), (str(case), struck.error)
        store = saver.Saver(SealedStorage(struck.storage, holder))
        assert holds(store, 1), case
        assert holds(store, 2), case
        again = reseal(store._repo)
        assert again.damaged == ()
        assert reseal(store._repo).objects == 0
        assert store.check().sound, case


@pytest.mark.slow
def test_versions_are_saved_loaded_and_collected_while_the_store_is_sealed_anew(tmp_path: Path) -> None:
    holder = OneHolder()

    def fresh() -> saver.Saver:
        return saver.Saver(SealedStorage(LocalStorage(tmp_path / "store"), holder))

    fresh().save("iris", value(1))
    done = threading.Event()

    def reads(_: int) -> int:
        count = 0
        while not done.is_set():
            assert holds(fresh(), 1)
            lazy = fresh().load("iris@1", lazy=True)
            assert lazy["model"][-1] == 1.0
            count += 1
        return count

    def writes() -> None:
        for number in range(2, 8):
            fresh().save("iris", value(number))
            if number > 3:
                fresh().delete(f"iris@{number - 1}")
                fresh().gc(grace=0)

    with ThreadPoolExecutor(4) as threads:
        readers = [threads.submit(reads, number) for number in range(2)]
        writer = threads.submit(writes)
        try:
            for turn in range(6):
                holder.epochs = [*holder.epochs, KEYS[turn]]
                reseal(fresh()._repo)
            writer.result(120)
        finally:
            done.set()
        assert all(each.result(120) for each in readers)
    reseal(fresh()._repo)
    assert holds(fresh(), 7)
    assert holds(fresh(), 1)
    assert fresh().check().damage == ()
