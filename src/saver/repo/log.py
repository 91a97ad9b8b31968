"""The log: numbered records, each taken by atomic creation, never changed; docs/protocol.md says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import get_args

import msgspec

from saver.errors import DamagedError, IncompatibleError, NotFoundError, SaverError
from saver.logger import logger
from saver.repo import document
from saver.repo.events import Event
from saver.signing.signatures import Signed
from saver.storage import Stat, Storage
from saver.strict import decodable

FORMAT = 1
DIGITS = 20
ZERO = "0" * 64
"""The hash of the record before, in the first record."""


@decodable
class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record. `previous` is the hash of the one before; `transaction` is random; `time` is Unix time.
    What is `signed` is the whole record, so through `previous` the log up to it."""

    format: int
    number: int
    previous: str
    transaction: str
    time: float
    event: Event
    author: str = ""
    signed: Signed | None = None


def record_after(last: tuple[int, str], event: Event, transaction: str, time: float, author: str) -> Record:
    """The record that follows the `last` one, which is given as number and hash."""
    number, previous = last
    return Record(FORMAT, number + 1, previous, transaction, time, event, author)


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""


@decodable
class _Outline(msgspec.Struct, frozen=True):
    """The fields of a record that every format has."""

    format: int
    event: _Kind = _Kind()


_KINDS = {kind.__struct_config__.tag for kind in get_args(Event)}


def log_key(number: int) -> str:
    """The key of a record."""
    return f"log/{number:0{DIGITS}}.json"


def is_log_key(key: str) -> bool:
    """Whether this is the key of a record."""
    return len(key) == len(log_key(0)) and key[4 : 4 + DIGITS].isdigit() and key.endswith(".json")


TOGETHER = 64
"""How many records are read at once, if the storage can do that."""


