"""Folders of MLflow whose runs are recorded in a database of SQLite."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_mlflow import model

import saver
from saver.formats.mlflow import database
from saver.storages.memory import MemoryStorage

COLUMNS = {
    "experiments": "experiment_id INTEGER, name, artifact_location, lifecycle_stage, creation_time BIGINT",
    "runs": "run_uuid, name, source_type, user_id, status, start_time BIGINT, end_time BIGINT, "
    "lifecycle_stage, artifact_uri, experiment_id INTEGER",
    "params": "key, value, run_uuid",
    "tags": "key, value, run_uuid",
    "metrics": "key, value FLOAT, timestamp BIGINT, run_uuid, step BIGINT, is_nan BOOLEAN",
    "latest_metrics": "key, value FLOAT, timestamp BIGINT, step BIGINT, is_nan BOOLEAN, run_uuid",
    "logged_models": "model_id, experiment_id INTEGER, name, artifact_location, "
    "creation_timestamp_ms BIGINT, source_run_id",
    "logged_model_params": "model_id, experiment_id INTEGER, param_key, param_value",
    "logged_model_tags": "model_id, experiment_id INTEGER, tag_key, tag_value",
    "logged_model_metrics": "model_id, metric_name, metric_timestamp_ms BIGINT, metric_step BIGINT, "
    "metric_value FLOAT",
    "registered_models": "name, creation_time BIGINT, description",
    "model_versions": "name, version INTEGER, creation_time BIGINT, description, current_stage, source, "
    "run_id, storage_location",
    "registered_model_aliases": "alias, version INTEGER, name",
}
"""Tables of MLflow 3.17, with those of their columns that matter."""

A, B = "a" * 32, "b" * 32
ELSEWHERE = "/elsewhere/mlruns/1"

ROWS: dict[str, list[tuple[Any, ...]]] = {
    "experiments": [(0, "Default", "", "active", 1), (1, "fraud", ELSEWHERE, "active", 2)],
    "runs": [
        (A, "try 100", "LOCAL", "eve", "FINISHED", 1690000000000, 1690000001000, "active",
         f"{ELSEWHERE}/{A}/artifacts", 1),
        (B, "try 200", "LOCAL", "eve", "FINISHED", 1690000002000, None, "active",
         f"file://{ELSEWHERE}/{B}/artifacts", 1),
    ],
    "params": [("C", "1.0", A), ("C", "2.0", B), ("long", "x" * 300, A)],
    "tags": [("team", "risk", A), ("mlflow.user", "bob", A), ("mlflow.note.content", "a note", A)],
    "metrics": [("auc", 0.5, 1, A, 1, 0), ("auc", 0.1, 2, A, 2, 0), ("auc", 0.2, 2, B, 2, 0)],
    "latest_metrics": [("auc", 0.1, 2, 2, 0, A), ("val/loss", 0.0, 2, 2, 1, A), ("auc", 0.2, 2, 2, 0, B)],
    "logged_models": [("m-7", 1, "net", f"{ELSEWHERE}/models/m-7/artifacts", 1600000000000, A)],
    "logged_model_params": [("m-7", 1, "depth", "3")],
    "logged_model_tags": [("m-7", 1, "kind", "mlp")],
    "logged_model_metrics": [("m-7", "f1", 1, 1, 0.5), ("m-7", "f1", 2, 2, 0.75)],
    "registered_models": [("fraud-clf", 5, "what it is for")],
    "model_versions": [
        ("fraud-clf", 1, 1700000005000, "the best", "Production", f"runs:/{B}/model", B,
         f"{ELSEWHERE}/{B}/artifacts/model"),
        ("fraud-clf", 2, 1700000006000, None, "None", "models:/m-7", A, f"{ELSEWHERE}/models/m-7/artifacts"),
        ("fraud-clf", 3, 1700000007000, None, "None", "models:/m-7", A, f"{ELSEWHERE}/models/m-7/artifacts"),
        ("gone", 1, 1, None, "None", "s3://bucket/1/x/artifacts", A, "s3://bucket/9/x/artifacts"),
    ],
    "registered_model_aliases": [("champion", 1, "fraud-clf")],
}  # fmt: skip


def fill(path: Path, **changed: str) -> None:
    """A database; `changed` are other statements than the usual ones that make a table."""
    with closing(sqlite3.connect(path)) as opened, opened:
        for table, columns in COLUMNS.items():
            made = changed.get(table, f"CREATE TABLE {table} ({columns})")
            opened.execute(made)
            if made.startswith("CREATE TABLE") and ROWS[table]:
                marks = ", ".join("?" * len(ROWS[table][0]))
                opened.executemany(f"INSERT INTO {table} VALUES ({marks})", ROWS[table])


@pytest.fixture(params=["mlruns", "mlartifacts"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What MLflow 3 leaves behind: a database, and the files of two runs and a logged model."""
    root = tmp_path / "work"
    model(root / request.param / "1" / A / "artifacts" / "model", {"w": np.full(3, 100)}, A)
    model(root / request.param / "1" / B / "artifacts" / "model", {"w": np.full(3, 200)}, B)
    model(root / request.param / "1" / "models" / "m-7" / "artifacts", {"w": np.full(3, 7)})
    fill(root / "mlflow.db")
    return root


def migrated(folder: Path) -> tuple[saver.Saver, Any]:
    store = saver.Saver(MemoryStorage())
    return store, saver.migrate(folder, store)


