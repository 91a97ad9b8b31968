"""The versions that a run may resume from, tried one after the other, by one process or by all ranks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from saver.callers import warn
from saver.demanding import demand_opened
from saver.distributed.broadcast import Broadcast
from saver.distributed.restoring import same_version
from saver.distributed.session import Session
from saver.errors import DamagedError
from saver.opened import Opened, open_version
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.restoring import Bring


class GoneBack(Exception):
    """Another rank cannot use this version, so all go back to an older one."""


class Trials:
    """The versions of a run, newest first, until one can be used; say of the others that they `failed`. In a
    session, all ranks get the same ones, and each says so or has them `agree`; `how` is as in `Broadcast`."""

    def __init__(self, repo: Repository, model: str, session: Session | None, how: str | None) -> None:
        self._repo, self._model, self._session = repo, model, session
        self._version: Version | None = None
        self._number = 0
        self._back: list[str] = []
        self._broadcast = Broadcast(session, how)

    def __iter__(self) -> Iterator[Version]:
        session = self._session
        found = self._all() if session is None or session.leads else iter(())
        while True:
            self._number += 1
            self._version = next(found, None)
            if session is not None and session.agree(self._key("more"), self._version is not None, bool):
                self._version = same_version(self._repo, session, self._version or "", self._key("version"))
                session.doing(f"reading {self._version}")
            if self._version is None:
                break
            self._broadcast.again()
            yield self._version
        if self._back:
            raise DamagedError(
                f"{self._repo.storage}: no version of {self._model} can be resumed: {'; '.join(self._back)}; "
                "bring the store back from a backup, or give this run another name"
            )

    def _all(self) -> Iterator[Version]:
        if self._repo.exists():
            self._repo.open()
            yield from self._repo.versions(self._model, reverse=True)

    def close(self) -> None:
        """No more are tried."""
        self._broadcast.close()

    def opened(self) -> Opened:
        """The version, opened."""
        assert self._version is not None
        found = open_version(self._repo, self._version)
        demand_opened(self._repo, found)
        self._broadcast.begin(found.tensors)
        return found

    def bring(self, opened: Opened) -> Bring:
        """What brings here what several ranks need of the version."""
        return partial(self._broadcast.bring, opened.tensors)

    def failed(self, error: Exception) -> None:
        """The version cannot be used here."""
        self._broadcast.skip()
        self._back.append(self._settled(f"{self._version} could not be used: {error}"))

    def agree(self) -> None:
        """Everything is read and verified here: wait until it is everywhere. Raises GoneBack otherwise."""
        problem = self._settled("")
        if problem:
            self._back.append(problem)
            raise GoneBack

    def _settled(self, problem: str) -> str:
        """The problem that the first rank has which has one."""
        session = self._session
        if session is None:
            return problem
        found = session.gather(self._key("read"), problem, str)
        first = next((f"{each} (in rank {rank})" for rank, each in enumerate(found) if each), "")
        if session.leads and not first:
            session.decide()
        return session.agree(self._key("settled"), first, str)

    def warn(self) -> None:
        """If an older version was used, say why."""
        if self._back and (self._session is None or self._session.leads):
            warn(f"resumed from {self._version}; {'; '.join(self._back)}", UserWarning)

    def _key(self, name: str) -> str:
        return f"{name}-{self._number}"
