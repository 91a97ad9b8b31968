"""The manifest: the JSON document that describes one version whole.

Unknown fields are kept; an unknown required feature is refused by name.
"""

from __future__ import annotations

from typing import Any

import msgspec
from blake3 import blake3

from saver.errors import Damaged, Unsupported
from saver.pack import Entry
from saver.tree import strict_json, to_json

FORMAT = 1
FEATURES: frozenset[str] = frozenset()
"""What a manifest may require of its reader, of this Saver."""


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A named piece of a version.

    `hash` covers the tree and the tensors that it refers to, and nothing else, so that equal parts of
    two versions have equal hashes. `packages` are the import names that its classes come from.
    """

    tree: Any
    hash: str
    version: int = 1
    batches: dict[str, Any] = {}
    packages: tuple[str, ...] = ()


class Manifest(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One version. `whole` says that the parts were one mapping; otherwise there is a single part.

    `time` is in seconds since 1970, UTC.
    """

    format: int
    parts: dict[str, Part]
    whole: bool = False
    time: float = 0.0
    environment: dict[str, Any] = {}
    requires: tuple[str, ...] = ()
    unknown: dict[str, Any] = {}


class _Environment(msgspec.Struct):
    """What readers rely on in `environment`; the rest is shown as it is."""

    packages: dict[str, str] = {}


def part_hash(tree: Any, batches: dict[str, Any], entries: dict[str, Entry], names: list[str]) -> str:
    """BLAKE3 over the part's tree and the dtype, shape and hash of the tensors it refers to."""
    hasher = blake3(to_json([tree, batches]))
    held = (entries[name] for name in names)
    hasher.update(to_json([(entry.name, entry.dtype, entry.shape, entry.hash) for entry in held]))
    return hasher.hexdigest()


def encode(manifest: Manifest) -> str:
    """The manifest as JSON text."""
    document = msgspec.structs.asdict(manifest)
    unknown = document.pop("unknown")
    return to_json({**document, **unknown}).decode()


def decode(text: str, where: str) -> Manifest:
    """A manifest from untrusted JSON; its trees are still raw JSON. Raises Damaged or Unsupported."""
    document = strict_json(text.encode(), where)
    if not isinstance(document, dict):
        raise Damaged(f"{where}: the manifest is not a JSON object")
    if document.get("format") != FORMAT:
        raise Unsupported(
            f"{where} has the manifest format {str(document.get('format'))[:20]}; this Saver reads format "
            f"{FORMAT}: install a newer one"
        )
    known = Manifest.__struct_fields__
    unknown = {key: value for key, value in document.items() if key not in known}
    try:
        manifest = msgspec.convert({k: v for k, v in document.items() if k not in unknown}, Manifest)
        msgspec.convert(manifest.environment, _Environment)
    except msgspec.ValidationError as error:
        raise Damaged(f"{where}: the manifest is not as it should be: {error}") from None
    missing = sorted(set(manifest.requires) - FEATURES)
    if missing:
        raise Unsupported(
            f"{where} needs {', '.join(missing)}, which this Saver does not have: install a newer one"
        )
    manifest.unknown = unknown
    return manifest
