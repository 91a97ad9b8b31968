"""Objects written for a version that is not committed yet; they are removed if it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TypeVar

from saver.errors import CannotWriteError, CommitUnknownError
from saver.repo.beside import Beside
from saver.storage import Content, Storage

T = TypeVar("T")


class Written:
    """The objects that were put for one version. Leaving the `with` block with an error removes them, since
    no other writer can know them, unless the error is CommitUnknownError, or they are kept.

    `beside` is work that goes with the calls that the save makes; what is left of it is done at the end.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.beside: Beside | None = None
        self._keys: list[str] = []
        self._kept = False

    def __enter__(self) -> Written:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, CommitUnknownError) and not self._kept:
            self.remove(self._keys)
        if self.beside is not None:
            self.beside.__exit__(kind, error, trace)

    def put(self, key: str, content: Content) -> None:
        """Put an object, as the storage does."""
        self._keys.append(key)
        self.call(partial(self._storage.put, key, content))

    def call(self, ask: Callable[[], T]) -> T:
        """What `ask` returns or raises, while a step of what is `beside` is done."""
        return ask() if self.beside is None else self.beside.call(ask)

    def keep(self) -> None:
        """From now on, remove nothing of what was put: a record may need it."""
        self._kept = True

    def release(self) -> None:
        """The record was not written, so nothing needs what was put."""
        self._kept = False

    def remove(self, keys: Iterable[str]) -> None:
        """Remove objects that nothing needs.

        An object that cannot be deleted is garbage, which a collector frees: that must not hide why the
        save failed.
        """
        gone = [*keys]
        with suppress(CannotWriteError):
            if gone:
                self._storage.delete(*gone)
