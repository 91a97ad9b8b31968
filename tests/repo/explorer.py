"""Runs actors on one store through every interleaving of their calls, and says how many there were.

An actor is a function of a Store. It runs in a greenlet and stops at every call of the store; what it asks for next depends on
the answers so far alone. So the whole of a moment is what the store holds and, for each actor, the answers it was
given; from there each actor's next call leads to another moment. All moments are visited once. Orders of calls that
lead to the same moment merge there, and none is left out: it is a search of the whole graph, no sample of it.

One reduction: what reads a record of the log or `store.json` that is there commutes with every other call, since
these are never changed or deleted (whoever tries fails the exploration). Where an actor is about to do so, it goes
first. `every_order` does without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from greenlet import GreenletExit, getcurrent, greenlet
from numpy.typing import NDArray

from saver.errors import CannotWrite, CommitUnknown, NotFound
from saver.store import Blob, Sink, Stat, Store

Call = tuple[Any, ...]
"""A method of the store and its arguments; what is written stands there as bytes."""

Actor = Callable[[Store], Any]
"""Deterministic; what it returns is hashable."""

Content = dict[str, bytes]

ABSENT = "absent"
UNKNOWN = "unknown"
REFUSED = "refused"


class Failed(NamedTuple):
    """An actor ended with an error."""

    kind: str
    message: str


class Moment(NamedTuple):
    """What a judge sees: the store, and what each actor ended with, None where it has not ended."""

    content: Content
    outcomes: tuple[Any, ...]


Judge = Callable[[Moment], None]
"""Raises AssertionError for a moment that must not be."""


class Violation(AssertionError):
    """A moment that must not be, and the calls that led there."""


class Explored(NamedTuple):
    """How much was explored. `ends` are the moments at which all actors had ended, `stores` the different contents."""

    moments: int
    steps: int
    ends: int
    stores: int
    lives: int
    """Different courses that an actor took, of all actors."""


class _Sink(Sink):
    def __init__(self, size: int) -> None:
        self.held = bytearray(size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        self.held[offset : offset + len(data)] = data

    def write_aligned(self, data: memoryview, offset: int) -> None:
        self.write(data[: max(0, len(self.held) - offset)], offset)


class _Blob(Blob):
    """`ask` is called before each read, where an object may be gone while it is open."""

    def __init__(self, name: str, data: bytes, ask: Callable[[], Any]) -> None:
        self.name = name
        self.size = len(data)
        self._data = data
        self._ask = ask
        self._map = np.frombuffer(data, np.uint8).copy()

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        self._ask()
        return self._data[start:end]

    def map(self) -> NDArray[np.uint8]:
        return self._map

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self._ask()

    def near(self, start: int, end: int) -> bool:
        return False


class _Asking(Store):
    """The store as an actor sees it: every call waits until the explorer answers it."""

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
        except GreenletExit:  # its life is over; whatever it still wants to tidy up does not happen
            self._killed = True
            raise
        if answer is UNKNOWN:
            raise CommitUnknown(f"{call[1]}: it may be there or not")
        if answer is REFUSED:
            raise CannotWrite(f"{call[1]}: no room")
        return answer

    def put(self, key: str, size: int, fill: Callable[[Sink], Any]) -> None:
        sink = _Sink(size)
        fill(sink)
        if not self._ask("put", key, bytes(sink.held)):
            raise AssertionError(f"{key} is put twice")

    def create(self, key: str, data: bytes) -> bool:
        created: bool = self._ask("create", key, bytes(data))
        return created

    def open(self, key: str) -> Blob:
        data = self._open(key)
        return _Blob(key, data, lambda: self._open(key) if self._remote else None)

    def _open(self, key: str) -> bytes:
        data = self._ask("open", key)
        if data is ABSENT:
            raise NotFound(f"{key}: there is no such object")
        assert isinstance(data, bytes)
        return data

    def stat(self, key: str) -> Stat | None:
        size = self._ask("stat", key)
        return None if size is ABSENT else Stat(size, 0.0)

    def list(self, prefix: str, after: str = "") -> Iterator[str]:
        yield from self._ask("list", prefix, after)

    def delete(self, key: str) -> None:
        self._ask("delete", key)


class _Numbers:
    """Numbers things, equal ones alike."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self.things: list[Any] = []

    def __call__(self, thing: Any) -> int:
        number = self._numbers.setdefault(thing, len(self.things))
        if number == len(self.things):
            self.things.append(thing)
        return number

    def __len__(self) -> int:
        return len(self.things)


