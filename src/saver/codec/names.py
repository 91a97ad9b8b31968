"""Which strings can be keys of the JSON objects of trees."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from saver.tree import encodable, reserved

_TEXT = frozenset((str,))


class Names:
    """Remembers the names that it has seen in one walk, in which most occur many times."""

    def __init__(self) -> None:
        self._sound: set[str] = set()

    def are(self, keys: Collection[Any]) -> bool:
        """Whether all of these can be keys."""
        if not _TEXT.issuperset(map(type, keys)):
            return False
        if not self._sound.issuperset(keys):
            text = "\n".join(keys)
            plain = text.isascii() and "$" not in text and "__" not in text  # reserved ones have one of these
            if not plain and any(reserved(key) or not encodable(key) for key in keys):
                return False
            self._sound.update(keys)
        return True
