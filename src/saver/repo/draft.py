"""A version that is to be saved, as data: what a store or a file is given to write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from saver.repo.manifest import Part
from saver.tree import TensorData, Value


class EncodedPart(msgspec.Struct, frozen=True):
    """A part as data: its tree, the batches that belong to it, the names of its tensors, and the import names
    of the packages that its classes come from. `version` is its number in a file; a store counts for itself.
    """

    tree: Value
    batches: Mapping[str, Value]
    tensors: tuple[str, ...]
    packages: tuple[str, ...] = ()
    version: int = 1

    def described(self, digest: str, version: int) -> Part:
        """The part as it stands in a manifest, once the hashes of its tensors are known."""
        return Part(self.tree, digest, version, self.batches, self.packages)


class Encoded(msgspec.Struct, frozen=True):
    """An object as data. `whole` says that the parts were one mapping; `seeds` are those of estimators, by
    path.
    """

    parts: Mapping[str, EncodedPart]
    tensors: Mapping[str, TensorData]
    whole: bool
    seeds: Mapping[str, int] = {}

    @property
    def packages(self) -> set[str]:
        """All packages that classes come from."""
        return {package for part in self.parts.values() for package in part.packages}


class Draft(msgspec.Struct, kw_only=True, frozen=True):
    """A version to be saved. `bases` are refs of versions, of any model, that may share tensors with it.

    `time` is in seconds since 1970, UTC; the other fields are those of a manifest.
    """

    model: str
    encoded: Encoded
    time: float
    environment: Mapping[str, Any]
    author: str = ""
    step: int | None = None
    metrics: Mapping[str, float] = {}
    tags: tuple[str, ...] = ()
    notes: str = ""
    data: Mapping[str, Any] = {}
    bases: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = {}
