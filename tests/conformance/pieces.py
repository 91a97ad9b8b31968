# ruff: noqa: E501
"""Packs put together by hand, from docs/format/ alone: what the files of this folder are made of. It does not know
Saver."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

PREFIX = b'{"__metadata__":{"saver.header":"'
ZEROS = "0" * 64
IDENT = "0123456789abcdef0123456789abcdef"
SIZES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


def dumps(value: Any) -> str:
    """JSON without spaces, keys as they come."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def canonical(value: Any) -> str:
    """RFC 8785, of values whose floats Python writes as ECMAScript does."""
    if isinstance(value, dict):
        return (
            "{" + ",".join(f"{dumps(key)}:{canonical(value[key])}" for key in sorted(value, key=utf16)) + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return dumps(value)


def hash_of(data: bytes) -> str:
    return str(blake3(data).hexdigest())


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def node(codec: str, state: Any = None, cls: Any = None, **more: Any) -> dict[str, Any]:
    found = {"$": codec, **more}
    if cls is not None:
        found["class"] = cls
    if state is not None:
        found["state"] = state
    return found


@dataclass
class Pack:
    """A file in pieces. Whatever is set to None is left to `bytes`, which makes it as the page says."""

    tree: Any = None
    tensors: list[tuple[str, str, list[int], bytes]] = field(default_factory=list)
    own: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    part: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] | None = None
    cuts: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    manifest_text: str | None = None
    own_text: str | None = None
    header_text: str | None = None
    replaced: tuple[tuple[str, str], ...] = ()
    length: int | None = None
    padding: bytes = b" "
    digest: str | None = None
    extra: bytes = b""

    def tensor(self, name: str, dtype: str, shape: list[int], data: bytes) -> dict[str, str]:
        self.tensors.append((name, dtype, shape, data))
        return {"$tensor": name}

    def made_slots(self) -> dict[str, Any]:
        found, end = {}, 0
        for name, dtype, shape, data in self.tensors:
            found[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
            end += len(data)
        return found | self.slots

    def made_manifest(self) -> dict[str, Any]:
        parts = {"model": {"tree": self.tree}} if self.parts is None else self.parts
        for part in parts.values():
            part.setdefault("hash", self.part_hash(part))
        if self.parts is None:
            parts["model"] |= self.part
        found = {"format": 1, "parts": parts} | self.manifest
        return {key: value for key, value in found.items() if f"manifest.{key}" not in self.without}

    def part_hash(self, part: dict[str, Any]) -> str:
        """Section 2: the hash of a part; that of no part if it is not sound."""
        try:
            held = [part["tree"], part.get("batches", {})]
            names = sorted(set(tensors_in(held)), key=utf16)
            infos = self.infos()
            return hash_of(canonical([hash_of(canonical(held).encode()), [infos[n] for n in names]]).encode())
        except (KeyError, ValueError, TypeError, RecursionError, StopIteration):
            return ZEROS

    def infos(self) -> dict[str, Any]:
        found = {name: [name, dtype, shape, hash_of(data)] for name, dtype, shape, data in self.tensors}
        for name, cut in (self.cuts or {}).items():
            shards = [[at, found[each][2], found[each][3]] for each, at in cut["shards"].items()]
            found[name] = [name, found[next(iter(cut["shards"]))][1], cut["shape"], shards]
        return found

    def made_own(self) -> dict[str, Any]:
        found = {
            "format": 1,
            "id": IDENT,
            "hashes": [hash_of(each[3]) for each in self.tensors],
            "blocks": {},
        }
        found |= {} if self.cuts is None else {"cuts": self.cuts}
        found |= self.own
        return {key: value for key, value in found.items() if f"own.{key}" not in self.without}

    def bytes(self) -> bytes:
        own = dumps(self.made_own()) if self.own_text is None else self.own_text
        manifest = canonical(self.made_manifest()) if self.manifest_text is None else self.manifest_text
        metadata = {"saver.header": ZEROS, "saver": own, "saver.manifest": manifest} | self.metadata
        metadata = {key: value for key, value in metadata.items() if key not in self.without}
        text = dumps({"__metadata__": metadata, **self.made_slots()})
        text = text if self.header_text is None else self.header_text
        for old, new in self.replaced:
            assert old in text, old
            text = text.replace(old, new, 1)
        head = sealed(text.encode("utf-8", "surrogatepass"), self.length, self.padding)
        if self.digest is not None:
            head = head[: len(PREFIX) + 8] + self.digest.encode() + head[len(PREFIX) + 72 :]
        return head + b"".join(each[3] for each in self.tensors) + self.extra


def sealed(text: bytes, length: int | None = None, padding: bytes = b" ") -> bytes:
    """Length and header around a JSON text, with the hash that it needs."""
    size = -(-(8 + len(text)) // 4096) * 4096 - 8 if length is None else length
    head = size.to_bytes(8, "little") + text.ljust(size, padding)
    at = 8 + len(PREFIX)
    if head[8:at] != PREFIX:
        return head
    return head[:at] + hash_of(head[:at] + ZEROS.encode() + head[at + 64 :]).encode() + head[at + 64 :]


def tensors_in(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        if isinstance(tree.get("$tensor"), str):
            return [tree["$tensor"]]
        return [name for item in tree.values() for name in tensors_in(item)]
    return [name for item in tree for name in tensors_in(item)] if isinstance(tree, list) else []


def count(shape: list[int]) -> int:
    return math.prod(shape)
