"""What a view says, as one immutable value: replaced by one assignment, which no exception interrupts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from saver.repo.log import Record


class Known(msgspec.Struct, frozen=True, gc=False):
    """What a view says: whole, or not at all. `settled` is what changed from the base until `due`, `recent`
    what changed since, None for removed keys; `settled_keys` are sorted: a scan examines only its own range.
    """

    head: int
    previous: str
    base: int
    root: str | None
    alone: bool
    due: tuple[int, str] | None = None
    settled: Mapping[str, Any] = {}
    settled_keys: Sequence[str] = ()
    recent: Mapping[str, Any] = {}

    def after(self, record: Record, digest: str, changes: Mapping[str, Any], interval: int) -> Known:
        """The same after the next record, which changes this."""
        recent = {**self.recent, **changes}
        if record.number % interval:
            return msgspec.structs.replace(self, head=record.number, previous=digest, recent=recent)
        keys = sorted(
            [*self.settled_keys, *(recent.keys() - self.settled.keys())]
        )  # in one pass: mostly sorted
        return msgspec.structs.replace(
            self, head=record.number, previous=digest, due=(record.number, digest),
            settled={**self.settled, **recent}, settled_keys=keys, recent={},
        )  # fmt: skip
