"""Small JSON documents that vouch for themselves: log records, checkpoints, `store.json`.

A document begins with `{"hash":"<64 digits>"`: the BLAKE3 of its bytes with zeros in place of the digits.
What follows is the canonical JSON of everything else.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.errors import DamagedError, IncompatibleError
from saver.tree import strict_json

T = TypeVar("T", bound=msgspec.Struct)

_PREFIX = b'{"hash":"'
_AT = len(_PREFIX)
_ZERO = b"0" * 64


def encode(document: msgspec.Struct) -> bytes:
    """The document as JSON, with its hash before everything else."""
    text = b"".join((_PREFIX, _ZERO, b'",', canonical(document)[1:]))
    return b"".join((_PREFIX, digest(text).encode(), text[_AT + 64 :]))


def digest(data: bytes) -> str:
    """The hash that stands, or should stand, in a document."""
    hasher = blake3(data[:_AT])
    hasher.update(_ZERO)
    hasher.update(data[_AT + 64 :])
    return hasher.hexdigest()


def decode(data: bytes, kind: type[T], where: str) -> tuple[T, str]:
    """The document and its hash. Raises DamagedError for bytes that are not those that were written,
    and IncompatibleError for those that are, and are no such document.

    What is written again to the same bytes, hash included, is sound: no key is doubled, and none unknown.
    Only other documents, of newer Savers or damaged ones, are looked at more closely.
    """
    try:
        found = _decoder(kind).decode(data)
        if encode(found) == data:
            return found, data[_AT : _AT + 64].decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass  # told below
    return _decode_closely(data, kind, where)


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def _decode_closely(data: bytes, kind: type[T], where: str) -> tuple[T, str]:
    expected = digest(data)
    if data[:_AT] != _PREFIX or data[_AT : _AT + 64] != expected.encode():
        raise DamagedError(
            f"{where}: the bytes are not those that were written; restore it from a copy of the store"
        )
    document: Any = strict_json(data, where)
    del document["hash"]
    try:
        return msgspec.convert(document, kind), expected
    except msgspec.ValidationError as error:
        raise IncompatibleError(
            f"{where}: not a document of this kind, though its hash is right: {error}; install a newer "
            "Saver, or restore it from a copy of the store"
        ) from None
