"""A store that asks for an answer to every call, and what the answers are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from greenlet import GreenletExit, getcurrent
from numpy.typing import NDArray

from saver.errors import CannotWriteError, CommitUnknownError, NotFoundError
from saver.storage import Blob, Content, Listed, Stat, Storage

Call = tuple[Any, ...]
"""A method of the store and its arguments; what is written stands there as bytes."""

Held = Mapping[str, bytes]
"""What a storage holds, by key."""

_Pair = tuple[str, int]
"""A key that is listed, and the size of its object."""

ABSENT = "absent"
LOST = "lost"
REFUSED = "refused"


class _Blob(Blob):
    """`ask` is called before each read, for it is then that a remote object may be gone."""

    def __init__(self, name: str, data: bytes, ask: Callable[[], Any]) -> None:
        self.name = name
        self.size = len(data)
        self._data = data
        self._ask = ask

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        self._ask()
        return self._data[start:end]

    def map(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._data, np.uint8)

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._ask()

    def near(self, start: int, end: int) -> bool:
        return False


class Asking(Storage):
    """The store as an actor sees it: every call waits until the explorer answers it.

    If it is `remote`, an object may be gone while it is open, and what comes or goes during a listing may be
    in it or not.
    """

    def __init__(self, remote: bool) -> None:
        self._remote = remote
        self._killed = False

    def __str__(self) -> str:
        return "store"

    def _ask(self, *call: Any) -> Any:
        if self._killed:
            raise GreenletExit
        try:
            answer = getcurrent().parent.switch(call)
        except GreenletExit:  # nobody goes on with this course; what it would tidy up does not matter
            self._killed = True
            raise
        if answer == LOST:
            raise CommitUnknownError(f"{call[1]}: the answer was lost")
        if answer == REFUSED:
            raise CannotWriteError(f"{call[1]}: there is no room")
        return answer

    def put(self, key: str, content: Content) -> None:
        self._ask("put", key, b"".join(content.pieces()))

    def create(self, key: str, data: bytes) -> bool:
        created: bool = self._ask("create", key, bytes(data))
        return created

    def open(self, key: str) -> Blob:
        return _Blob(key, self._open(key), lambda: self._open(key) if self._remote else None)

    def _open(self, key: str) -> bytes:
        data: bytes | str = self._ask("open", key)
        if isinstance(data, str):
            raise NotFoundError(f"{key}: there is no such object")
        return data

    def stat(self, key: str) -> Stat | None:
        size = self._ask("stat", key)
        return None if size == ABSENT else Stat(size, 0.0)

    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        found = self._ask("list", prefix, after)
        if self._remote:
            found = self._ask("listed", prefix, after, found)
        for key, size in found:
            yield Listed(key, Stat(size, 0.0))

    def delete(self, *keys: str) -> None:
        for key in keys:  # no storage promises that all go at once
            self._ask("delete", key)


class Numbers:
    """Numbers things, equal ones alike."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.things: list[Any] = []

    def __call__(self, thing: Any) -> int:
        number = self._numbers.setdefault(thing, len(self.things))
        if number == len(self.things):
            self.things.append(thing)
        return number


class Contents:
    """What stores may hold, numbered, and what calls do to them."""

    def __init__(self, answers: Numbers) -> None:
        self._answers = answers
        self._objects = Numbers()
        self._sets = Numbers()
        self._results: dict[tuple[int, Call, bool], tuple[tuple[int, int], ...]] = {}
        self._content: list[Held] = []

    def __len__(self) -> int:
        return len(self._content)

    def __getitem__(self, number: int) -> Held:
        return self._content[number]

    def number(self, content: Held) -> int:
        number = self._sets(frozenset(map(self._objects, content.items())))
        if number == len(self._content):
            self._content.append(content)
        return number

    def after(self, store: int, call: Call, fails: bool) -> tuple[tuple[int, int], ...]:
        """The stores and answers that a call can lead to; it `fails` perhaps."""
        found = self._results.get((store, call, fails))
        if found is None:
            there = results(self._content[store], call, fails)
            found = tuple((self.number(content), self._answers(answer)) for content, answer in there)
            self._results[store, call, fails] = found
        return found


def _between(before: set[_Pair], after: set[_Pair]) -> Iterator[list[_Pair]]:
    """What a listing may have said that began and ended with these: what came or went meanwhile, or not."""
    changed = before ^ after
    for some in (chosen for size in range(len(changed) + 1) for chosen in combinations(changed, size)):
        yield sorted((before & after).union(some))


def _listed(content: Held, prefix: str, after: str) -> list[_Pair]:
    return sorted((key, len(data)) for key, data in content.items() if key.startswith(prefix) and key > after)


def results(content: Held, call: Call, fails: bool) -> Sequence[tuple[Held, Any]]:
    """What a store holds after a call, and its answer; several where it `fails` perhaps."""
    match call:
        case ("open", key):
            return [(content, content.get(key, ABSENT))]
        case ("stat", key):
            return [(content, len(content[key]) if key in content else ABSENT)]
        case ("list", prefix, after):
            return [(content, tuple(_listed(content, prefix, after)))]
        case ("listed", prefix, after, before):
            now = _listed(content, prefix, after)
            return [(content, tuple(pairs)) for pairs in _between(set(before), set(now))]
        case ("put", key, data):
            assert key not in content, f"{key} is put twice"
            return [({**content, key: data}, "")]
        case ("create", key, data):
            done = [(content, False)] if key in content else [({**content, key: data}, True)]
            return [*done, (done[0][0], LOST), (content, LOST), (content, REFUSED)] if fails else done
        case ("delete", key):
            assert not key.startswith(("log/", "store.json")), f"{key} is deleted"
            return [({k: v for k, v in content.items() if k != key}, "")]
    raise AssertionError(call)
