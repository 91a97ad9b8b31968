"""Which places had a sealed store, as this machine saw them: a plain store there is one that somebody put in
its place, or another one. A file for each place, named by a hash."""

from __future__ import annotations

import os

from blake3 import blake3

from saver.logger import logger

FOLDER = "sealed"


def memory(folder: str, place: str) -> str | None:
    """The file about a place; it is in this folder for state. None if the place ends with this process,
    or has no address: then another store there says nothing."""
    if place.startswith("memory://") or not ("://" in place or os.path.isdir(place)):
        return None
    where = place if "://" in place else os.path.realpath(place)
    return os.path.join(folder, FOLDER, blake3(where.encode("utf-8", "surrogateescape")).hexdigest())


def note(path: str | None) -> None:
    """Remember that the store at a place is sealed. The log says so if that fails: a plain store in its place
    is not noticed then."""
    if path is None or os.path.exists(path):
        return
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "wb"):
            pass
    except OSError as error:
        logger.warning("%s: that a store is sealed could not be remembered: %s", path, error.strerror)
