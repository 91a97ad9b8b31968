"""What `saver push` writes to a registry: an OCI manifest, whose layers are the objects of a store.

https://github.com/opencontainers/image-spec/blob/main/manifest.md; each layer has the key of its object as
its title, so that `oras pull` makes a folder which is the store.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from saver.errors import CannotWriteError, IncompatibleError
from saver.hubs._snapshot import LEFT_BEHIND
from saver.repo.objects import is_own
from saver.seals.names import is_sealed_name
from saver.strict import decodable, strict_json

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
STORE = "application/vnd.saver.store.v1"
_PACK, _DOCUMENT = "application/vnd.saver.pack.v1+safetensors", "application/vnd.saver.document.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
MODEL, NEWEST = "dev.saver.model", "dev.saver.newest"
"""Annotations: the model, if there is one, and the number of its newest version."""

OBJECT = 1 << 50
"""More bytes than any object has."""

NOTHING = b"{}"
"""The configuration."""

LARGEST = 4 << 20
"""Bytes of a manifest that registries take; no other answer is larger, but for layers."""

_is_digest = re.compile(r"sha256:[0-9a-f]{64}").fullmatch


def digest_of(data: bytes) -> str:
    """The digest of bytes, as registries write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Layer(msgspec.Struct, frozen=True):
    """An object of the store: the digest and number of its bytes."""

    digest: str
    size: int


class Artifact(msgspec.Struct, frozen=True):
    """What a manifest says: the layers by the keys of their objects; `digest` is that of the manifest."""

    digest: str
    layers: Mapping[str, Layer]
    model: str = ""
    newest: int = 0


@decodable
class _Descriptor(msgspec.Struct, frozen=True):
    digest: str
    size: int
    mediaType: str = ""
    annotations: dict[str, str] | None = None


@decodable
class _Manifest(msgspec.Struct, frozen=True):
    layers: list[_Descriptor]
    artifactType: str = ""
    annotations: dict[str, str] | None = None


def decoded(body: bytes, where: str) -> Artifact:
    """What an untrusted manifest says. Raises IncompatibleError unless it is one that Saver writes."""
    found = strict_json(body, where)
    if isinstance(found, dict) and ("manifests" in found or found.get("mediaType") in INDEXES):
        raise IncompatibleError(
            f"{where} is an index of several images, not what `saver push` wrote; name the tag that it gave"
        )
    try:
        manifest = msgspec.convert(found, _Manifest)
    except msgspec.ValidationError as error:
        raise IncompatibleError(f"{where}: this is not the manifest of an image: {error}") from None
    if manifest.artifactType != STORE:
        raise IncompatibleError(
            f"{where}: this was not pushed by Saver; its type is {manifest.artifactType[:80]!r}, not {STORE}"
        )
    layers = dict[str, Layer]()
    for each in manifest.layers:
        key = (each.annotations or {}).get(TITLE, "")
        known = is_own(key) or is_sealed_name(key)
        if not known or key.startswith(LEFT_BEHIND) or key in layers:
            raise IncompatibleError(
                f"{where}: the layer {key[:200]!r} is not an object of a store, or is there twice; no Saver "
                "wrote this manifest, so do not use it"
            )
        if _is_digest(each.digest) is None or not 0 <= each.size <= OBJECT:
            raise IncompatibleError(f"{where}: the layer {key} has no valid digest or size")
        layers[key] = Layer(each.digest, each.size)
    said = manifest.annotations or {}
    newest = said.get(NEWEST, "")
    number = int(newest) if newest.isascii() and newest.isdigit() and len(newest) < 13 else 0
    return Artifact(digest_of(body), layers, said.get(MODEL, ""), number)


def encoded(layers: Mapping[str, Layer], model: str, newest: int, where: str) -> bytes:
    """The manifest of these layers; nothing is said of a `model` "". Raises CannotWriteError if there are
    more than registries take."""
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": STORE,
        "config": _descriptor(_EMPTY, Layer(digest_of(NOTHING), len(NOTHING))),
        "layers": [_layer(key, layers[key]) for key in sorted(layers)],
        "annotations": {MODEL: model, NEWEST: str(newest)} if model else {},
    }
    body = msgspec.json.encode(document)
    if len(body) > LARGEST:
        raise CannotWriteError(
            f"{where}: {len(layers):,} objects are more than registries take in one manifest; push fewer "
            "versions, or one alone: --no-history"
        )
    return body


def _layer(key: str, layer: Layer) -> dict[str, Any]:
    kind = _PACK if key.endswith(".safetensors") else _DOCUMENT
    return {**_descriptor(kind, layer), "annotations": {TITLE: key}}


def _descriptor(kind: str, layer: Layer) -> dict[str, Any]:
    return {"mediaType": kind, "digest": layer.digest, "size": layer.size}
