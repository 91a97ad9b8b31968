"""Backups of stores that somebody forged: whatever names it has, a copy is written to its place alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from test_hostile_stores import Forged, fresh, manifest_of, put, record_of, snapshot

import saver
from saver.disk.files import Files
from saver.repo.backup.copy import marker
from saver.repo.objects import is_own
from saver.repo.state import state

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.repo.stage.FILE_BYTES", -1)
    monkeypatch.setattr("saver.repo.stage.WORTH_SHARING", 1)
    monkeypatch.setattr("saver.addresses._index", lambda storage, ident: None)
    monkeypatch.setattr(state, "INTERVAL", 4)
    for name in ("sync", "sync_folder"):
        monkeypatch.setattr(Files, name, lambda self, file: None)


NAMES = {
    "a parent": "../../secret",
    "a parent with an ending": "../../../secret.safetensors",
    "absolute": "/etc/passwd",
    "a home": "~/secret",
    "a drive": "C:\\secret",
    "a share": "\\\\host\\secret",
    "a stream": "a:secret",
    "a device": "con",
    "a zero": "a\0b",
    "a line": "a\nb",
    "an escape": "\x1b[2J",
    "nothing": "",
    "a dot": ".",
    "two dots": "..",
    "hidden": ".secret",
    "a space": "a b",
    "very long": "a" * 70_000,
    "longer than a name may be": "a" * 300,
    "a capital": "A" * 32,
    "another letter": "\u0131" * 32,
    "a lone surrogate": "\udc80" * 32,
    "the log": "../log/00000000000000000001",
    "the store": "../store",
    "a shortcut": "../state/99999999999999999983",
    "deep": "a/" * 40 + "a",
    "somebody's": "mine",
}


def in_record(field: str, value: Callable[[str], Any]) -> Callable[[Forged, str], None]:
    return lambda found, name: record_of(found, "m", 3).update({field: value(name)})


def packs(found: Forged, name: str) -> None:
    for document in (record_of(found, "m", 3), manifest_of(found, "m", 3)):
        document["packs"] = [name for _ in document["packs"]]


def one_more_pack(found: Forged, name: str) -> None:
    for document in (record_of(found, "m", 3), manifest_of(found, "m", 3)):
        document["packs"] += [name]


def documents(found: Forged, name: str) -> None:
    record_of(found, "m", 3)["trees"] = [name]
    part = manifest_of(found, "m", 3)["parts"]["c"]
    part.pop("tree")
    part.update(document=name, content="0" * 64)


def model(found: Forged, name: str) -> None:
    for document in (manifest_of(found, "m", 3), record_of(found, "m", 3)):
        document["model"] = name


def moved(found: Forged, name: str) -> None:
    (pack,) = record_of(found, "n/o", 1)["packs"]
    for document in found.documents.values():
        event = document.get("event", {})
        if event.get("kind") == "relocate":
            event["moves"][pack] = [[0, 1 << 30, name, 0]]


def condemned(found: Forged, name: str) -> None:
    for document in found.documents.values():
        event = document.get("event", {})
        if event.get("kind") in ("condemn", "relocate"):
            event["objects"] = [name, f"packs/{name}.safetensors", f"manifests/{name[:2]}/{name}.json"]


FIELDS: dict[str, Callable[[Forged, str], None]] = {
    "the manifest of a record": in_record("manifest", str),
    "the file of a record": in_record("file", str),
    "the packs of a record": in_record("packs", lambda name: [name]),
    "the documents of a record": in_record("trees", lambda name: [name]),
    "packs": packs,
    "one more pack": one_more_pack,
    "documents": documents,
    "model": model,
    "moves": moved,
    "condemned objects": condemned,
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_copy_is_written_to_its_place_alone(field: str, tmp_path: Path) -> None:
    for number, (what, name) in enumerate(NAMES.items()):
        top = tmp_path / str(number)
        (top / "around").mkdir(parents=True)
        (top / "secret").write_bytes(b"secret")
        (top / "secret.safetensors").write_bytes(b"secret")
        found = fresh()
        record_of(found, "m", 3)  # no checkpoint knows better
        FIELDS[field](found, name)
        memory = found.assemble()
        own = saver.Saver(top / "around" / "store")
        put(own._repo.storage, {key: memory.read(key) for key in memory.keys("")})
        (top / "around" / "store" / "packs" / "mine.safetensors").write_bytes(b"mine")
        before = snapshot(top)
        for _ in range(2):
            with suppress(saver.SaverError):
                own.backup(top / "around" / "copy")
        after = snapshot(top)
        new = [Path(path).relative_to(top / "around" / "copy").as_posix() for path in after.keys() - before]
        assert [key for key in new if not is_own(key) and key != "packs/mine.safetensors"] == [], what
        assert {path: after[path] for path in before} == before, what


def test_markers_of_two_objects_are_two() -> None:
    """A copy of a pack was taken to be sound once a manifest was whose name begins with that of the pack."""
    assert marker(f"packs/{'0' * 32}.safetensors") != marker(f"manifests/00/{'0' * 64}.json")
    assert is_own(marker("packs/../../x"))
