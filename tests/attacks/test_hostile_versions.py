"""Versions that are one file, changed by an enemy who vouches for every change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from forge import File, take_apart
from test_hostile_stores import vouched

import saver
from saver.repo.objects import pack_key
from saver.storages.memory import MemoryStorage

LAST = "log/00000000000000000002.json"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.addresses._index", lambda storage, ident: None)


def forged(
    folder: Path, change: Callable[[File], Any], record: Callable[[Any], Any] = lambda event: None
) -> saver.Saver:
    """A store whose second version is a file that was changed; its record vouches for it."""
    store = MemoryStorage()
    made = saver.Saver(store)
    made.save("m", {"a": np.arange(400.0), "b": [1, 2]}, step=1)
    version = made.save("m", {"a": np.arange(500.0), "b": [1, 2]}, step=2, metrics={"loss": 0.5}, notes="b")
    path = folder / "version.saver"
    path.write_bytes(store.read(pack_key(version.file)))
    file = take_apart(path)
    change(file)
    data = file.write(path).read_bytes()
    _replace(store, pack_key(version.file), data)
    document = json.loads(store.read(LAST))
    document["event"]["manifest"] = data[41:105].decode()
    record(document["event"])
    _replace(store, LAST, vouched(document)[0])
    return saver.Saver(store)


def _replace(store: MemoryStorage, key: str, data: bytes) -> None:
    store.delete(key)
    store.create(key, data)


def put(**fields: Any) -> Callable[[File], None]:
    return lambda file: file.manifest.update(fields)


CONTRADICTIONS: dict[str, tuple[str, Callable[[File], Any]]] = {
    "model": ("model", put(model="n")),
    "number": ("number", put(number=1)),
    "parent": ("parent", put(parent=None)),
    "step": ("step", put(step=7)),
    "notes": ("notes", put(notes="best ever")),
    "metrics": ("metric 'loss'", put(metrics={"loss": 0.1})),
    "part hash": ("part 'a'", lambda file: file.manifest["parts"]["a"].update(hash="0" * 64)),
    "part less": ("part 'b'", lambda file: file.manifest["parts"].pop("b")),
    "document": ("documents", lambda file: _has_document(file.manifest["parts"]["b"])),
}


def _has_document(part: dict[str, Any]) -> None:
    del part["tree"]
    part.update(document="0" * 64, content="0" * 64)


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_file_that_contradicts_its_record_is_never_believed(what: str, tmp_path: Path) -> None:
    field, change = CONTRADICTIONS[what]
    store = forged(tmp_path, change)
    for act in (store.load, store.describe, store.verify):
        with pytest.raises(saver.DamagedError, match=field):
            act("m@2")
    damage = store.check().damage
    assert {(each.number, each.part) for each in damage} == {(2, "a"), (2, "b")}
    assert all(field in each.what for each in damage)
    assert store.load("m@1")["b"] == [1, 2]


def test_what_a_manifest_in_a_file_says_of_tensors_and_packs_is_not_read(tmp_path: Path) -> None:
    """The header says it, and nothing else."""
    shard = {"hash": "0" * 64, "extents": [[0, 0, 3200]]}
    told = {"dtype": "F64", "shape": [400], "shards": [shard]}
    store = forged(tmp_path, put(tensors={"a": told}, packs=["1" * 32]))
    assert (store.load("m@2")["a"] == np.arange(500.0)).all()
    assert store.check().sound


@pytest.mark.parametrize(
    "change",
    [
        lambda event: event.update(packs=[]),
        lambda event: event.update(packs=[event["file"], "0" * 32]),
        lambda event: event.update(file="0" * 32),
        lambda event: event.update(file="../../secret"),
        lambda event: event.update(file=""),
        lambda event: event.update(manifest="0" * 64),
    ],
)
def test_a_record_that_names_another_file_or_other_packs_is_never_believed(
    change: Callable[[Any], Any], tmp_path: Path
) -> None:
    store = forged(tmp_path, lambda file: None, change)
    for act in (store.load, store.describe, store.verify):
        with pytest.raises(saver.SaverError):
            act("m@2")
    assert not store.check().sound
    assert store.load("m@1")["b"] == [1, 2]
    assert store.save("m", {"a": np.arange(9.0)}).number == 3
    store.gc(grace=0)
    assert (store.load("m@1")["a"] == np.arange(400.0)).all()


def test_classes_of_a_file_need_trust(tmp_path: Path) -> None:
    evil = {"$": "object", "class": "os:system", "state": {}}
    store = forged(tmp_path, lambda file: file.manifest["parts"]["b"].update(tree=evil))
    with pytest.raises(saver.UntrustedError, match=r"os\.system"):
        store.load("m@2")


def test_the_honest_store_is_sound(tmp_path: Path) -> None:
    store = forged(tmp_path, lambda file: None)
    assert store.check().sound
    assert len(blake3(b"").hexdigest()) == len(store.version("m").manifest)
    assert (store.load("m")["a"] == np.arange(500.0)).all()
