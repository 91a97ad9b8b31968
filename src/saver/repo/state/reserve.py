"""Space that is kept on the disk of a store, for the day when it is full."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from blake3 import blake3

from saver.errors import SaverError
from saver.logger import logger
from saver.repo.objects import own
from saver.storage import Bytes, Storage

RESERVE = tuple(f"state/free-{number}" for number in range(4))
RESERVE_BYTES = 4 << 10
"""Space on a full disk, in blocks and in inodes, for the records of deletions, and of the collection that
then frees space. A listing of checkpoints reaches these names before the pages."""

_RESERVED = blake3(b"reserve").digest(RESERVE_BYTES)
"""Random bytes, which no file system can compress."""


def keep_reserve(storage: Storage) -> None:
    """Reserve space for records in case the disk is full one day, if there is space now."""

    def keep(key: str) -> None:
        if storage.stat(key) is None:
            storage.put(key, Bytes(_RESERVED))

    with suppress(SaverError):
        for _ in storage.together(partial(keep, key) for key in RESERVE):
            pass


def make_room(storage: Storage) -> bool:
    """Delete mere shortcuts, so that a record fits on a full disk: a piece of the reserve, or else all the
    rest. False if there is nothing to delete."""
    logger.warning("%s: the disk is full; shortcuts are deleted to make room for a record", storage)
    with suppress(SaverError):
        for key in RESERVE:
            if storage.stat(key) is not None:
                storage.delete(key)
                return True
        keys = [found.key for found in own(storage, "state/")]
        storage.delete(*keys)
        return bool(keys)
    return False
