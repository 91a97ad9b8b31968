"""JSON read strictly, and structs that are safe to decode in several threads.

What readers of JSON disagree about is refused, so that every reader sees the same document.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

from saver.canonical import canonical
from saver.errors import IncompatibleError
from saver.stack import anywhere

T = TypeVar("T")


def decodable(kind: type[T]) -> type[T]:
    """Decorates a struct that is decoded: msgspec inspects it now.

    Otherwise msgspec would do so when it first decodes one, and crash if two threads do that at once
    (msgspec 0.22).
    """
    msgspec.json.Decoder(kind)
    return kind


def strict_json(data: bytes, where: str) -> Any:
    """Decode JSON, refusing what readers disagree about: duplicate keys, NaN, bad UTF-8.

    Saver writes canonical JSON, for which one round trip proves that no key is duplicated; any other JSON
    takes a slower path.
    """
    try:
        return anywhere(_strict_json, data, where)
    except RecursionError:
        raise IncompatibleError(f"{where}: JSON nested too deep") from None


def _strict_json(data: bytes, where: str) -> Any:
    try:
        value = msgspec.json.decode(data)
        if _is_canonical(value, data):
            return value
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        raise IncompatibleError(f"{where}: not valid JSON ({error}); restore the file from a copy") from None


def _is_canonical(value: Any, data: bytes) -> bool:
    try:
        return msgspec.json.encode(value) == data or canonical(value) == data
    except (ValueError, OverflowError):  # integers that are not exact in a double, or beyond it
        return False


def restated(document: Any, decoder: msgspec.json.Decoder[T]) -> T:
    """Decoded JSON, decoded again as what the decoder knows: `msgspec.convert` for structs with raw JSON in
    them. Raises msgspec.ValidationError, or UnicodeError for lone surrogates."""
    return anywhere(lambda: decoder.decode(msgspec.json.encode(document)))  # type: ignore[no-any-return]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:80]!r} stands there twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
