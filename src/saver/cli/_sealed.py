"""Sealed files on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from saver.addresses import storage_at
from saver.errors import KeyNeededError
from saver.sealing import of_environment
from saver.storage import Storage

if TYPE_CHECKING:  # imported when a store is opened
    from saver import Saver

T = TypeVar("T")


def asked_for(path: str) -> str | None:
    """Where the key of a file comes from: the terminal, if there is one, the file is sealed and no key was
    passed. Otherwise None."""
    from saver.keys.asking import has_terminal
    from saver.seals.layout import is_sealed
    from saver.seals.recognizing import is_compressed

    if of_environment() or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        first = file.read(4096)
    return "prompt" if is_sealed(first) and not is_compressed(first) and has_terminal() else None


def asked_for_store(storage: Storage) -> Any:
    """Where the key of another store comes from: the terminal, if there is one, the store is sealed and no
    key was passed; it is asked once. Otherwise None."""
    from saver import Keys
    from saver.keys.asking import has_terminal
    from saver.repo.format import is_sealed

    if of_environment() or not is_sealed(storage) or not has_terminal():
        return None
    return Keys("prompt")


def opening(place: str | Storage) -> Saver:
    """The store at a place, which may not be there yet; if it is sealed, with the key that somebody types,
    unless one was passed."""
    from saver import Saver

    storage = storage_at("store", place)
    return Saver(storage, key=asked_for_store(storage))


def asking(act: Callable[..., T]) -> Callable[..., T]:
    """What an act with an argument `key` does; if it needs one and none was passed, with that which somebody
    types on the terminal. An act that needs a key has done nothing yet."""

    @wraps(act)
    def asked(*args: Any, key: Any = None, **given: Any) -> T:
        try:
            return act(*args, key=key, **given)
        except KeyNeededError:
            if key is not None or of_environment():
                raise
            from saver import Keys
            from saver.keys.asking import has_terminal

            if not has_terminal():
                raise
        return act(*args, key=Keys("prompt"), **given)

    return asked