class _Contents:
    """What stores may hold, numbered, and what calls do to them."""

    def __init__(self, numbers: _Numbers) -> None:
        self._answers = numbers
        self._objects = _Numbers()
        self._sets = _Numbers()
        self._done: dict[tuple[int, Call], tuple[tuple[int, int], ...]] = {}
        self._content: list[Content] = []

    def __len__(self) -> int:
        return len(self._sets)

    def number(self, content: Content) -> int:
        number = self._sets(frozenset(map(self._objects, content.items())))
        if number == len(self._content):
            self._content.append(content)
        return number

    def __getitem__(self, number: int) -> Content:
        return self._content[number]

    def after(self, store: int, call: Call, fails: bool) -> tuple[tuple[int, int], ...]:
        """The stores and answers that a call can lead to."""
        found = self._done.get((store, call))
        if found is None:
            results = self._after(self._content[store], call, fails)
            found = tuple((self.number(content), self._answers(answer)) for content, answer in results)
            self._done[store, call] = found
        return found

    def _after(self, content: Content, call: Call, fails: bool) -> list[tuple[Content, Any]]:
        match call:
            case ("open", key):
                return [(content, content.get(key, ABSENT))]
            case ("stat", key):
                return [(content, len(content[key]) if key in content else ABSENT)]
            case ("list", prefix, after):
                return [(content, tuple(sorted(k for k in content if k.startswith(prefix) and k > after)))]
            case ("put" | "create" as method, key, data):
                if key in content:
                    return [(content, False)]
                there = {**content, key: data}
                if not fails or method == "put":
                    return [(there, True)]
                return [(there, True), (there, UNKNOWN), (content, UNKNOWN), (content, REFUSED)]
            case ("delete", key):
                assert not is_forever(key), f"{key} is deleted"
                return [({k: v for k, v in content.items() if k != key}, None)]
        raise AssertionError(call)


def is_forever(key: str) -> bool:
    """Whether an object is never changed or deleted, once it is there."""
    return key.startswith("log/") or key == "store.json"


class _Lives:
    """What an actor does, by the answers it was given so far: a tree of its possible lives.

    Each leaf keeps the greenlet that got there; the first further answer goes to it, for others it is run again.
    """

    def __init__(self, actor: Actor, remote: bool, numbers: _Numbers) -> None:
        self._actor = actor
        self._remote = remote
        self._answers = numbers
        self._runs: dict[int, greenlet] = {}
        self._came: list[tuple[int, int]] = []
        self._next: dict[tuple[int, int], int] = {}
        self.calls: list[Call | None] = []
        self.outcomes: list[Any] = []
        self._add((-1, -1), *self._begin())

    def __len__(self) -> int:
        return len(self.calls)

    def _begin(self) -> tuple[greenlet, Any]:
        store = _Asking(self._remote)

        def live() -> Any:
            try:
                return self._actor(store)
            except (AssertionError, GreenletExit):
                raise
            except Exception as error:
                return Failed(type(error).__name__, str(error))

        run = greenlet(live)
        return run, run.switch()

    def _add(self, came: tuple[int, int], run: greenlet, said: Any) -> int:
        number = len(self.calls)
        self._came.append(came)
        self.calls.append(None if run.dead else said)
        self.outcomes.append(said if run.dead else None)
        if not run.dead:
            self._runs[number] = run
        return number

    def after(self, life: int, answer: int) -> int:
        found = self._next.get((life, answer))
        if found is None:
            run = self._runs.pop(life, None) or self._again(life)
            found = self._next[life, answer] = self._add(
                (life, answer), run, run.switch(self._answers.things[answer])
            )
        return found

    def _again(self, life: int) -> greenlet:
        run, _ = self._begin()
        for answer in reversed([answer for _, answer in self._way(life)]):
            run.switch(self._answers.things[answer])
        return run

    def _way(self, life: int) -> Iterator[tuple[int, int]]:
        while self._came[life][0] >= 0:
            yield self._came[life]
            life = self._came[life][0]

    def told(self, life: int) -> list[str]:
        """The calls and answers of a life, for messages."""
        way = reversed(list(self._way(life)))
        return [f"{_shown(self.calls[at])} -> {_shown(self._answers.things[answer])}" for at, answer in way]


