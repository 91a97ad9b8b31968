"""What is to be saved, as data: parts and tensors for a stage, and what a commit says of the version."""

from __future__ import annotations

from typing import Any

import msgspec

from saver.tree import TensorData


class DraftPart(msgspec.Struct):
    """A part to be saved: its tree, the batches that belong to it, and the names of its tensors."""

    tree: Any
    batches: dict[str, Any]
    packages: tuple[str, ...]
    tensors: list[str]


class Details(msgspec.Struct, kw_only=True):
    """What is said of a version. `whole` says that its parts were one mapping; `time` is Unix time, UTC, when
    it was made.
    """

    model: str
    whole: bool
    time: float
    environment: dict[str, Any]
    author: str = ""
    step: int | None = None
    metrics: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    notes: str = ""
    data: dict[str, Any] = {}
    unknown: dict[str, Any] = {}


class Draft(Details, kw_only=True):
    """A version to be saved, whole. `bases` are refs of versions, of any model, that may share tensors with
    it.
    """

    parts: dict[str, DraftPart]
    tensors: dict[str, TensorData]
    bases: tuple[str, ...] = ()
