"""What `--json` prints is what saver.documents promises, and the promise is written down."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from running import document_of, run

pytest.importorskip("cryptography")

import saver
from saver import documents
from saver.repo.log import log_key
from saver.training_log import TrainingLog
from signed import private, public

SCHEMA = Path(__file__).parents[2] / "docs" / "documents.schema.json"
KINDS = get_args(documents.Document)


def test_the_committed_schema_is_that_of_the_documents() -> None:
    """Where the promise of saver.documents allows the change, `make schema` writes it anew."""
    assert settled(json.loads(SCHEMA.read_text(encoding="utf-8"))) == settled(schema())


def settled(document: Any) -> Any:
    """The schema without what differs between Pythons and versions of msgspec: margins of texts, the order of
    alternatives."""
    if isinstance(document, dict):
        found = {key: settled(value) for key, value in document.items()}
        if "description" in found and isinstance(found["description"], str):
            found["description"] = inspect.cleandoc(found["description"])
        return found
    if isinstance(document, list):
        return sorted(map(settled, document), key=str)
    return document


def schema() -> dict[str, Any]:
    return msgspec.json.schema(documents.Document)


def test_every_field_is_always_there() -> None:
    for name, shape in schema()["$defs"].items():
        assert set(shape["required"]) == set(shape["properties"]), name


def test_every_document_says_its_name_and_version() -> None:
    names = [kind.__struct_config__.tag for kind in KINDS]
    assert len(set(names)) == len(names)
    assert all(name.startswith("saver.") and name.endswith(".1") for name in names)


@pytest.fixture(autouse=True)
def _store() -> None:
    """The store `models` of this folder, with some of everything that a document can tell."""
    made = saver.Saver("models")
    log = TrainingLog()
    log.append(0, 0, float("nan"), loss=float("inf"))
    log.append(1, 0.5, 1.0, loss=0.5)
    log.mark("resumed", 1, "iris@1", float("nan"))
    weights = np.arange(5000.0)
    made.save("iris", {"scaler": [1], "w": weights, "log": log}, step=1, metrics={"f1": 0.5}, tags=["best"])
    weights = np.where(weights > 4000, np.nan, weights)
    made.save(
        "iris", {"w": weights, "log": log, "more": 1}, step=2, metrics={"f1": float("nan")}, data=weights
    )
    made.save("rose", [np.zeros(500)], tags=["production"], notes="a rose")
    made.delete("rose@1", tags=True)
    made.label("iris@1", {"team": "x"}), made.note("iris", "flowers")
    made.gc(grace=0)
    made.save("rose", [np.zeros(500)], tags=["production"])
    made.export("iris@1", "iris.saver")
    Path("alice.key").write_bytes(private("alice")), Path("alice.pub").write_bytes(public("alice"))


COMMANDS: Mapping[str, type[msgspec.Struct]] = {
    "ls": documents.Models,
    "ls iris": documents.Versions,
    "show iris@2": documents.Description,
    "show iris.saver --verify": documents.Description,
    "diff iris@1 iris@2": documents.Difference,
    "diff iris.saver iris.saver": documents.Difference,
    "tag": documents.Tags,
    "tag iris": documents.Tags,
    "tag iris@1 first": documents.TagMoved,
    "tag iris@2 best": documents.TagMoved,
    "tag --delete iris@best": documents.TagMoved,
    "rm iris@1 --yes --tags": documents.Deleted,
    "rm iris@1.. --yes --tags": documents.Deleted,
    "prune iris --keep-last 1 --keep-best f1 --dry-run": documents.Pruned,
    "prune iris --keep-last 1 --yes": documents.Pruned,
    "log": documents.Log,
    "log iris -n 2": documents.Log,
    "log iris@1 --kind save": documents.Log,
    "rm iris@2 --dry-run": documents.Deleted,
    "label iris@1 a=b": documents.Annotated,
    "label iris owner=ann": documents.Annotated,
    "note iris@2": documents.Annotated,
    "note iris text": documents.Annotated,
    "ls iris --where f1>0 --sort f1": documents.Versions,
    "sign iris@1 --key alice.key": documents.Signed,
    "verify iris@1": documents.Verified,
    "verify iris.saver": documents.Verified,
    "grant models": documents.Granted,
    "grant models alice.pub save grant --sign alice.key": documents.Granted,
    "gc": documents.Collected,
    "gc --dry-run --grace 0": documents.Collected,
    "check": documents.Checked,
    "check --predict": documents.CheckedPredictions,
    "backup models copy": documents.Copied,
    "push iris copy": documents.Pushed,
    "card iris@1": documents.Card,
    "card iris@1 -o card.md": documents.Card,
    "doctor": documents.Diagnosis,
    "doctor iris@1": documents.Diagnosis,
    "doctor models": documents.Diagnosis,
    "init models": documents.Created,
    "init other": documents.Created,
    "export iris@1 other.saver": documents.Exported,
    "export iris@1 iris.npz": documents.Exported,
    "convert iris.saver other.npz": documents.Converted,
    "import iris.saver lily --tag best": documents.Imported,
    "migrate . other": documents.Migrated,
    "plot iris@1": documents.Runs,
    "plot iris@1 iris.saver --metric loss": documents.Runs,
}


REHEARSED = {documents.Rehearsal, documents.Proven}
"""What test_rehearse_command.py and test_rehearse_proof.py hold against their documents."""


KEYED = {documents.MadeKey, documents.Holders}
"""What test_key_command.py holds against their documents."""

PREDICTED = {documents.Scored}
"""What test_predict_command.py prints."""

OF_FILES = {documents.SignedFiles, documents.VerifiedFiles}
"""What test_signing_commands.py prints."""

SERVED = {documents.Serving, documents.MadeToken, documents.Tokens}
"""What test_serve_command.py prints."""


FAILED = {documents.Failed}
"""What commands print that could not do their work, below."""

SHOWN = {documents.Showing}
"""What test_ui_command.py prints."""

OF_PAGES = {
    documents.Trouble, documents.Done, documents.FoundModels, documents.FoundVersions, documents.FoundEntries,
    documents.ShownVersion, documents.ToDelete, documents.Health, documents.Comparison, documents.Curves,
}  # fmt: skip
"""What pages answer, and tests/pages holds against their documents."""


def test_each_document_is_printed_by_a_command() -> None:
    others = {*REHEARSED, *KEYED, *PREDICTED, *OF_FILES, *SERVED, *SHOWN, *FAILED, *OF_PAGES}
    assert {*COMMANDS.values(), *others} == set(KINDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_prints_its_document(command: str) -> None:
    done = run(*command.split(), "--json")
    assert done.exit_code in (0, 1), done.output
    assert type(document_of(done)) is COMMANDS[command]


def test_damage_has_the_same_documents() -> None:
    for path in Path("models", "packs").iterdir():
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    for command in ("check", "backup models copy"):
        found = document_of(run(*command.split(), "--json"))
        assert isinstance(found, documents.Checked | documents.Copied)
        assert found.damage
    shown = document_of(run("show", "iris@1", "--verify", "--json"))
    assert isinstance(shown, documents.Description)
    assert shown.verified is False
    assert shown.damage


def test_a_damaged_log_has_the_same_document() -> None:
    path = Path("models", log_key(2))
    path.write_bytes(path.read_bytes().replace(b"iris", b"rise"))
    found = document_of(run("check", "--json"))
    assert isinstance(found, documents.Checked)
    assert (found.sound, found.versions, len(found.damage)) == (False, None, 1)


def _failed(*command: str) -> documents.Failed:
    done = run(*command, "--json")
    found = document_of(done)
    assert isinstance(found, documents.Failed)
    assert found.exit_code == done.exit_code
    assert done.stderr.startswith(f"error: {found.message}")
    return found


def test_a_command_that_fails_prints_why_and_which_rule_is_broken() -> None:
    data = bytearray(Path("iris.saver").read_bytes())
    data[100] ^= 1
    Path("bad.saver").write_bytes(data)
    found = _failed("show", "bad.saver")
    assert (found.code, found.rule, found.exit_code) == ("damaged", "1.05", 1)
    assert "bad.saver" in found.message
    assert "rule" not in found.message


@pytest.mark.parametrize(
    ("command", "code", "exit_code"),
    [
        ("show iris@9", "not-found", 3), ("ls --store nowhere", "not-found", 3),
        ("tag iris@1 1bad", "misuse", 2),
        ("check iris@1", "misuse", 2), ("show no.saver", "not-found", 3),
    ],
)  # fmt: skip
def test_every_failure_has_the_document(command: str, code: str, exit_code: int) -> None:
    found = _failed(*command.split())
    assert (found.code, found.rule, found.exit_code) == (code, "", exit_code)


def test_what_failed_after_its_document_prints_no_second_one() -> None:
    path = Path("models", log_key(2))
    path.write_bytes(path.read_bytes().replace(b"iris", b"rise"))
    done = run("check", "--json")
    found = document_of(done)
    assert isinstance(found, documents.Checked)
    assert found.damage[0].rule == "5.01"


def test_the_page_names_every_document() -> None:
    page = SCHEMA.with_name("json.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind.__struct_config__.tag}`" not in page] == []
