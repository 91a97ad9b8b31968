"""A store from an enemy, whose hashes all match: what it holds loads, or a SaverError says why not."""

from __future__ import annotations

import json
import random
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3

import saver
from saver.pack import Pack
from saver.pack.layout import header_bytes, slots_bytes
from saver.repo.events import Commit
from saver.repo.log import log_key
from saver.repo.manifest import Manifest
from saver.repo.objects import checkpoint_key, checkpoint_number, pack_key
from saver.repo.repository import Repository
from saver.repo.state import state
from saver.repo.wholeness import check_end
from saver.storage import Bytes
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.tensors import Shard, whole

pytestmark = pytest.mark.filterwarnings("ignore")


class Forged:
    """The documents of a store, to be changed at will; `assemble` computes every hash anew."""

    def __init__(self, store: MemoryStorage) -> None:
        self.documents: dict[str, Any] = {}
        self.packs: dict[str, bytes] = {}
        for key in store.keys(""):
            data = store.read(key)
            if key.endswith(".json") and not key.startswith("trees/"):
                self.documents[key] = json.loads(data)
            else:
                self.packs[key] = data

    def assemble(self) -> MemoryStorage:
        store = MemoryStorage()
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
        for key in filter(checkpoint_number, self._keys("state/")):
            document = json.loads(renamed(text(self.documents[key]), pages))
            if isinstance(document, dict) and checkpoint_number(key) in records:
                document["previous"] = records[checkpoint_number(key)]
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
            store.put(key, Bytes(data))


@pytest.fixture(scope="module", autouse=True)
def apart() -> Iterator[None]:
    """Manifests have objects of their own here; test_hostile_versions.py has those that stand in packs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saver.repo.stage.FILE_BYTES", -1)
        patch.setattr("saver.repo.stage.WORTH_SHARING", 1)
        yield


@cache
def original() -> str:
    """A store with every kind of record and page, as JSON of its documents."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "INTERVAL", 4)
        patch.setattr("saver.repo.gc.moving.DEAD_BYTES", 1000)
        patch.setattr("saver.repo.stage.FILE_BYTES", -1)
        patch.setattr("saver.repo.stage.WORTH_SHARING", 1)
        patch.setattr("saver.addresses._index", lambda storage, ident: None)
        store = MemoryStorage()
        own = saver.Saver(store)
        x = np.arange(400.0)
        own.save("m", {"a": x, "b": np.arange(3000.0)}, step=1, metrics={"loss": 0.5}, tags=["best"], data=x)
        own.save("m", {"a": x, "b": {"c": [1, "two"]}}, step=2)
        own.delete("m@1", tags=True)
        own.gc(grace=0)
        own.save("m", {"a": x, "c": np.arange(70.0)}, notes="third")
        own.tag("m@2", "second")
        own.label("m@2", {"stage": "old", "team": "x"})
        own.label("m", {"owner": "ann"})
        own.note("m@2", "noted")
        own.note("m", "all of them")
        own.save("n/o", [x + 1])
        own.save("n/o", [x + 1, x])
        own._repo.state.keep_checkpoint().finish()
    forged = Forged(store)
    packs = {key: data.hex() for key, data in forged.packs.items()}
    return json.dumps({"documents": forged.documents, "packs": packs})


def fresh() -> Forged:
    found = Forged(MemoryStorage())
    saved = json.loads(original())
    found.documents = saved["documents"]
    found.packs = {key: bytes.fromhex(data) for key, data in saved["packs"].items()}
    return found


def use(store: Any, folder: Path) -> Iterator[Callable[[], Any]]:
    """All that one can do with a store."""
    own = saver.Saver(store)
    refs = ["m", "m@2", "m@3", "n/o@1", "n/o", "m@second", "m@step=2", "m@time=2999-01-01"]
    yield own.models
    yield own.summaries
    yield lambda: list(own.log())
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
    yield lambda: own.label("m", {"a": "b", "owner": None})
    yield lambda: own.note("m@3", "x")
    yield lambda: own.delete("n/o@1", tags=True)
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
    monkeypatch.setattr("saver.addresses._index", lambda storage, ident: None)
    monkeypatch.setattr(state, "INTERVAL", 4)


