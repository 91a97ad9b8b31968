"""What time it is for a collection: by the clock of the storage, which stamps the objects."""

from __future__ import annotations

from saver.errors import CannotWriteError, is_full
from saver.repo.objects import own
from saver.repo.repository import Repository
from saver.storage import Bytes

CLOCK_LEFT = 3600.0
"""Seconds after which an object that was made to read the clock belongs to no running process."""


class Clock:
    """The time, and the grace period of a collection in seconds. A dry run writes nothing to read it."""

    def __init__(self, repo: Repository, grace: float, dry_run: bool) -> None:
        self._repo = repo
        self.grace = grace
        self._dry = dry_run

    def newest(self) -> float:
        """When the last record was written, by the storage's own clock."""
        stat = self._repo.state.log.stat(self._repo.state.head)
        return stat.time if stat is not None else 0.0

    def about(self) -> float:
        """The time by whichever is later, this machine's clock or the last record. Nothing is written."""
        return max(self._repo.clock(), self.newest())

    def now(self) -> float:
        """The time by the storage's own clock, from an object made for that. In a dry run and on a full
        disk there is none: then the later of this machine's clock and the last record."""
        storage = self._repo.storage
        key, stat = f"clock/{self._repo.fresh()}", None
        if not self._dry:
            try:
                storage.put(key, Bytes(b""))
                stat = storage.stat(key)
            except CannotWriteError as error:
                if not is_full(error):
                    raise
        if stat is None:
            return self.about()
        left = {found.key: found.stat for found in own(storage, "clock/")}
        old = [  # left by a killed collector
            key for key, its in left.items() if its is not None and abs(stat.time - its.time) > CLOCK_LEFT
        ]
        storage.delete(key, *old)
        return stat.time

    def is_young(self, time: float, now: float) -> bool:
        """Whether something of that time is within the grace period. Times more than an hour ahead are not:
        the clock was set back."""
        return self.grace > 0 and -CLOCK_LEFT < now - time < self.grace
