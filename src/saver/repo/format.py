"""`store.json`: which store this is, and which features a program must know to use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from saver.errors import CannotWriteError, DamagedError, IncompatibleError, NotFoundError
from saver.repo import document
from saver.storage import Storage
from saver.strict import decodable

FORMAT = 1
STORE_KEY = "store.json"

SEALED = "sealed"

FEATURES: frozenset[str] = frozenset({SEALED})
"""The features of a store that this Saver knows."""


@decodable
class Format(msgspec.Struct, frozen=True):
    """`store.json`: the features that a program must know to read, to write, and to collect."""

    format: int
    id: str
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    collect: tuple[str, ...] = ()
    seal: dict[str, Any] | None = None


@decodable
class _Outline(msgspec.Struct):
    """The fields of `store.json` that every format has."""

    format: int


def is_sealed(storage: Storage) -> bool | None:
    """Whether the store in this storage is sealed, of which nothing else is read; None if there is none."""
    data = _bytes_in(storage)
    if data is None:
        return None
    return document.decode(data, Format, f"{storage}: {STORE_KEY}")[0].seal is not None


def read_format(storage: Storage) -> Format | None:
    """The content of `store.json`; None if there is no store. Raises IncompatibleError for stores of newer
    Savers."""
    data = _bytes_in(storage)
    if data is None:
        return None
    where = f"{storage}: {STORE_KEY}"
    try:
        found, _ = document.decode(data, Format, where)
    except IncompatibleError:
        _demand_format(document.decode(data, _Outline, where)[0].format, where)
        raise
    _demand_format(found.format, where)
    demand(storage, found.read, "read")
    storage.admit(found.id, found.seal)
    return found


def new_format(storage: Storage, ident: str) -> Format:
    """What `store.json` says of a new store with this id."""
    seal = storage.begin(ident)
    needed = () if seal is None else (SEALED,)
    return Format(FORMAT, ident, needed, needed, needed, seal)


def _demand_format(number: int, where: str) -> None:
    if number != FORMAT:
        raise IncompatibleError(
            f"{where} has format {number}; this Saver knows format {FORMAT}: install a newer one",
            rule="5.03",
        )


def _bytes_in(storage: Storage) -> bytes | None:
    """The bytes of `store.json`; None if there is no store. Raises DamagedError if there is a store without
    it."""
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
    """The current content of `store.json`. Raises CannotWriteError if the store no longer exists.

    Writing after its folder was deleted, moved or unmounted would start another store without its history;
    and if the first store came back, its log would have a gap.
    """
    found = read_format(storage)
    if found is None or found.id != known.id:
        what = "no longer exists" if found is None else "was replaced by another one"
        raise CannotWriteError(
            f"{storage}: the store {what}: it was deleted, moved or unmounted; nothing was written; "
            "restore it, or begin another one with a new Saver"
        )
    return found


def demand(storage: Storage, features: Iterable[str], purpose: str) -> None:
    """Raise IncompatibleError unless this Saver knows all `features`, which the store asks for."""
    missing = sorted(set(features) - FEATURES)
    if missing:
        names = ", ".join(name[:40] for name in missing[:5])
        raise IncompatibleError(
            f"{storage}: to {purpose} this store, Saver needs {names}, which this one does not have; "
            "nothing was changed; install a newer Saver",
            rule="5.04",
        )
