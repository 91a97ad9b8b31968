"""Those who use one store in memory as processes would, each with objects of its own, and their troubles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import saver
from saver.errors import CannotReadError, CannotWriteError, CommitUnknownError, DamagedError, NotFoundError
from saver.repo.index import Index
from saver.storage import Blob, Content
from saver.storages.memory import MemoryStorage
from saver.testing import Crash, FaultyStorage

T = TypeVar("T")

WRITING = ("put", "create", "delete")


class Turned(MemoryStorage):
    """A store whose clock may be set back, as that of a folder may."""

    def put(self, key: str, content: Content) -> None:
        self._last = 0.0
        super().put(key, content)

    def create(self, key: str, data: bytes) -> bool:
        self._last = 0.0
        return super().create(key, data)


class Trouble(NamedTuple):
    """What happens at call number `at` of those that begin with `only`.

    `fails`: an error that suits the call, instead of it. `lost`: it is done, and the answer is an error.
    `absent`: what is opened seems not to be there. `flipped`, `cut`: what is opened is read so. `crash`,
    `crash after`: the process dies.
    """

    kind: str
    at: int
    only: str = ""


class TroubledStorage(FaultyStorage):
    """The store as one process sees it. One trouble at a time, or something that others do `meanwhile`."""

    def __init__(self, store: MemoryStorage) -> None:
        super().__init__(store)
        self._trouble: Trouble | None = None
        self._meanwhile: Callable[[], None] | None = None
        self._met = 0
        self._lies = False
        self.struck = False

    def arm(self, trouble: Trouble | None, meanwhile: Callable[[], None] | None = None) -> None:
        """Expect trouble from the next call on; None expects none. With `meanwhile`, that is called then."""
        self._trouble, self._meanwhile = trouble, meanwhile
        self._met, self.struck, self._lies = 0, False, False
        self.calls.clear()
        self.fail(0, Crash())  # no call has this number

    def _run(self, what: str, action: Callable[[], T], forget: Callable[[T], object] | None = None) -> T:
        trouble = self._trouble
        if trouble is not None and what.startswith(trouble.only):
            self._met += 1
            if self._met == trouble.at:
                self._strike(what.partition(" ")[0], trouble.kind)
        return super()._run(what, action, forget)

    def _strike(self, verb: str, kind: str) -> None:
        """Let the next call, which is a `verb`, be the one."""
        if self._meanwhile is not None:
            self._meanwhile()
        elif kind.startswith("crash"):
            self.crash(1, after=kind == "crash after")
        elif kind in ("flipped", "cut"):
            self.struck = self._lies = verb == "open"
        elif kind == "absent":
            if verb == "open":
                self.fail(1, NotFoundError("there is no such object, it seems"))
        elif verb in WRITING:
            lost = kind == "lost"
            self.fail(1, CommitUnknownError("lost") if lost else CannotWriteError("no room"), after=lost)
        else:
            self.fail(
                1, CannotReadError("no answer") if kind == "lost" else DamagedError("Input/output error")
            )

    def open(self, key: str) -> Blob:
        blob = super().open(key)
        if not self._lies:
            return blob
        self._lies = False
        data = bytearray(blob.read())
        if self._trouble is not None and self._trouble.kind == "cut":
            del data[len(data) // 2 :]
        else:
            data[len(data) // 3] ^= 4
        aside = MemoryStorage()
        aside.create(key, bytes(data))
        return aside.open(key)


class Actor:
    """A process: one Saver that stays open until it is killed. `clock` is its own, which may be anything."""

    def __init__(
        self, memory: MemoryStorage, fresh: Iterator[str], now: Callable[[], float], index: str | None
    ) -> None:
        self._memory, self._fresh, self._now, self._index = memory, fresh, now, index
        self.offset = 0.0
        self.begin()

    def begin(self) -> None:
        """As a new process."""
        self.storage = TroubledStorage(self._memory)
        self.saver = saver.Saver(self.storage)
        repo, path = self.saver._repo, self._index
        repo.fresh, repo.clock = self._fresh.__next__, self.clock
        repo._make_index = (lambda ident: Index(f"{path}/{ident}.sqlite")) if path is not None else None

    def clock(self) -> float:
        return max(0.0, self._now() + self.offset)


def names() -> Iterator[str]:
    """Names as random ones look, the same in every run."""
    return (f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}" for number in itertools.count(1))
