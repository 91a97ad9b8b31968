"""The objects of a store that a server shares, as a storage: see docs/remote.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from saver.errors import (
    CannotReadError,
    CannotWriteError,
    CommitUnknownError,
    IncompatibleError,
    NotFoundError,
    SaverError,
)
from saver.storage import Blob, Bytes, Content, Listed, Stat, Storage
from saver.storages._keys import check_size, checked, checked_prefix, valid
from saver.storages._together import together
from saver.storages.object.blob import FIRST, ObjectBlob
from saver.storages.remote.asking import Asking, Given

T = TypeVar("T")

COMPARED = 8 << 20
"""Up to this size, an object that may be our own is compared whole; a larger one by size and beginning."""
MANY = 1000
"""Keys in one request."""

SIZE = "saver-size"

WHOLE = {"store.json": 64 << 10, "keys": 1 << 20, "clock": 0, "log": 256 << 20}
DOCUMENT = 1 << 30
"""The most bytes of objects that are read whole, by their folders, and of others: more than any Saver writes,
and no more than a server may make this process hold."""


class _Listing(msgspec.Struct):
    found: list[tuple[str, int | None, float | None]]
    more: bool = False


class _Stats(msgspec.Struct):
    stats: list[tuple[int, float] | str | None]
    """Size and time; a text for what is there and is not an object: why."""


class RemoteStorage(Storage):
    """The store that a server shares. Every call is one request, or few; large objects are read in ranges,
    and sent in pieces. `name` is what messages call it."""

    far = True

    def __init__(self, name: str, asking: Asking) -> None:
        self._name, self._asking = name, asking

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"RemoteStorage({self._name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        from saver.storages.remote.address import open_storage

        return open_storage, (f"{self._name}?deadline={self._asking.deadline:g}",)

    def is_inside(self, other: Storage) -> bool:
        return isinstance(other, RemoteStorage) and self._name.startswith(f"{other._name}/")

    # Writing

    def put(self, key: str, content: Content) -> None:
        checked(key)
        if content.size <= COMPARED:
            data = b"".join(bytes(piece) for piece in content.pieces())
            check_size(key, len(data), content)
            content = Bytes(data)
        sent = _Sent(key, content)
        if not self._created(key, sent, sent.start):
            raise CannotWriteError(f"{self._where(key)}: this object exists already; it was not changed")

    def create(self, key: str, data: bytes) -> bool:
        checked(key)
        sent = _Sent(key, Bytes(bytes(data)))
        return self._created(key, sent, sent.start)

    def _created(self, key: str, sent: _Sent, body: Callable[[], Iterator[bytes]]) -> bool:
        """Whether this object was created here: False if another one is there."""
        small = sent.small
        try:
            found = self._asking.ask(
                CannotWriteError, "PUT", f"/objects/{key}", body if small is None else small,
                headers={"if-none-match": "*", "content-type": "application/octet-stream"},
                where=self._where(key),
            )  # fmt: skip
        except CommitUnknownError:
            if self._is_there(key, sent):
                return True
            raise
        if found.status == 404:
            raise CannotWriteError(f"{self._where(key)}: the server has no place for it")
        if found.status != 412:
            return True
        # After a lost answer, the object is there because this request made it.
        return found.doubtful and self._is_ours(key, sent)

    def _is_there(self, key: str, sent: _Sent) -> bool:
        try:
            return self._is_ours(key, sent)
        except SaverError:
            return False

    def _is_ours(self, key: str, sent: _Sent) -> bool:
        try:
            blob = self.open(key)
        except NotFoundError:
            return False
        if blob.size != sent.size:
            return False
        most = blob.size if sent.small is not None else FIRST
        return blob.read(0, min(most, len(sent.first))) == sent.first[:most]

    def delete(self, *keys: str) -> None:
        for key in keys:
            checked(key)
        for at in range(0, len(keys), MANY):
            body = msgspec.json.encode({"keys": keys[at : at + MANY]})
            where = self._where(keys[at])
            try:
                self._asking.ask(CannotWriteError, "POST", "/delete", body, headers=_JSON, where=where)
            except CommitUnknownError as error:  # to delete is never half done in a way that matters
                raise CannotWriteError(str(error)) from None

    # Reading

    def open(self, key: str) -> Blob:
        where = self._where(checked(key))
        first = self._range(key, 0, FIRST)
        size = _number(first.headers.get(SIZE), where)
        if len(first.data) != min(FIRST, size):
            raise IncompatibleError(
                f"{where}: the server says that it has {size:,} bytes, and sent {len(first.data):,} of them; "
                "is there a proxy before it?"
            )

        def get(starts: Sequence[int], ends: Sequence[int]) -> Sequence[bytes]:
            asks = (partial(self._part, key, start, end) for start, end in zip(starts, ends, strict=True))
            return [*together(asks)]

        return ObjectBlob(where, size, first.data, get)

    def read(self, key: str) -> bytes:
        blob = self.open(key)
        most = WHOLE.get(key.partition("/")[0], DOCUMENT)
        if blob.size > most and not key.startswith("packs/"):
            raise IncompatibleError(
                f"{self._where(key)}: the server says that it has {blob.size:,} bytes, and an object of this "
                f"kind has at most {most:,}"
            )
        return blob.read()

    def _part(self, key: str, start: int, end: int) -> bytes:
        return self._range(key, start, end).data

    def _range(self, key: str, start: int, end: int) -> Given:
        where = self._where(key)
        found = self._asking.ask(
            CannotReadError, "GET", f"/objects/{key}", most=end - start,
            headers={"range": f"bytes={start}-{end - 1}"}, where=where,
        )  # fmt: skip
        if found.status == 404:
            raise NotFoundError(f"{where}: there is no such object")
        return found

    def stat(self, key: str) -> Stat | None:
        return next(iter(self.stats(key)))

    def stats(self, *keys: str) -> Iterable[Stat | None]:
        for key in keys:
            checked(key)
        found: list[Stat | None] = []
        for at in range(0, len(keys), MANY):
            some = keys[at : at + MANY]
            answer = self._asking.ask(
                CannotReadError, "POST", "/stats", msgspec.json.encode({"keys": some}), headers=_JSON,
                where=self._where(some[0]),
            )  # fmt: skip
            stats = self._decoded(answer, _Stats).stats
            if len(stats) != len(some):
                raise IncompatibleError(f"{self._name}: the server answered about other objects")
            found += [_stat(self._where(key), each) for key, each in zip(some, stats, strict=True)]
        return found

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        checked_prefix(prefix)
        return self._listed(prefix, after)

    def _listed(self, prefix: str, after: str) -> Iterator[Listed]:
        """Page by page, as far as they are wanted."""
        more = True
        while more:
            query = urlencode({"prefix": prefix, "after": after})
            answer = self._asking.ask(CannotReadError, "GET", f"/list?{query}", where=self._where(prefix))
            page = self._decoded(answer, _Listing)
            if len(page.found) > MANY or (page.more and not page.found):
                raise IncompatibleError(
                    f"{self._name}: the server lists {len(page.found):,} objects at once, which cannot be"
                )
            for key, size, time in page.found:
                if not (valid(key) and key.startswith(prefix) and key > after):
                    raise IncompatibleError(f"{self._name}: the server lists {key[:80]!r}, which cannot be")
                after = key
                yield Listed(key, None if size is None or time is None else Stat(size, time))
            more = page.more

    def together(self, asks: Iterable[Callable[[], T]]) -> Iterator[T]:
        return together(asks)

    def _decoded(self, answer: Given, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(answer.data, type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise IncompatibleError(
                f"{self._name}: the server answered what this Saver does not understand ({error}); install "
                "the same version here and there"
            ) from None

    def _where(self, key: str) -> str:
        return f"{self._name}/{key}" if key else self._name


_JSON = {"content-type": "application/json"}


class _Sent:
    """What is sent as an object, once or again; `first` are its first bytes, `size` how many were sent."""

    def __init__(self, key: str, content: Content) -> None:
        self._key, self._content = key, content
        self.small = (
            b"".join(bytes(piece) for piece in content.pieces()) if isinstance(content, Bytes) else None
        )
        self.first = self.small or b""
        self.size = len(self.first)

    def start(self) -> Iterator[bytes]:
        """The pieces, from the beginning."""
        self.first, self.size = b"", 0
        for piece in self._content.pieces():
            data = bytes(piece)
            if len(self.first) < FIRST:
                self.first += data[: FIRST - len(self.first)]
            self.size += len(data)
            yield data
        check_size(self._key, self.size, self._content)


def _stat(where: str, found: tuple[int, float] | str | None) -> Stat | None:
    if isinstance(found, str):
        from saver.errors import DamagedError, printable

        raise DamagedError(f"{where}: {printable(found)[:500]}")
    return None if found is None else Stat(*found)


def _number(text: str | None, where: str) -> int:
    if text is None or not text.isdecimal() or len(text) > 18:
        raise IncompatibleError(
            f"{where}: the server does not say how large it is; is there a proxy before it?"
        )
    return int(text)
