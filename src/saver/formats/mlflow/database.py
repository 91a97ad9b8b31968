"""What a database of MLflow records: runs, logged models, and the registry of models. It is a file of SQLite,
and their files are in folders beside it, as with the file store.
"""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from saver.format import Around, Loss, Recorded
from saver.formats.mlflow.recorded import (
    COUNT,
    KEPT,
    PLACE,
    annotated,
    of_run,
    place_below,
    registered,
    time_of,
    with_run,
)  # fmt: skip

ENDINGS = (".db", ".sqlite", ".sqlite3")
_MAGIC = b"SQLite format 3\0"
_TABLES = {"experiments", "runs", "params", "tags", "latest_metrics"}
"""Tables that every database of MLflow has since 1.0."""

_ROWS = 1_000_000
_STEPS = 100
"""Millions of steps of SQLite's machine that reading may take: some ten seconds."""

_ROOTS = ("mlruns", "mlartifacts", "")
"""The folders beside a database that artifacts are put into, unless the server has another place for them."""

_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ}


def around(folder: str, name: str) -> Around | None:
    """What the file `name` records of the models below the folder it is in; None if it is not a database of
    MLflow, or cannot be read."""
    path = os.path.join(folder, name)
    if not _is_sqlite(path):
        return None
    try:
        with closing(
            sqlite3.connect(f"file:{quote(os.path.abspath(path))}?mode=ro&immutable=1", uri=True)
        ) as opened:
            _restrict(opened)
            database = _Database(opened)
            if not database.tables >= _TABLES:
                return None
            records = database.records(folder)
    except (sqlite3.Error, OverflowError, UnicodeDecodeError):
        return None
    late = f"{path}-wal"
    if os.path.isfile(late) and os.path.getsize(late):
        why = Loss(f"{name}-wal", "what MLflow wrote last; end MLflow, which moves it into the database")
        records = {at: _with_loss(each, why) for at, each in records.items()}
    return Around(records, [name])


def _with_loss(found: Recorded, loss: Loss) -> Recorded:
    return replace(found, losses=(*found.losses, loss))


