"""Staging: a copy that is whole, in memory that is kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saver import staging
from saver.device import Copying, DeviceData
from saver.memory import available_memory
from saver.staging import Staging, Torn, address_of
from saver.tensors import TensorData


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
    held = threading.Thread(target=snapshot.hold)
    held.start()
    held.join(0.01)
    assert held.is_alive(), "who wants to change the tensor waits"
    gate.set()
    held.join(30)
    snapshot.wait()
    assert snapshot.tensors["t"].data.tobytes() == np.arange(100.0).tobytes()  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [3, 63, 64, 65, 5000, 100_000])
def test_a_change_that_raises_no_count_is_noticed_as_well(
    own: Staging, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `weight.data.mul_(0.9)` is, which torch does not count."""
    monkeypatch.setattr(staging, "PIECE", 64)
    gate = threading.Event()

    def slow() -> Iterator[Any]:
        gate.wait(30)
        yield np.zeros(1)

    array = np.linspace(1.0, 2.0, size)
    data = {"slow": TensorData("F64", (1,), slow)} | tensors(array)
    snapshot = own.take(data, set(data))
    array *= 0.9
    gate.set()
    with pytest.raises(Torn, match="t0"):
        snapshot.wait()


class Device:
    """Tensors that lie elsewhere, and are copied once `gate` opens. `did` is what it was asked to do."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.did: list[str] = []
        self.pinned: list[int] = []

    def tensor(self, name: str, array: Any, changes: Any = None) -> TensorData:
        return TensorData("F64", array.shape, OnDevice(self, name, array), changes)


class OnDevice(DeviceData):
    def __init__(self, device: Device, name: str, array: Any) -> None:
        self.device, self.name, self.array = device, name, array

    @property
    def address(self) -> int:
        return int(self.array.ctypes.data)

    def __call__(self) -> Iterator[Any]:
        yield self.array

    def begin(self, target: Any) -> Copying:
        return Transfer(self, target)

    def pin(self, memory: Any) -> Any:
        self.device.pinned.append(memory.size)
        return lambda: self.device.pinned.remove(memory.size)


class Transfer(Copying):
    def __init__(self, source: OnDevice, target: Any) -> None:
        self.source = source
        self.thread = threading.Thread(target=self.copy, args=(target,))
        self.thread.start()

    def copy(self, target: Any) -> None:
        self.source.device.gate.wait(30)
        target[:] = self.source.array.view(np.uint8)

    def hold(self) -> None:
        self.source.device.did.append(f"held for {self.source.name}")

    def wait(self) -> None:
        self.thread.join()


def test_a_device_copies_while_its_owner_goes_on_and_holds_what_would_change_it(own: Staging) -> None:
    device = Device()
    weights, statistics = np.arange(1000.0), np.arange(7.0)
    data = {"w": device.tensor("w", weights), "s": device.tensor("s", statistics)} | tensors(np.ones(3))
    snapshot = own.take(data, {"w"})
    assert device.did == ["held for s"], "who knows when it changes: at once, therefore"
    snapshot.hold()
    assert device.did[1:].count("held for w") == 1
    assert address_of(data["w"]) == weights.ctypes.data
    device.gate.set()
    snapshot.wait()
    expected = tensors(weights, statistics, np.ones(3))
    assert same(dict(zip(expected, snapshot.tensors.values(), strict=True)), expected)


def test_what_a_device_holds_may_be_changed_from_then_on_and_not_before(own: Staging) -> None:
    for early in (True, False):
        device, count = Device(), [0]
        snapshot = own.take({"w": device.tensor("w", np.arange(9.0), lambda count=count: count[0])}, {"w"})
        count[0] += early
        snapshot.hold()
        count[0] += 1
        device.gate.set()
        if early:
            with pytest.raises(Torn, match="w"):
                snapshot.wait()
        else:
            snapshot.wait()


def test_memory_is_pinned_for_devices_as_long_as_it_is_kept(own: Staging) -> None:
    device = Device()
    device.gate.set()
    own.take(tensors(np.zeros(1000))).wait()
    assert device.pinned == [], "nobody needs it"
    own.take({"w": device.tensor("w", np.zeros(500))}).wait()
    assert device.pinned == [own.bytes]
    own.take({"w": device.tensor("w", np.zeros(3000))}).wait()
    assert device.pinned == [own.bytes] == [24000 // 64 * 64]
    own.close()
    assert device.pinned == []


def test_what_there_is_room_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Staging(limit=8000).room(tensors(np.zeros(1000))) == 0
    assert Staging(limit=7999).room(tensors(np.zeros(1000))) == -1
    monkeypatch.setattr(staging, "available_memory", lambda: 10_000)
    own = Staging()
    assert own.room(tensors(np.zeros(1000))) == 2000
    assert own.room(tensors(np.zeros(2000))) == -6000
    own.take(tensors(np.zeros(1000))).wait()
    monkeypatch.setattr(staging, "available_memory", lambda: 100)
    assert own.room(tensors(np.zeros(1000))) == 0, "the memory that is kept is not asked for again"
    assert own.room(tensors(np.zeros(1008))) == 36
    own.close()


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="only Linux tells in /proc/meminfo")
def test_the_system_tells_how_much_memory_there_is() -> None:
    found = available_memory()
    assert found is not None
    assert 1 << 20 < found < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
