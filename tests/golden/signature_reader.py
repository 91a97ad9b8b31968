"""Verifies signatures and follows roles: from docs/format/, section 6, alone. Knows nothing of Saver."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from format_reader import Literal, Reader, Values, compact, utf16
from store_reader import StoreReader

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SMALL = {
    (y | sign << 255).to_bytes(32, "little").hex()
    for each in ("00", "01", "ec", "ed", "ee", "26", "c7")
    for y in (
        {
            "26": 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
            "c7": 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        }.get(each, int(each, 16) if each < "10" else 2**255 - 256 + int(each, 16)),
    )
    for sign in (0, 1)
}
NEEDED = {
    "commit": ["save"], "label": ["save"], "note": ["save"], "void": ["save"], "delete": ["delete"],
    "condemn": ["collect"], "relocate": ["collect"], "harm": ["collect", "save"], "sign": ["sign", "save"],
    "roles": ["grant"], "tag": [],
}  # fmt: skip


def canonical(value: Any) -> bytes:
    """RFC 8785, for JSON whose numbers are as they stood in a canonical file."""
    return compact(in_order(value))


def in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value, key=utf16)}
    return list(map(in_order, value)) if isinstance(value, list) else value


def exact(raw: str | bytes) -> Any:
    return json.loads(raw, parse_float=Literal)


def verifies(key: str, signature: str, message: bytes) -> bool:
    kind, _, digits = key.partition(":")
    raw = bytes.fromhex(signature)
    if len(raw) != 64 or kind not in ("ed25519", "p256"):
        return False
    if digits in SMALL:
        return False
    try:
        if kind == "ed25519":
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits)).verify(raw, message)
            return True
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        if s > ORDER // 2:
            return False
        point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), bytes.fromhex(digits))
        point.verify(encode_dss_signature(r, s), message, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def signs(key: str) -> bool:
    """Whether somebody can sign with a key so that it counts."""
    kind, _, digits = key.partition(":")
    if kind == "ed25519" and digits not in SMALL:
        y, p = int.from_bytes(bytes.fromhex(digits), "little") % 2**255, 2**255 - 19
        square = (y * y - 1) * (y * y * -121665 * pow(121666, -1, p) + 1)
        return y < p and pow(square, (p - 1) // 2, p) in (0, 1)
    try:
        return kind == "p256" and bool(
            EllipticCurvePublicKey.from_encoded_point(SECP256R1(), bytes.fromhex(digits))
        )
    except ValueError:
        return False


def statement(values: Values, text: str, parents: list[str]) -> bytes:
    """What is signed of a version or file: of its manifest, whose text this is."""
    manifest = exact(text)
    metadata = {name: manifest.get(name, {}) for name in ("data", "environment", "metrics")}
    metadata |= {
        "author": manifest.get("author", ""),
        "step": manifest.get("step"),
        "time": manifest.get("time", 0),
    }
    names = list(values.manifest["parts"])
    return canonical({
        "kind": "saver.statement.1", "model": manifest.get("model") or "", "metadata": metadata,
        "order": names, "parents": parents, "parts": {name: values.part_hash(name) for name in names},
        "whole": manifest.get("whole", False),
    })  # fmt: skip


def signers(text: bytes, signatures: list[dict[str, Any]], make: Any) -> set[str]:
    return {
        each["key"]
        for each in signatures
        if verifies(each["key"], each["signature"], b"saver statement 1\n" + make(each.get("parents", [])))
    }


def of_file(path: Path) -> set[str]:
    """The keys that signed a file."""
    reader = Reader(path)
    values, text = Values(reader), reader.metadata["saver.manifest"]
    signatures = json.loads(reader.metadata.get("saver.signatures", "[]"))
    return signers(b"", signatures, lambda parents: statement(values, text, parents))


class SignedStore(StoreReader):
    """A store whose roles are kept: `void` are the numbers of the records that do not count."""

    def __init__(self, folder: Path) -> None:
        self.roles: dict[str, list[str]] = {}
        self.void: list[int] = []
        self.signatures: dict[str, dict[str, Any]] = {}
        super().__init__(folder)

    def counts(self, record: dict[str, Any]) -> bool:
        event, signed = record["event"], record.get("signed")
        found = self.has_right(record, event, signed)
        if not found:
            self.void.append(record["number"])
        elif event["kind"] == "roles":
            self.roles = self.granted(event)
            return False  # nothing else of the store changes
        elif event["kind"] in ("commit", "sign"):
            of = self.signatures.setdefault(f"{event['model']}@{event['number']}", {})
            of |= {each["key"]: each for each in event.get("signatures", [])}
        return found

    def granted(self, event: dict[str, Any]) -> dict[str, list[str]]:
        return {key: rights for key, rights in (self.roles | event["grants"]).items() if rights}

    def has_right(self, record: dict[str, Any], event: dict[str, Any], signed: dict[str, str] | None) -> bool:
        begins = event["kind"] == "roles" and not self.roles
        if not self.roles and not begins:
            return True
        if signed is None:
            return False
        after = self.granted(event) if event["kind"] == "roles" else self.roles
        held = (after if begins else self.roles).get(signed["key"], [])
        needed = NEEDED.get(event["kind"], ["grant"])
        if event["kind"] == "relocate" and not event.get("objects"):
            needed = ["collect", "save"]
        if needed and not set(needed) & set(held):
            return False
        if not all(any(admits(right, tag) for right in held) for tag in self.tags_in(event)):
            return False
        if not any("grant" in rights and signs(key) for key, rights in after.items()):
            return False
        raw = (self.folder / "log" / f"{record['number']:020}.json").read_bytes()
        rest = {name: value for name, value in exact(raw).items() if name not in ("hash", "signed")}
        return verifies(signed["key"], signed["signature"], b"saver record 1\n" + canonical(rest))

    def tags_in(self, event: dict[str, Any]) -> list[str]:
        if event["kind"] == "delete":
            gone = {f"{event['model']}@{number}" for number in event["numbers"]}
            return [tag.partition("@")[2] for tag, ref in self.tags.items() if ref in gone]
        return [event["tag"]] if event["kind"] == "tag" else event.get("tags", [])

    def signers(self, ref: str) -> set[str]:
        """The keys whose signatures of a version hold."""
        reader = self.open(ref)
        values, text = Values(reader), self.text(ref)  # type: ignore[arg-type]
        return signers(
            b"", [*self.signatures.get(ref, {}).values()], lambda parents: statement(values, text, parents)
        )

    def statement_hash(self, ref: str, parents: list[str]) -> str:
        found = statement(Values(self.open(ref)), self.text(ref), parents)  # type: ignore[arg-type]
        return str(blake3(found).hexdigest())

    def text(self, ref: str) -> str:
        """The text of a version's manifest."""
        digest, file = self.versions[ref]["manifest"], self.versions[ref].get("file")
        if file:
            return Reader(self.folder / "packs" / f"{file}.safetensors").metadata["saver.manifest"]
        return (self.folder / "manifests" / digest[:2] / f"{digest}.json").read_text()


def admits(right: str, tag: str) -> bool:
    name = right.removeprefix("tag:")
    return right == "tag" or (
        right.startswith("tag:") and (name == tag or (name[-1:] == "*" and tag.startswith(name[:-1])))
    )