def _is_sqlite(path: str) -> bool:
    """Whether a file is a database of SQLite; not a link, and nothing that blocks a reader."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _restrict(opened: sqlite3.Connection) -> None:
    """Let statements read tables and nothing else, whatever the schema of the file says, and not for long."""
    left = [_STEPS]

    def step() -> bool:
        left[0] -= 1
        return left[0] < 0

    def allows(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        known = action in _ALLOWED or (action == sqlite3.SQLITE_FUNCTION and second in ("substr", "count"))
        return sqlite3.SQLITE_OK if known else sqlite3.SQLITE_DENY

    opened.execute("PRAGMA trusted_schema=OFF")
    opened.execute("PRAGMA cell_size_check=ON")
    opened.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 16 << 20)
    opened.set_progress_handler(step, 1_000_000)
    opened.set_authorizer(allows)


class _Database:
    """The rows of a database that is open."""

    def __init__(self, opened: sqlite3.Connection) -> None:
        self._opened = opened
        found = self._opened.execute(
            "SELECT name, substr(sql, 1, 20) FROM sqlite_master WHERE type = 'table'"
        )
        self.tables = {name for name, sql in found if not str(sql).upper().startswith("CREATE VIRTUAL")}

    def records(self, folder: str) -> dict[str, Recorded]:
        """What is recorded of models below a folder, by their places."""
        experiments = dict(self._rows("experiments", "experiment_id", "name"))
        runs = {
            str(row["run_uuid"]): self._run(row, experiments)
            for row in self._named(
                "runs",
                "run_uuid",
                "name",
                "user_id",
                "start_time",
                "end_time",
                "artifact_uri",
                "experiment_id",
            )
        }
        found = {at: run for at, run in ((_below(folder, uri), run) for run, uri in runs.values()) if at}
        found |= self._logged(folder, {ident: run for ident, (run, _) in runs.items()}, experiments)
        for at, each in self._registered(folder).items():
            found[at] = found[at].joined(each) if at in found else each
        return found

    def _run(self, row: Mapping[str, Any], experiments: Mapping[Any, Any]) -> tuple[Recorded, str]:
        ident = str(row["run_uuid"])
        losses: list[Loss] = []
        tags = self._texts("tags", "key", "value", "run_uuid", ident, losses)
        params = self._texts("params", "key", "value", "run_uuid", ident, losses)
        metrics = self._metrics(ident, losses)
        own = annotated(ident, str(row["name"] or ""), tags, params, metrics, losses)
        where = str(experiments.get(row["experiment_id"], row["experiment_id"]))
        return of_run(own, where, row, str(row["user_id"] or "")), str(row["artifact_uri"] or "")

    def _metrics(self, run: str, losses: list[Loss]) -> dict[str, float]:
        found: dict[str, float] = {}
        counts = dict(self._some("metrics", "key, count(*)", "run_uuid", run, " GROUP BY key"))
        for key, value, is_nan in self._some("latest_metrics", "key, value, is_nan", "run_uuid", run):
            if len(found) == COUNT:
                losses.append(Loss("metrics", f"only {COUNT:,} of them are read"))
                break
            found[str(key)] = math.nan if is_nan else float(value)
            if counts.get(key, 1) > 1:
                what = f"its history: {counts[key]:,} values, of which the last is kept"
                losses.append(Loss(f"metrics.{key}", what))
        return found

    def _logged(
        self, folder: str, runs: Mapping[str, Recorded], experiments: Mapping[Any, Any]
    ) -> dict[str, Recorded]:
        """The logged models of MLflow 3, with what their runs recorded."""
        found: dict[str, Recorded] = {}
        for row in self._named(
            "logged_models", "model_id", "experiment_id", "name", "artifact_location",
            "creation_timestamp_ms", "source_run_id",
        ):  # fmt: skip
            at = _below(folder, str(row["artifact_location"]))
            if at:
                where = str(experiments.get(row["experiment_id"], row["experiment_id"]))
                own, run = self._of_model(str(row["model_id"])), runs.get(str(row["source_run_id"]))
                time = time_of(row, "creation_timestamp_ms")
                found[at] = with_run(own, f"{where}/{row['name'] or 'model'}", time, run)
        return found

    def _of_model(self, ident: str) -> Recorded:
        """What is recorded of a logged model itself."""
        losses: list[Loss] = []
        tags = self._texts("logged_model_tags", "tag_key", "tag_value", "model_id", ident, losses)
        params = self._texts("logged_model_params", "param_key", "param_value", "model_id", ident, losses)
        rows = self._some(
            "logged_model_metrics", "metric_name, metric_value", "model_id", ident, " ORDER BY metric_step"
        )
        metrics = {str(name): math.nan if value is None else float(value) for name, value in rows}
        return annotated(ident, "", tags, params, metrics, losses)

    def _registered(self, folder: str) -> dict[str, Recorded]:
        """Registered models, by the places of their files."""
        found: dict[str, Recorded] = {}
        about = dict(self._rows("registered_models", "name", "description"))
        aliases = list(self._rows("registered_model_aliases", "alias", "version", "name"))
        columns = (
            "name",
            "version",
            "creation_time",
            "description",
            "current_stage",
            "source",
            "storage_location",
        )
        for row in self._named("model_versions", *columns):
            name, number = str(row["name"]), row["version"]
            at = _below(folder, str(row["storage_location"] or "")) or _below(
                folder, str(row["source"] or "")
            )
            if not at:
                continue
            tags = [str(alias) for alias, version, model in aliases if (model, version) == (name, number)]
            meta = {key: item for key, item in row.items() if item is not None}
            meta["creation_timestamp"] = row["creation_time"]
            if at in found:
                found[at] = _with_loss(found[at], Loss("models", f"it is {name} {number} too"))
            else:
                found[at] = registered(meta, {"description": about.get(name) or ""}, name, tags)
        return found

    def _texts(
        self, table: str, key: str, value: str, owner: str, ident: str, losses: list[Loss]
    ) -> dict[str, str]:
        columns = f"{key}, substr({value}, 1, {KEPT})"
        rows = list(self._some(table, columns, owner, ident, f" LIMIT {COUNT + 1}"))
        if len(rows) > COUNT:
            losses.append(Loss(table, f"only {COUNT:,} of them are read"))
        return {str(name): str(text) for name, text in rows[:COUNT] if text is not None}

    def _some(
        self, table: str, columns: str, owner: str, ident: str, rest: str = ""
    ) -> Iterator[tuple[Any, ...]]:
        if table in self.tables:
            yield from self._opened.execute(
                f"SELECT {columns} FROM {table} WHERE {owner} = ?{rest}", (ident,)
            )

    def _rows(self, table: str, *columns: str) -> Iterator[tuple[Any, ...]]:
        if table in self.tables:
            yield from self._opened.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT {_ROWS}")

    def _named(self, table: str, *columns: str) -> Iterator[dict[str, Any]]:
        for row in self._rows(table, *columns):
            yield dict(zip(columns, row, strict=True))


def _below(folder: str, uri: str) -> str:
    """Where artifacts are, below a folder; "" if they are not there."""
    match = PLACE.fullmatch(uri)
    if match is None:
        return ""
    places = (place_below(os.path.join(folder, root), match) for root in _ROOTS)
    return next(
        ("/".join(filter(None, (root, at))) for root, at in zip(_ROOTS, places, strict=True) if at), ""
    )
