"""Models in a line each, and versions with what each changed: read no more than is needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drafts import Save

import saver
from saver.repo import history
from saver.repo.events import Delete, Tag
from saver.repo.repository import Repository
from saver.repo.state.state import INTERVAL
from saver.storage import Blob
from saver.storages.memory import MemoryStorage


def fill(save: Save, model: str, count: int) -> None:
    for number in range(count):
        save(model, {"a/x": np.arange(10.0) + number})


def test_each_model_is_shown_by_its_newest_version_and_its_tags(repo: Repository, save: Save) -> None:
    for model in ("b", "a", "a/c", "a-b"):
        fill(save, model, 3)
    repo.append(lambda: Tag("a", "best", 1))
    repo.append(lambda: Tag("a", "new", 3))
    repo.append(lambda: Delete("b", (2, 3)))
    found = {each.model: each for each in history.summaries(repo)}
    assert list(found) == ["a", "a-b", "a/c", "b"]
    assert found["a"].tags == {"best": 1, "new": 3}
    assert found["a/c"].tags == {}
    for model, each in found.items():
        assert each == history.summary(repo, model)
        assert each.newest == repo.version(model)
        assert each.versions == len(list(repo.versions(model)))
    assert (found["b"].versions, str(found["b"].newest)) == (1, "b@1")


def test_a_model_without_versions_has_no_line(repo: Repository, save: Save) -> None:
    fill(save, "gone", 1)
    repo.append(lambda: Delete("gone", (1,)))
    assert list(history.summaries(repo)) == []
    with pytest.raises(saver.NotFoundError, match="no model 'gone'"):
        history.summary(repo, "gone")


@pytest.mark.parametrize("last", [None, 0, 1, 2, 3, 4, 9])
def test_the_newest_are_the_end_of_all(last: int | None) -> None:
    store = saver.Saver(MemoryStorage())
    for number in range(5):
        parts: dict[str, Any] = {"same": 1, "other": number // 2, f"part{number // 3}": 0}
        store.save("m", parts)
    store.delete("m@2")
    every = store.history("m")
    kept = every if last is None else every[len(every) - min(last, len(every)) :]
    assert store.history("m", last=last) == kept
    assert store.versions("m", last=last) == [change.version for change in kept]


def test_parts_move_come_and_go() -> None:
    store = saver.Saver(MemoryStorage())
    store.save("m", {"a": 1, "b": 1})
    store.save("m", {"a": 2, "c": 1})
    store.save("m", {"a": 2, "c": 1})
    first, second, third = store.history("m")
    assert (first.changed, first.added, first.removed) == ((), ("a", "b"), ())
    assert (second.changed, second.added, second.removed) == (("a",), ("c",), ("b",))
    assert (third.changed, third.added, third.removed) == ((), (), ())


def test_the_newest_of_many_are_found_without_reading_the_others() -> None:
    reads: list[str] = []

    class Watched(MemoryStorage):
        def open(self, key: str) -> Blob:
            reads.append(key)
            return super().open(key)

    store = Watched()
    writer = saver.Saver(store)
    for number in range(10 * INTERVAL + 1):
        writer.save("m", number, notes="word " * 500)
    reader = saver.Saver(store)
    reads.clear()
    assert len(reader.history("m", last=3)) == 3
    few = len(reads)
    assert len(reader.history("m")) == 10 * INTERVAL + 1
    assert few < (len(reads) - few) / 3


@pytest.mark.parametrize("ask", ["summaries", "summary", "versions", "history", "verify"])
def test_where_there_is_no_store_that_is_said(ask: str) -> None:
    store = saver.Saver(MemoryStorage("empty"))
    assert not store.exists()
    with pytest.raises(saver.NotFoundError, match="there is no store here"):
        getattr(store, ask)(*(() if ask == "summaries" else ("m",)))


@pytest.mark.parametrize("ask", ["summary", "versions", "history"])
def test_a_version_is_not_taken_for_a_model(ask: str) -> None:
    store = saver.Saver(MemoryStorage())
    store.save("m", 1)
    with pytest.raises(ValueError, match="'m@1' is not the name of a model"):
        getattr(store, ask)("m@1")


def test_verifying_reads_every_tensor_of_a_version(damaged: saver.Saver) -> None:
    damaged.verify("m@1")
    with pytest.raises(saver.DamagedError, match="m@2: the bytes of model/b"):
        damaged.verify("m@2")


@pytest.fixture
def damaged() -> saver.Saver:
    """A store in which a tensor of the second version of `m` is damaged."""
    memory = MemoryStorage()
    store = saver.Saver(memory)
    store.save("m", {"a": np.arange(1000.0)})
    store.save("m", {"model": {"a": np.arange(1000.0), "b": np.arange(999.0)}})
    (new,) = set(store.version("m@2").packs) - set(store.version("m@1").packs)
    key = f"packs/{new}.safetensors"
    data = bytearray(memory.read(key))
    data[-1] ^= 1
    memory.delete(key)
    memory.create(key, bytes(data))
    return store
