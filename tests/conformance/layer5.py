# ruff: noqa: E501
"""Stores: small ones, put together by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from layer1 import F64
from pieces import IDENT, ZEROS, Pack, canonical, dumps, hash_of, node

Store = dict[str, bytes]
Case = tuple[str, str | None, Store, str]
FILE = "f" * 32


def document(content: dict[str, Any], digest: str | None = None) -> bytes:
    """A document that begins with its hash."""
    text = '{"hash":"' + ZEROS + '",' + canonical(content)[1:]
    return text.replace(ZEROS, hash_of(text.encode()) if digest is None else digest, 1).encode()


@dataclass
class Made:
    """A store, to which records are added."""

    objects: Store = field(default_factory=dict)
    records: list[bytes] = field(default_factory=list)

    def record(self, event: Any, **changes: Any) -> Made:
        number = len(self.records) + 1
        previous = json.loads(self.records[-1])["hash"] if self.records else ZEROS
        content = {
            "format": 1, "number": number, "previous": previous, "transaction": f"{number:032x}", "time": 1000 + number,
            "author": "a", "event": event,
        }  # fmt: skip
        content = {key: value for key, value in (content | changes).items() if value is not ...}
        self.records.append(document(content))
        self.objects[f"log/{number:020}.json"] = self.records[-1]
        return self


TREE = node("numpy.array", {"$tensor": "model"})
PART = Pack(tensors=[("model", "F64", [2, 3], F64)]).part_hash({"tree": TREE})


def pack() -> bytes:
    made = Pack(without=("saver.manifest",))
    made.tensor("model", "F64", [2, 3], F64)
    return made.bytes()


def manifest(**changes: Any) -> dict[str, Any]:
    shard = {"hash": hash_of(F64), "extents": [[0, 4096, 48]]}
    found = {
        "format": 1, "parts": {"model": {"hash": PART, "tree": TREE}}, "model": "m", "number": 1, "packs": [IDENT],
        "tensors": {"model": {"dtype": "F64", "shape": [2, 3], "shards": [shard]}}, "transaction": "0" * 32, "time": 1000,
    }  # fmt: skip
    return {key: value for key, value in (found | changes).items() if value is not ...}


def commit(digest: str, **changes: Any) -> dict[str, Any]:
    found = {
        "kind": "commit", "model": "m", "number": 1, "manifest": digest, "packs": [IDENT], "bytes": 48, "bytes_added": 48,
        "parts": {"model": {"number": 1, "hash": PART, "bytes": 48}},
    }  # fmt: skip
    return {key: value for key, value in (found | changes).items() if value is not ...}


def store(said: dict[str, Any] | None = None, logged: dict[str, Any] | None = None, **more: Any) -> Made:
    """A store of one version."""
    made = Made(
        {"store.json": document({"format": 1, "id": IDENT} | more), f"packs/{IDENT}.safetensors": pack()}
    )
    text = canonical(manifest(**(said or {}))).encode()
    made.objects[f"manifests/{hash_of(text)[:2]}/{hash_of(text)}.json"] = text
    return made.record(commit(hash_of(text), **(logged or {})))


def in_file(
    changes: dict[str, Any] | None = None, logged: dict[str, Any] | None = None, ident: str = FILE
) -> Made:
    """A store with a version that is one file, after one that is not."""
    made = store()
    found = Pack(own={"id": ident}, manifest={"model": "m", "number": 2, "time": 1000} | (changes or {}))
    found.tensor("model", "F64", [2, 3], F64)
    found.tree = TREE
    data = found.bytes()
    made.objects[f"packs/{FILE}.safetensors"] = data
    event = commit(data[41:105].decode(), number=2, packs=[FILE], file=FILE)
    return made.record(event | (logged or {}))


def in_document(**changes: Any) -> Made:
    """A store whose part has a document of its own."""
    content = canonical([TREE, {}])
    salt = "5" * 32
    data = ('{"salt":"' + salt + '","part":' + content + "}").encode()
    part = {"hash": PART, "document": hash_of(data), "content": hash_of(content.encode())} | changes
    made = store({"parts": {"model": part}}, {"trees": [part["document"]]})
    made.objects[f"trees/{hash_of(data)[:2]}/{hash_of(data)}.json"] = data
    return made


def in_shards() -> tuple[str, dict[str, Any]]:
    """The hash of a part whose tensor has two shards, and what a manifest says of its tensors."""
    two = [
        {"hash": hash_of(F64[:24]), "extents": [[0, 4096, 24]], "box": [[0, 0], [1, 3]]},
        {"hash": hash_of(F64[24:]), "extents": [[0, 4120, 24]], "box": [[1, 0], [1, 3]]},
    ]
    held = [[[0, 0], [1, 3], hash_of(F64[:24])], [[1, 0], [1, 3], hash_of(F64[24:])]]
    content = hash_of(canonical([TREE, {}]).encode())
    digest = hash_of(canonical([content, [["model", "F64", [2, 3], held]]]).encode())
    return digest, {"model": {"dtype": "F64", "shape": [2, 3], "shards": two}}


def expected(cut: bool) -> dict[str, Any]:
    """What the version of a valid store holds."""
    shape = {"dtype": "F64", "shape": [2, 3], "blake3": hash_of(F64)}
    value = {"array": {"dtype": "<f8", "shape": [2, 3], "hex": F64.hex()}}
    return {
        "verdict": "valid", "whole": False, "parts": [["model", in_shards()[0] if cut else PART, value]], "tensors": {"model": shape},
    }  # fmt: skip


TAG = {"kind": "tag", "model": "m", "tag": "best", "number": 1}


def valid() -> Iterator[tuple[str, str, Store, str]]:
    yield "one", "m@1", store().objects, "a store of one version"
    yield "file", "m@2", in_file().objects, "a version that is one file"
    yield "document", "m@1", in_document().objects, "a part with a document"
    yield "tag", "m@1", store().record(TAG).objects, "a version with a tag"
    yield "label", "m@1", store().record(label({"a": "b"})).objects, "a version with a label"
    twice = in_file().record(delete(2)).record(delete(2))
    yield "delete-twice", "m@1", twice.objects, "another version, deleted twice"
    made = store()
    made.objects["foreign.txt"] = made.objects[".hidden"] = b"x"
    yield "foreign", "m@1", made.objects, "objects that are not the store's"
    yield "author", "m@1", store({"notes": "n"}, {"notes": "n"}).objects, "a version with notes"
    digest, tensors = in_shards()
    said = {"tensors": tensors, "parts": {"model": {"hash": digest, "tree": TREE}}}
    made = store(said, {"parts": {"model": {"number": 1, "hash": digest, "bytes": 48}}})
    yield "shards", "m@1", made.objects, "a tensor of two shards"


def label(labels: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": "label", "model": "m", "number": 1, "labels": labels} | more


def delete(*numbers: int, model: str = "m") -> dict[str, Any]:
    return {"kind": "delete", "model": model, "numbers": list(numbers)}


def invalid() -> Iterator[Case]:
    yield from documents()
    yield from records()
    yield from events()
    yield from manifests()


def changed(key: str, change: Any, made: Made | None = None) -> Store:
    """A store with one object changed, or removed (None)."""
    found = dict((made or store()).objects)
    key = next(each for each in found if each.startswith(key))
    if change is None:
        del found[key]
    else:
        found[key] = change(found[key])
    return found


def documents() -> Iterator[Case]:
    yield (
        "store-hash",
        "5.01",
        changed("store.json", lambda d: d.replace(b'"id"', b'"ie"')),
        "store.json changed",
    )
    yield "store-first", "5.01", changed("store.json", lambda d: b"{" + d), "store.json begins otherwise"
    yield "record-hash", "5.01", changed("log/", lambda d: d.replace(b'"m"', b'"n"')), "a record changed"
    yield "record-empty", "5.01", changed("log/", lambda d: b""), "an empty record"
    upper = changed("log/", lambda d: d[:9] + d[9:73].upper() + d[73:])
    yield "record-upper", "5.01", upper, "the hash of a record in capital letters"
    for at, value in enumerate((5, None, [])):
        yield f"store-id-{at}", "5.02", store(id=value).objects, f"an id {dumps(value)}"
        if value != []:
            yield f"store-read-{at}", "5.02", store(read=value).objects, f"features {dumps(value)}"
    for number in (0, 2):
        yield f"store-format-{number}", "5.03", store(format=number).objects, f"the format {number}"
    yield "store-read", "5.04", store(read=["new"]).objects, "a feature that one must know to read"


def records() -> Iterator[Case]:
    made = store().record(TAG).record(TAG)
    yield (
        "gap",
        "5.05",
        changed("log/00000000000000000002", None, made),
        "the second of three records is missing",
    )
    wrong = Made(dict(store().objects))
    wrong.records = list(store().records)
    yield "number", "5.05", wrong.record(TAG, number=7).objects, "a record with another number"
    yield "previous", "5.06", store().record(TAG, previous="1" * 64).objects, "a record after another one"
    yield "previous-first", "5.06", first(previous="1" * 64), "a first record after another one"
    yield "record-format", "5.07", store().record(TAG, format=2).objects, "a record of format 2"
    yield "record-kind", "5.07", store().record({"kind": "new"}).objects, "a record of an unknown kind"
    fields: dict[str, list[Any]] = {
        "transaction": [5, None, ...], "time": ["0", None, ...], "author": [5, None], "event": [[], None, 5],
        "previous": [5, None, ...], "signed": [5, None, {}],
    }  # fmt: skip
    for key, values in fields.items():
        for at, value in enumerate(values):
            rule = "5.02"
            found = store().record(**({"event": TAG} | {key: value})).objects
            shown = "missing" if value is ... else dumps(value)
            yield f"record-{key}-{at}", rule, found, f"a record whose {key} is {shown}"


def first(**changes: Any) -> Store:
    made = store()
    event = json.loads(made.records[0])["event"]
    made.records.clear()
    return made.record(event, **changes).objects


def events() -> Iterator[Case]:
    for at, event in enumerate((
        {**TAG, "number": 2}, {**TAG, "model": "x"}, label({}, number=2), label({}, model="x"),
        label({}, model="x", number=None), delete(2), delete(1, 2), delete(0), delete(1, model="x"), delete(-1),
        {"kind": "note", "model": "m", "number": 2, "notes": ""}, {"kind": "note", "model": "x", "number": None, "notes": ""},
        {"kind": "sign", "model": "m", "number": 2, "signatures": []},
    )):  # fmt: skip
        yield (
            f"absent-{at}",
            "5.08",
            store().record(event).objects,
            f"a record about nothing: {dumps(event)[:70]}",
        )
    for number in (0, 1):
        made = in_file(logged={"number": number})
        yield f"commit-{number}", "5.09", made.objects, f"a second commit with the number {number}"
    yield (
        "commit-large",
        "5.09",
        store({"number": 10**12}, {"number": 10**12}).objects,
        "a commit with the number 10^12",
    )
    limits: list[dict[str, Any]] = [
        {"step": -1}, {"step": 10**15}, {"bytes": -1}, {"bytes_added": -1}, {"parent": -1}, {"model": ""}, {"model": "a b"},
        {"model": "m" * 201}, {"model": "../m"}, {"model": "/m"}, {"tags": ["latest"]}, {"tags": ["1"]}, {"tags": ["t" * 101]},
        {"tags": ["a/b"]}, {"labels": {"a": ""}}, {"labels": {"1": "a"}}, {"labels": {"a": "\n"}}, {"notes": "n" * 10_001},
        {"labels": {f"k{at}": "v" for at in range(65)}}, {"parts": {"model": {"number": -1, "hash": PART, "bytes": 48}}},
    ]  # fmt: skip
    for at, change in enumerate(limits):
        yield f"limit-{at}", "5.10", store(None, change).objects, f"a commit with {dumps(change)[:60]}"
    for at, tag in enumerate(("latest", "", "a b", "1a")):
        yield f"tag-{at}", "5.10", store().record({**TAG, "tag": tag}).objects, f"the tag {tag!r}"
    wrong: dict[str, list[Any]] = {
        "model": [5, None, ...], "number": ["1", None, 1.5, ..., True], "manifest": [5, None, ...], "parts": [[], None, ..., {"model": 5}],
        "packs": [5, None, "a"], "trees": [5, None], "file": [5, None], "parent": ["1", 1.5], "step": ["1", 1.5],
        "metrics": [[], None, {"a": None}, {"a": []}], "tags": ["a", None], "labels": [[], None, {"a": 5}], "notes": [5, None],
        "bytes": ["1", None], "signatures": [5, None, [5]],
    }  # fmt: skip
    for key, values in wrong.items():
        for at, value in enumerate(values):
            shown = "missing" if value is ... else dumps(value)
            rule = "5.02"
            yield (
                f"commit-{key}-{at}",
                rule,
                store(None, {key: value}).objects,
                f"a commit whose {key} is {shown}",
            )


def manifests() -> Iterator[Case]:
    yield "manifest-changed", "5.11", changed("manifests/", lambda d: d + b" "), "a manifest changed"
    renamed = {"manifests/" + "a" * 2 + "/" + "a" * 64 + ".json": b"{}"}
    made = in_document()
    yield (
        "document-changed",
        "5.11",
        changed("trees/", lambda d: d.replace(b"5", b"6"), made),
        "a document changed",
    )
    del renamed
    contradictions: list[dict[str, Any]] = [
        {"model": "n"}, {"number": 2}, {"parent": 1}, {"step": 5}, {"notes": "n"}, {"metrics": {"a": 1}}, {"packs": []},
        {"parts": {"model": {"hash": "0" * 64, "tree": TREE}}}, {"parts": {"model": {"hash": PART, "tree": TREE, "version": 2}}},
        {"parts": {"x": {"hash": PART, "tree": TREE}}}, {"packs": [IDENT, FILE]}, {"model": ...}, {"number": ...},
    ]  # fmt: skip
    for at, change in enumerate(contradictions):
        found = store({**change, **({"tensors": {}} if change.get("packs") == [] else {})})
        shown = {key: None if value is ... else value for key, value in change.items()}
        yield f"contradiction-{at}", "5.12", found.objects, f"a manifest that says {dumps(shown)[:70]}"
    logged: list[dict[str, Any]] = [
        {"trees": ["0" * 64]},
        {"packs": []},
        {"notes": "n"},
        {"step": 1},
        {"metrics": {"a": "nan"}},
    ]
    for at, change in enumerate(logged):
        yield f"logged-{at}", "5.12", store(None, change).objects, f"a record that says {dumps(change)[:70]}"
    for at, extents in enumerate(
        ([[1, 4096, 48]], [[0, 4096, 40]], [[0, 4096, 56]], [], [[0, 4096, 24], [0, 4120, 24]])
    ):
        shard = {"hash": hash_of(F64), "extents": extents}
        tensors = {"model": {"dtype": "F64", "shape": [2, 3], "shards": [shard]}}
        yield (
            f"extents-{at}",
            "5.13",
            store({"tensors": tensors}).objects,
            f"the extents {extents} of 48 bytes",
        )
    beyond = {"hash": hash_of(F64), "extents": [[0, 4104, 48]]}
    tensors = {"model": {"dtype": "F64", "shape": [2, 3], "shards": [beyond]}}
    yield (
        "extents-beyond",
        "5.13",
        store({"tensors": tensors}).objects,
        "an extent beyond the end of a sound pack",
    )
    for name, end, rule in (("header", 2048, "1.01"), ("data", 4096, "1.20"), ("end", 4143, "1.20")):
        short = changed("packs/", lambda data, end=end: data[:end])
        yield f"store-cut-in-{name}", rule, short, f"a pack of {end} bytes"
    short = changed(f"packs/{FILE}", lambda data: data[:-1], in_file())
    yield "store-cut-file", "1.20", short, "the pack of a version that is a file lacks its last byte"
    yield "content", "5.14", in_document(content="0" * 64).objects, "a document with another content"
    for at, logged_ in enumerate(({"manifest": "0" * 64},)):
        yield f"file-hash-{at}", "5.15", in_file(logged=logged_).objects, "a pack with another header"
    yield "file-id", "5.15", in_file(ident="e" * 32).objects, "a pack with another id"
    made = in_file()
    without = changed(f"packs/{FILE}", lambda d: pack().replace(b"x", b"x"), made)
    yield "file-other", "5.15", without, "another pack in its place"
    yield "manifest-missing", "5.16", changed("manifests/", None), "the manifest is missing"
    yield "document-missing", "5.16", changed("trees/", None, in_document()), "a document is missing"
    yield "pack-missing", "5.16", changed("packs/", None), "a pack is missing"
    yield (
        "file-missing",
        "5.16",
        changed(f"packs/{FILE}", None, in_file()),
        "the pack with the manifest is missing",
    )
    broken = bytearray(pack())
    broken[-1] ^= 1
    yield "pack-changed", "1.22", changed("packs/", lambda d: bytes(broken)), "a pack whose data changed"


__all__ = ["expected", "invalid", "valid"]
