"""What the log tells of a version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from saver.repo.log import PartVersion

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable saved state of a model. Its `str` is its ref: `iris@3`.

    `time` is Unix time, UTC. `parts` says by name which number, hash and size in bytes each part has.
    `bytes` is what the version is large, `bytes_added` what the store grew by when it was saved. `parent`
    is the number of the version before it. `manifest` names the document that describes it whole, `packs`
    the packs with its tensors.
    """

    model: str
    number: int
    time: float
    step: int | None
    author: str
    metrics: dict[str, float]
    tags: tuple[str, ...]
    notes: str
    parts: dict[str, PartVersion]
    bytes: int
    bytes_added: int
    parent: int | None
    manifest: str
    packs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"


def from_state(model: str, number: int, value: Mapping[str, Any], tags: tuple[str, ...]) -> Version:
    """The version that a value of the state describes."""
    return Version(
        model=model,
        number=number,
        time=value["time"],
        step=value.get("step"),
        author=value.get("author", ""),
        metrics={name: number_of(metric) for name, metric in value.get("metrics", {}).items()},
        tags=tags,
        notes=value.get("notes", ""),
        parts={name: msgspec.convert(part, PartVersion) for name, part in value["parts"].items()},
        bytes=value.get("bytes", 0),
        bytes_added=value.get("bytes_added", 0),
        parent=value.get("parent"),
        manifest=value["manifest"],
        packs=tuple(value.get("packs", ())),
    )


def number_of(metric: float | str) -> float:
    """A metric as a float; JSON has no word for those that are not finite."""
    return _NOT_FINITE.get(metric, math.nan) if isinstance(metric, str) else float(metric)


def plain_metric(value: float) -> float | str:
    """A metric as it stands in documents."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
