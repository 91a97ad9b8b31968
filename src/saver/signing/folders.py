"""The hashes of all files in a folder, as signatures of the format model-signing list them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Any, TypeAlias

import msgspec
from blake3 import blake3

from saver.errors import CannotReadError, IncompatibleError, NotFoundError, quoted

Digests: TypeAlias = dict[str, tuple[str, str]]
"""The name of an algorithm, and the hash in hexadecimal, by path; of shards, by path, start and end."""

_CHUNK = 1 << 20
_TOGETHER = 4

_ALGORITHMS: dict[str, Callable[[], Any]] = {
    "sha256": hashlib.sha256, "blake2b": hashlib.blake2b, "blake3": blake3,
}  # fmt: skip


class Serialization(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the files of a folder become hashes: one for each file, or one for each `shard_size` bytes. An
    empty file has none of these, so it may come or go then."""

    method: str
    hash_type: str
    shard_size: float | None = None
    allow_symlinks: bool | None = None
    ignore_paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = self.shard_size
        whole = size is None or (size == int(size) and 0 < size < 1 << 62)
        if (
            self.method not in ("files", "shards")
            or not whole
            or (self.method == "shards") != (size is not None)
        ):
            raise ValueError(f"files as {quoted(self.method)} of {size} bytes")
        if self.hash_type not in _ALGORITHMS:
            raise ValueError(f"hashes of the type {quoted(self.hash_type)}")

    def file_of(self, name: str) -> str:
        """The path of the file to which a name belongs."""
        return name.rsplit(":", 2)[0] if self.method == "shards" else name


def order(item: tuple[str, Any]) -> tuple[str, ...]:
    """By the names of folders, as model-signing sorts: `a/b` is before `a.b`."""
    return tuple(item[0].split("/"))


def inside(path: str, folder: str) -> str:
    """A path to leave out, as it stands in a signature. Raises ValueError if it is not within the folder, or
    all of it."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise ValueError(f"ignore: {quoted(path)} is not a path within {folder}")
    return str(pure)


def digests_of(place: str, how: Serialization) -> Digests:
    """The hashes of a file, or of the files in a folder. Links and special files raise IncompatibleError,
    unless they are to be left out."""
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        raise NotFoundError(f"{place}: there is no such file or folder") from None
    except OSError as error:
        raise _unreadable(place, error) from error
    if stat.S_ISLNK(found.st_mode):
        found = os.stat(place)  # the place itself may be a link; nothing in it may
    if not stat.S_ISDIR(found.st_mode):
        return dict(_hashed(place, ".", how))
    names = sorted(_files(place, {*how.ignore_paths}))
    with ThreadPoolExecutor(_TOGETHER) as threads:
        each = threads.map(lambda name: list(_hashed(os.path.join(place, name), name, how)), names)
        return {name: digest for found in each for name, digest in found}


def _files(folder: str, ignored: set[str]) -> Iterator[str]:
    """The paths of the files in a folder, but for those to be left out and what is in them."""
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(os.path.join(folder, prefix)) as entries:
                found = list(entries)
        except OSError as error:
            raise _unreadable(os.path.join(folder, prefix), error) from error
        yield from _files_among(found, folder, prefix, ignored, waiting)


def _files_among(
    found: Iterable[os.DirEntry[str]], folder: str, prefix: str, ignored: set[str], waiting: list[str]
) -> Iterator[str]:
    """The same of what is right in a folder; the folders in it are to be looked at later: however deep they
    are, there may be more."""
    for entry in found:
        name = prefix + entry.name
        if name in ignored:
            continue
        if entry.is_dir(follow_symlinks=False):
            waiting.append(f"{name}/")
        elif not entry.is_file(follow_symlinks=False):
            raise _not_a_file(os.path.join(folder, name), entry.is_symlink())
        elif not _is_text(name):
            raise IncompatibleError(f"{folder}: {name!r} is not UTF-8, which signatures need; rename it")
        else:
            yield name


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hashed(path: str, name: str, how: Serialization) -> Iterator[tuple[str, tuple[str, str]]]:
    """The hash of a file, or those of its shards."""
    try:
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.open(path, flags | (getattr(os, "O_NOFOLLOW", 0) if name != "." else 0))
    except OSError as error:
        if os.path.islink(path):
            raise _not_a_file(path, True) from None
        raise _unreadable(path, error) from error
    with os.fdopen(file, "rb", buffering=0) as opened:
        size = os.fstat(file).st_size
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _not_a_file(path, False)
        try:
            if how.method == "files":
                yield name, (how.hash_type, _digest(_pieces(opened, None), how))
            else:
                yield from _shards(opened, name, size, how)
        except OSError as error:
            raise _unreadable(path, error) from error


def _shards(opened: Any, name: str, size: int, how: Serialization) -> Iterator[tuple[str, tuple[str, str]]]:
    each = int(how.shard_size or 0)
    for start in range(0, size, each):
        end = min(start + each, size)
        algorithm = f"{how.hash_type}-sharded-{each}"
        yield f"{name}:{start}:{end}", (algorithm, _digest(_pieces(opened, end - start), how))


def _pieces(opened: Any, size: int | None) -> Iterator[bytes]:
    """The bytes of a file from where it stands, as many as `size` says, or all."""
    while size is None or size > 0:
        data = opened.read(_CHUNK if size is None else min(size, _CHUNK))
        if not data:
            return
        yield data
        size = None if size is None else size - len(data)


def _digest(pieces: Iterable[bytes], how: Serialization) -> str:
    hasher = _ALGORITHMS[how.hash_type]()
    for piece in pieces:
        hasher.update(piece)
    return str(hasher.hexdigest())


def _not_a_file(path: str, is_link: bool) -> IncompatibleError:
    what = "a symbolic link" if is_link else "neither a file nor a folder"
    return IncompatibleError(
        f"{path} is {what}, and a signature covers files alone; nothing was followed; remove it, or put the "
        "file itself in its place"
    )


def _unreadable(path: str, error: OSError) -> CannotReadError:
    return CannotReadError(f"{path}: {error.strerror or error}; see that it can be read, and try again")
