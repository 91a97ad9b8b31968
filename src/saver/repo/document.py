"""Small JSON documents that vouch for themselves: log records, checkpoints, `store.json`.

A document begins with `{"hash":"<64 digits>"`: the BLAKE3 of its bytes with zeros in place of the digits.
The canonical JSON of everything else follows.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.errors import DamagedError, IncompatibleError
from saver.rules import Broken
from saver.strict import strict_json

T = TypeVar("T", bound=msgspec.Struct)

_PREFIX = b'{"hash":"'
_AT = len(_PREFIX)
_ZERO = b"0" * 64


def encode(document: msgspec.Struct) -> bytes:
    """The document as JSON, with its hash before everything else."""
    text = b"".join((_PREFIX, _ZERO, b'",', canonical(document)[1:]))
    return b"".join((_PREFIX, digest(text).encode(), text[_AT + 64 :]))


def digest(data: bytes) -> str:
    """The hash that a document contains, or should contain."""
    hasher = blake3(data[:_AT])
    hasher.update(_ZERO)
    hasher.update(data[_AT + 64 :])
    return hasher.hexdigest()


def decode(data: bytes, kind: type[T], where: str) -> tuple[T, str]:
    """The document and its hash. Raises DamagedError if the bytes are not those that were written, and
    IncompatibleError if they are, but not such a document.

    A document that encodes again to the same bytes, hash included, is sound: it has no duplicate and no
    unknown keys. Only others, which are damaged or of newer Savers, are examined more closely.
    """
    try:
        found = _decoder(kind).decode(data)
        if encode(found) == data:
            return found, data[_AT : _AT + 64].decode()
    except (ValueError, RecursionError):  # of msgspec, and of numbers that are not exact in JSON
        pass  # raised below
    return _decode_closely(data, kind, where)


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def _decode_closely(data: bytes, kind: type[T], where: str) -> tuple[T, str]:
    expected = digest(data)
    if data[:_AT] != _PREFIX or data[_AT : _AT + 64] != expected.encode():
        raise DamagedError(
            f"{where}: the bytes are not those that were written; restore it from a copy of the store",
            rule="5.01",
        )
    document: Any = strict_json(data, where, own=True)
    del document["hash"]
    try:
        found = msgspec.convert(document, kind)
        _no_nulls(document, found)
        return found, expected
    except (msgspec.ValidationError, Broken) as error:
        raise IncompatibleError(
            f"{where}: not a document of this kind, though its hash is right: {error}; install a newer "
            "Saver, or restore it from a copy of the store",
            rule="5.02",
        ) from None


def _no_nulls(document: dict[str, Any], found: msgspec.Struct) -> None:
    """Raise ValueError if a field that may be missing is there, and null."""
    if not found.__struct_config__.omit_defaults:
        return
    for field in msgspec.structs.fields(found):
        value = document.get(field.encode_name, 0)
        if value is None and field.default is None:
            raise Broken("5.02", f"{field.encode_name} is null; where there is none, it is missing")
        within = getattr(found, field.name)
        if isinstance(within, msgspec.Struct) and isinstance(value, dict):
            _no_nulls(value, within)
