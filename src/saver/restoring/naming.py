"""Maps the names that were saved to those of the target."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from saver.errors import DoesNotFitError
from saver.restoring.report import listed

Names: TypeAlias = "Mapping[str, str | None] | Callable[[str], str | None] | None"
"""Maps saved names, or prefixes of them, to the target's names; None leaves a name out."""

_COMPARED = 200
"""At most this many names on either side are compared for a suggestion."""


class Naming:
    """Applies the caller's `names` to one name after another.

    In a mapping, `"fc.weight"` is that name, `"fc"` and `"fc."` match all names below `fc`, and `""`
    matches every name; the longest match decides.
    """

    def __init__(self, names: Names) -> None:
        self.given = names is not None
        self._ask = names if callable(names) else None
        self._table: dict[str, str | None] = {} if names is None or callable(names) else dict(names)
        self._longest_first = sorted(self._table, key=len, reverse=True)
        self._unused = dict.fromkeys(self._table)
        self._met: dict[str, None] = {}

    def __call__(self, name: str) -> str | None:
        """The target's name for `name`; None if it is left out."""
        self._met[name] = None
        if self._ask is not None:
            return _checked(name, self._ask(name))
        for key in self._longest_first:
            if name == key or key == "" or name.startswith(key if key.endswith(".") else f"{key}."):
                self._unused.pop(key, None)
                return _checked(name, _replaced(name, key, self._table[key]))
        return name

    def check(self, where: str) -> None:
        """Raise unless every entry of a mapping applied to some name."""
        if self._unused:
            begins = dict.fromkeys(name.partition(".")[0] for name in self._met)
            known = f"the saved names begin with {listed(begins)}" if begins else "nothing was saved by name"
            raise DoesNotFitError(f"{where}: `names` has {listed(map(repr, self._unused))}, but {known}")


def _checked(name: str, found: object) -> str | None:
    if found is None or isinstance(found, str):
        return found
    raise TypeError(f"`names` gives {found!r} for {name!r}; it must be a name, or None to leave it out")


def _replaced(name: str, key: str, new: str | None) -> str | None:
    if new is None or name == key:
        return new
    if key == "" or key.endswith("."):
        return new + name[len(key) :]
    return f"{new}{name[len(key) :]}" if new else name[len(key) + 1 :]


def suggest(
    saved: Iterable[tuple[str, object]], target: Iterable[tuple[str, object]]
) -> tuple[str, str] | None:
    """The change of a prefix that would match most of the remaining names. Names come with their shapes."""
    here = list(target)[:_COMPARED]
    votes: Counter[tuple[str, str]] = Counter()
    for name, shape in list(saved)[:_COMPARED]:
        for other, form in here:
            if shape == form and (change := _change(name, other)) is not None:
                votes[change] += 1
    return votes.most_common(1)[0][0] if votes else None


def _change(name: str, other: str) -> tuple[str, str] | None:
    """The prefixes of two names that remain without their common trailing segments."""
    left, right = name.split("."), other.split(".")
    while left and right and left[-1] == right[-1]:
        left.pop()
        right.pop()
    if len(left) == name.count(".") + 1:
        return None
    return "".join(f"{step}." for step in left), "".join(f"{step}." for step in right)
