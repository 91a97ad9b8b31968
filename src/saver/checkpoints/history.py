"""The existing versions of a run, and how those are dropped that need not be kept."""

from __future__ import annotations

import time

from saver import policy
from saver.callers import warn
from saver.policy import Checkpoint, Retention
from saver.repo.gc import collect
from saver.repo.log import Delete
from saver.repo.repository import Repository
from saver.repo.version import Version

GRACE = 60.0
"""Seconds before the bytes of dropped versions are freed, for the sake of processes that are loading them."""

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
        self.saved = [_saved(version) for version in self._repo.versions(self._model)]
        self._known = True

    def add(self, version: Version) -> None:
        """Add a version that is on disk; drop others that need not be kept."""
        if self._own is not None and version.number != self._own + 1:
            warn(
                f"{version} follows {self._model}@{self._own} of this run: somebody else saves under this "
                "name, and each drops what the other saved; give each training a name of its own",
            )
        self._own = version.number
        if self._keep is None and self._known:
            self.saved = [*self.saved, _saved(version)]
            return
        self.read()  # tags may have come and gone
        doomed = policy.doomed(self.saved, self._keep, version.number) if self._keep is not None else ()
        if not doomed:
            return
        self._repo.append(lambda: Delete(self._model, tuple(doomed)))
        self.saved = [each for each in self.saved if each.number not in doomed]
        if time.monotonic() >= self._collected + COLLECTING:
            collect(self._repo, GRACE, listing=False)
            self._collected = time.monotonic()

    def lose_count(self) -> None:
        """It is unknown whether the last save took place, so the next version may have any number."""
        self._own = None

    def make_room(self) -> bool:
        """Free the bytes of dropped versions at once, even if someone may be loading them. False if this
        run drops none, or if there was nothing to free.
        """
        return self._keep is not None and bool(collect(self._repo, 0.0, listing=False).freed_bytes)


def _saved(version: Version) -> Checkpoint:
    return Checkpoint(
        number=version.number, step=version.step, time=version.time, metrics=version.metrics,
        tags=version.tags, bytes=version.bytes, bytes_added=version.bytes_added,
    )  # fmt: skip