def test_the_forger_gives_the_store_back_unchanged(no_cache: None, tmp_path: Path) -> None:
    store = fresh().assemble()
    for act in use(store, tmp_path):
        act()
    assert saver.Saver(store).check().sound


@pytest.mark.slow
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


@pytest.mark.slow
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
        store = LocalStorage(str(tmp_path / "store"))
        memory = forged.assemble()
        put(store, {key: memory.read(key) for key in memory.keys("")})
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
    with warnings.catch_warnings(), pytest.raises(saver.UntrustedError, match=r"os\.system"):
        own.load("n/o@2")
    assert own.describe("n/o@2").untrusted == ("os.system",)


# What is said twice


def manifest_of(forged: Forged, model: str, number: int) -> Any:
    """The manifest of a version, to be changed."""
    return next(
        document for key, document in forged.documents.items()
        if key.startswith("manifests/") and (document["model"], document["number"]) == (model, number)
    )  # fmt: skip


def record_of(forged: Forged, model: str, number: int) -> Any:
    """The commit of a version, to be changed; no checkpoint knows better."""
    for name in [key for key in forged.documents if key.startswith("state/")]:
        del forged.documents[name]
    events = (doc["event"] for key, doc in forged.documents.items() if key.startswith("log/"))
    return next(
        event for event in events
        if event["kind"] == "commit" and (event["model"], event["number"]) == (model, number)
    )  # fmt: skip


def set_field(name: str, value: Any) -> Callable[[Any], None]:
    return lambda document: document.__setitem__(name, value)


def change_part(name: str, value: Any) -> Callable[[Any], None]:
    return lambda document: document["parts"]["a"].__setitem__(name, value)


def with_document(document: Any, name: str) -> Any:
    """A part whose tree is said to stand elsewhere."""
    part = {key: value for key, value in document["parts"][name].items() if key not in ("tree", "batches")}
    return {**part, "document": "0" * 64, "content": "0" * 64}


IN_MANIFESTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "model": ("model", set_field("model", "n/o")),
    "number": ("number", set_field("number", 2)),
    "parent": ("parent", set_field("parent", None)),
    "another parent": ("parent", set_field("parent", 1)),
    "step": ("step", set_field("step", 7)),
    "author": ("author", set_field("author", "mallory")),
    "metric": ("metric 'loss'", set_field("metrics", {"loss": 0.5})),
    "more metrics": ("metric 'f1'", set_field("metrics", {"loss": "nan", "f1": 1.5})),
    "no metrics": ("metric 'loss'", set_field("metrics", {})),
    "notes": ("notes", set_field("notes", "best ever")),
    "part hash": ("part 'a'", change_part("hash", "0" * 64)),
    "part number": ("part 'a'", change_part("version", 9)),
    "part more": ("part 'z'", lambda document: document["parts"].update(z=document["parts"]["a"])),
    "part less": ("part 'c'", lambda document: document["parts"].pop("c")),
    "packs": ("packs", lambda document: document["packs"].append("0" * 32)),
    "document": ("documents", lambda document: document["parts"].update(a=with_document(document, "a"))),
}
IN_RECORDS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "parent": ("parent", set_field("parent", 1)),
    "step": ("step", set_field("step", 7)),
    "metric": ("metric 'loss'", set_field("metrics", {"loss": 0.001})),
    "more metrics": ("metric 'f1'", set_field("metrics", {"loss": "nan", "f1": 1.5})),
    "notes": ("notes", set_field("notes", "best ever")),
    "author": ("author", set_field("author", "mallory")),
    "part hash": ("part 'a'", change_part("hash", "0" * 64)),
    "part number": ("part 'a'", change_part("number", 9)),
    "part more": ("part 'z'", lambda document: document["parts"].update(z=document["parts"]["a"])),
    "part less": ("part 'c'", lambda document: document["parts"].pop("c")),
    "packs": ("packs", set_field("packs", [])),
    "documents": ("documents", set_field("trees", ["0" * 64])),
}
TWICE = [
    *((f"the manifest's {what}", manifest_of, *case) for what, case in IN_MANIFESTS.items()),
    *((f"the record's {what}", record_of, *case) for what, case in IN_RECORDS.items()),
]

