"""Examines objects that somebody sends: of a kind that Saver knows, sound, and of bounded size."""

from __future__ import annotations

from collections.abc import Iterator

from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError
from saver.pack import Pack
from saver.pack.layout import HEADER_LIMIT
from saver.repo import manifest as manifests
from saver.repo import pages, trees
from saver.repo.manifest import MANIFEST
from saver.repo.objects import is_own, tree_key
from saver.seals.recognizing import opened
from saver.serve.limits import Limits
from saver.serve.refusals import Refusal
from saver.storage import Blob

READ = 4 << 20
WHERE = "what was sent"

SIZES = {"log": 8 << 20, "keys": 1 << 20, "store.json": 64 << 10, "clock": 0}
"""The most bytes of objects that are small whatever a store holds. Such JSON takes many times as much memory
when it is parsed."""


def kind_of(key: str) -> str:
    """The folder of an object; `store.json` itself. Raises Refusal if no Saver has such objects."""
    if not is_own(key):
        raise Refusal("bad-object", "a store has no object with this key; nothing was written")
    return key.partition("/")[0]


def largest(key: str, limits: Limits) -> int:
    """The most bytes that an object with this key may have."""
    kind = kind_of(key)
    if kind == "packs":
        return limits.object_bytes
    return min(limits.document_bytes, SIZES.get(kind, limits.document_bytes))


def models_in(key: str, blob: Blob, limits: Limits) -> Iterator[str]:
    """Examine a manifest, a pack or the document of a part; yields the models that it is for, if it names
    any. Raises DamagedError or IncompatibleError if it is not what its key says."""
    match kind_of(key):
        case "packs":
            yield from _pack(key, opened(blob), limits)
        case "manifests":
            data = blob.read()
            _demand_name(key, data)
            yield _model(data)
        case "trees":
            _tree(key, blob.read())
        case _:
            raise AssertionError(f"{key} is examined elsewhere")


def _demand_name(key: str, data: bytes) -> None:
    if key.rpartition("/")[2] != f"{blake3(data).hexdigest()}.json":
        raise DamagedError(f"{WHERE}: it does not have the hash that its key says")


def _tree(key: str, data: bytes) -> None:
    _demand_name(key, data)
    name = key.rpartition("/")[2].removesuffix(".json")
    try:
        trees.demand_document(data, WHERE)
    except IncompatibleError:
        pages.decode(data, name, f"{WHERE} for {tree_key(name)}")


def _pack(key: str, blob: Blob, limits: Limits) -> Iterator[str]:
    """A pack, all bytes of which are read, in pieces: what it says of itself costs no memory."""
    if blob.size > limits.object_bytes:
        raise Refusal("too-large", f"unpacked, it has more than {limits.object_bytes:,} bytes")
    header = int.from_bytes(blob.read(0, 8), "little")
    if limits.document_bytes < header <= HEADER_LIMIT:
        raise Refusal("too-large", f"its header has more than {limits.document_bytes:,} bytes")
    pack = Pack(blob)
    if key != f"packs/{pack.id}.safetensors":
        raise IncompatibleError(f"{WHERE}: it calls itself {pack.id[:40]!r}, and its key says something else")
    for each in pack.ranges():
        if _hash(blob, each.start, each.end) != each.hash:
            raise DamagedError(f"{WHERE}: {each.name[:80]!r} does not have the hash that the header says")
    if not all(shard.root_matches() for shard in pack.shards.values()):
        raise DamagedError(f"{WHERE}: the hashes of its blocks are not those of its tensors")
    if MANIFEST in pack.metadata:
        yield _model(pack.metadata[MANIFEST].encode())


def _model(text: bytes) -> str:
    """The model that a manifest is of."""
    model = manifests.outline(text, WHERE).model
    if model is None:
        raise IncompatibleError(f"{WHERE}: its manifest names no model, as those of a store do")
    return model


def _hash(blob: Blob, start: int, end: int) -> str:
    hasher = blake3()
    for at in range(start, end, READ):
        hasher.update(blob.read(at, min(at + READ, end)))
    return hasher.hexdigest()
