"""An immutable sorted map from text keys to JSON values: a B-tree of pages that are never changed.

A page is compact JSON, named by the BLAKE3 of its bytes:

    leaf     {"keys":[…],"values":[…]}
    others   {"height":1,"keys":[first key of each child],"pages":[name of each child]}

An update rewrites the pages that it changes and those above them, and shares all others with the previous
map (copy on write): every older root stays readable as long as its pages are kept. All leaves have the same
depth; `height` counts the levels below a page.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from operator import itemgetter, lt
from typing import Any, NamedTuple, TypeAlias

import msgspec
from blake3 import blake3

from saver.canonical import canonical
from saver.errors import DamagedError, IncompatibleError
from saver.strict import decodable

LEAF_BYTES = 8 << 10
"""The most bytes that the keys and values of a leaf take, unless there is only one."""

FAN_OUT = 32
"""The most children that a page has.

Small pages suit small batches: with 16 changes at a time, 10,000 versions of 473 bytes wrote 3.0 kB each
in 7 pages; with leaves of 16 KiB and a fan-out of 96, which suit batches of 64 better, 4.4 kB. A lookup
among 100,000 reads four.
"""

MAX_HEIGHT = 16
"""More levels than any map that fits on a disk needs."""

_CACHED = 128
"""How many decoded pages are kept: some 1 MB."""

Together: TypeAlias = Callable[[Iterable[Callable[[], Any]]], Iterator[Any]]


def _in_turn(asks: Iterable[Callable[[], Any]]) -> Iterator[Any]:
    return (ask() for ask in asks)


_is_name = re.compile(r"[0-9a-f]{64}").fullmatch


@decodable
class _Page(msgspec.Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, frozen=True):
    """A page as it is stored. Its lists are never changed: others may refer to them."""

    height: int = 0
    keys: list[str]
    values: list[msgspec.Raw] = []
    pages: list[str] = []


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
        self._page = lru_cache(_CACHED)(self._decoded)

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
        return _value(name, page, at) if found else None

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
            yield from self._scan(root, self._page(root), None, (first, stop), reverse)

    def _scan(
        self, name: str, page: _Page, end: str | None, bounds: tuple[str, str], reverse: bool
    ) -> Iterator[tuple[str, Any]]:
        low, high = (bisect_left(page.keys, bound) for bound in bounds)
        if page.height:  # the previous child may contain the first key, too
            low = max(bisect_right(page.keys, bounds[0]) - 1, 0)
        for at in range(high - 1, low - 1, -1) if reverse else range(low, high):
            if page.height:
                yield from self._scan(*self._child(page, at, end), bounds, reverse)
            else:
                yield page.keys[at], _value(name, page, at)

    def update(self, root: str | None, changes: Mapping[str, Any]) -> str | None:
        """The root of the map with these values; None removes a key.

        Depends only on the root and the changes. Writes only new pages, children before their parents.
        """
        edits = [(key, None if changes[key] is None else _raw(changes[key])) for key in sorted(changes)]
        return _Update(self._opened, self._write).root(root, edits) if edits else root

    def reachable(self, root: str | None, seen: set[str] | None = None) -> Iterator[str]:
        """The names of all pages of a map, and no others; leaves are not read.

        Skips pages in `seen` and all below them, and adds to it: for many roots that share pages.
        """
        seen = set() if seen is None else seen
        if root is None or root in seen:
            return
        seen.add(root)
        yield root
        waiting: list[tuple[_Page, str | None]] = [(self._page(root), None)]
        while waiting:
            page, end = waiting.pop()
            for at, name in enumerate(page.pages):
                if name not in seen:
                    seen.add(name)
                    yield name
                    if page.height > 1:
                        waiting.append(self._child(page, at, end)[1:])

    def only_in(self, root: str | None, others: Iterable[str | None]) -> set[str]:
        """The names of the pages of a map that none of the other maps has. Reads only pages that differ."""
        found = [self._difference(root, other) for other in others]
        return set.intersection(*found) if found else set(self.reachable(root))

    def _difference(self, root: str | None, other: str | None) -> set[str]:
        """The pages of one map that the other lacks, level by level: equal pages are equal with all below
        them."""
        mine, height = self._top(root)
        theirs, other_height = self._top(other)
        found = set[str]()
        while mine:
            if other_height > height:
                theirs, other_height = self._below(theirs), other_height - 1
                continue
            if other_height == height:
                mine, theirs = mine - theirs, theirs - mine
            found |= mine
            mine, height = self._below(mine) if height else set(), height - 1
        return found

    def _top(self, root: str | None) -> tuple[set[str], int]:
        return (set(), -1) if root is None else ({root}, self._page(root).height)

    def _below(self, names: set[str]) -> set[str]:
        pages = self._together(partial(self._page, name) for name in names)
        return {child for page in pages for child in page.pages}

    def _child(self, page: _Page, at: int, end: str | None) -> tuple[str, _Page, str | None]:
        """The name of a child, the child, and a key that is greater than all of its keys."""
        end = page.keys[at + 1] if at + 1 < len(page.keys) else end
        return page.pages[at], self._opened(page.pages[at], page.height - 1, page.keys[at], end), end

    def _opened(self, name: str, height: int | None = None, first: str = "", end: str | None = None) -> _Page:
        """Read a root, or a page of this height with keys from `first` to before `end`."""
        page = self._page(name)
        if height is not None and (page.height != height or page.keys[0] != first):
            raise IncompatibleError(
                f"page {name} is not what the page above it says: restore both from a copy"
            )
        if end is not None and page.keys[-1] >= end:
            raise IncompatibleError(f"page {name} has keys of the page after it: restore both from a copy")
        return page

    def _decoded(self, name: str) -> _Page:
        if not _is_name(name):
            raise IncompatibleError(
                f"{name[:80]!r} is not the name of a page: restore what refers to it from a copy"
            )
        data = self._read(name)
        if blake3(data).hexdigest() != name:
            raise DamagedError(
                f"page {name}: the bytes are not those that were written; restore it from a copy"
            )
        try:
            page = msgspec.json.decode(data, type=_Page)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise IncompatibleError(f"page {name} is malformed: {error}; restore it from a copy") from None
        if not _is_sound(page):
            raise IncompatibleError(f"page {name} is malformed (keys or values); restore it from a copy")
        return page


def _is_sound(page: _Page) -> bool:
    items, others = (page.pages, page.values) if page.height else (page.values, page.pages)
    return (
        0 <= page.height <= MAX_HEIGHT
        and len(page.keys) == len(items) > 0
        and not others
        and all(map(lt, page.keys, page.keys[1:]))
        and all(map(_is_name, page.pages))
    )


def _value(name: str, page: _Page, at: int) -> Any:
    try:
        return msgspec.json.decode(page.values[at])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise IncompatibleError(f"page {name}: the value of {page.keys[at]!r} is not JSON: {error}") from None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(canonical(value))


class _Draft(NamedTuple):
    """A page that may be written: a leaf with values, or a page whose children are pages or drafts."""

    height: int
    keys: list[str]
    values: list[msgspec.Raw]
    pages: list[str | _Draft]

    @property
    def limit(self) -> int:
        return FAN_OUT if self.height else LEAF_BYTES

    def sizes(self) -> list[int]:
        """What each key adds to the page, for comparison with `limit`."""
        if self.height:
            return [1] * len(self.keys)
        return [len(key) + len(value) for key, value in zip(self.keys, self.values, strict=True)]

    def divided(self, edge: int) -> list[_Draft]:
        """Pages within the limit with the same content; the last new key is before `edge`."""
        return [
            _Draft(self.height, self.keys[a:b], self.values[a:b], self.pages[a:b])
            for a, b in pairwise(_cuts(self.sizes(), self.limit, edge))
        ]


_Edits: TypeAlias = Sequence[tuple[str, msgspec.Raw | None]]


def _cuts(sizes: list[int], limit: int, edge: int) -> list[int]:
    """Where to cut items, so that no piece is larger than `limit` unless it is a single item.

    Keys are mostly added in order, after the last of their kind: so the items before `edge` fill pages, and
    the next keys continue there. Otherwise the pieces are about equal.
    """
    ends = list(accumulate(sizes, initial=0))
    cuts = [0]
    while (left := ends[-1] - ends[cuts[-1]]) > limit:
        start = cuts[-1]
        stop = max(bisect_right(ends, ends[start] + limit) - 1, start + 1)
        if stop > edge:
            if min(ends[edge] - ends[start], ends[-1] - ends[edge]) >= limit // 4:
                stop = edge
            else:
                middle = bisect_left(ends, ends[start] + left / -(-left // limit))
                stop = min(stop, max(middle, start + 1))
        cuts.append(stop)
    return cuts if cuts[-1] == len(sizes) else [*cuts, len(sizes)]


class _Update:
    """One update of a map: everything is decided on drafts, and new pages are written at the end."""

    def __init__(self, opened: Callable[..., _Page], write: Callable[[str, bytes], None]) -> None:
        self._opened = opened
        self._write = write
        self._known: set[str] = set()

    def root(self, root: str | None, edits: _Edits) -> str | None:
        """The new root."""
        drafts = self._edited(_Draft(0, [], [], []) if root is None else self._draft(root), edits, None)
        while len(drafts) > 1:
            keys = [draft.keys[0] for draft in drafts]
            drafts = _Draft(drafts[0].height + 1, keys, [], [*drafts]).divided(len(keys))
        return self._top(drafts[0]) if drafts else None

    def _draft(self, name: str, *place: Any) -> _Draft:
        """The draft of an existing page; `place` is as for `Pages._opened`."""
        page = self._opened(name, *place)
        self._known.add(name)
        return _Draft(page.height, page.keys, page.values, [*page.pages])

    def _edited(self, page: _Draft, edits: _Edits, end: str | None) -> list[_Draft]:
        """The result of editing a page, whose keys are before `end`: pages of the same height, or none."""
        if not page.height:
            return _edited_leaf(page, edits)
        keys: list[str] = []
        pages: list[str | _Draft] = []
        done = behind = 0
        for child, key, stop in zip(page.pages, page.keys, [*page.keys[1:], end], strict=True):
            upto = len(edits) if stop is None else bisect_left(edits, stop, key=itemgetter(0))
            if done == upto:
                keys.append(key)
                pages.append(child)
                behind += 1
                continue
            below = child if isinstance(child, _Draft) else self._draft(child, page.height - 1, key, stop)
            drafts = self._edited(below, edits[done:upto], stop)
            keys.extend(draft.keys[0] for draft in drafts)
            pages.extend(drafts)
            done, behind = upto, 0
        self._join(page.height - 1, keys, pages, end)
        return _Draft(page.height, keys, [], pages).divided(len(keys) - behind) if keys else []

    def _join(self, height: int, keys: list[str], pages: list[str | _Draft], end: str | None) -> None:
        """Join new pages that are less than a quarter full with the next one; the last may still grow."""
        at = 0
        while at + 1 < len(pages):
            draft, other = pages[at], pages[at + 1]
            if not isinstance(draft, _Draft) or sum(draft.sizes()) >= draft.limit // 4:
                at += 1
                continue
            if not isinstance(other, _Draft):
                stop = keys[at + 2] if at + 2 < len(keys) else end
                other = self._draft(other, height, keys[at + 1], stop)
            values, children = draft.values + other.values, draft.pages + other.pages
            joined = _Draft(height, draft.keys + other.keys, values, children).divided(0)
            keys[at : at + 2] = [page.keys[0] for page in joined]
            pages[at : at + 2] = joined
            at += len(joined) - 1

    def _top(self, draft: _Draft) -> str:
        """Write the map from its real root: the topmost page with more than one child."""
        if draft.height and len(draft.pages) == 1:
            (child,) = draft.pages
            return self._top(child if isinstance(child, _Draft) else self._draft(child))
        return self._written(draft)

    def _written(self, draft: _Draft) -> str:
        pages = [page if isinstance(page, str) else self._written(page) for page in draft.pages]
        data = canonical(_Page(height=draft.height, keys=draft.keys, values=draft.values, pages=pages))
        name = blake3(data).hexdigest()
        if name not in self._known:
            self._write(name, data)
        return name


def _edited_leaf(leaf: _Draft, edits: _Edits) -> list[_Draft]:
    values: dict[str, msgspec.Raw | None] = dict(zip(leaf.keys, leaf.values, strict=True))
    values.update(edits)
    kept = [(key, value) for key, value in sorted(values.items(), key=itemgetter(0)) if value is not None]
    keys = [key for key, _ in kept]
    edge = bisect_right(keys, edits[-1][0])
    return _Draft(0, keys, [value for _, value in kept], []).divided(edge) if keys else []