OPENING: dict[str, Callable[[saver.Saver, Path], Any]] = {
    "load": lambda own, folder: own.load("m@3"),
    "load a part": lambda own, folder: own.load("m@3", parts=["c"], lazy=True),
    "restore": lambda own, folder: own.restore("m@3", {"c": np.zeros(70)}),
    "describe": lambda own, folder: own.describe("m@3"),
    "diff": lambda own, folder: own.diff("m@2", "m@3"),
    "diff from": lambda own, folder: own.diff("m@3", "m@2"),
    "export": lambda own, folder: own.export("m@3", folder / "m.saver"),
    "verify": lambda own, folder: own.verify("m@3"),
}


def third(act: Callable[[Any], None], find: Callable[..., Any]) -> MemoryStorage:
    forged = fresh()
    for found in (manifest_of(forged, "m", 3), record_of(forged, "m", 3)):
        found["metrics"] = {"loss": "nan"}  # nan is equal to nan
    act(find(forged, "m", 3))
    return forged.assemble()


def test_fields_that_are_said_twice_are_all_met_here() -> None:
    """A field more must be compared, or stand here with the reason why not."""
    said = set(Commit.__struct_fields__) & {*Manifest.__struct_fields__}
    assert said == {"model", "number", "parts", "packs", "parent", "step", "metrics", "notes", "author"}
    words = {what.removeprefix("another ").partition(" ")[0] for what in IN_MANIFESTS}
    assert words >= (said - {"parts", "metrics"}) | {"part", "metric"}
    alone = set(Commit.__struct_fields__) - said
    assert alone == {
        "manifest",
        "file",
        "tags",
        "moved",
        "labels",
        "bytes",
        "bytes_added",
        "trees",
        "signatures",
    }, "no manifest has them"
    assert {"document", "documents"} <= {*IN_MANIFESTS, *IN_RECORDS}, "manifests have them in their parts"


def test_a_store_in_which_both_agree_is_sound(no_cache: None, tmp_path: Path) -> None:
    own = saver.Saver(third(lambda document: None, record_of))
    for act in OPENING.values():
        act(own, tmp_path)
    assert own.check().sound


@pytest.mark.parametrize("opening", OPENING)
@pytest.mark.parametrize(("find", "field", "act"), [case[1:] for case in TWICE], ids=[c[0] for c in TWICE])
def test_a_record_and_a_manifest_that_contradict_each_other_are_never_believed(
    find: Callable[..., Any],
    field: str,
    act: Callable[[Any], None],
    opening: str,
    no_cache: None,
    tmp_path: Path,
) -> None:
    own = saver.Saver(third(act, find))
    with pytest.raises(saver.DamagedError, match=rf"m@3.*contradict each other about its {field}.*restore"):
        OPENING[opening](own, tmp_path)
    own.load("m@2"), own.load("n/o")


@pytest.mark.parametrize(("find", "field", "act"), [case[1:] for case in TWICE], ids=[c[0] for c in TWICE])
def test_a_check_names_the_version_and_the_field(
    find: Callable[..., Any], field: str, act: Callable[[Any], None], no_cache: None
) -> None:
    found = saver.Saver(third(act, find)).check()
    assert {(damage.model, damage.number) for damage in found.damage} == {("m", 3)}
    assert all(f"about its {field}" in damage.what for damage in found.damage)


def test_the_weights_of_another_model_are_not_those_of_this_one(no_cache: None) -> None:
    forged = fresh()
    record_of(forged, "m", 3)["manifest"] = record_of(forged, "n/o", 2)["manifest"]
    own = saver.Saver(forged.assemble())
    with pytest.raises(saver.DamagedError, match="contradict each other about its model: 'm' and 'n/o'"):
        own.load("m@3")
    assert {(damage.model, damage.number) for damage in own.check().damage} == {("m", 3)}


