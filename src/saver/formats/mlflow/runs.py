"""What the folders of MLflow record: runs, logged models, and the registry of models.

They are those of its file store, `mlruns`, as all versions since 1.0 write it, or of a database beside that.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from saver.format import Around, Loss, Recorded
from saver.formats.mlflow import database
from saver.formats.mlflow.recorded import (
    COUNT,
    KEPT,
    PLACE,
    annotated,
    of_run,
    place_below,
    registered,
    text_of,
    time_of,
    with_run,
)  # fmt: skip
from saver.formats.mlflow.yaml import NotReadError, parse

META, MLMODEL = "meta.yaml", "MLmodel"
_BESIDE = {
    "conda.yaml": "the environment", "python_env.yaml": "the environment",
    "requirements.txt": "the environment", "input_example.json": "an example of the input",
    "serving_input_example.json": "an example of the input",
    "registered_model_meta": "the name under which it was loaded",
}  # fmt: skip
"""What MLflow writes beside a model, and what that is."""

LIMIT = 4 << 20
_DEPTH = 8


def around(folder: str, names: Sequence[str]) -> Around | None:
    """What a folder records of models below it, if it is one of MLflow's."""
    if MLMODEL in names:
        return _model(folder, names)
    databases = (database.around(folder, name) for name in names if name.endswith(database.ENDINGS))
    found = next((each for each in databases if each is not None), None)
    if found is not None:
        return found
    if "models" in names and META not in names:
        return _registry(folder)
    meta = read_meta(folder) if META in names else None
    if meta is None:
        return None
    if text_of(meta, "run_id") and "artifact_uri" in meta:
        run = _run(folder, meta)
        return Around({"artifacts": run}, [name for name in names if name != "artifacts"])
    if text_of(meta, "model_id") and "artifacts" in names:
        return Around({"artifacts": _logged(folder, meta)}, [name for name in names if name != "artifacts"])
    return Around({}, [META]) if "experiment_id" in meta else None


