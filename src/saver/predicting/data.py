"""A file of rows, which must stay as it is while they are answered."""

from __future__ import annotations

import os
import stat

from blake3 import blake3

from saver.errors import CannotReadError, NotFoundError

PIECE = 1 << 20


class Data:
    """The file of rows at `path`. `hash` is that of all its bytes: they are read once more for it, which
    takes a small part of the time that a model needs, and tells of a change at any place. Raises
    NotFoundError and CannotReadError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found = self._stat()
        if not stat.S_ISREG(self._found.st_mode):
            raise CannotReadError(f"{path}: it is not a file; name a file of rows")
        self.hash = self._hash()

    @property
    def size(self) -> int:
        return self._found.st_size

    def demand_same(self) -> None:
        """Raise CannotReadError if somebody wrote the file meanwhile: the rows that were read are those of
        neither."""
        if _written(self._stat()) != _written(self._found):
            raise CannotReadError(f"{self._path}: it was changed while it was read; run this again")

    def _stat(self) -> os.stat_result:
        try:
            return os.stat(self._path)
        except FileNotFoundError as error:
            raise NotFoundError(f"{self._path}: there is no such file; name a file of rows") from error
        except OSError as error:
            raise CannotReadError(f"{self._path}: {error.strerror}; see who may read it") from error

    def _hash(self) -> str:
        digest = blake3()
        try:
            with open(self._path, "rb") as file:
                while piece := file.read(PIECE):
                    digest.update(piece)
        except OSError as error:
            raise CannotReadError(f"{self._path}: {error.strerror}; see who may read it") from error
        return digest.hexdigest()


def _written(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
