"""A part of a version, as the log names it."""

from __future__ import annotations

import msgspec

from saver.human import size
from saver.page import Said


class PartVersion(Said, msgspec.Struct, frozen=True):
    """A part of a version: its own number, which moves only when its content does; hash; size in bytes."""

    number: int
    hash: str
    bytes: int

    def _line(self) -> str:
        return f"number {self.number}, {size(self.bytes)}, hash {self.hash[:12]}"