def explore(
    content: Content,
    actors: dict[str, Actor],
    judge: Judge,
    *,
    remote: bool = False,
    every_order: bool = False,
    failing: str = "",
) -> Explored:
    """Visit every moment of these actors on a store with this content, and show each to the judge.

    Since every moment is judged, whatever holds also holds when any of the actors is killed at any call. With `remote`, an
    object may be gone while it is open. The `create` of the actor called `failing` may fail, or leave it open whether it failed.

    Raises Violation.
    """
    return _Exploration(content, actors, judge, remote, every_order, failing).run()


class _Exploration:
    def __init__(
        self,
        content: Content,
        actors: dict[str, Actor],
        judge: Judge,
        remote: bool,
        every_order: bool,
        failing: str,
    ) -> None:
        self._names = list(actors)
        self._judge = judge
        self._every_order = every_order
        self._failing = [name == failing for name in actors]
        numbers = _Numbers()
        self._contents = _Contents(numbers)
        self._lives = [_Lives(actor, remote, numbers) for actor in actors.values()]
        self._first = (self._contents.number(content), *(0 for _ in actors))
        self._judged: set[tuple[Any, ...]] = set()

    def run(self) -> Explored:
        seen = {self._first}
        path = [(self._first, self._moves(self._first))]
        steps = ends = 0
        self._show(self._first, path)
        while path:
            moment = next(path[-1][1], None)
            if moment is None:
                path.pop()
                continue
            steps += 1
            if moment in seen:
                continue
            seen.add(moment)
            path.append((moment, self._moves(moment)))
            ends += self._show(moment, path)
        return Explored(len(seen), steps, ends, len(self._contents), sum(map(len, self._lives)))

    def _moves(self, moment: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """The moments that come next, by the actors that are to be tried."""
        store = moment[0]
        content = self._contents[store]
        calls = [lives.calls[life] for lives, life in zip(self._lives, moment[1:], strict=True)]
        first = (
            None
            if self._every_order
            else next((at for at, call in enumerate(calls) if call and _is_settled(call, content)), None)
        )
        for at, call in enumerate(calls):
            if call is None or first not in (None, at):
                continue
            for after, answer in self._contents.after(store, call, self._failing[at]):
                life = self._lives[at].after(moment[at + 1], answer)
                yield (after, *moment[1 : at + 1], life, *moment[at + 2 :])

    def _show(self, moment: tuple[int, ...], path: list[Any]) -> bool:
        """Let the judge see a moment, once for equal ones. Whether all actors have ended."""
        outcomes = tuple(lives.outcomes[life] for lives, life in zip(self._lives, moment[1:], strict=True))
        shown = (moment[0], outcomes)
        if shown not in self._judged:
            self._judged.add(shown)
            try:
                self._judge(Moment(self._contents[moment[0]], outcomes))
            except AssertionError as error:
                raise Violation(f"{error}\n{self._story([step for step, _ in path])}") from error
        return None not in outcomes

    def _story(self, path: list[tuple[int, ...]]) -> str:
        """The calls that led to a moment, a line each."""
        lines = []
        for before, after in zip(path, path[1:], strict=False):
            at = next(n for n in range(len(self._names)) if before[n + 1] != after[n + 1])
            lines.append(f"  {self._names[at]}: {self._lives[at].told(after[at + 1])[-1]}")
        return "\n".join(lines)


def _is_settled(call: Call, content: Content) -> bool:
    """Whether a call gets the same answer whenever it is made from here on."""
    return call[0] in ("open", "stat") and call[1] in content and is_forever(call[1])


def _shown(thing: Any) -> str:
    if isinstance(thing, tuple):
        return " ".join(map(_shown, thing)) or "()"
    return f"{len(thing)} bytes" if isinstance(thing, bytes) else str(thing)
