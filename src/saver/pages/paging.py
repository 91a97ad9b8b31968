"""Long lists in pages."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlencode

import msgspec

from saver.pages.page import MOST_PER_PAGE, PER_PAGE, Visit


class Paging(msgspec.Struct, frozen=True):
    """One of the pages of a list of `total`: from the item `first` on, up to `most` items."""

    total: int
    page: int
    most: int

    @property
    def pages(self) -> int:
        """How many there are; at least one."""
        return max(1, -(-self.total // self.most))

    @property
    def first(self) -> int:
        """The index of the first item of this page."""
        return (self.page - 1) * self.most

    def titled(self, title: str) -> str:
        """The title of this page, which is not that of the others."""
        return title if self.page == 1 else f"{title}, page {self.page}"


def paging(visit: Visit, total: int, most: int = PER_PAGE) -> Paging:
    """The page that a request wants, or the nearest one that there is."""
    most = visit.number("most", most, 1, MOST_PER_PAGE)
    pages = max(1, -(-total // most))
    return Paging(total, visit.number("page", 1, 1, pages), most)


def with_query(path: str, given: Iterable[tuple[str, str]], **changes: object) -> str:
    """A path with these parameters, but for changed ones; without those that are empty."""
    kept = [(name, value) for name, value in given if name not in changes and value]
    added = [(name, str(value)) for name, value in changes.items() if value not in ("", None)]
    query = urlencode(kept + added)
    return f"{path}?{query}" if query else path
