"""A bucket, or a folder in one, as a storage: see docs/buckets.md."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from saver.errors import CannotReadError, CannotWriteError, CommitUnknownError, NotFoundError
from saver.storage import Blob, Content, Listed, Stat, Storage
from saver.storages._keys import check_size, checked, checked_prefix, valid
from saver.storages._together import together
from saver.storages.object.blob import FIRST, ObjectBlob
from saver.storages.object.failures import code_of, failed, not_found, of_bucket, was_refused
from saver.storages.object.probing import probe

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

WHOLE = 8 << 20
"""An object of at most this many bytes is sent in one request."""

PARTS = 10_000
"""The most parts of an upload, by S3's limits."""

PAUSE = 0.05
"""Seconds until a request is tried again that was cut off or met another one; doubled each time."""

_runtime: list[int] = []
"""The process in which obstore was first used: its threads do not live on in a forked child."""


class ObjectStorage(Storage):
    """The objects of a bucket whose names begin with a folder's. `name` is what messages call it;
    `server` is its address, if it is not the service's own.

    A small object is created by one request with `If-None-Match: *`; a large one is sent in parts, in the
    order of its bytes, and is there when the last request is answered.
    """

    far = True

    def __init__(self, name: str, store: ObjectStore, deadline: float, server: str = "") -> None:
        self._name = name
        self._server = server
        self._store = store
        self._deadline = deadline

    def __str__(self) -> str:
        return self._name

    def is_inside(self, other: Storage) -> bool:
        if not isinstance(other, ObjectStorage) or not self._name.startswith(f"{other._name}/"):
            return False
        return self._server == other._server

    def probe(self) -> None:
        self._here(CannotWriteError)
        probe(self)

    def put(self, key: str, content: Content) -> None:
        checked(key)
        self._here(CannotWriteError)
        if content.size <= WHOLE:
            data = b"".join(bytes(piece) for piece in content.pieces())
            check_size(key, len(data), content)
            if not self._created(key, data):
                raise CannotWriteError(f"{self._where(key)}: this object exists already; it was not changed")
            return
        self.replace(key, content)

    def replace(self, key: str, content: Content) -> None:
        checked(key)
        size = max(WHOLE, -(-content.size // PARTS))
        try:
            obstore.put(
                self._store,
                key,
                _in_order(key, content),
                use_multipart=True,
                chunk_size=size,
                mode="overwrite",
            )
        except (BaseError, OSError) as error:
            raise failed(CannotWriteError, self._where(key), error, self._deadline) from None

    def create(self, key: str, data: bytes) -> bool:
        checked(key)
        self._here(CannotWriteError)
        return self._created(key, bytes(data))

    def _created(self, key: str, data: bytes) -> bool:
        """Whether this object was created here: False if another one is there."""
        end, wait = time.monotonic() + self._deadline, PAUSE
        while True:
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError as error:
                # After a lost answer the object is there because this request made it; after a conflict (409)
                # perhaps nothing is there.
                found = self._found(key)
                if found is not None:
                    return found == data
                if time.monotonic() + wait > end:
                    raise failed(CannotWriteError, self._where(key), error, self._deadline) from None
                time.sleep(wait)
                wait *= 2
            except (BaseError, OSError) as error:
                if was_refused(error) and code_of(error) != "ConditionalRequestConflict":
                    raise failed(CannotWriteError, self._where(key), error, self._deadline) from None
                return self._settled(key, data, error)
            else:
                return True

    def _settled(self, key: str, data: bytes, error: Exception) -> bool:
        """Whether the object was created, after a request without an answer."""
        try:
            found = self._found(key)
        except CannotReadError:
            found = None
        if found is None:
            why = failed(CannotWriteError, self._where(key), error, self._deadline)
            raise CommitUnknownError(f"{why}; it is unknown whether the object was written") from None
        return found == data

    def _found(self, key: str) -> bytes | None:
        try:
            return self.read(key)
        except NotFoundError:
            return None

    def open(self, key: str) -> Blob:
        where = self._where(checked(key))
        size, first = self._reading(key, lambda: _first(self._store, key))

        def get(starts: Sequence[int], ends: Sequence[int]) -> Sequence[memoryview]:
            return self._reading(
                key,
                lambda: [
                    memoryview(part)
                    for part in obstore.get_ranges(self._store, key, starts=starts, ends=ends, coalesce=0)
                ],
            )

        return ObjectBlob(where, size, first, get)

    def stat(self, key: str) -> Stat | None:
        checked(key)
        try:
            found = self._reading(key, lambda: obstore.head(self._store, key))
        except NotFoundError:
            return None
        return Stat(found["size"], found["last_modified"].replace(microsecond=0).timestamp())

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Sorted and filtered here: not every server does."""
        checked_prefix(prefix)
        found = self._reading(
            prefix,
            lambda: [
                (each["path"], each["size"], each["last_modified"])
                for chunk in obstore.list(self._store, prefix or None, offset=after or None, chunk_size=1000)
                for each in chunk
            ],
        )
        here = sorted(
            each for each in found if each[0].startswith(prefix) and each[0] > after and valid(each[0])
        )
        return (
            Listed(key, Stat(size, changed.replace(microsecond=0).timestamp())) for key, size, changed in here
        )

    def delete(self, *keys: str) -> None:
        for key in keys:
            checked(key)
        if not keys:
            return
        self._here(CannotWriteError)
        try:
            obstore.delete(self._store, [*keys])
        except (BaseError, OSError) as error:
            if not isinstance(error, FileNotFoundError) or of_bucket(error):
                raise failed(CannotWriteError, self._where(keys[0]), error, self._deadline) from None
            if len(keys) > 1:  # a server that deletes one at a time stopped at one that is not there
                for key in keys:
                    self.delete(key)

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        return together(asks)

    def _reading(self, key: str, get: Callable[[], T]) -> T:
        """The result of a request that reads. obstore repeats what was not answered; what was cut off is
        repeated here."""
        self._here(CannotReadError)
        end, wait = time.monotonic() + self._deadline, PAUSE
        while True:
            try:
                return get()
            except FileNotFoundError as error:
                if of_bucket(error):
                    raise failed(CannotReadError, self._where(key), error, self._deadline) from None
                raise not_found(self._where(key)) from None
            except (BaseError, OSError) as error:
                if was_refused(error) or time.monotonic() + wait > end:
                    raise failed(CannotReadError, self._where(key), error, self._deadline) from None
            time.sleep(wait)
            wait *= 2

    def _where(self, key: str) -> str:
        return f"{self._name}/{key}" if key else self._name

    def _here(self, kind: type[CannotReadError | CannotWriteError]) -> None:
        """Raise an error in a forked child: obstore would wait for ever for threads of its parent."""
        if not _runtime:
            _runtime.append(os.getpid())
        if _runtime[0] != os.getpid():
            raise kind(
                f"{self._name}: this process was forked from one that used obstore, whose threads it lacks; "
                'start it anew: multiprocessing.set_start_method("spawn"), or multiprocessing_context='
                '"spawn" of a loader'
            )


def _first(store: ObjectStore, key: str) -> tuple[int, bytes]:
    """The size of an object, and its first bytes."""
    try:
        found = obstore.get(store, key, options={"range": (0, FIRST)})
    except BaseError as error:
        if code_of(error) not in ("InvalidRange", "416"):  # which an empty object has
            raise
        found = obstore.get(store, key)
    return found.meta["size"], bytes(found.bytes())


def _in_order(key: str, content: Content) -> Iterator[bytes]:
    """Copies of the pieces: obstore sends one while the next is requested, when it may be gone."""
    size = 0
    for piece in content.pieces():
        size += len(piece)
        if len(piece):
            yield bytes(piece)
    check_size(key, size, content)
