"""Objects written for a version that is not committed yet; they are removed if it fails."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType

from saver.errors import CannotWriteError, CommitUnknownError
from saver.storage import Content, Storage


class Written:
    """The objects that were put for one version. Leaving the `with` block with an error removes them, since
    no other writer can know them, unless the error is CommitUnknownError, or they are kept.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._keys: list[str] = []
        self._kept = False

    def __enter__(self) -> Written:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and not isinstance(error, CommitUnknownError) and not self._kept:
            self.remove(self._keys)

    def put(self, key: str, content: Content) -> None:
        """Put an object, as the storage does."""
        self._keys.append(key)
        self._storage.put(key, content)

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
