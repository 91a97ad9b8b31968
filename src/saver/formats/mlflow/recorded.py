"""What MLflow records of a model, as a version of a store has it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from saver.format import Loss, Recorded

COUNT = 10_000
"""So many metrics, parameters or tags of a run are read."""

KEPT = 64 << 10
"""Bytes of a parameter or a tag."""

PLACE = re.compile(r"(?:.*?/)?([^/]+)/((?:models/)?[^/]+)/artifacts(?:/(.*))?")
"""Where artifacts are: an experiment, a run or logged model of it, and the place below."""

_KEY = re.compile(r"[^A-Za-z0-9_.+-]+")


def text_of(meta: Mapping[str, Any] | None, key: str) -> str:
    """A text or a number as text; "" if there is none."""
    value = None if meta is None else meta.get(key)
    return str(value) if type(value) in (str, int) else ""


def time_of(meta: Mapping[str, Any], *keys: str) -> float | None:
    """A time of MLflow, in milliseconds."""
    found = next((meta[key] for key in keys if type(meta.get(key)) is int), None)
    return None if found is None or abs(found) > 1 << 53 else found / 1000


def annotated(
    ident: str, name: str, tags: Mapping[str, str], params: Mapping[str, str], metrics: Mapping[str, float],
    losses: Sequence[Loss],
) -> Recorded:  # fmt: skip
    """Metrics, parameters and tags of a run or a logged model."""
    own = {key: text for key, text in tags.items() if not key.startswith("mlflow.")}
    labels = {"mlflow.run": ident, "mlflow.run-name": name or tags.get("mlflow.runName", "")}
    labels |= {f"param.{_KEY.sub('_', key)}": text for key, text in params.items()}
    labels |= {_KEY.sub("_", key): text for key, text in own.items()}
    return Recorded(
        ident=ident, author=tags.get("mlflow.user", ""), notes=tags.get("mlflow.note.content", ""),
        metrics=dict(metrics), labels={key: text for key, text in labels.items() if text},
        losses=tuple(losses),
    )  # fmt: skip


def of_run(found: Recorded, experiment: str, meta: Mapping[str, Any], author: str) -> Recorded:
    """A run of an experiment: `found`, with its times."""
    return msgspec.structs.replace(
        found, model=experiment, time=time_of(meta, "end_time", "start_time"), author=found.author or author
    )


def with_run(own: Recorded, name: str, time: float | None, run: Recorded | None) -> Recorded:
    """A logged model, with what its run recorded."""
    of = Recorded() if run is None else run
    labels = {**own.labels, "mlflow.model": own.ident} | dict(of.labels)
    if run is None:
        labels.pop("mlflow.run", None)
    return Recorded(
        ident=own.ident, model=name, time=time, author=of.author or own.author,
        metrics={**of.metrics, **own.metrics}, labels=labels,
        notes=of.notes or own.notes, losses=(*of.losses, *own.losses),
    )  # fmt: skip


def place_below(folder: str, match: re.Match[str]) -> str:
    """The place of artifacts below a folder, as MLflow's own machine called it; "" if it is not there."""
    experiment, owner, rest = match[1], match[2], match[3]
    pieces = [experiment, *owner.split("/"), "artifacts", *(rest.strip("/").split("/") if rest else ())]
    is_there = not {"..", ".", ""} & {*pieces} and os.path.isdir(os.path.join(folder, *pieces))
    return "/".join(pieces) if is_there else ""


def registered(meta: Mapping[str, Any], about: Mapping[str, Any], name: str, tags: Sequence[str]) -> Recorded:
    """A version of a registered model; its aliases are `tags`."""
    number, stage = text_of(meta, "version"), text_of(meta, "current_stage")
    labels = {"mlflow.version": number} | ({"mlflow.stage": stage} if stage not in ("", "None") else {})
    notes = [each for each in (text_of(about, "description"), text_of(meta, "description")) if each]
    return Recorded(
        ident=f"{name}/{number}", model=name, given=True, time=time_of(meta, "creation_timestamp"),
        labels=labels, tags=tuple(tags), notes="\n\n".join(notes),
    )  # fmt: skip
