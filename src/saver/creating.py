"""Makes an empty store, which a group may share."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from saver.disk.files import FILES
from saver.errors import CannotWriteError
from saver.logger import logger
from saver.repo.repository import Repository
from saver.storages._shared import give, group_number, is_shared
from saver.storages.local import LocalStorage
from saver.storages.sealed import SealedStorage


def create(repo: Repository, shared: str | None = None) -> bool:
    """Make an empty store; False if there is one, which stays as it is.

    A `shared` one is a folder that this group may read, write and collect in, and others not even read.
    Raises ValueError if there is no such group, or the store is not a folder; CannotWriteError if the folder
    cannot be given to the group, or has anything in it, or if the store that is there is not shared by it.
    """
    group = None if shared is None else _group(repo, shared)
    if repo.exists():
        if group is not None and not _has(str(repo.storage), group):
            raise CannotWriteError(
                f"{repo.storage}: there is a store already, which the group {shared} does not share; nothing "
                "was changed; docs/sharing.md says how to give it to a group"
            )
        return False
    if group is not None:
        _share(str(repo.storage), str(shared), group)
    repo.create()
    logger.info("%s: an empty store was made", repo.storage)
    return True


def _group(repo: Repository, name: object) -> int:
    if not isinstance(name, str):
        raise TypeError(f"shared: the name of a group is a str, not {type(name).__name__}")
    place = repo.storage.storage if isinstance(repo.storage, SealedStorage) else repo.storage
    if not isinstance(place, LocalStorage):
        raise ValueError(
            f"shared: {repo.storage} is not a folder, so it belongs to no group; who may write there is for "
            "its server to say"
        )
    try:
        return group_number(name)
    except (KeyError, ValueError, OverflowError):
        raise ValueError(
            f"shared: this system has no group {name[:100]!r}; `getent group` lists those that there are"
        ) from None
    except OSError as error:
        raise ValueError(f"shared: {error.strerror}; leave it out") from None


def _has(folder: str, group: int) -> bool:
    found = os.stat(folder)
    return is_shared(found.st_mode) and found.st_gid == group


def _share(folder: str, name: str, group: int) -> None:
    """Make the folder, or take one that is empty, and give it to the group."""
    made = False
    try:
        made = _make(folder)
        give(FILES, folder, group)
    except OSError as error:
        if made:
            with suppress(OSError):  # it is empty; one that stays is no reason for another error
                os.rmdir(folder)
        raise CannotWriteError(
            f"{folder}: it could not be given to the group {name} ({error.strerror or error}); no store was "
            "made; only its members may do that, in a folder of their own: see `id`, and `saver doctor`"
        ) from error


def _make(folder: str) -> bool:
    """Whether the folder is new. Raises CannotWriteError for one that has anything in it."""
    try:
        os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
        FILES.make_folder(folder)
        return True
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(folder).st_mode) or os.listdir(folder):
            raise CannotWriteError(
                f"{folder}: a store that is to be shared begins with an empty folder, and this one is not; "
                "nothing was changed; name another one"
            ) from None
        return False
