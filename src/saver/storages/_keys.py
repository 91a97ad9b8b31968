"""What may be a key: relative, and a valid path on every system."""

from __future__ import annotations

import re

from saver.errors import IncompatibleError

DEPTH = 16
"""Names in a key at most: four times as many as Saver needs. Whoever lists a store need not follow all the
folders within folders that somebody made in it."""

_SEGMENT = "[a-z0-9-][a-z0-9.-]*"
_KEY = re.compile(f"{_SEGMENT}(/{_SEGMENT}){{0,{DEPTH - 1}}}")


def valid(key: str) -> bool:
    """Whether `key` may be a key. Nothing that is hidden, absolute, or leads upwards is."""
    return _KEY.fullmatch(key) is not None


def checked(key: str) -> str:
    """The key itself; IncompatibleError when it cannot be one, since only a forged document asks for
    it."""
    if not valid(key):
        raise IncompatibleError(f"{key[:200]!r} cannot be the key of an object; no Saver names one so")
    return key


def checked_prefix(prefix: str) -> str:
    """The prefix itself: empty, or a key and a slash."""
    if prefix:
        checked(prefix.removesuffix("/"))
        if not prefix.endswith("/"):
            raise IncompatibleError(f"{prefix[:200]!r} cannot be a prefix of keys: it must end with a slash")
    return prefix
