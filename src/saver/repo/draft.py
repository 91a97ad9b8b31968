"""A version to be saved, as data: its content and its details."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from saver.repo.manifest import Part
from saver.signing.signatures import Signature
from saver.tensors import Cut, Hashed, ShardedData, TensorData, in_shards


class EncodedPart(msgspec.Struct, frozen=True):
    """A part as data: its tree and the batches that belong to it, as canonical JSON; the names of its
    tensors, and the import names of the packages that its classes come from. `version` is its number in a
    file; a store assigns its own.
    """

    tree: msgspec.Raw
    batches: Mapping[str, msgspec.Raw]
    tensors: tuple[str, ...]
    packages: tuple[str, ...] = ()
    version: int = 1

    def described(self, digest: str, version: int) -> Part:
        """The part as it is written in a manifest, once the hashes of its tensors are known."""
        return Part(
            tree=self.tree, hash=digest, version=version, batches=self.batches, packages=self.packages
        )


class Encoded(msgspec.Struct, frozen=True):
    """An object as data. `whole` says that the parts came from one mapping; `seeds` are those of
    estimators, by path. `sharded` are tensors to be saved as several shards, whose boxes must tile them.
    `hashed` are the hashes of all shards, if they are known and the bytes cannot change. `others` are the
    names of further tensors of the object, which are staged apart. `compress` says whether what is written is
    compressed (None: as the store says).
    """

    parts: Mapping[str, EncodedPart]
    tensors: Mapping[str, TensorData]
    whole: bool
    seeds: Mapping[str, int] = {}
    sharded: Mapping[str, ShardedData] = {}
    hashed: Mapping[str, Hashed] = {}
    others: Collection[str] = ()
    compress: bool | None = None

    @property
    def stored(self) -> dict[str, TensorData | ShardedData]:
        """All tensors."""
        return {**self.tensors, **self.sharded}

    def in_shards(self) -> tuple[dict[str, TensorData], dict[str, Cut]]:
        """The shards of all tensors by their names in packs, and how the tensors are cut. Others may have
        further boxes of them."""
        return in_shards(self.stored, tiling=False, taken=self.others)

    @property
    def packages(self) -> set[str]:
        """All packages that classes come from."""
        return {package for part in self.parts.values() for package in part.packages}


class Details(msgspec.Struct, kw_only=True, frozen=True):
    """The details of a version. `time` is in seconds since 1970, UTC; the other fields are those of a
    manifest. `number` is the one that it must get (None: the next), and `part_numbers` are those that its
    parts get, unless their next one is larger. `signatures` are those that it has from another store.
    """

    model: str
    time: float
    environment: Mapping[str, Any]
    author: str = ""
    number: int | None = None
    part_numbers: Mapping[str, int] = {}
    step: int | None = None
    metrics: Mapping[str, float] = {}
    tags: tuple[str, ...] = ()
    labels: Mapping[str, str] = {}
    notes: str = ""
    data: Mapping[str, Any] = {}
    unknown: Mapping[str, Any] = {}
    signatures: tuple[Signature, ...] = ()


class Draft(Details, kw_only=True, frozen=True):
    """A version to be saved. `bases` are refs of versions, of any model, that may share tensors with it."""

    encoded: Encoded
    bases: tuple[str, ...] = ()
