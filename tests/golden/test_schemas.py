"""The schemas of docs/format/ admit every document of every golden file and store, once seals are opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("cryptography")
pytest.importorskip("pyrage")

from golden_sealed import IDENTITY, PASSPHRASE  # noqa: E402
from sealed_reader import Sealed, SealedStore, opened_file  # noqa: E402

FOLDER = Path(__file__).parent
SCHEMAS = FOLDER.parents[1] / "docs" / "format" / "schema.json"
FILES = sorted(FOLDER.rglob("*.saver"))
STORES = [path.parent for path in sorted(FOLDER.rglob("store.json"))]


@cache
def schema(name: str) -> Any:
    return jsonschema.Draft202012Validator({**json.loads(SCHEMAS.read_text()), "$ref": f"#/$defs/{name}"})


def documents_of(raw: bytes) -> Iterator[tuple[str, Any]]:
    """Those of a pack that is not sealed, with the names of their schemas."""
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    metadata = header["__metadata__"]
    yield "header", header
    for key, name in {"saver": "own", "saver.manifest": "manifest", "saver.signatures": "signatures"}.items():
        if key in metadata:
            yield name, json.loads(metadata[key])


def container_of(raw: bytes) -> Iterator[tuple[str, Any]]:
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    yield "container", header
    yield "seal", json.loads(header["__metadata__"]["saver.seal"])


KINDS = {"log": "record", "manifests": "manifest", "state": "checkpoint"}


def of_store(objects: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
    for key, raw in objects.items():
        folder = key.partition("/")[0]
        if key == "store.json":
            yield "store", json.loads(raw)
        elif folder == "packs":
            yield from documents_of(raw)
        elif folder == "trees":
            found = json.loads(raw)
            yield "gridPage" if "shards" in found else "document", found
        elif key.startswith("state/pages/"):
            yield "checkpointPage", json.loads(raw)
        elif folder in KINDS and key.endswith(".json"):
            yield KINDS[folder], json.loads(raw)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_golden_file_is_as_the_schemas_say(path: Path) -> None:
    raw = path.read_bytes()
    if path.parent.name == "sealed":
        for name, found in container_of(raw):
            schema(name).validate(found)
        raw = opened_file(
            path, **({"identity": IDENTITY} if "recipient" in path.name else {"passphrase": PASSPHRASE})
        )
    for name, found in documents_of(raw):
        schema(name).validate(found)


@pytest.mark.parametrize("folder", STORES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_golden_store_is_as_the_schemas_say(folder: Path) -> None:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    objects = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    if (folder / "keys").exists():
        for key in (key for key in objects if key.startswith("packs/")):
            for name, found in container_of(Sealed(objects[key]).raw):
                schema(name).validate(found)
        store = SealedStore(folder, IDENTITY)
        for bundle in store.bundles:
            schema("bundle").validate(bundle)
        objects = store.objects()
    found = list(of_store(objects))
    for name, each in found:
        schema(name).validate(each)
    assert {name for name, _ in found} >= {"store", "record", "header", "own", "manifest"}


def test_every_kind_of_document_is_in_a_golden_file() -> None:
    parts = {"slot", "part", "tensor", "tree", "node"}
    seen = {"container", "seal", "bundle"}
    for path in FILES:
        seen |= (
            {name for name, _ in documents_of(path.read_bytes())} if path.parent.name != "sealed" else set()
        )
    for folder in (each for each in STORES if not (each / "keys").exists()):
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        seen |= {name for name, _ in of_store(files)}
    assert seen | parts == set(json.loads(SCHEMAS.read_text())["$defs"])
