"""Signatures and rights, as `sign`, `verify` and `grant` print them."""

from __future__ import annotations

from saver.documents.piece import Piece, Whole
from saver.signing.verdicts import Verified as Found


class Verdict(Piece, frozen=True):
    """A signature by a public key: whether it holds, and if not, why."""

    key: str
    holds: bool
    why: str


class Verified(Whole, frozen=True, tag="saver.verified.1"):
    """`saver verify`: the bytes of a version or a file are those that were saved; the hash of its statement,
    and the signatures of it."""

    ref: str
    statement: str
    signatures: tuple[Verdict, ...]


class Signed(Whole, frozen=True, tag="saver.signed.1"):
    """`saver sign`: a version, and the public keys that signed it by now."""

    store: str
    ref: str
    signers: tuple[str, ...]


class SignedFiles(Whole, frozen=True, tag="saver.signed-files.1"):
    """`saver sign --format model-signing`: a file or folder, and where its signature is."""

    path: str
    signature: str


class VerifiedFiles(Whole, frozen=True, tag="saver.verified-files.1"):
    """`saver verify --format model-signing`: the files that a signature covers, and the paths that it leaves
    out; `model` is the name that was signed."""

    path: str
    model: str
    files: tuple[str, ...]
    ignored: tuple[str, ...]


class Granted(Whole, frozen=True, tag="saver.granted.1"):
    """`saver grant`: the rights of each public key, as they are now."""

    store: str
    roles: dict[str, tuple[str, ...]]


def verified(found: Found) -> Verified:
    """What was found about signatures, as a document."""
    verdicts = tuple(Verdict(key=each.key, holds=each.holds, why=each.why) for each in found.signatures)
    return Verified(ref=found.ref, statement=found.statement, signatures=verdicts)
