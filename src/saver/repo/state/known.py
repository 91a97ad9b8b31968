"""What a view says, as one immutable value: replaced by one assignment, which no exception interrupts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from saver.repo.log import Record


class Known(msgspec.Struct, frozen=True, gc=False):
    """What a view says: whole, or not at all. `settled` is what changed from the base until `due`, `recent`
    what changed since, None for removed keys. The keys of both are also kept sorted: a scan examines only its
    own range. `roles` are who may do what, `due_roles` who might when the checkpoint became due.
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
    recent_keys: Sequence[str] = ()
    roles: Mapping[str, tuple[str, ...]] = {}
    due_roles: Mapping[str, tuple[str, ...]] = {}

    def after(
        self, record: Record, digest: str, changes: Mapping[str, Any], interval: int,
        roles: Mapping[str, tuple[str, ...]],
    ) -> Known:  # fmt: skip
        """The same after the next record, which changes this."""
        recent = {**self.recent, **changes}
        if record.number % interval:
            return msgspec.structs.replace(
                self, head=record.number, previous=digest, recent=recent,
                recent_keys=_with(self.recent_keys, changes.keys() - self.recent.keys()), roles=roles,
            )  # fmt: skip
        return msgspec.structs.replace(
            self, head=record.number, previous=digest, due=(record.number, digest),
            settled={**self.settled, **recent}, recent={}, recent_keys=(),
            settled_keys=_with(self.settled_keys, recent.keys() - self.settled.keys()),
            roles=roles, due_roles=roles,
        )  # fmt: skip


def _with(keys: Sequence[str], more: Iterable[str]) -> Sequence[str]:
    """These sorted keys with more of them."""
    return sorted([*keys, *more])  # in one pass: mostly sorted
