"""Signatures of a file or folder in the format of OpenSSF Model Signing, which other tools verify.

A signature is a Sigstore bundle (v0.3) without certificates: a DSSE envelope around an in-toto statement,
which has the hashes of all files, as `model_signing` 1.x writes and reads it. Only keys on the curves P-256,
P-384 and P-521 can sign so. What was signed without a key, through an identity provider, is not verified
here: that needs the network.

https://github.com/sigstore/model-transparency, https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Final

import msgspec

from saver.errors import IncompatibleError, SignatureError, quoted
from saver.signing.bundles import EXAMPLE, signed, verified
from saver.signing.bundles import private_key as private_key_of
from saver.signing.bundles import public_key as public_key_of
from saver.signing.folders import Digests, Serialization, digests_of, inside, order

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://model_signing/signature/v1.0"

IGNORED: Final = (".git", ".gitattributes", ".github", ".gitignore")
"""What `model_signing` leaves out of each folder that it signs or verifies."""

_NAMED = 5
"""So many files are named in a message; others are counted."""


class Verified(msgspec.Struct, frozen=True):
    """What a signature covers: the `files`, relative to the folder. The `ignored` ones, and all in them, are
    not covered; `model` is the name that the folder had when it was signed."""

    model: str
    files: tuple[str, ...]
    ignored: tuple[str, ...]


# The statement. Verifiers ignore fields that they do not know.


class _Subject(msgspec.Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct, frozen=True):
    name: str
    algorithm: str
    digest: str


class _Predicate(msgspec.Struct, frozen=True):
    serialization: Serialization
    resources: tuple[_Resource, ...]


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "predicate_type": "predicateType"}):
    type: str
    subject: tuple[_Subject, ...]
    predicate_type: str
    predicate: _Predicate


def sign_folder(
    path: str | os.PathLike[str], private_key: bytes, *, password: bytes | None = None,
    ignore: Iterable[str] = (),
) -> bytes:  # fmt: skip
    """The bundle with a signature of a file, or of all files in a folder but those to `ignore` (paths in it).

    `private_key` is PEM. Raises ValueError for a key that cannot sign so, such as Ed25519, IncompatibleError
    for a link or special file, which it names, and CannotReadError.
    """
    key = private_key_of(private_key, password)
    place = os.fspath(path)
    ignored = tuple(sorted({*IGNORED, *(inside(each, place) for each in ignore)}))
    how = Serialization("files", "sha256", allow_symlinks=False, ignore_paths=ignored)
    found = sorted(digests_of(place, how).items(), key=order)
    resources = tuple([_Resource(name, algorithm, digest) for name, (algorithm, digest) in found])
    subject = _Subject(_name(place), {"sha256": _root(resources)})
    statement = _Statement(STATEMENT, (subject,), PREDICATE, _Predicate(how, resources))
    return signed(msgspec.json.encode(statement), key)


def verify_folder(
    path: str | os.PathLike[str], bundle: bytes, public_key: bytes, *, ignore: Iterable[str] = ()
) -> Verified:
    """What a bundle's signature by this key (PEM) covers, if a file, or all files of a folder, are those that
    were signed. Paths to `ignore` in it, such as that of the bundle, are left out besides those that the
    signature leaves out.

    Raises SignatureError, which says whether the key, the signature or which file is wrong; IncompatibleError
    for a bundle of another kind, links and special files; ValueError for a key of another type.
    """
    place = os.fspath(path)
    statement = _statement(verified(bundle, public_key_of(public_key)))
    how = statement.predicate.serialization
    more = {*IGNORED, *(inside(each, place) for each in (*how.ignore_paths, *ignore))}
    expected = {each.name: (each.algorithm, each.digest) for each in statement.predicate.resources}
    if len(expected) < len(statement.predicate.resources):
        raise IncompatibleError("the signature names a file twice, so nothing is verified; sign it again")
    found = digests_of(place, msgspec.structs.replace(how, ignore_paths=tuple(sorted(more))))
    _compare(place, expected, found)
    files = sorted({how.file_of(name) for name in expected})
    return Verified(statement.subject[0].name, tuple(files), tuple(sorted(more)))


def _statement(payload: bytes) -> _Statement:
    """What was signed. Its signature was verified before."""
    try:
        found = msgspec.json.decode(payload, type=_Statement)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IncompatibleError(f"what is signed is not understood ({error}); {EXAMPLE}") from None
    if found.type != STATEMENT or found.predicate_type != PREDICATE or len(found.subject) != 1:
        raise IncompatibleError(
            f"what is signed is a {quoted(found.predicate_type)}, not a {PREDICATE}: another version of "
            "model-signing wrote it; sign it again"
        )
    try:
        root = _root(found.predicate.resources)
    except ValueError:
        root = ""
    if found.subject[0].digest.get("sha256") != root:
        raise SignatureError("the hashes in the signature contradict each other; sign the files again")
    return found


def _compare(place: str, expected: Digests, found: Digests) -> None:
    """Raise SignatureError, which names what is missing, new or changed."""
    missing = expected.keys() - found.keys()
    new = found.keys() - expected.keys()
    changed = {name for name in expected.keys() & found.keys() if expected[name] != found[name]}
    wrong = {"changed": changed, "missing": missing, "not signed": new}
    said = "; ".join(f"{what}: {_listed(names)}" for what, names in wrong.items() if names)
    if said:
        raise SignatureError(
            f"{place}: it is not what was signed: {said}; get the files again from who signed them"
        )


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - _NAMED:,} more" if len(shown) > _NAMED else ""
    return ", ".join(quoted(name) for name in shown[:_NAMED]) + more


def _root(resources: Iterable[_Resource]) -> str:
    hasher = hashlib.sha256()
    for each in resources:
        hasher.update(bytes.fromhex(each.digest))
    return hasher.hexdigest()


def _name(place: str) -> str:
    return os.path.basename(os.path.realpath(place)) or "model"
