"""Signatures of statements and of records. Each kind of message begins with words of its own, so that no
signature of one is one of the other."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from saver.canonical import canonical
from saver.errors import IncompatibleError
from saver.page import Said
from saver.signing.keys import SigningKey, brief, failure
from saver.signing.statement import Statement

STATEMENT = b"saver statement 1\n"
RECORD = b"saver record 1\n"

LIMIT = 64
"""Signatures of one version."""

PARENTS = 64
_HASH = re.compile(r"[0-9a-f]{64}")
_LONGEST = 200
"""Characters of a key or a signature, whatever its type."""


class Signature(Said, msgspec.Struct, frozen=True, omit_defaults=True):
    """A key's signature of a version's statement. `parents` are those of that statement: what else is in it
    is known of the version."""

    key: str
    signature: str
    parents: tuple[str, ...] = ()

    def _line(self) -> str:
        return f"a signature by {brief(self.key)}"


class Signed(Said, msgspec.Struct, frozen=True):
    """A key's signature of a whole record, and through `previous` of all records before it."""

    key: str
    signature: str

    def _line(self) -> str:
        return f"signed by {brief(self.key)}"


def check_signatures(signatures: Sequence[Signature]) -> None:
    """Raise ValueError unless these can be the signatures of a version: well formed, each key once, few."""
    if len(signatures) > LIMIT:
        raise ValueError(f"it has {len(signatures):,} signatures, more than {LIMIT}")
    if len({each.key for each in signatures}) != len(signatures):
        raise ValueError("it has two signatures by one key")
    for each in signatures:
        if max(len(each.key), len(each.signature)) > _LONGEST:
            raise ValueError("it has a signature that no key makes")
        if len(each.parents) > PARENTS or not all(map(_HASH.fullmatch, each.parents)):
            raise ValueError("it has a signature whose parents are not hashes")


def sign(statement: Statement, key: SigningKey) -> Signature:
    """The key's signature of a statement."""
    return Signature(key.public, key.sign(STATEMENT + statement.text()), statement.parents)


def failures(signatures: Sequence[Signature], statement: Statement) -> Mapping[str, str]:
    """By key, why a signature of this statement, with the signature's own parents, does not hold; "" for
    those that do."""
    texts: dict[tuple[str, ...], bytes] = {}
    found = {}
    for each in signatures:
        if each.parents not in texts:
            texts[each.parents] = STATEMENT + replace(statement, parents=each.parents).text()
        found[each.key] = failure(each.key, each.signature, texts[each.parents])
    return found


def record_failure(record: msgspec.Struct, by: Signed) -> str:
    """Why a record is not signed by this; "" if it is."""
    try:
        return failure(by.key, by.signature, record_text(record))
    except ValueError as error:
        if isinstance(error, IncompatibleError):
            raise
        return "it has numbers that JSON does not have"


def record_text(record: msgspec.Struct) -> bytes:
    """What the signature of a record covers: all of it but that signature. Raises ValueError if it has
    numbers that are not exact in JSON, which no Saver writes."""
    return RECORD + canonical(replace(record, signed=None))


def signed(record: msgspec.Struct, key: SigningKey) -> Signed:
    """The key's signature of a record."""
    return Signed(key.public, key.sign(record_text(record)))
