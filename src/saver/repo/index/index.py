"""The index as a file that may be locked, broken, or not there: then nothing is known, and nothing fails."""

from __future__ import annotations

import math
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from blake3 import blake3

from saver import forks
from saver.caching.folder import cache_folder
from saver.logger import logger
from saver.repo.index import tables
from saver.repo.index.tables import Candidate, Row

if TYPE_CHECKING:  # imported when it is needed: `import saver` stays fast
    import sqlite3

T = TypeVar("T")

TIMEOUT = 1.0
"""Seconds to wait for other processes. Adding 20,000 tensors takes 0.1 to 0.3."""

PAUSE = 60.0
"""Seconds to do without the index after a timeout."""


def index_path(store_id: str) -> str:
    """Where the index of a store is: under `$SAVER_CACHE`, else in the XDG folder for caches.

    The id comes from a file: if it is unsuitable as the name of a file, its hash is used.
    """
    if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", store_id):
        store_id = blake3(store_id.encode(errors="surrogatepass")).hexdigest()
    return os.path.join(cache_folder(), f"{store_id}.sqlite")


_left: list[sqlite3.Connection | None] = []

_in_sqlite = threading.RLock()
"""Held during every call of SQLite, and while the process forks. SQLite has process-wide locks: a child
whose parent was inside a call could wait for one of them for ever."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_in_sqlite.acquire, after_in_parent=_in_sqlite.release, after_in_child=_in_sqlite.release
    )


class Index:
    """The cache in the file at `path`, which is created when it is first needed.

    Several threads and processes may use one file. `trouble` is None, or why this index behaves as if
    empty: for good, or for a minute because others kept the file locked.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble: str | None = None
        self._begin()
        forks.begin_anew(self, Index._leave)

    def _leave(self) -> None:
        """In a forked child: the connection belongs to the parent, which may be in the middle of a change,
        and must not be closed here."""
        _left.append(self._connection)
        self._begin()

    def _begin(self) -> None:
        """Reset to the state before the first call."""
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closing: weakref.finalize[..., Index] | None = None
        self._process = 0
        self._again = 0.0
        self._lengths: dict[int, bool] = {}

    @property
    def head(self) -> int:
        """The number of the newest log record whose tensors were added; 0 if there is none."""
        return self._ask(lambda db: tables.number_of(db, "SELECT number FROM head"), 0)

    def has(self, length: int, probe: bytes | None) -> bool:
        """Whether there may be a tensor of `length` bytes whose first bytes have the hash `probe`.

        None, here or in a row, means unknown, and matches any.
        """
        if probe is not None:
            some, key = "SELECT 1 FROM tensors WHERE length = ? AND probe", tables.probe_key(probe)
            query = f"SELECT EXISTS ({some} = ?) OR EXISTS ({some} IS NULL)"
            return self._ask(lambda db: tables.number_of(db, query, length, key, length) > 0, False)
        with self._lock:
            if length not in self._lengths:  # 20,000 small tensors have few lengths
                query = "SELECT EXISTS (SELECT 1 FROM tensors WHERE length = ?)"
                self._lengths[length] = self._ask(lambda db: tables.number_of(db, query, length) > 0, False)
            return self._lengths[length]

    def find(self, hashes: Iterable[str]) -> dict[str, list[Candidate]]:
        """The versions that may hold tensors with these hashes, the most recently added first."""
        wanted = list(hashes)
        return self._ask(lambda db: tables.find(db, wanted), {})

    def add(self, head: int, rows: Iterable[Row]) -> None:
        """Add tensors of versions up to the log record `head`: all of them or none. Idempotent."""
        noted = list(rows)
        with self._lock:
            self._lengths.clear()
            self._ask(lambda db: tables.add(db, head, noted), None)

    def close(self) -> None:
        """Close the file. It is opened again when it is needed."""
        with self._lock:
            if self._closing is not None:
                self._closing()
            self._connection = self._closing = None

    def _ask(self, question: Callable[[sqlite3.Connection], T], unknown: T) -> T:
        """The answer to `question`, or `unknown`. A file that cannot be an index is replaced once."""
        with self._lock:
            for attempt in range(2):
                if self.trouble is not None and time.monotonic() < self._again:
                    break
                try:
                    with _in_sqlite:
                        answer = question(self._opened())
                    self.trouble = None
                    return answer
                except (ImportError, OSError, ValueError, OverflowError) as error:
                    self._stop(error, math.inf)
                except MemoryError as error:
                    self._stop(error, PAUSE)
                except Exception as error:
                    if not _is_of_sqlite(error):
                        raise
                    if attempt or not _is_broken(error) or not self._begin_anew():
                        self._stop(error, PAUSE if _is_locked(error) else math.inf)
            return unknown

    def _opened(self) -> sqlite3.Connection:
        import sqlite3

        if self._connection is not None and self._process == os.getpid():
            return self._connection
        os.makedirs(os.path.dirname(self.path) or ".", mode=0o700, exist_ok=True)
        found = sqlite3.connect(self.path, timeout=TIMEOUT, isolation_level=None, check_same_thread=False)
        process = os.getpid()
        self._closing = weakref.finalize(self, _close, found, process)
        tables.prepare(found)
        self._connection, self._process = found, process  # last: only a prepared one is used again
        return found

    def _begin_anew(self) -> bool:
        """Delete the file; its side files first, so that they are not taken for those of the next one."""
        self.close()
        try:
            for ending in ("-journal", "-wal", "-shm", ""):
                Path(self.path + ending).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def _stop(self, error: Exception, pause: float) -> None:
        self.close()
        self._again = time.monotonic() + pause
        self.trouble = (
            f"{self.path}: the index of tensors is not used ({error}); saves share tensors with their parent "
            "and their bases only; delete the file, or set SAVER_CACHE to a folder that can be written"
        )
        logger.warning("%s", self.trouble)


def _close(connection: sqlite3.Connection, process: int) -> None:
    if process == os.getpid():  # a connection from before a fork is the parent's
        with _in_sqlite:
            connection.close()


def _is_of_sqlite(error: Exception) -> bool:
    import sqlite3

    return isinstance(error, sqlite3.Error)


def _is_locked(error: Exception) -> bool:
    import sqlite3

    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_broken(error: Exception) -> bool:
    """Whether the file is not an index of this Saver, as opposed to locked, read-only or too large."""
    import sqlite3

    broken = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:  # text that is not UTF-8, and tables of another kind
        return isinstance(error, sqlite3.OperationalError)
    return code & 0xFF in broken
