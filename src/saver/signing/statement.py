"""A statement: what a signature says of a version. It is the same wherever the version lies.

It has no numbers, packs, places or seals, so it survives a push, a collection that moves bytes, and new keys;
and nothing that may be changed after a save (tags, labels, notes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from blake3 import blake3

from saver.canonical import canonical

KIND = "saver.statement.1"


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is. `parts` has the content hash of each part, by name, without any key, whatever seals
    the store; `order` the names in the order of what was saved; `whole` whether that was a mapping.
    `metadata` are its author, time, step, metrics, environment and data. `parents` are the hashes of the
    statements of the versions that it continues. A file has the model ""."""

    model: str
    parts: Mapping[str, str]
    order: tuple[str, ...]
    whole: bool
    metadata: Mapping[str, Any]
    parents: tuple[str, ...] = ()
    kind: str = KIND

    def text(self) -> bytes:
        """The statement as canonical JSON: what is signed."""
        return canonical(self)

    @property
    def hash(self) -> str:
        """What names this statement in those of its children."""
        return blake3(self.text()).hexdigest()