def test_a_checkpoint_that_says_something_else_than_the_log_is_named(no_cache: None) -> None:
    """What it says of versions is what all who open the store see."""
    lies = {
        "tag m second": b"tag m sedond",
        '"step":2': b'"step":5',
        '"author":': b'"notes":"best","author":',
        '"bytes_added":1': b'"bytes_added":2',
        "version m 000000000002": b"version m 000000000001",
    }
    for said, lie in lies.items():
        forged = fresh()
        pages = {key: text(doc) for key, doc in forged.documents.items() if key.startswith("state/pages/")}
        assert any(said.encode() in page for page in pages.values()), said
        for key, page in pages.items():
            forged.documents[key] = json.loads(page.replace(said.encode(), lie))
        found = saver.Saver(forged.assemble()).check()
        assert ("state", "m", 2) in {(each.key, each.model, each.number) for each in found.damage}, said


# Headers of packs


def headed(forged: Forged, act: Callable[[dict[str, Any], dict[str, Shard]], None]) -> str:
    """Change the header of the pack of n/o@1, whose hash matches again; returns its key."""
    (name,) = manifest_of(forged, "n/o", 1)["packs"]
    key = pack_key(name)
    store = MemoryStorage()
    put(store, {key: forged.packs[key]})
    pack = Pack(store.open(key))
    told, entries = {"id": name}, dict(pack.shards)
    act(told, entries)
    header = header_bytes(entries, slots_bytes(entries), told["id"], {})
    forged.packs[key] = header + forged.packs[key][pack.start :]
    return key


def replaced(**fields: Any) -> Callable[[dict[str, Any], dict[str, Shard]], None]:
    def act(told: dict[str, Any], entries: dict[str, Shard]) -> None:
        name = next(iter(entries))
        entries[name] = msgspec.structs.replace(entries[name], **fields)

    return act


def names_another(told: dict[str, Any], entries: dict[str, Shard]) -> None:
    named = [(f"{name} of another", shard) for name, shard in entries.items()]
    entries.clear()
    entries.update(named)


