"""Updates of the map in `pages.py`: what is changed, divided and joined before new pages are written."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from saver.repo.state.page import Page, encoded

LEAF_BYTES = 8 << 10
"""The most bytes that the keys and values of a leaf take, unless there is only one."""

FAN_OUT = 32
"""The most children that a page has.

Small pages suit small batches: with 16 changes at a time, 10,000 versions of 473 bytes wrote 3.0 kB each
in 7 pages; with leaves of 16 KiB and a fan-out of 96, which suit batches of 64 better, 4.4 kB. A lookup
among 100,000 reads four.
"""


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


Edits: TypeAlias = Sequence[tuple[str, msgspec.Raw | None]]
"""Keys in order, with the new value of each as JSON; None removes it."""


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


class Update:
    """One update of a map: everything is decided on drafts, and new pages are written at the end."""

    def __init__(self, opened: Callable[..., Page], write: Callable[[str, bytes], None]) -> None:
        self._opened = opened
        self._write = write
        self._known: set[str] = set()

    def root(self, root: str | None, edits: Edits) -> str | None:
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

    def _edited(self, page: _Draft, edits: Edits, end: str | None) -> list[_Draft]:
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
        name, data = encoded(Page(height=draft.height, keys=draft.keys, values=draft.values, pages=pages))
        if name not in self._known:
            self._write(name, data)
        return name


def _edited_leaf(leaf: _Draft, edits: Edits) -> list[_Draft]:
    values: dict[str, msgspec.Raw | None] = dict(zip(leaf.keys, leaf.values, strict=True))
    values.update(edits)
    kept = [(key, value) for key, value in sorted(values.items(), key=itemgetter(0)) if value is not None]
    keys = [key for key, _ in kept]
    edge = bisect_right(keys, edits[-1][0])
    return _Draft(0, keys, [value for _, value in kept], []).divided(edge) if keys else []
