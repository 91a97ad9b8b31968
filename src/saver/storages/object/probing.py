"""Whether a storage keeps its promises: tried before a store is made in it."""

from __future__ import annotations

import secrets
from contextlib import suppress

from saver.errors import CannotWriteError, SaverError
from saver.storage import Storage
from saver.threads import Threads

RACERS = 8
"""How many create the same object at the same time."""


def probe(storage: Storage) -> None:
    """Create an object several times at once, read it, list it and delete it. Raises CannotWriteError, which
    names the promise that was not kept: a store there would lose versions without a word."""
    key = f"probe/{secrets.token_hex(16)}"
    try:
        _race(storage, key)
        again = storage.create(key, b"again")
        found = storage.read(key)
        if again or found == b"again":
            raise _refused(storage, "an object that exists was created a second time")
        if [each for each in storage.keys("probe/") if each == key] != [key]:
            raise _refused(storage, "an object that was created is not listed")
    except BaseException:
        with suppress(SaverError):  # what is there is small, and not part of any store
            storage.delete(key)
        raise
    storage.delete(key)
    if storage.stat(key) is not None:
        raise _refused(storage, "an object that was deleted is still there")


def _race(storage: Storage, key: str) -> None:
    with Threads(RACERS) as threads:
        tries = [threads.submit(storage.create, key, b"%d" % number) for number in range(RACERS)]
        won = [number for number, each in enumerate(tries) if each.result()]
    if len(won) != 1:
        raise _refused(
            storage, f"of {RACERS} that created the same object at once, {len(won)} succeeded, not one"
        )
    if storage.read(key) != b"%d" % won[0]:
        raise _refused(storage, "an object that was created holds what another one wrote")


def _refused(storage: Storage, fact: str) -> CannotWriteError:
    return CannotWriteError(
        f"{storage}: {fact}; nothing was saved, since versions would be lost in silence; use another server, "
        "with conditional writes (If-None-Match: *) and strong consistency"
    )