HEADERS: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Shard]], None]]] = {
    "id": ("its header calls it", lambda told, entries: told.update(id="0" * 32)),
    "hash": ("not those that its header describes", replaced(hash="1" * 64)),
    "dtype": ("says that it is I64", replaced(dtype="I64")),
    "shape": (r"says that it is F64 \[20, 20\]", replaced(box=whole((20, 20)))),
    "name": ("does not name it", names_another),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_pack_whose_header_says_something_else_than_the_manifest_is_damaged(
    what: str, no_cache: None
) -> None:
    """Saver reads by the manifest; other readers of safetensors would see other weights."""
    forged = fresh()
    sentence, act = HEADERS[what]
    key = headed(forged, act)
    own = saver.Saver(forged.assemble())
    found = own.check()
    assert {damage.key for damage in found.damage} == {key}
    assert any(re.search(sentence, damage.what) for damage in found.damage)
    own.load("n/o@1")


def test_bytes_that_are_shared_under_another_form_are_no_contradiction(no_cache: None) -> None:
    """Zeros are zeros, whatever their dtype and shape; and a pack outlives the version it was made for."""
    own = saver.Saver(MemoryStorage())
    own.save("m", {"a": np.zeros((100, 3)), "b": np.arange(500)})
    own.save("m", {"c": np.zeros(300), "d": np.arange(500).view(np.float64).reshape(5, 100)})
    assert own.version("m").bytes_added < 3000
    own.save("n", {"e": np.zeros((3, 100), np.int64)}, base="m")
    assert own.check().sound
    own.delete("m@1", tags=True)
    assert own.check().sound
    own.gc(grace=0)
    own.delete("m@2", tags=True)
    assert own.check().sound


# Records that were removed


@cache
def long_log() -> tuple[tuple[str, bytes], ...]:
    """A store with 18 records and a checkpoint after every fourth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "INTERVAL", 4)
        patch.setattr("saver.addresses._index", lambda storage, ident: None)
        store = MemoryStorage()
        own = saver.Saver(store)
        for number in range(18):
            own.save("m", {"a": np.arange(40.0) + number})
    return tuple((key, store.read(key)) for key in store.keys(""))


WRITING: dict[str, Callable[[saver.Saver], Any]] = {
    "save": lambda own: own.save("m", 1),
    "save another": lambda own: own.save("other", 1),
    "tag": lambda own: own.tag("m@1", "t"),
    "delete": lambda own: own.delete("m@1", tags=True),
    "gc": lambda own: own.gc(grace=0),
    "dry gc": lambda own: own.gc(grace=0, dry_run=True),
    "check": lambda own: own.check(),
}


@pytest.mark.parametrize("act", WRITING)
@pytest.mark.parametrize("kept", range(16))
def test_the_newest_records_cannot_be_removed_while_a_checkpoint_tells_of_them(
    kept: int, act: str, no_cache: None
) -> None:
    """All but the first `kept`, of which the last checkpoint, after record 16, is not one."""
    store = MemoryStorage()
    put(store, {key: data for key, data in long_log() if not key.startswith("log/") or key <= log_key(kept)})
    before = {key: store.read(key) for key in store.keys("")}
    with pytest.raises(saver.DamagedError, match=rf"log ends with record {kept}: .*restore the folder log/"):
        WRITING[act](saver.Saver(store))
    assert {key: store.read(key) for key in store.keys("")} == before
    if kept:
        with pytest.raises(saver.DamagedError, match=f"log ends with record {kept}"):
            saver.Saver(store).load("m@1")


@pytest.mark.parametrize("act", WRITING)
@pytest.mark.parametrize("junk", [b"", b"{}", b"x" * 100, "another"], ids=str)
def test_what_is_not_a_checkpoint_proves_nothing(act: str, junk: Any, no_cache: None) -> None:
    """`check` reports a file of this name, and it keeps nobody from anything."""
    store = MemoryStorage()
    put(store, dict(long_log()))
    data = store.read(checkpoint_key(16)) if junk == "another" else junk
    put(store, {checkpoint_key(20): data, "state/x.json": b"", "state/99.json": b""})
    WRITING[act](saver.Saver(store))
    assert saver.Saver(store).load("m@2")


def test_a_checkpoint_that_is_made_while_one_looks_is_no_reason_to_stop(no_cache: None) -> None:
    """Its record was made meanwhile, too."""

    class Busy(MemoryStorage):
        asked = 0

        def list(self, prefix: str, after: str = "") -> Any:
            if prefix == "state/" and not self.asked:
                self.asked = 1
                other = saver.Saver(self)
                for number in range(16):
                    other.save("m", number)
            return super().list(prefix, after)

    store = Busy()
    put(store, dict(long_log()))
    assert saver.Saver(store).save("m", 1).number == 35
    store.asked = 0
    saver.Saver(store).gc(grace=0)
    repo = Repository(store)
    repo.open()
    repo.state.shortcuts.forget_listing()  # the one of when the log was read: the next one comes after it
    store.asked = 0
    assert check_end(store, repo.state)
    assert store.asked
    assert saver.Saver(store).check().sound


# What is not Saver's


FOREIGN = [
    "packs/model.safetensors", "packs/0123.safetensors", f"packs/{'0' * 32}.safetensors.bak",
    f"packs/sub/{'0' * 32}.safetensors", f"packs/{'0' * 33}.safetensors", f"packs/{'g' * 32}.safetensors",
    f"manifests/00/{'1' * 64}.json", f"manifests/{'0' * 64}.json", f"manifests/00/{'0' * 63}.json",
    f"manifests/00/x/{'0' * 64}.json", "manifests/readme.txt", "state/notes.txt", "state/1.json",
    f"state/pages/00/{'1' * 64}.json", "state/pages/x.json", "clock/tower", f"clock/{'0' * 31}",
    "log/desktop.ini", "log/1.json", f"log/{'0' * 19}1.json.bak",
]  # fmt: skip


def test_only_what_is_savers_is_ever_deleted(no_cache: None) -> None:
    """Whatever lies in the folders, and whatever a record condemns."""
    forged = fresh()
    outside = ["notes/mine.txt", "models.csv"]
    for document in forged.documents.values():
        event = document.get("event", {})
        if event.get("kind") in ("condemn", "relocate"):
            event["objects"] = [
                *event["objects"],
                *FOREIGN,
                *outside,
                "store.json",
                "log/" + "0" * 19 + "1.json",
            ]
    for name in [key for key in forged.documents if key.startswith("state/")]:
        del forged.documents[name]
    now = 0.0
    store = MemoryStorage(clock=lambda: now)
    assembled = forged.assemble()
    put(store, {key: assembled.read(key) for key in assembled.keys("")})
    put(store, dict.fromkeys([*FOREIGN, *outside], b"mine"))
    now = 10.0**9
    own = saver.Saver(store)
    for _ in range(2):
        own.gc(grace=0)
        own.save("m", {"a": np.arange(9.0)})
    assert {key: store.stat(key) is not None for key in [*FOREIGN, *outside]} == dict.fromkeys(
        [*FOREIGN, *outside], True
    )
    assert store.stat("store.json")
    found = own.check()
    assert found.sound
    assert set(found.foreign) == set(FOREIGN)
    assert not set(found.foreign) & set(found.garbage)


# Links in a folder


def in_folder(folder: Path) -> saver.Saver:
    store = LocalStorage(folder)
    memory = fresh().assemble()
    put(store, {key: memory.read(key) for key in memory.keys("")})
    return saver.Saver(folder)


def linked(folder: Path, key: str, outside: Path) -> None:
    """What stood under the key stands outside, and a link leads there."""
    (outside / key).parent.mkdir(parents=True, exist_ok=True)
    (folder / key).rename(outside / key)
    (folder / key).symlink_to(outside / key)


def every_place(folder: Path) -> list[str]:
    """All folders of a store, and one object of each."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    first: dict[str, str] = {}
    for path in paths:
        first.setdefault(str(Path(path).parent) if (folder / path).is_file() else path, path)
    return sorted({*first.values(), *(path for path in paths if (folder / path).is_dir())})


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_links_at_every_place_of_a_store_are_named_and_nothing_behind_them_is_touched(
    no_cache: None, tmp_path: Path
) -> None:
    in_folder(tmp_path / "first")
    keys = every_place(tmp_path / "first")
    assert {"packs", "log", "manifests", "state", "state/pages", "store.json"} <= set(keys)
    for number, key in enumerate(keys):
        folder, outside = tmp_path / f"s{number}", tmp_path / f"o{number}"
        shutil.copytree(tmp_path / "first", folder)
        linked(folder, key, outside)
        before = snapshot(outside)
        told = []
        for act in use(folder, tmp_path):
            try:
                act()
            except saver.SaverError as error:
                told.append(str(error))
        assert snapshot(outside) == before, key
        try:
            named = [damage.key + damage.what for damage in saver.Saver(folder).check().damage]
        except saver.DamagedError as error:
            named = [str(error)]
        healed = not (folder / key).is_symlink()  # a checkpoint that was no good is made anew
        assert any(key in what for what in named) or (healed and key.startswith("state/")), (key, named)
        if not key.startswith("state"):
            assert any("symbolic link" in text or "no folder" in text for text in [*told, *named]), key


@pytest.mark.slow
def test_a_collector_deletes_nothing_behind_a_link(no_cache: None, tmp_path: Path) -> None:
    """It did: all that lay behind a link named `packs` and had been there for an hour."""
    for number, level in enumerate(("packs", "manifests", "state", "clock")):
        folder, outside = tmp_path / f"s{number}", tmp_path / f"o{number}"
        in_folder(folder)
        (outside / "00").mkdir(parents=True)
        for name in (f"{'0' * 32}.safetensors", f"00/{'0' * 64}.json", "0" * 32, "mine.safetensors"):
            (outside / name).write_bytes(b"mine")
        if (folder / level).exists():
            shutil.rmtree(folder / level)
        (folder / level).symlink_to(outside)
        before = snapshot(outside)
        with pytest.raises(saver.SaverError, match=f"{level} is a symbolic link"):
            saver.Saver(folder).gc(grace=0)
        assert snapshot(outside) == before
