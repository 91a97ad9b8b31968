"""The numbers of versions and of their parts."""

from __future__ import annotations

import msgspec

from saver.errors import CannotWriteError
from saver.human import size
from saver.page import Said


class PartVersion(Said, msgspec.Struct, frozen=True):
    """A part of a version: its own number, which moves only when its content does; hash; size in bytes."""

    number: int
    hash: str
    bytes: int

    def _line(self) -> str:
        return f"number {self.number}, {size(self.bytes)}, hash {self.hash[:12]}"


def next_number(where: str, model: str, last: int, wanted: int | None) -> int:
    """The number of the next version after the last one: the one that is wanted, if any. Raises
    CannotWriteError if that was given already."""
    if wanted is None:
        return last + 1
    if wanted <= last:
        raise CannotWriteError(
            f"{where}: {model}@{last} was saved meanwhile, so nothing becomes {model}@{wanted} any more; "
            "it was not saved; try again"
        )
    return wanted
