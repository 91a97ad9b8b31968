"""`store.json`: which store this is, and what one must know to use it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from saver.errors import CannotWrite, Damaged, NotFound, Unsupported
from saver.repo import document
from saver.store import Store
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


def read_format(store: Store) -> Format | None:
    """What `store.json` says; None where there is no store. Raises Unsupported for stores of newer Savers."""
    data = _bytes_in(store)
    if data is None:
        return None
    where = f"{store}: {STORE_KEY}"
    outline, _ = document.decode(data, _Outline, where)
    if outline.format != FORMAT:
        raise Unsupported(
            f"{where} has format {outline.format}; this Saver knows format {FORMAT}: install a newer one"
        )
    found, _ = document.decode(data, Format, where)
    demand(store, found.read, "read")
    return found


def _bytes_in(store: Store) -> bytes | None:
    """`store.json`; None where there is no store. Raises Damaged where there is one without it."""
    try:
        return store.read(STORE_KEY)
    except NotFound:
        if next(store.list("log/"), None) is None:
            return None
    try:  # again: another process may just have made the store, and saved
        return store.read(STORE_KEY)
    except NotFound:
        raise Damaged(
            f"{store}: {STORE_KEY} is missing, and there are log records; nothing was changed; "
            "restore it from a copy of the store"
        ) from None


def read_again(store: Store, known: Format) -> Format:
    """What `store.json` says by now. Raises CannotWrite where the store is not there any more.

    What is written once its folder was deleted, moved or unmounted would begin another one, without its
    past; and a store that came back would have a gap.
    """
    found = read_format(store)
    if found is None or found.id != known.id:
        what = "is not there any more" if found is None else "is another one than it was"
        raise CannotWrite(
            f"{store}: the store {what}: it was deleted, moved or unmounted; nothing was written; "
            "bring it back, or begin another one with a new Saver"
        )
    return found


def demand(store: Store, features: Iterable[str], purpose: str) -> None:
    """Raise Unsupported unless this Saver knows all `features`, which the store asks for."""
    missing = sorted(set(features) - FEATURES)
    if missing:
        names = ", ".join(name[:40] for name in missing[:5])
        raise Unsupported(
            f"{store}: to {purpose} this store, Saver needs {names}, which this one does not have; "
            "nothing was changed; install a newer Saver"
        )
