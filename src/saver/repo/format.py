"""`store.json`: which store this is, and what one must know to use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from saver.errors import CannotWriteError, DamagedError, IncompatibleError, NotFoundError
from saver.repo import document
from saver.storage import Storage
from saver.tree import decodable

FORMAT = 1
STORE_KEY = "store.json"

FEATURES: frozenset[str] = frozenset()
"""What a store may ask for, of this Saver."""


@decodable
class Format(msgspec.Struct, frozen=True):
    """`store.json`. The features that one must know to read, to write, and to collect."""

    format: int
    id: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    seal: dict[str, Any] | None = None


@decodable
class _Outline(msgspec.Struct):
    """As much of `store.json` as every format has."""

    format: int


def read_format(storage: Storage) -> Format | None:
    """What `store.json` says; None where there is no store. Raises IncompatibleError for stores of newer
    Savers."""
    data = _bytes_in(storage)
    if data is None:
        return None
    where = f"{storage}: {STORE_KEY}"
    outline, _ = document.decode(data, _Outline, where)
    if outline.format != FORMAT:
        raise IncompatibleError(
            f"{where} has format {outline.format}; this Saver knows format {FORMAT}: install a newer one"
        )
    found, _ = document.decode(data, Format, where)
    demand(storage, found.read, "read")
    return found


def _bytes_in(storage: Storage) -> bytes | None:
    """`store.json`; None where there is no store. Raises DamagedError where there is one without it."""
    try:
        return storage.read(STORE_KEY)
    except NotFoundError:
        if next(storage.keys("log/"), None) is None:
            return None
    try:  # again: another process may just have made the store, and saved
        return storage.read(STORE_KEY)
    except NotFoundError:
        raise DamagedError(
            f"{storage}: {STORE_KEY} is missing, and there are log records; nothing was changed; "
            "restore it from a copy of the store"
        ) from None


def read_again(storage: Storage, known: Format) -> Format:
    """What `store.json` says by now. Raises CannotWriteError where the store is not there any more.

    What is written once its folder was deleted, moved or unmounted would begin another one, without its
    past; and a store that came back would have a gap.
    """
    found = read_format(storage)
    if found is None or found.id != known.id:
        what = "is not there any more" if found is None else "is another one than it was"
        raise CannotWriteError(
            f"{storage}: the store {what}: it was deleted, moved or unmounted; nothing was written; "
            "bring it back, or begin another one with a new Saver"
        )
    return found


def demand(storage: Storage, features: Iterable[str], purpose: str) -> None:
    """Raise IncompatibleError unless this Saver knows all `features`, which the store asks for."""
    missing = sorted(set(features) - FEATURES)
    if missing:
        names = ", ".join(name[:40] for name in missing[:5])
        raise IncompatibleError(
            f"{storage}: to {purpose} this store, Saver needs {names}, which this one does not have; "
            "nothing was changed; install a newer Saver"
        )
