"""Keys for tests, always the same ones, and stores whose logs somebody else rewrote."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from saver.repo import document
from saver.repo.events import Event
from saver.repo.log import Record, log_key, record_after
from saver.repo.repository import Repository
from saver.signing.keys import SigningKey, signing_key
from saver.signing.signatures import signed

NAMES = ("alice", "bob", "carol", "dave")
"""bob's key is of P-256, the others' are Ed25519."""


@cache
def private(name: str) -> bytes:
    """The private key of a name, in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    seed = bytes([NAMES.index(name) + 1]) * 32
    if name == "bob":
        key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey = ec.derive_private_key(
            int.from_bytes(seed, "big"), ec.SECP256R1()
        )
    else:
        key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain)


@cache
def public(name: str) -> bytes:
    """The public key of a name, in PEM."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(private(name), None).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form)


def key_of(name: str) -> SigningKey:
    """The key that signs for a name."""
    return signing_key("key", private(name))


def text_of(name: str) -> str:
    """The public key of a name, as records have it."""
    return key_of(name).public


def appended(repo: Repository, event: Event, name: str | None) -> Record:
    """Append a record as one does who has a program of his own: signed by a name or not, and whatever his
    rights are."""
    repo.open()
    record = record_after(repo.state.last(), event, repo.fresh(), repo.clock(), "somebody")
    if name is not None:
        record = replace(record, signed=signed(record, key_of(name)))
    assert repo.state.log.append(record) is not None
    repo.open()
    return record


def rewritten(folder: Path, change: Callable[[Record], Record]) -> None:
    """Change records of a store, and compute every hash anew, as somebody can who may write there."""
    previous = "0" * 64
    for path in sorted((folder / "log").glob("[0-9]*.json")):
        found, _ = document.decode(path.read_bytes(), Record, path.name)
        data = document.encode(replace(change(found), previous=previous))
        previous = document.digest(data)
        path.unlink()
        path.write_bytes(data)
        assert path.name == log_key(found.number).removeprefix("log/")
    for path in (folder / "state").rglob("*.json"):
        path.unlink()
