"""The packages that a part needs, as far as what is signed bears out the list of them, which is not."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from saver.tree import Item, Node


def needed(said: Iterable[str], items: Iterable[Item], recorded: Collection[str]) -> tuple[str, ...]:
    """Of the packages that a part says it needs, those that the environment has `recorded`, or a codec or a
    class of its tree names: others could be anybody's, and somebody would be advised to install them."""
    known = {*recorded, *_roots(items)}
    return tuple(name for name in said if name in known)


def rests_on(package: str, said: Collection[str], items: Iterable[Item]) -> bool:
    """Whether a part needs a package: it says so, or a codec or a class of its tree does."""
    return package in said or package in _roots(items)


def _roots(items: Iterable[Item]) -> set[str]:
    """The packages of codecs and classes."""
    names = (name for item in items if type(item) is Node for name in (item.codec, item.cls) if name)
    return {str(name).partition(":")[0].partition(".")[0] for name in names}