class Log:
    """The records of a store. Keeps nothing in memory except what was read `ahead`."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.ahead: dict[str, bytes | None] = {}
        """What was read before it was needed, by key; None for objects that did not exist, empty for those
        that did and were not read. These are guesses: they may be discarded, and each is used once."""

    def looks(self, head: int) -> list[Callable[[], None]]:
        """Calls that ask whether the two records after the head exist."""
        return [partial(self._look, log_key(head + 1), log_key(head + 2))]

    def _look(self, *keys: str) -> None:
        for key, found in zip(keys, self.storage.stats(*keys), strict=True):
            self.ahead[key] = b"" if found is not None else None

    def look_ahead(self, first: str, number: int, count: int) -> None:
        """Read at once the object with the key `first`, unless that is empty, and `count` records from
        `number` on. Reads that fail are ignored."""
        keys = map(log_key, range(max(number, 1), number + count))
        list(self.storage.together(self._asks(chain(filter(None, [first]), keys))))

    def _asks(self, keys: Iterable[str]) -> Iterator[Callable[[], None]]:
        """Read each object; where that fails, which proves nothing, look whether there is one."""
        absent, failed = 0, list[str]()
        listed = [*keys]
        for key, following in zip(listed, [*listed[1:], ""], strict=True):
            if absent == 2:  # a folder is asked one thing after another: no more than to see the log's end
                return
            if key not in self.ahead:
                yield partial(self._read_ahead, key, failed)
            if key not in self.ahead:
                beside = [following] if following and key in failed else []  # most probably the log's end
                yield partial(self._miss_ahead, key, *beside)
            absent = absent + 1 if self.ahead.get(key, b"") is None else 0

    def _read_ahead(self, key: str, failed: list[str]) -> None:
        try:
            self.ahead[key] = self.storage.read(key)
        except SaverError:
            failed.append(key)

    def _miss_ahead(self, *keys: str) -> None:
        with suppress(SaverError):
            for key, found in zip(keys, self.storage.stats(*keys), strict=True):
                if found is None:
                    self.ahead.setdefault(key, None)

    def head(self, known: int = 0, likely: int = 0) -> int:
        """The number of the last record. `known` is known to exist, and `likely` may exist.

        Records have no gaps, so it is found by galloping and bisection: some 30 calls among 100,000
        records, or none at all if enough was read ahead. Raises DamagedError if there is a gap.
        """
        low = likely if likely > known and self._has(likely) else known
        while self.ahead and self.ahead.get(log_key(low + 1)) is not None:
            low += 1
        step = 1
        while self._has(low + step):
            low += step
            step *= 4
            if low + step >= 10**DIGITS:
                raise DamagedError(
                    f"{self.storage}: record {low:,} is there, says the storage, and no log has so many; "
                    "check the storage, or use another copy of the store",
                    rule="5.05",
                )
        high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            if self._has(middle):
                low = middle
            else:
                high = middle
        if self._has(low + 2):
            if self.stat(low + 1) is None:
                raise self.gap(low + 1)
            return self.head(low + 2)
        return low

    def _has(self, number: int) -> bool:
        if self.ahead and (key := log_key(number)) in self.ahead:
            return self.ahead[key] is not None
        return self.stat(number) is not None

    def stat(self, number: int) -> Stat | None:
        """Size and time of a record."""
        return self.storage.stat(log_key(number))

    def gap(self, number: int) -> DamagedError:
        """The error for a missing record."""
        return DamagedError(
            f"{self.storage}: the record {log_key(number)} is missing, and later ones are there; nothing was "
            "changed; restore it from a copy of the store",
            rule="5.05",
        )

    def read(self, number: int) -> tuple[Record, str]:
        """A record and its hash. Raises DamagedError or IncompatibleError."""
        try:
            data = self.ahead.pop(log_key(number), None) or self.storage.read(log_key(number))
        except NotFoundError:
            raise self.gap(number) from None
        return self.decoded(number, data)

    def decoded(self, number: int, data: bytes) -> tuple[Record, str]:
        """The record in these bytes, and its hash. Raises DamagedError or IncompatibleError."""
        where = f"{self.storage}: {log_key(number)}"
        try:
            record, digest = document.decode(data, Record, where)
        except (DamagedError, IncompatibleError):
            self._refuse_newer(data, where)
            raise
        if record.format != FORMAT:
            self._refuse_newer(data, where)
        if record.number != number:
            raise DamagedError(
                f"{where} says that it is record {record.number}; restore it from a copy of the store",
                rule="5.05",
            )
        return record, digest

    def read_back(self, last: int) -> Iterator[Record]:
        """The records from `last` down to the first, read as they are wanted, at most 8 ahead."""
        for at in range(last, 0, -8):
            numbers = range(at, max(at - 8, 0), -1)
            yield from (each for each, _ in self.storage.together(partial(self.read, n) for n in numbers))

    def read_on(self, first: int, last: int) -> Iterator[tuple[Record, str]]:
        """The records from `first` to `last`, each with its hash."""
        for at in range(first, last + 1, TOGETHER):
            numbers = range(at, min(at + TOGETHER, last + 1))
            yield from self.storage.together(partial(self.read, number) for number in numbers)

    def bytes_on(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The numbers of records, from `first` to `last`, each with its bytes as they are stored."""
        for at in range(first, last + 1, TOGETHER):
            numbers = range(at, min(at + TOGETHER, last + 1))
            asks = (partial(self.storage.read, log_key(number)) for number in numbers)
            yield from zip(numbers, self.storage.together(asks), strict=True)

    def _refuse_newer(self, data: bytes, where: str) -> None:
        outline, _ = document.decode(data, _Outline, where)
        if outline.format != FORMAT or outline.event.kind not in _KINDS:
            raise IncompatibleError(
                f"{where} was written by a newer Saver (format {outline.format}, "
                f"{outline.event.kind[:40]!r}); nothing was changed; install a newer Saver to use this store",
                rule="5.07",
            )

    def append(self, record: Record) -> str | None:
        """Take the record's number, durably. Returns its hash, or None if another record has the number.

        A retry by the storage itself may find its own record there: the transaction identifies it.
        """
        data = document.encode(record)
        if self.storage.create(log_key(record.number), data):
            return document.digest(data)
        found, digest = self.read(record.number)
        if found.transaction == record.transaction:
            return digest
        logger.debug("%s: record %d is another writer's; decided again", self.storage, record.number)
        return None
