"""The existing versions of a run; drops those that need not be kept."""

from __future__ import annotations

import errno
import time

from saver import policy
from saver.callers import warn
from saver.errors import CannotWriteError
from saver.logger import logger
from saver.policy import Checkpoint, Retention
from saver.pruning import checkpoint_of
from saver.repo.changing import deletion
from saver.repo.events import Delete
from saver.repo.gc import collect
from saver.repo.repository import Repository
from saver.repo.version import Version

GRACE = 60.0
"""Seconds before the bytes of dropped versions are freed, so that processes can finish loading them."""

COLLECTING = 15.0
"""The least number of seconds between two collections; the first one of a process lists the whole store."""


class History:
    """`saved` is what policies see, oldest first. It is replaced, never changed."""

    def __init__(self, repo: Repository, model: str, keep: Retention | None) -> None:
        self.saved: list[Checkpoint] = []
        self._repo, self._model, self._keep = repo, model, keep
        self._known = False
        self._own: int | None = None
        self._collected = -COLLECTING

    def read(self) -> None:
        """Read the versions from the store."""
        self.saved = [checkpoint_of(version) for version in self._repo.versions(self._model)]
        self._known = True

    def add(self, version: Version) -> None:
        """Add a version that is on disk; drop others that need not be kept."""
        if self._own is not None and version.number != self._own + 1:
            warn(
                f"{version} follows {self._model}@{self._own} of this run: another run saves under this "
                "name, and each drops the versions of the other; give each run its own name",
            )
        self._own = version.number
        if self._keep is None and self._known:
            self.saved = [*self.saved, checkpoint_of(version)]
            return
        self.read()  # tags may have changed
        if not self._doomed(version.number):
            return
        self._drop(version.number)
        if time.monotonic() >= self._collected + COLLECTING:
            self._collect()
            self._collected = time.monotonic()

    def _collect(self) -> None:
        """Free what only dropped versions needed. Where this is for others to do, as behind a server, nothing
        is lost: their collection frees it."""
        try:
            collect(self._repo, GRACE, listing=False)
        except CannotWriteError as error:
            if error.errno != errno.EACCES:
                raise
            logger.info("%s: left to be collected by others: %s", self._repo.storage, error)

    def _doomed(self, verified: int) -> list[int]:
        return policy.doomed(self.saved, self._keep, verified) if self._keep is not None else []

    def _drop(self, verified: int) -> None:
        """Delete what need not be kept, but for what somebody tags meanwhile."""
        doomed: list[int] = []

        def decide() -> Delete | None:
            self.read()
            doomed[:] = self._doomed(verified)
            return deletion(self._repo, self._model, doomed) if doomed else None

        self._repo.append(decide)
        self.saved = [each for each in self.saved if each.number not in doomed]

    def lose_count(self) -> None:
        """Accept any number for the next version, since it is unknown whether the last save took place."""
        self._own = None

    def make_room(self) -> bool:
        """Free the bytes of dropped versions at once, even if someone may be loading them. False if this
        run drops none, or if there was nothing to free.
        """
        return self._keep is not None and bool(collect(self._repo, 0.0, listing=False).freed_bytes)
