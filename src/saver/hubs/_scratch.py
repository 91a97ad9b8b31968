"""A folder of this machine for one transfer, which an interruption leaves for the next attempt."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from blake3 import blake3

from saver.caching import cache_folder
from saver.disk.durable import NewFile
from saver.disk.locks import locked
from saver.errors import CannotWriteError
from saver.logger import logger
from saver.storage import Bytes

_STATE = "state"
"""The file that says what the rest of the folder belongs to."""


@contextmanager
def scratch(purpose: str, state: str = "") -> Iterator[str]:
    """A folder for a transfer. `purpose` says which it is; what an interrupted one left is there, if the hub
    was in the same `state` then. Without a `state`, nothing is left. Raises CannotWriteError if there is no
    room for it.

    While another process makes the same transfer, it is a fresh folder, and so it is where the cache cannot
    be used.
    """
    name = os.path.join(os.path.abspath(cache_folder()), "hubs", blake3(purpose.encode()).hexdigest()[:32])
    try:
        os.makedirs(name, 0o700, exist_ok=True)
        held = os.open(name, os.O_RDONLY)
    except OSError as error:
        logger.warning("%s: %s; an interrupted transfer would start from the beginning", name, error)
        with _fresh() as folder:
            yield folder
        return
    try:
        if not _ours(held, name, state):
            with _fresh() as folder:
                yield folder
            return
        done = not state
        try:
            yield os.path.join(name, "objects")
            done = True
        finally:
            if done:
                removed(os.path.join(name, "objects"))
    finally:
        os.close(held)


@contextmanager
def _fresh() -> Iterator[str]:
    try:
        made = tempfile.TemporaryDirectory(prefix="saver-")
    except OSError as error:
        raise CannotWriteError(f"no temporary folder can be made: {error}; free some space") from error
    with made as folder:
        yield folder


def _ours(held: int, name: str, state: str) -> bool:
    """Hold the folder; empty it if it belongs to another state of the hub. Whether it can be used."""
    try:
        if not locked(held):
            return False
        mark, said = os.path.join(name, _STATE), blake3(state.encode()).hexdigest()  # it may have names
        if not state or not os.path.exists(mark) or open_text(mark) != said:
            removed(os.path.join(name, "objects"))
            with open(mark, "w", encoding="utf-8") as file:
                file.write(said)
        return True
    except OSError as error:
        logger.warning("%s: %s; an interrupted transfer would start from the beginning", name, error)
        return False


def made(folder: str) -> None:
    """Make a folder, and those above it, if they are missing. Raises CannotWriteError."""
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
    except OSError as error:
        raise CannotWriteError(f"{folder}: {error.strerror}; free some space, or set SAVER_CACHE") from error


def written(path: str, data: bytes) -> None:
    """Write a file. Raises CannotWriteError."""
    content = Bytes(data)
    with NewFile(path, content.size) as file:
        content.write(file)
        file.commit()


def removed(folder: str) -> None:
    """Remove a folder if it is there. That of the transfer itself stays: another process may wait for it."""
    if os.path.lexists(folder):
        shutil.rmtree(folder)


@contextmanager
def removed_if_refused(folder: str) -> Iterator[None]:
    """Remove a folder, and what is kept beside it, if a transfer is refused for what the hub has: nobody will
    go on with it. Where a request failed, the error has a cause, and the same transfer may go on."""
    try:
        yield
    except CannotWriteError as error:
        if error.__cause__ is None:
            removed(os.path.dirname(folder))
        raise


def open_text(path: str) -> str:
    """The beginning of a file, as text."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(1000)
