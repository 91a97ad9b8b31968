"""Staging: a copy that is whole, in memory that is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from saver import staging
from saver.staging import Staging, Torn
from saver.tree import TensorData


@pytest.fixture
def own() -> Iterator[Staging]:
    found = Staging()
    yield found
    found.close()


def tensors(*arrays: Any) -> dict[str, TensorData]:
    return {f"t{number}": TensorData("F64", array.shape, array) for number, array in enumerate(arrays)}


def same(found: dict[str, TensorData], expected: dict[str, TensorData]) -> bool:
    return all(
        found[name].data.tobytes() == np.ascontiguousarray(data.data).tobytes()  # type: ignore[union-attr]
        for name, data in expected.items()
    )


@pytest.mark.parametrize("small", [True, False])
def test_a_snapshot_holds_the_bytes_of_its_moment(
    own: Staging, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(staging, "PIECE", 64)
    arrays = [np.arange(1000.0), np.arange(6.0).reshape(2, 3).T, np.empty(0), np.array(3.0), np.arange(77.0)]
    snapshot = own.take(tensors(*arrays))
    expected = tensors(*(array.copy(order="K") for array in arrays))
    for array in arrays:
        array += 1
    snapshot.wait()
    assert same(snapshot.tensors, expected)


def test_the_memory_is_kept_and_no_larger_than_the_largest_snapshot(own: Staging) -> None:
    first = own.take(tensors(np.zeros(5000)))
    first.wait()
    size = own.bytes
    assert 40_000 <= size <= 40_000 + 64
    address = first.tensors["t0"].data.ctypes.data  # type: ignore[union-attr]
    for _ in range(5):
        again = own.take(tensors(np.ones(3000)))
        again.wait()
        assert again.tensors["t0"].data.ctypes.data == address  # type: ignore[union-attr]
    assert own.bytes == size
    own.close()
    assert own.bytes == 0


def test_sources_that_come_in_pieces_are_gathered(own: Staging) -> None:
    pieces = [np.arange(10.0), np.arange(5.0)]
    snapshot = own.take({"t": TensorData("F64", (15,), lambda: iter(pieces))})
    snapshot.wait()
    assert snapshot.tensors["t"].data.tobytes() == np.concatenate(pieces).tobytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("later", [set(), {"t0"}])
def test_a_change_during_the_copy_is_never_kept(
    own: Staging, later: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PIECE", 64)
    count = 0
    array = np.zeros(5000)

    def changes() -> int:
        nonlocal count
        count += 1
        return count

    data = {"t0": TensorData("F64", array.shape, array, changes)}
    with pytest.raises(Torn, match="t0"):
        own.take(data, later).wait()


def test_what_is_copied_later_is_copied_beside_the_caller(
    own: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "PIECE", 64)
    gate = threading.Event()

    def slow() -> Iterator[Any]:
        gate.wait(30)
        yield np.arange(100.0)

    snapshot = own.take({"t": TensorData("F64", (100,), slow)}, {"t"})
    assert not snapshot.ready
    gate.set()
    snapshot.wait()
    assert snapshot.tensors["t"].data.tobytes() == np.arange(100.0).tobytes()  # type: ignore[union-attr]


def test_an_error_of_a_source_is_raised(own: Staging) -> None:
    def broken() -> Iterator[Any]:
        yield np.arange(3.0)
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError, match="device"):
        own.take({"t": TensorData("F64", (100,), broken)})


def test_no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "PIECE", 64)
    before = threading.active_count()
    own = Staging()
    own.take(tensors(np.zeros(5000))).wait()
    assert threading.active_count() == before + staging.THREADS
    own.close()
    assert threading.active_count() == before
