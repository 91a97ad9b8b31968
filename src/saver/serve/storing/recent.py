"""The transactions of the newest records: each is in the log once, so that those who wait for one find it."""

from __future__ import annotations

from saver.repo.events import Void
from saver.repo.log import Record
from saver.repo.state import State
from saver.serve.refusals import Refusal

FIRST = 64
"""Records that are read for this when the first one is sent; all that come later are known."""
MOST = 10_000
"""Transactions that are remembered. One that others wait for is minutes old at most."""


class Recent:
    """What the server knows of the transactions in the log. Not thread-safe."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._upto = 0

    def demand_new(self, state: State, record: Record) -> None:
        """Raise Refusal if the transaction of a record, or that which it gives up, is in the log."""
        head = state.head
        for found, _ in state.log.read_on(max(self._upto, head - FIRST) + 1, head):
            self.took(found)
        if record.transaction in self._known:
            raise Refusal("bad-object", "the record has the transaction of another one")
        if isinstance(record.event, Void) and record.event.commit in self._known:
            raise Refusal("bad-object", "the record gives up a save that is in the log")

    def took(self, record: Record) -> None:
        """Remember a record of the log."""
        self._known[record.transaction] = None
        self._upto = record.number
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]
