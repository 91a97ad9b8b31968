"""A store from an enemy, whose hashes all match: what it holds loads, or a SaverError says why not."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3

import saver
from saver.repo import state
from saver.stores.local import LocalStore
from saver.stores.memory import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore")


class Forged:
    """The documents of a store, to be changed at will; `assemble` computes every hash anew."""

    def __init__(self, store: MemoryStore) -> None:
        self.documents: dict[str, Any] = {}
        self.packs: dict[str, bytes] = {}
        for key in store.list(""):
            data = store.read(key)
            if key.endswith(".json"):
                self.documents[key] = json.loads(data)
            else:
                self.packs[key] = data

    def assemble(self) -> MemoryStore:
        store = MemoryStore()
        names: dict[str, str] = {}
        put(store, self.packs)
        for key in self._keys("manifests/"):
            data = text(self.documents[key])
            names[Path(key).stem] = digest = blake3(data).hexdigest()
            put(store, {f"manifests/{digest[:2]}/{digest}.json": data})
        previous = "0" * 64
        records = {}
        for key in self._keys("log/"):
            record = json.loads(renamed(text(self.documents[key]), names))
            if isinstance(record, dict):
                record["previous"] = previous
            data, previous = vouched(record)
            records[int(Path(key).stem)] = previous
            put(store, {key: data})
        pages: dict[str, str] = {}
        for key in sorted(self._keys("state/pages/"), key=lambda key: height(self.documents[key])):
            data = renamed(renamed(text(self.documents[key]), names), pages)
            pages[Path(key).stem] = digest = blake3(data).hexdigest()
            put(store, {f"state/pages/{digest[:2]}/{digest}.json": data})
        for key in self._keys("state/0"):
            document = json.loads(renamed(text(self.documents[key]), pages))
            if isinstance(document, dict) and int(Path(key).stem) in records:
                document["previous"] = records[int(Path(key).stem)]
            put(store, {key: vouched(document)[0]})
        put(store, {"store.json": vouched(self.documents["store.json"])[0]})
        return store

    def _keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.documents if key.startswith(prefix))


def text(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def renamed(data: bytes, names: dict[str, str]) -> bytes:
    for old, new in names.items():
        data = data.replace(old.encode(), new.encode())
    return data


def height(page: Any) -> int:
    found = page.get("height", 0) if isinstance(page, dict) else 0
    return found if isinstance(found, int) else 99


def vouched(document: Any) -> tuple[bytes, str]:
    if not isinstance(document, dict):
        return text(document), "0" * 64
    data = text({"hash": "0" * 64, **{k: v for k, v in document.items() if k != "hash"}})
    digest = blake3(data).hexdigest()
    return data[:9] + digest.encode() + data[73:], digest


def put(store: Any, objects: dict[str, bytes]) -> None:
    for key, data in objects.items():
        if store.stat(key) is None:
            store.put(key, len(data), lambda sink, data=data: sink.write(data, 0))


@cache
def original() -> str:
    """A store with every kind of record and page, as JSON of its documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "INTERVAL", 4)
        patch.setattr("saver.repo.gc.DEAD_BYTES", 1000)
        patch.setattr("saver.saver._index", lambda ident: None)
        store = MemoryStore()
        own = saver.Saver(store)
        x = np.arange(400.0)
        own.save("m", {"a": x, "b": np.arange(3000.0)}, step=1, metrics={"loss": 0.5}, tags=["best"], data=x)
        own.save("m", {"a": x, "b": {"c": [1, "two"]}}, step=2)
        own.delete("m@1")
        own.gc(grace=0)
        own.save("m", {"a": x, "c": np.arange(70.0)}, notes="third")
        own.tag("m@2", "second")
        own.save("n/o", [x + 1])
        own.save("n/o", [x + 1, x])
        own._repo.state.keep_checkpoint()
    forged = Forged(store)
    packs = {key: data.hex() for key, data in forged.packs.items()}
    return json.dumps({"documents": forged.documents, "packs": packs})


def fresh() -> Forged:
    found = Forged(MemoryStore())
    saved = json.loads(original())
    found.documents = saved["documents"]
    found.packs = {key: bytes.fromhex(data) for key, data in saved["packs"].items()}
    return found


