"""Power loss, failing calls and damage in sealed stores: nothing acknowledged is lost, and no wrong value is
loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

from unsynced import Unsynced

import saver
from saver.errors import SaverError
from saver.keys import age
from saver.storage import Storage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.storages.sealed import SealedStorage
from saver.testing import Crash, FaultyFiles, crash_states, every_damage, every_fault, every_file_fault
from sealing import OneHolder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))


def value(number: int) -> dict[str, Any]:
    """Two parts, of which one stays; the other is in two segments, and not one file."""
    return {"scaler": np.arange(200.0), "model": np.full(40_000, float(number))}


def holds(store: saver.Saver, ref: str, number: int) -> bool:
    found, expected = store.load(ref), value(number)
    return bool(all((found[name] == expected[name]).all() for name in expected))


def numbers_in(store: saver.Saver) -> set[int]:
    there = store.exists() and "iris" in store.models()
    return {each.number for each in store.versions("iris")} if there else set()


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "own.key"
    path.write_text(age.new_identity().reveal() + "\n")
    path.chmod(0o600)
    return str(path)


# A folder that loses power


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [True, False])
def test_a_power_loss_at_any_moment_loses_nothing_acknowledged(fresh: bool, tmp_path: Path, key: str) -> None:
    """While a sealed store is made, and while one is used."""
    folder, files = tmp_path / "disk", FaultyFiles()
    folder.mkdir()
    if not fresh:
        saver.Saver(folder / "models", key=key).save("iris", value(1))
    shutil.copytree(folder, tmp_path / "before")
    store = saver.Saver(LocalStorage(folder / "models", files), key=key)
    acts: dict[str, Callable[[], Any]] = {
        "save": lambda: store.save("iris", value(2)),
        "tag": lambda: store.tag("iris@latest", "best"),
        "gc": lambda: store.gc(grace=0),
    }
    acknowledged = {}
    for name, act in acts.items():
        act()
        acknowledged[name] = len(files.operations)
    new, states = 1 if fresh else 2, 0
    for found in crash_states(tmp_path / "before", folder, files.operations, tmp_path / "state"):
        done = {name for name, operations in acknowledged.items() if found.done >= operations}
        after = saver.Saver(LocalStorage(found.folder / "models", Unsynced()), key=key)
        numbers = numbers_in(after)
        assert numbers <= {1, new}, found.what
        assert "save" not in done or new in numbers, found.what
        assert fresh or 1 in numbers
        for number in numbers:
            assert holds(after, f"iris@{number}", 2 if number == new else 1), found.what
        if "tag" in done:
            assert after.version("iris@best").number == new
        assert holds(after, str(after.save("iris", value(3))), 3), found.what
        assert after.check().sound, found.what
        states += 1
    assert states > 30


# A storage that fails


HOLDER = OneHolder()


def opened(storage: Storage) -> saver.Saver:
    return saver.Saver(SealedStorage(storage, HOLDER))


@pytest.fixture(scope="module")
def base() -> MemoryStorage:
    storage = MemoryStorage()
    store = opened(storage)
    for number in (1, 2):
        store.save("iris", value(number))
    for turn in range(20):
        store.tag(f"iris@{turn % 2 + 1}", "best")
    return storage


def works(storage: Storage) -> None:
    """A working day."""
    store = opened(storage)
    assert holds(store, "iris@1", 1)
    store.save("iris", value(3))
    store.tag("iris@3", "best")
    store.delete("iris@1")
    store.gc(grace=0)
    assert holds(store, "iris@best", 3)


def founds(storage: Storage) -> None:
    opened(storage).save("iris", value(3))


def survived(cases: list[Any], one: Callable[[Any], None]) -> None:
    failed = []
    for case in cases:
        try:
            one(case)
        except Exception as error:
            failed.append(f"{case}: {type(error).__name__}: {str(error)[:300]}")
    assert not failed, f"{len(failed)} of {len(cases)}:\n" + "\n".join(failed[:30])


def is_right(storage: Storage, known: set[int]) -> None:
    """Every version of the store loads, and the store goes on."""
    store = opened(storage)
    numbers = numbers_in(store)
    assert numbers <= {1, 2, 3}
    assert numbers >= known
    for number in numbers:
        assert holds(store, f"iris@{number}", number)
    number = store.save("iris", value(4)).number
    assert holds(store, f"iris@{number}", 4)
    assert store.check().sound


@pytest.mark.slow
def test_no_fault_beneath_a_seal_loses_or_forges_anything(base: MemoryStorage) -> None:
    def one(case: Any) -> None:
        struck = case.strike()
        assert struck.error is None or isinstance(struck.error, SaverError | Crash), repr(struck.error)
        is_right(struck.storage, {2} | ({3} if struck.error is None else set()))

    survived(every_fault(base.copy, works, sample=120), one)


@pytest.mark.slow
def test_no_fault_while_a_sealed_store_is_made_leaves_half_of_one() -> None:
    def one(case: Any) -> None:
        struck = case.strike()
        assert struck.error is None or isinstance(struck.error, SaverError | Crash), repr(struck.error)
        store = opened(struck.storage)
        numbers = numbers_in(store)
        assert numbers <= {1}
        assert struck.error is not None or numbers == {1}
        number = store.save("iris", value(4)).number
        assert holds(store, f"iris@{number}", 4)

    survived(every_fault(MemoryStorage, founds, sample=80), one)


@pytest.mark.slow
def test_damage_beneath_a_seal_is_found_and_never_loaded(base: MemoryStorage) -> None:
    def one(case: Any) -> None:
        told, loaded = False, 0
        try:
            told = bool(opened(case.storage()).check().damage)
        except SaverError:
            told = True
        for number in (1, 2):
            try:
                assert holds(opened(case.storage()), f"iris@{number}", number)
                loaded += 1
            except SaverError:
                continue
        assert told or loaded == 2, "nobody notices"
        if not case.key.startswith("state/") and case.how != "missing":
            assert told, "a check does not notice"
        if case.key.startswith("packs/"):
            assert told
            assert loaded < 2

    cases = [
        case for case in every_damage(base.copy) if (case.key, case.how) != ("store.json", "another one")
    ]
    survived(cases, one)


@pytest.mark.slow
def test_reads_that_fail_give_an_error_or_the_truth(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    store = opened(LocalStorage(folder))
    for number in (1, 2):
        store.save("iris", value(number))

    def loads(files: FaultyFiles) -> bool:
        return holds(opened(LocalStorage(folder, files)), "iris@2", 2)

    def one(case: Any) -> None:
        result, error = case.strike()
        assert isinstance(error, SaverError) or (error is None and result), repr(error)

    survived(every_file_fault(loads), one)