def _model(folder: str, names: Sequence[str]) -> Around:
    """A model folder: its time, and the files in it for which a version has no room."""
    meta = read_meta(folder, MLMODEL) or {}
    losses = [Loss(name, _BESIDE[name]) for name in names if name in _BESIDE]
    losses += [Loss("signature", "what goes in and what comes out")] if meta.get("signature") else []
    time = None
    try:
        created = datetime.fromisoformat(text_of(meta, "utc_time_created"))
        time = created.replace(tzinfo=created.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        pass
    read = [name for name in names if name in _BESIDE or name == MLMODEL]
    return Around({"": Recorded(time=time, losses=tuple(losses))}, read)


def read_text(path: str, limit: int = LIMIT) -> str | None:
    """The end of a file, at most so many bytes; None if it is not a regular file, or a link."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, flags)
    except OSError:
        return None
    with os.fdopen(file, "rb") as opened:
        state = os.fstat(file)
        if not stat.S_ISREG(state.st_mode):
            return None
        opened.seek(max(0, state.st_size - limit))
        return opened.read(limit).decode("utf-8", "replace")


def read_meta(folder: str, name: str = META) -> dict[str, Any] | None:
    """What a file of MLflow says of its folder; None if it is not there, or cannot be read."""
    text = read_text(os.path.join(folder, name))
    try:
        return None if text is None else parse(text)
    except NotReadError:
        return None


def _experiment(folder: str) -> str:
    return text_of(read_meta(folder), "name") or os.path.basename(folder)


def _files(folder: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The names of all files below a folder, sorted, with `/` between, and their paths. Links to folders are
    left out."""
    if depth > _DEPTH or os.path.islink(folder) or not os.path.isdir(folder):
        return
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            yield from ((f"{name}/{inner}", found) for inner, found in _files(path, depth + 1))
        else:
            yield name, path


def _values(folder: str, losses: list[Loss]) -> dict[str, str]:
    """The contents of the files in a folder, by their names."""
    found: dict[str, str] = {}
    for name, path in _files(folder):
        if len(found) == COUNT:
            losses.append(Loss(os.path.basename(folder), f"only {COUNT:,} of them are read"))
            break
        text = read_text(path, KEPT)
        if text is not None:
            found[name] = text
    return found


def _metrics(folder: str, losses: list[Loss]) -> dict[str, float]:
    """The last value of each metric; those before are losses."""
    found: dict[str, float] = {}
    for name, path in _files(folder):
        if len(found) == COUNT:
            losses.append(Loss("metrics", f"only {COUNT:,} of them are read"))
            break
        points = [
            point for line in (read_text(path) or "").splitlines() if (point := _point(line)) is not None
        ]
        if not points:
            losses.append(Loss(f"metrics.{name}", "its file has no values that can be read"))
            continue
        found[name] = max(points, key=lambda point: point[:2])[2]
        if len(points) > 1:
            losses.append(
                Loss(f"metrics.{name}", f"its history: {len(points):,} values, of which the last is kept")
            )
    return found


def _point(line: str) -> tuple[int, int, float] | None:
    """Step, time and value: a line has the time, the value and, since 1.0, the step."""
    pieces = line.split(" ")
    try:
        return int(pieces[2]) if len(pieces) > 2 else 0, int(pieces[0]), float(pieces[1])
    except (ValueError, IndexError):
        return None


def _annotated(folder: str, ident: str, name: str) -> Recorded:
    """Metrics, parameters and tags of a run or a logged model."""
    losses: list[Loss] = []
    tags = _values(os.path.join(folder, "tags"), losses)
    params = _values(os.path.join(folder, "params"), losses)
    metrics = _metrics(os.path.join(folder, "metrics"), losses)
    return annotated(ident, name, tags, params, metrics, losses)


def _run(folder: str, meta: Mapping[str, Any]) -> Recorded:
    found = _annotated(folder, text_of(meta, "run_id"), text_of(meta, "run_name"))
    return of_run(found, _experiment(os.path.dirname(folder)), meta, text_of(meta, "user_id"))


def _logged(folder: str, meta: Mapping[str, Any]) -> Recorded:
    """A logged model of MLflow 3, with what its run recorded."""
    experiment = os.path.dirname(os.path.dirname(folder))
    run = os.path.join(experiment, os.path.basename(text_of(meta, "source_run_id")) or "-")
    about = read_meta(run)
    own = _annotated(folder, text_of(meta, "model_id"), "")
    name = f"{_experiment(experiment)}/{text_of(meta, 'name') or 'model'}"
    return with_run(
        own, name, time_of(meta, "creation_timestamp"), None if about is None else _run(run, about)
    )


def _registry(folder: str) -> Around | None:
    """Registered models, by the places of their files."""
    records: dict[str, Recorded] = {}
    read = [f"models/{name}" for name in sorted(os.listdir(os.path.join(folder, "models")))]
    found = [place for place in read if _versions(os.path.join(folder, *place.split("/")))]
    for place in found:
        model = os.path.join(folder, *place.split("/"))
        about = read_meta(model) or {}
        aliases = _values(os.path.join(model, "aliases"), [])
        for version in _versions(model):
            meta = read_meta(os.path.join(model, version)) or {}
            for at in _places(folder, meta):
                name = text_of(meta, "name") or os.path.basename(model)
                tags = [
                    alias for alias, number in aliases.items() if number.strip() == text_of(meta, "version")
                ]
                if at in records:
                    records[at] = replace(
                        records[at], losses=(Loss("models", f"it is {name} {version} too"),)
                    )
                else:
                    records[at] = registered(meta, about, name, tags)
    return Around(records, found) if found else None


def _versions(model: str) -> list[str]:
    if os.path.islink(model) or not os.path.isdir(model):
        return []
    return sorted(name for name in os.listdir(model) if re.fullmatch(r"version-[0-9]{1,9}", name))


def _places(folder: str, meta: Mapping[str, Any]) -> list[str]:
    """Where the files of a registered version are, below the folder; its records have the path on the machine
    that wrote them."""
    for key in ("storage_location", "source"):
        match = PLACE.fullmatch(text_of(meta, key))
        place = "" if match is None else place_below(folder, match)
        if place:
            return [place]
    return []