@pytest.mark.parametrize("above", [True, False])
def test_runs_models_and_registry_come_with_what_the_database_records(above: bool, folder: Path) -> None:
    store, found = migrated(folder.parent if above else folder)
    assert store.models() == ["fraud-clf", "fraud/model"]
    run, registered = store.version("fraud/model"), store.version("fraud-clf@champion")
    assert (run.labels["mlflow.run"], run.labels["mlflow.run-name"]) == (A, "try 100")
    assert (run.labels["param.C"], run.labels["team"], run.author, run.notes) == (
        "1.0",
        "risk",
        "bob",
        "a note",
    )
    assert run.metrics["auc"] == 0.1
    assert np.isnan(run.metrics["val/loss"])
    assert (registered.labels["mlflow.stage"], registered.labels["mlflow.version"]) == ("Production", "1")
    assert (registered.labels["mlflow.run"], registered.metrics["auc"], registered.author) == (B, 0.2, "eve")
    assert registered.notes == "what it is for\n\nthe best"
    assert store.load("fraud-clf@champion")["w"][0] == 200
    logged = next(each for each in store.versions("fraud-clf") if "mlflow.model" in each.labels)
    assert (logged.labels["mlflow.model"], logged.labels["mlflow.version"]) == ("m-7", "2")
    assert (logged.labels["param.depth"], logged.labels["param.C"], logged.labels["kind"]) == (
        "3",
        "1.0",
        "mlp",
    )
    assert (logged.metrics["f1"], logged.metrics["auc"], logged.labels["mlflow.run"]) == (0.75, 0.1, A)
    assert store.load(logged)["w"][0] == 7
    losses = {str(loss) for each in found.came for loss in each.losses}
    assert "metrics.auc: its history: 2 values, of which the last is kept" in losses
    assert any(loss.startswith("param.long: ") for loss in losses)
    assert "models: it is fraud-clf 3 too" in losses
    assert not found.refused
    assert not found.left


def test_a_database_is_only_read(folder: Path) -> None:
    before = (folder / "mlflow.db").read_bytes()
    migrated(folder)
    assert (folder / "mlflow.db").read_bytes() == before
    assert [path.name for path in folder.glob("mlflow.db*")] == ["mlflow.db"]


def test_what_is_not_in_the_database_yet_is_a_loss(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "mlflow.db")) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("UPDATE params SET value = '9'")
        writer.commit()
        _, found = migrated(folder)
    losses = {str(loss) for each in found.came for loss in each.losses}
    assert any(loss.startswith("mlflow.db-wal: what MLflow wrote last") for loss in losses)


SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
HOSTILE = {
    "a view": {"runs": "CREATE VIEW runs AS SELECT 1 AS run_uuid"},
    "a view without an end": {
        "params": f"CREATE VIEW params AS {SLOW} SELECT i AS key, i AS value, i AS run_uuid FROM n"
    },
    "a view that calls": {
        "tags": "CREATE VIEW tags AS SELECT load_extension('x') AS key, 1 AS value, 2 AS run_uuid"
    },
    "a column less": {"runs": "CREATE TABLE runs (run_uuid)"},
    "a huge text": {
        "experiments": "CREATE VIEW experiments AS "
        "SELECT 1 AS experiment_id, hex(zeroblob(900000000)) AS name"
    },
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_database_is_passed_over_in_bounded_time(what: str, folder: Path) -> None:
    (folder / "mlflow.db").unlink()
    with pytest.MonkeyPatch.context() as patch:
        for table in HOSTILE[what]:
            patch.setitem(ROWS, table, [])
        fill(folder / "mlflow.db", **HOSTILE[what])
    started = time.process_time()
    assert database.around(str(folder), "mlflow.db") is None
    assert time.process_time() - started < 60
    store, found = migrated(folder)
    assert len(found.came) == 3
    assert all(
        "mlflow.run" not in version.labels for name in store.models() for version in store.versions(name)
    )


@pytest.mark.parametrize(
    "uri", ["../../../etc", "/1/../../x/artifacts", "file:///1/./artifacts", "", "x" * 100_000]
)
def test_places_outside_do_not_count(uri: str, tmp_path: Path) -> None:
    (tmp_path / "x" / "artifacts").mkdir(parents=True)
    assert database._below(str(tmp_path / "x"), uri) == ""


def test_links_and_other_files_are_not_opened(folder: Path, tmp_path: Path) -> None:
    shutil.move(folder / "mlflow.db", tmp_path / "other.db")
    (folder / "mlflow.db").symlink_to(tmp_path / "other.db")
    (folder / "notes.db").write_bytes(b"SQLite format 3\0 and no more")
    (folder / "empty.sqlite").write_bytes(b"")
    store, _ = migrated(folder)
    assert all(
        "mlflow.run" not in version.labels for name in store.models() for version in store.versions(name)
    )


def test_a_database_that_was_changed_anywhere_is_read_or_passed_over(folder: Path) -> None:
    rng, path = random.Random(0), folder / "mlflow.db"
    good = path.read_bytes()
    places = {*range(200), *(rng.randrange(len(good)) for _ in range(300))}
    for at in sorted(places):
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1 :])
        database.around(str(folder), "mlflow.db")
    for cut in range(0, len(good), 977):
        path.write_bytes(good[:cut])
        database.around(str(folder), "mlflow.db")
