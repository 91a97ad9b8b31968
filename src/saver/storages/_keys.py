"""What may be a key: relative, and a valid path on every system; and whether its content is whole."""

from __future__ import annotations

import re

from saver.errors import IncompatibleError
from saver.storage import Content

DEPTH = 16
"""The most names in a key: four times as many as Saver needs. So a listing need not follow folders that
someone nested without end."""

NAME, WHOLE = 255, 1024
"""The most characters of a name, and of a key: no system stores objects with longer ones."""

_RESERVED = r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|\Z)"
"""Names of devices on Windows, whatever follows a dot."""

_SEGMENT = f"(?!{_RESERVED})[a-z0-9-](?:[a-z0-9.-]{{0,{NAME - 2}}}[a-z0-9-])?"
"""No capitals, since some systems take `A` for `a`; no dot at the end, which Windows drops."""
_KEY = re.compile(f"(?=.{{1,{WHOLE}}}\\Z){_SEGMENT}(/{_SEGMENT}){{0,{DEPTH - 1}}}")


def valid(key: str) -> bool:
    """Whether `key` may be a key. Hidden, absolute and upward paths may not."""
    return _KEY.fullmatch(key) is not None


def checked(key: str) -> str:
    """The key itself. Raises IncompatibleError if it cannot be a key: only forged documents contain such
    keys."""
    if _KEY.fullmatch(key) is None:
        raise IncompatibleError(
            f"{key[:200]!r} cannot be the key of an object; no Saver writes such a key, so a document of the "
            "store is forged: restore the store from a copy that you trust"
        )
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself: empty, or a key and a slash. Raises IncompatibleError otherwise."""
    if prefix:
        checked(prefix.removesuffix("/"))
        if not prefix.endswith("/"):
            raise IncompatibleError(f"{prefix[:200]!r} cannot be a prefix of keys: it must end with a slash")
    return prefix


def check_size(key: str, size: int, content: Content) -> None:
    """Raise AssertionError if a content yielded another number of bytes than it announced."""
    if size != content.size:
        raise AssertionError(f"{key}: {size} bytes were yielded, and {content.size} announced")
