"""An immutable sorted map from text keys to JSON values: a B-tree of pages that are never changed.

A page is compact JSON, named by the BLAKE3 of its bytes:

    leaf     {"keys":[…],"values":[…]}
    others   {"height":1,"keys":[first key of each child],"pages":[name of each child]}

An update rewrites the pages that it changes and those above them, and shares all others with the previous
map (copy on write): every older root stays readable as long as its pages are kept. All leaves have the same
depth; `height` counts the levels below a page.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, TypeAlias

import msgspec

from saver.canonical import canonical
from saver.errors import IncompatibleError, SaverError
from saver.repo.state.page import MAX_HEIGHT, Page, check_name, decoded, value_at
from saver.repo.state.updating import Update

_CACHED = 128
"""How many decoded pages are kept: some 1 MB."""

AHEAD = 32
"""The most pages that a scan reads at once."""

Together: TypeAlias = Callable[[Iterable[Callable[[], Any]]], Iterator[Any]]


def _in_turn(asks: Iterable[Callable[[], Any]]) -> Iterator[Any]:
    return (ask() for ask in asks)


class Pages:
    """Reads and updates maps, given the name of their root; None is the empty map.

    `read` returns the bytes of a page by its name, or raises NotFoundError; `write` stores them, and may be
    called for a page that exists already; `together` makes several calls at once, as `Storage.together`
    does. Every page is checked against its name and its place in the map. Safe to use from several threads.
    """

    def __init__(
        self,
        read: Callable[[str], bytes],
        write: Callable[[str, bytes], None],
        together: Together = _in_turn,
    ) -> None:
        self._read = read
        self._write = write
        self._together = together
        self._cached: Callable[[str], Page] | None = None

    @property
    def _page(self) -> Callable[[str], Page]:
        """Reads a page, or still has it. Made on first use, since small stores have no pages."""
        if self._cached is None:
            self._cached = lru_cache(_CACHED)(self._decoded)
        return self._cached

    def get(self, root: str | None, key: str) -> Any | None:
        """The value of a key; None if it has none. Like all methods, raises DamagedError for a page that
        fails its hash, IncompatibleError for one that no Saver wrote, or what `read` raises."""
        if root is None:
            return None
        name, page, end = root, self._page(root), None
        while page.height:
            if key < page.keys[0]:
                return None
            name, page, end = self._child(page, bisect_right(page.keys, key) - 1, end)
        at = bisect_left(page.keys, key)
        found = at < len(page.keys) and page.keys[at] == key
        return value_at(name, page, at) if found else None

    def expect(self, root: str | None, keys: Iterable[str]) -> None:
        """Read the pages on the paths to these keys ahead, all pages of a level at once."""
        level = {root: list(keys)} if root is not None else {}
        for _ in range(MAX_HEIGHT + 1):
            pages = self._together(partial(self._page, name) for name in level)
            below: dict[str, list[str]] = {}
            for wanted, page in zip(level.values(), pages, strict=True):
                for key in wanted if page.height else ():
                    at = max(bisect_right(page.keys, key) - 1, 0)
                    below.setdefault(page.pages[at], []).append(key)
            if not below:
                return
            level = below

    def scan(
        self, root: str | None, first: str, stop: str, reverse: bool = False
    ) -> Iterator[tuple[str, Any]]:
        """Keys from `first` to before `stop` with their values, in order; reads pages as they are needed."""
        if root is not None and first < stop:
            yield from self._scan(root, self._page(root), None, (first, stop), reverse, [1])

    def _scan(
        self, name: str, page: Page, end: str | None, bounds: tuple[str, str], reverse: bool, ahead: list[int]
    ) -> Iterator[tuple[str, Any]]:
        """`ahead` is how many pages are read at once: at first one, for callers that want the first key."""
        low, high = (bisect_left(page.keys, bound) for bound in bounds)
        if page.height:  # the previous child may contain the first key, too
            low = max(bisect_right(page.keys, bounds[0]) - 1, 0)
        order = range(high - 1, low - 1, -1) if reverse else range(low, high)
        read = 0
        for done, at in enumerate(order):
            if page.height:
                if done == read:
                    some = order[done : done + ahead[0]]
                    read += len(some)
                    self.read_ahead(page.pages[each] for each in some)
                yield from self._scan(*self._child(page, at, end), bounds, reverse, ahead)
                ahead[0] = min(2 * ahead[0], AHEAD)
            else:
                yield page.keys[at], value_at(name, page, at)

    def read_ahead(self, names: Iterable[str]) -> None:
        """Read some pages at once. The caller that needs one gets its error."""
        with suppress(SaverError):
            for _ in self._together(partial(self._page, name) for name in names):
                pass

    def update(self, root: str | None, changes: Mapping[str, Any]) -> str | None:
        """The root of the map with these values; None removes a key.

        Depends only on the root and the changes. Writes only new pages, children before their parents.
        """
        edits = [(key, None if changes[key] is None else _raw(changes[key])) for key in sorted(changes)]
        return Update(self._opened, self._write).root(root, edits) if edits else root

    def reachable(self, root: str | None, seen: set[str] | None = None) -> Iterator[str]:
        """The names of all pages of a map, and no others; leaves are not read.

        Skips pages in `seen` and all below them, and adds to it: for many roots that share pages.
        """
        seen = set() if seen is None else seen
        if root is None or root in seen:
            return
        seen.add(root)
        yield root
        waiting: list[tuple[Page, str | None]] = [(self._page(root), None)]
        while waiting:
            page, end = waiting.pop()
            for at, name in enumerate(page.pages):
                if name not in seen:
                    seen.add(name)
                    yield name
                    if page.height > 1:
                        waiting.append(self._child(page, at, end)[1:])

    def among(self, root: str | None, some: Collection[str]) -> set[str]:
        """The names of the pages of a map that are among `some`. Pages above them are, too. Leaves are not
        read."""
        found, level = set[str](), {root} if root is not None and root in some else set[str]()
        while level:
            found |= level
            pages = [self._page(name) for name in level]
            below = {name for page in pages for name in page.pages if name in some}
            if pages[0].height <= 1:
                return found | below
            level = below
        return found

    def only_in(self, root: str | None, others: Iterable[str | None]) -> set[str]:
        """The names of the pages of a map that none of the other maps has. Reads only pages that differ."""
        found = list(self._together(partial(self._difference, root, other) for other in others))
        return set.intersection(*found) if found else set(self.reachable(root))

    def _difference(self, root: str | None, other: str | None) -> set[str]:
        """The pages of one map that the other lacks, level by level: equal pages are equal with all below
        them."""
        mine, height = self._top(root)
        theirs, other_height = self._top(other)
        found = set[str]()
        while mine:
            if other_height > height:
                theirs, other_height = self._below(theirs)[0], other_height - 1
                continue
            level = other_height == height
            if level:
                mine, theirs = mine - theirs, theirs - mine
            found |= mine
            if not height:
                return found
            mine, below = self._below(mine, theirs if level else set())
            height -= 1
            if level:
                theirs, other_height = below, other_height - 1
        return found

    def _top(self, root: str | None) -> tuple[set[str], int]:
        return (set(), -1) if root is None else ({root}, self._page(root).height)

    def _below(self, *groups: set[str]) -> list[set[str]]:
        """The pages below each group of pages; all are read at once."""
        names = [name for group in groups for name in group]
        children = dict(zip(names, self._together(partial(self.below, name) for name in names), strict=True))
        return [{child for name in group for child in children[name]} for group in groups]

    def below(self, name: str) -> list[str]:
        """The names of the pages just below a page."""
        return self._page(name).pages

    def _child(self, page: Page, at: int, end: str | None) -> tuple[str, Page, str | None]:
        """The name of a child, the child, and a key that is greater than all of its keys."""
        end = page.keys[at + 1] if at + 1 < len(page.keys) else end
        return page.pages[at], self._opened(page.pages[at], page.height - 1, page.keys[at], end), end

    def _opened(self, name: str, height: int | None = None, first: str = "", end: str | None = None) -> Page:
        """Read a root, or a page of this height with keys from `first` to before `end`."""
        page = self._page(name)
        if height is not None and (page.height != height or page.keys[0] != first):
            raise IncompatibleError(
                f"page {name} is not what the page above it says: restore both from a copy"
            )
        if end is not None and page.keys[-1] >= end:
            raise IncompatibleError(f"page {name} has keys of the page after it: restore both from a copy")
        return page

    def _decoded(self, name: str) -> Page:
        check_name(name)
        return decoded(name, self._read(name))


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(canonical(value))
