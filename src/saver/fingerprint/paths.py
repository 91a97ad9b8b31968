"""Hashes of files and folders, read by several threads.

A folder is its files: their relative names and contents. Hidden files count; folders without files do
not. Symbolic links are followed, since training reads through them: a folder of links and a folder of copies
are equal. Files are read, not mapped, so that a failing disk is an error and does not kill the process.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from saver.errors import CannotSaveError
from saver.fingerprint.arrays import PARALLEL, new_hasher
from saver.threads import Threads

READ = 8 << 20
"""Bytes read at a time: on 4 processors 13 GB/s from the page cache, where mapping gave 15."""

READERS = 2
"""Threads that hash small files. For 20,000 files on a local disk, 2 threads took 1.5 s, 1 took 2.3, 4 took
1.8; from the page cache 0.5, 0.5 and 1.8: they wait for each other where Python does more than hashing."""

BATCH_FILES, BATCH_BYTES = 64, 16 << 20
"""A thread hashes small files in batches of at most this size."""

Advance = Callable[[int], None]
"""Called with the number of bytes hashed since the last call."""


class File(NamedTuple):
    """A file to hash; `name` is its path within the folder, with `/`."""

    name: str
    path: str
    size: int


class Found(NamedTuple):
    """What was found at a path: one file, or the files of a folder in the order of their names."""

    name: str
    files: list[File]
    folder: bool

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


def look(path: str | os.PathLike[str], where: str) -> Found:
    """The file or folder at `path`. Raises CannotSaveError if it is neither, or cannot be read."""
    text = os.fsdecode(path)
    try:
        status = os.stat(text)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotSaveError(
            f"{where}: there is no file or folder {text[:80]!r} here ({reason}); strings are paths: "
            "correct it, or pass the data itself as an array"
        ) from None
    if stat.S_ISDIR(status.st_mode):
        files = sorted(_walk(text, (status.st_dev, status.st_ino), where), key=lambda file: _key(file.name))
        return Found(_portable(text), files, True)
    _refuse_special(status, text, where)
    return Found(_portable(text), [File("", text, status.st_size)], False)


def _portable(path: str) -> str:
    """The path as given, if it is relative and does not leave the folder; otherwise only its last name, since
    the rest means nothing on another machine."""
    clean = os.path.normpath(path)
    if os.path.isabs(clean) or clean.startswith(os.pardir):
        clean = os.path.basename(os.path.abspath(path))
    return clean.replace(os.sep, "/").encode(errors="surrogateescape").decode(errors="backslashreplace")


def _key(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _walk(folder: str, ident: tuple[int, int], where: str) -> Iterator[File]:
    """The files below a folder, in any order, links followed."""
    pending: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(folder, "", (ident,))]
    while pending:
        folder, prefix, above = pending.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    status = entry.stat()
                    ident = (status.st_dev, status.st_ino)
                    if not stat.S_ISDIR(status.st_mode):
                        _refuse_special(status, entry.path, where)
                        yield File(prefix + entry.name, entry.path, status.st_size)
                    elif ident in above:
                        raise CannotSaveError(
                            f"{where}: {entry.path} leads back to a folder that contains it; remove it"
                        )
                    else:
                        pending.append((entry.path, f"{prefix}{entry.name}/", (*above, ident)))
        except OSError as error:
            raise _unreadable(error, folder, where) from None


def _refuse_special(status: os.stat_result, path: str, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise CannotSaveError(
            f"{where}: {path} is neither a file nor a folder; pass the data that comes from it"
        )


def _unreadable(error: OSError, path: str, where: str) -> CannotSaveError:
    return CannotSaveError(
        f"{where}: {error.filename or path} cannot be read ({error.strerror or error}), so its fingerprint "
        "is unknown; make it readable, or leave it out of data"
    )


def path_fingerprint(found: Found, where: str, advance: Advance) -> dict[str, Any]:
    """Name, bytes and hash of what `look` found; for a folder, the number of files."""
    if not found.folder:
        digest = _digest_large if found.bytes >= PARALLEL else _digest
        whole = digest(found.files[0], where, advance).hex()
        return {"kind": "file", "name": found.name, "bytes": found.bytes, "hash": whole}
    hasher = blake3()
    for file, digest_ in zip(found.files, _digests(found.files, where, advance), strict=True):
        name = _key(file.name)
        hasher.update(b"%d:%s:%d:%s" % (len(name), name, file.size, digest_))
    return {
        "kind": "folder",
        "name": found.name,
        "files": len(found.files),
        "bytes": found.bytes,
        "hash": hasher.hexdigest(),
    }


def _digests(files: list[File], where: str, advance: Advance) -> Iterator[bytes]:
    """The hashes of the files: several threads share the small ones, all threads work on each large one."""
    pool = Threads(READERS)
    try:
        batches = list(_batches(files))
        small = (batch for batch in batches if batch[0].size < PARALLEL)
        results = pool.map(lambda batch: [_digest(file, where, _ignore) for file in batch], small)
        for batch in batches:
            if batch[0].size < PARALLEL:
                yield from next(results)
                advance(sum(file.size for file in batch))
            else:
                yield _digest_large(batch[0], where, advance)
    finally:
        pool.shutdown(cancel_futures=True)


def _ignore(count: int) -> None:
    """Threads do not report progress; the caller that collects their results does."""


def _batches(files: list[File]) -> Iterator[list[File]]:
    """The files in their order, in batches: small ones together, each large one alone."""
    batch: list[File] = []
    size = 0
    for file in files:
        full = size + file.size > BATCH_BYTES or len(batch) == BATCH_FILES
        if batch and (full or file.size >= PARALLEL or batch[0].size >= PARALLEL):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def _digest(file: File, where: str, advance: Advance) -> bytes:
    """BLAKE3 of a file, read by this thread."""
    hasher = blake3()
    with _Reading(file, where) as reading:
        buffer = memoryview(bytearray(min(file.size + 1, 1 << 20)))
        while count := reading.read(buffer):
            hasher.update(buffer[:count])
            advance(count)
    return hasher.digest()


def _digest_large(file: File, where: str, advance: Advance) -> bytes:
    """BLAKE3 of a file: one thread reads ahead while the others hash."""
    hasher = new_hasher(file.size)
    buffers = [np.empty(READ, np.uint8).data for _ in range(2)]  # a bytearray would be zeroed first
    with _Reading(file, where) as reading, Threads(1) as ahead:
        following = ahead.submit(reading.read, buffers[0])
        turn = 0
        while count := following.result():
            full, turn = buffers[turn], 1 - turn
            following = ahead.submit(reading.read, buffers[turn])
            hasher.update(full[:count])
            advance(count)
    return hasher.digest()


class _Reading:
    """A file that is read from beginning to end. Raises CannotSaveError if it cannot be read, or changed
    meanwhile."""

    def __init__(self, file: File, where: str) -> None:
        self._file = file
        self._where = where

    def __enter__(self) -> _Reading:
        try:
            self._open = open(self._file.path, "rb", buffering=0)
            self._before = os.fstat(self._open.fileno())
        except OSError as error:
            raise _unreadable(error, self._file.path, self._where) from None
        return self

    def read(self, buffer: memoryview) -> int:
        """Read the next bytes into the buffer. Returns how many; 0 at the end."""
        try:
            return self._open.readinto(buffer)
        except OSError as error:
            raise _unreadable(error, self._file.path, self._where) from None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        after = os.fstat(self._open.fileno())
        self._open.close()
        same = after.st_size == self._file.size and after.st_mtime_ns == self._before.st_mtime_ns
        if error is None and not same:
            raise CannotSaveError(
                f"{self._where}: {self._file.path} changed while it was read, so nobody can know what was "
                "trained on; save again when nothing writes to it"
            )
