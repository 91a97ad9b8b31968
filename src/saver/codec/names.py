"""Which strings can be keys of the JSON objects of trees, and what tensors are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from saver.codec import refusals
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


class TensorNames:
    """The names of the tensors of one walk: each is its path, `model/layers.0.weight`, and is used once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._again: Counter[str] = Counter()

    def new(self, part: str, steps: Iterable[str | int]) -> str:
        """A name for the tensor at this path of a part."""
        path = ".".join(map(str, steps))
        path = (path if path.isascii() else refusals.in_utf8(path))[:200]
        name = first = f"{part}/{path}" if path else part
        while name in self._taken:
            self._again[first] += 1
            name = f"{first}#{self._again[first] + 1}"
        self._taken.add(name)
        return name
