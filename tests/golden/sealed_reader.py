"""A reader of sealed files and stores, written from docs/format/, section 5, alone, on the primitives of
`cryptography`. It does not know Saver. What it gives is what was sealed, which the readers of the other
sections read."""

from __future__ import annotations

import base64
import hmac
import json
import re
from pathlib import Path
from typing import Any

import age_reader
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from format_reader import parse, require

SEGMENT = 262_144
MAGIC = b"saver.sealed.1\n\0"
SIV = re.compile(r"((?:manifests|trees|state/pages)/)[0-9a-f]{2}/([0-9a-f]{96})\.json")
NOT_SEALED = re.compile(r"store\.json|keys/.*|clock/.*|state/free-[0-9]")


def epoch_of(key: bytes) -> bytes:
    context = "saver 1 2026-11 epoch of a data key"
    return blake3(key, derive_key_context=context).digest()[:8]


def object_key(key: bytes, salt: bytes, name: str, context: bytes, commitment: bytes) -> AESGCM:
    """The cipher of an object, once its commitment was compared."""
    info = b"saver 1\0" + name.encode() + b"\0" + blake3(context).digest()
    found = HKDF(SHA256(), 64, salt, info).derive(key)
    require(hmac.compare_digest(found[32:], commitment), "commitment")
    return AESGCM(found[:32])


def nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


class Sealed:
    """The header of a sealed pack, or file. `wrapped` is the key of a file, as an age file."""

    def __init__(self, raw: bytes) -> None:
        length = int.from_bytes(raw[:8], "little")
        self.raw, self.start = raw, 8 + length
        require(self.start % 4096 == 0 and self.start <= len(raw), "length of the header")
        text = raw[8 : self.start].rstrip(b" ")
        header = parse(text)
        self.form = parse(header["__metadata__"]["saver.seal"])
        self.size, table = self.form["size"], 16 * (-(-self.form["size"] // SEGMENT) + 1)
        fields = ["commitment", "seal", "salt", "size", "first", "epoch", "keys"]
        require(list(self.form) == [each for each in fields if each in self.form], "order of the fields")
        ends = [0, self.size, self.size + table]
        expected = {
            "__metadata__": {"saver.seal": json.dumps(self.form, separators=(",", ":"))},
            "sealed": {"dtype": "U8", "shape": [self.size], "data_offsets": ends[:2]},
            "table": {"dtype": "U8", "shape": [table], "data_offsets": ends[1:]},
        }
        require(text == json.dumps(expected, separators=(",", ":")).encode(), "form of the header")
        require(self.start - 8 - len(text) < 4096 and len(raw) == self.start + ends[2], "length")
        require(self.form["seal"] == "aes-256-gcm" and 0 <= self.form.get("first", 0) < SEGMENT, "form")
        self.wrapped = base64.b64decode(self.form.get("keys", ""), validate=True)

    def opened(self, key: bytes, name: str = "") -> bytes:
        """The pack that was sealed."""
        require(epoch_of(key).hex() == self.form["epoch"], "epoch")
        digits = self.form["commitment"].encode()
        header = self.raw[: self.start]
        require(header.count(digits) == 1, "commitment")
        context = header.replace(digits, b"0" * 64)
        commitment, salt = bytes.fromhex(self.form["commitment"]), bytes.fromhex(self.form["salt"])
        cipher = object_key(key, salt, name, context, commitment)
        data, table = self.raw[self.start :][: self.size], self.raw[self.start + self.size :]
        first = min(self.form.get("first", 0), self.size)
        starts = [0] * bool(first) + list(range(first, self.size, SEGMENT))
        found = []
        for number, (begin, end) in enumerate(zip(starts, [*starts[1:], self.size], strict=True)):
            tag = table[16 * number : 16 * number + 16]
            found.append(cipher.decrypt(nonce(number), data[begin:end] + tag, None))
        require(not any(table[16 * len(starts) :]), "end of the table")
        return b"".join(found)


def document_of(raw: bytes, keys: dict[bytes, bytes], name: str) -> bytes:
    """The document in a sealed one."""
    require(raw.startswith(MAGIC), "not a sealed document")
    at = len(MAGIC)
    epoch, salt, commitment = raw[at : at + 8], raw[at + 8 : at + 40], raw[at + 40 : at + 72]
    cipher = object_key(keys[epoch], salt, name, epoch, commitment)
    return cipher.decrypt(nonce(0), raw[at + 72 :], None)


def opened_file(path: Path, identity: str = "", passphrase: str = "") -> bytes:
    """What was sealed as a single file."""
    found = Sealed(path.read_bytes())
    return found.opened(age_reader.opened(found.wrapped, identity, passphrase))


class SealedStore:
    """A sealed store, for the owner of an identity or those who know a passphrase."""

    def __init__(self, folder: Path, identity: str = "", passphrase: str = "") -> None:
        self.folder = folder
        form = parse((folder / "store.json").read_bytes())
        require("sealed" in form["read"] and form["seal"]["seal"] == "aead-1", "not sealed")
        self.id = form["id"]
        files = [path.read_bytes() for path in sorted((folder / "keys").glob("*.age"))]
        identities = [identity] if identity else []
        for raw in files if passphrase else ():
            try:
                text = age_reader.opened(raw, passphrase=passphrase).decode()
            except LookupError:
                continue
            identities += [line for line in text.splitlines() if not line.startswith("#")]
        self.bundles: list[dict[str, Any]] = []
        for each in identities:
            for raw in files:
                try:
                    self.bundles.append(parse(age_reader.opened(raw, each)))
                except LookupError:
                    continue
        own = [each for each in self.bundles if commitment_to(each) == form["seal"]["keys"]]
        require(bool(own), "no keys")
        keys = [bytes.fromhex(key) for bundle in own for key in bundle["epochs"]]
        self.keys = {epoch_of(key): key for key in keys}
        self.names = AESSIV(bytes.fromhex(own[0]["names"]))

    def objects(self) -> dict[str, bytes]:
        """What was sealed, by the keys of section 4."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            key = path.relative_to(self.folder).as_posix()
            if not path.is_file() or path.name.startswith("."):
                continue
            if NOT_SEALED.fullmatch(key):
                found[key] = path.read_bytes()
            else:
                found |= self.opened(key, path.read_bytes())
        return found

    def opened(self, key: str, raw: bytes) -> dict[str, bytes]:
        if match := SIV.fullmatch(key):
            folder, name = match.groups()
            digest = self.names.decrypt(bytes.fromhex(name), [folder.encode()]).hex()
            key = f"{folder}{digest[:2]}/{digest}.json"
        if key.startswith("packs/"):
            sealed = Sealed(raw)
            return {key: sealed.opened(self.keys[bytes.fromhex(sealed.form["epoch"])], f"{self.id}/{key}")}
        return {key: document_of(raw, self.keys, f"{self.id}/{key}")}

    def opened_in(self, target: Path) -> None:
        """Write what was sealed as a store of plain files."""
        for key, data in self.objects().items():
            (target / key).parent.mkdir(parents=True, exist_ok=True)
            (target / key).write_bytes(data)


def commitment_to(bundle: dict[str, Any]) -> str:
    context = "saver.store 1 2026-11 commitment to the keys"
    return blake3(bytes.fromhex(bundle["names"]), derive_key_context=context).hexdigest()
