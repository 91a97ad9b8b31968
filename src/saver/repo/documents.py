"""What a commit writes of a version: its document, and what that says of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from saver.repo import manifest as manifests
from saver.repo.events import Commit
from saver.repo.manifest import Part, manifest_key
from saver.repo.numbered import PartVersion
from saver.repo.staged import StagedPart
from saver.tensors import TensorInfo


class Document(msgspec.Struct, frozen=True):
    """The written description of a version: its hash and size; the pack `file` that holds it, if one does;
    and how many bytes the store grew."""

    hash: str
    size: int
    file: str
    added: int

    @property
    def key(self) -> str:
        return manifest_key(self.hash, self.file)


def said(event: Commit) -> tuple[Any, ...]:
    """What a version's document says about things that others may change during the commit."""
    return event.number, event.parent, event.parts, event.packs


def described(part: StagedPart, version: PartVersion) -> Part:
    """A part as it is written in a manifest."""
    found = Part(hash=version.hash, version=version.number, packages=part.packages)
    if part.document:
        return msgspec.structs.replace(found, document=part.document, content=part.content)
    return msgspec.structs.replace(found, tree=part.tree, batches=part.batches)


def hash_part(part: StagedPart, tensors: Mapping[str, TensorInfo]) -> tuple[str, int]:
    """The hash of a part, and its size in bytes: tensors and structure."""
    digest = manifests.part_hash(part.content, tensors, part.tensors)
    return digest, part.size + sum(tensors[name].length for name in {*part.tensors})