def use(store: Any, folder: Path) -> Iterator[Callable[[], Any]]:
    """All that one can do with a store."""
    own = saver.Saver(store)
    refs = ["m", "m@2", "m@3", "n/o@1", "n/o", "m@second", "m@step=2", "m@time=2999-01-01"]
    yield own.models
    for model in ("m", "n/o"):
        yield lambda model=model: own.versions(model)
        yield lambda model=model: own.history(model)
    for ref in refs:
        yield lambda ref=ref: own.describe(ref)
        yield lambda ref=ref: own.load(ref)
    yield lambda: str(own.diff("m@2", "m@3"))
    yield lambda: own.export("m@3", folder / "m.saver")
    yield own.check
    yield lambda: own.gc(dry_run=True)
    yield lambda: own.save("m", {"a": np.arange(400.0)})
    yield lambda: own.tag("m", "t")
    yield lambda: own.delete("n/o@1")
    yield lambda: own.gc(grace=0)


NASTY = [
    None, True, -1, 0, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 0.5, 1e308, "", "x",
    "../../etc/passwd", "/abs", "m n", "m\n", "a" * 100_000, "0" * 64, "f" * 64, "commit", "fuse", [], {},
    [[]], [0] * 1000, {"$": "x"}, [1, 2, 3], {"a": 1}, "packs/../store.json", "store.json",
    "log/00000000000000000001.json", "latest", "F32", "nan",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def change(document: Any, path: tuple[Any, ...], chance: random.Random) -> None:
    for step in path[:-1]:
        document = document[step]
    last, act = path[-1], chance.randrange(10)
    if act == 0 and isinstance(document, dict):
        del document[last]
    elif act == 1 and isinstance(document, dict):
        document[chance.choice(["x", "", "../x", "kind", "hash", "$"])] = document[last]
    elif act == 2 and isinstance(document, list):
        document.insert(last, document[last])
    elif act == 3 and isinstance(document[last], int):
        document[last] += chance.choice([-1, 1, 8, 4096])
    else:
        document[last] = chance.choice(NASTY)


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.saver._index", lambda ident: None)
    monkeypatch.setattr(state, "INTERVAL", 4)


def test_the_forger_gives_the_store_back_unchanged(no_cache: None, tmp_path: Path) -> None:
    store = fresh().assemble()
    for act in use(store, tmp_path):
        act()
    assert saver.Saver(store).check().sound


@pytest.mark.parametrize("seed", range(16))
def test_whatever_stands_in_a_store_it_loads_or_an_error_says_why_not(
    seed: int, no_cache: None, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    keys = list(fresh().documents)
    refused = 0
    for _ in range(25):
        forged = fresh()
        changed = []
        for _ in range(chance.choice([1, 1, 2])):
            key = chance.choice(keys)
            found = list(places(forged.documents[key]))
            if found:
                changed.append((key, chance.choice(found)))
                change(forged.documents[key], changed[-1][1], chance)
        for act in use(forged.assemble(), tmp_path):
            try:
                act()
            except saver.SaverError:
                refused += 1
            except Exception as error:
                raise AssertionError(f"{changed}: {type(error).__name__}: {error}") from error
    assert refused > 5


def test_names_in_a_store_lead_nowhere_else(no_cache: None, tmp_path: Path) -> None:
    """Keys of a log are never paths outside of the folder, and only what is listed is deleted."""
    (tmp_path / "secret").write_bytes(b"s" * 4096)
    (tmp_path / "store").mkdir()
    for evil in ("../../secret", "packs/../../secret", str(tmp_path / "secret"), "store.json"):
        forged = fresh()
        for key, document in forged.documents.items():
            if key.startswith("log/") and document["event"]["kind"] in ("condemn", "relocate"):
                document["event"]["objects"] = [evil]
            if key.startswith("log/") and document["event"]["kind"] == "relocate":
                moves = document["event"]["moves"]
                document["event"]["moves"] = {k: [[*m[:2], evil, 0] for m in v] for k, v in moves.items()}
            if key.startswith("manifests/"):
                document["packs"] = [evil for _ in document["packs"]]
        for name in [key for key in forged.documents if key.startswith("state/")]:
            del forged.documents[name]
        store = LocalStore(str(tmp_path / "store"))
        memory = forged.assemble()
        put(store, {key: memory.read(key) for key in memory.list("")})
        for act in use(store, tmp_path):
            with suppress(saver.SaverError):
                act()
        assert (tmp_path / "secret").read_bytes() == b"s" * 4096
        assert (tmp_path / "store" / "store.json").exists()
        for path in sorted((tmp_path / "store").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


def test_classes_of_a_store_need_trust(no_cache: None) -> None:
    forged = fresh()
    for key, document in forged.documents.items():
        if key.startswith("manifests/") and document["model"] == "n/o":
            document["parts"]["model"]["tree"] = {"$": "object", "class": "os:system", "state": {}}
    own = saver.Saver(forged.assemble())
    with warnings.catch_warnings(), pytest.raises(saver.Untrusted, match=r"os\.system"):
        own.load("n/o@2")
    assert own.describe("n/o@2").untrusted == ("os.system",)
