"""One page of the map in `pages.py`: how it is stored, and what one read from a store must be."""

from __future__ import annotations

import re
from operator import lt
from typing import Any

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.errors import DamagedError, IncompatibleError
from saver.strict import decodable

MAX_HEIGHT = 16
"""More levels than any map that fits on a disk needs."""

_is_name = re.compile(r"[0-9a-f]{64}").fullmatch


@decodable
class Page(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """A page as it is stored. Its lists are never changed: others may refer to them."""

    height: int = 0
    keys: list[str]
    values: list[msgspec.Raw] = []
    pages: list[str] = []


def check_name(name: str) -> None:
    """Raise IncompatibleError unless this can be the name of a page."""
    if not _is_name(name):
        raise IncompatibleError(
            f"{name[:80]!r} is not the name of a page: restore what refers to it from a copy"
        )


def decoded(name: str, data: bytes) -> Page:
    """The page with this name. Raises DamagedError if it fails its hash, IncompatibleError if no Saver wrote
    it."""
    if blake3(data).hexdigest() != name:
        raise DamagedError(f"page {name}: the bytes are not those that were written; restore it from a copy")
    try:
        page = msgspec.json.decode(data, type=Page)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IncompatibleError(f"page {name} is malformed: {error}; restore it from a copy") from None
    if not _is_sound(page):
        raise IncompatibleError(f"page {name} is malformed (keys or values); restore it from a copy")
    return page


def encoded(page: Page) -> tuple[str, bytes]:
    """The name of a page, and its bytes."""
    data = canonical(page)
    return blake3(data).hexdigest(), data


def _is_sound(page: Page) -> bool:
    items, others = (page.pages, page.values) if page.height else (page.values, page.pages)
    return (
        0 <= page.height <= MAX_HEIGHT
        and len(page.keys) == len(items) > 0
        and not others
        and all(map(lt, page.keys, page.keys[1:]))
        and all(map(_is_name, page.pages))
    )


def value_at(name: str, page: Page, at: int) -> Any:
    """The value of a key of a leaf. Raises IncompatibleError if it is not JSON."""
    try:
        return msgspec.json.decode(page.values[at])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IncompatibleError(f"page {name}: the value of {page.keys[at]!r} is not JSON: {error}") from None
