"""Tensors are read from wherever they lie, and handed out only as they were verified."""

from __future__ import annotations

import pytest
from cases import ARRAYS, draft, opened

from saver.repo import gc
from saver.repo.reading import StoredTensors
from saver.stores.memory import MemoryStore


def test_what_was_verified_is_not_taken_from_elsewhere_once_it_was_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gc, "DEAD_BYTES", 1000)
    store = MemoryStore()
    saver = opened(store, "1")
    for each in (draft("abc"), draft("def"), draft("ad", bases=("m@1",))):
        saver._repo.commit(each)
    tensors = opened(store, "2")._open("m@3")[0].tensors
    assert isinstance(tensors, StoredTensors)
    assert tensors.tensor("a/x")[2].tobytes() == ARRAYS["a"].tobytes()
    saver.delete("m@1")
    saver.delete("m@2")
    assert len(saver.gc(grace=0).moved) == 2
    _damage(store, saver._repo.known(saver.version("m@3"))["a/x"].places[0])
    assert tensors.tensor("d/x")[2].tobytes() == ARRAYS["d"].tobytes(), (
        "it is read from where it was moved to"
    )
    assert tensors.tensor("a/x")[2].tobytes() == ARRAYS["a"].tobytes()


def _damage(store: MemoryStore, place: tuple[str, int, int]) -> None:
    key = f"packs/{place[0]}.safetensors"
    data = bytearray(store.read(key))
    data[place[1]] ^= 1
    store.delete(key)
    store.create(key, bytes(data))
