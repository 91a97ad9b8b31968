"""The wrapped keys of a sealed store in its copy: without them, nobody could open it."""

from __future__ import annotations

from saver.errors import CannotWriteError, NotFoundError
from saver.keys.holders import FOLDER, bundle_key
from saver.repo.objects import own
from saver.repo.repository import Repository
from saver.storage import Storage

ROUNDS = 20
"""How often the keys are listed again because holders were added or removed meanwhile."""


def copy_keys(repo: Repository, target: Storage) -> None:
    """Copy the keys that the copy lacks; before the records, which cannot be read without them."""
    for _ in range(ROUNDS):
        try:
            for found in list(own(repo.storage, FOLDER)):
                data = repo.storage.read(found.key)
                if not target.create(found.key, data) and target.read(found.key) != data:
                    target.delete(found.key)
                    target.create(found.key, data)
                if target.read(found.key) != data:
                    raise CannotWriteError(f"{target}: {found.key} is not what was written; check that disk")
            return
        except NotFoundError:  # a change of holders deletes the keys of before
            continue
    raise CannotWriteError(
        f"{repo.storage}: its holders changed {ROUNDS} times while they were copied; run the backup again"
    )


def remove_old_keys(repo: Repository, target: Storage) -> None:
    """Delete the keys in the copy that the store no longer has: they are for holders who were removed. If the
    store itself lacks those that count, the copy may have the only ones, and nothing is deleted."""
    there = {found.key for found in own(repo.storage, FOLDER)}
    named = repo.state.bundle()
    if named and bundle_key(named) in there:
        target.delete(*(found.key for found in list(own(target, FOLDER)) if found.key not in there))
