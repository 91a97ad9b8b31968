"""Runs actors on one store through every interleaving of their calls, and says how many there were.

An actor is a function of a Store. It runs in a greenlet and stops at every call of the store; what it asks for next
depends on the answers so far alone. So the whole of a moment is what the store holds and, for each actor, the
answers that it was given; from there each actor's next call leads to another moment. All moments are visited once.
Orders of calls that lead to the same moment merge there, and none is left out: this is a search of the whole
graph, no sample of it.

Two reductions, which lose nothing:

- What reads a record of the log or `store.json` that is there commutes with every other call, since these are
  never changed or deleted (whoever tries fails the exploration). Where an actor is about to do so, it goes first.
- What readers do is seen by nobody. So the others are explored without them, and then each reader by itself on the graph of
  the stores' contents that the others passed through: it may see any walk through that graph, which is every
  walk that is possible, and perhaps more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from greenlet import GreenletExit, getcurrent, greenlet
from numpy.typing import NDArray

from saver.errors import CannotWrite, CommitUnknown, NotFound
from saver.store import Blob, Sink, Stat, Store

Call = tuple[Any, ...]
"""A method of the store and its arguments; what is written stands there as bytes."""

Actor = Callable[[Store], Any]
"""Deterministic; what it returns is hashable, and not None."""

Content = Mapping[str, bytes]

ABSENT = "absent"
LOST = "lost"
REFUSED = "refused"


class Failed(NamedTuple):
    """An actor ended with an error."""

    kind: str
    message: str


class Moment(NamedTuple):
    """What the store holds, and what those of the actors that have ended ended with."""

    content: Content
    ended: dict[str, Any]


Judge = Callable[[Moment], None]
"""Raises AssertionError for a moment that must not be."""


class Violation(AssertionError):
    """A moment that must not be, and the calls that led there."""


class Explored(NamedTuple):
    """How much was explored: different moments, calls between them, contents of the store, and moments at which all
    actors had ended; `courses` are the answers that the actors were given, up to any point, that differ."""

    moments: int
    calls: int
    stores: int
    ends: int
    courses: int


def explore(
    content: Content,
    actors: Mapping[str, Actor],
    judge: Judge,
    readers: Mapping[str, Actor] | None = None,
    *,
    remote: bool = False,
    every_order: bool = False,
    failing: Sequence[str] = (),
) -> Explored:
    """Visit every moment of these actors on a store with this content, and show each to the judge.

    As every moment is judged, what holds at all of them holds when any of the actors is killed at any call. With
    `remote`, an object may be gone while it is open. The `create` of the actors that are `failing` may fail, or
    its answer get lost. `every_order` does without the first reduction.

    Raises Violation.
    """
    return _Exploration(content, actors, judge, readers or {}, remote, every_order, failing).run()


def is_forever(key: str) -> bool:
    """Whether an object is never changed or deleted, once it is there."""
    return key.startswith("log/") or key == "store.json"


class _Sink(Sink):
    def __init__(self, size: int) -> None:
        self.held = bytearray(size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        self.held[offset : offset + len(data)] = data

    def write_aligned(self, data: memoryview, offset: int) -> None:
        self.write(data[: max(0, len(self.held) - offset)], offset)


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
        except GreenletExit:  # nobody goes on with this course; what it would tidy up does not matter
            self._killed = True
            raise
        if answer == LOST:
            raise CommitUnknown(f"{call[1]}: the answer was lost")
        if answer == REFUSED:
            raise CannotWrite(f"{call[1]}: there is no room")
        return answer

    def put(self, key: str, size: int, fill: Callable[[Sink], Any]) -> None:
        sink = _Sink(size)
        fill(sink)
        self._ask("put", key, bytes(sink.held))

    def create(self, key: str, data: bytes) -> bool:
        created: bool = self._ask("create", key, bytes(data))
        return created

    def open(self, key: str) -> Blob:
        return _Blob(key, self._open(key), lambda: self._open(key) if self._remote else None)

    def _open(self, key: str) -> bytes:
        data: bytes | str = self._ask("open", key)
        if isinstance(data, str):
            raise NotFound(f"{key}: there is no such object")
        return data

    def stat(self, key: str) -> Stat | None:
        size = self._ask("stat", key)
        return None if size == ABSENT else Stat(size, 0.0)

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


class _Contents:
    """What stores may hold, numbered, and what calls do to them."""

    def __init__(self, answers: _Numbers) -> None:
        self._answers = answers
        self._objects = _Numbers()
        self._sets = _Numbers()
        self._results: dict[tuple[int, Call, bool], tuple[tuple[int, int], ...]] = {}
        self._content: list[Content] = []

    def __len__(self) -> int:
        return len(self._content)

    def __getitem__(self, number: int) -> Content:
        return self._content[number]

    def number(self, content: Content) -> int:
        number = self._sets(frozenset(map(self._objects, content.items())))
        if number == len(self._content):
            self._content.append(content)
        return number

    def after(self, store: int, call: Call, fails: bool) -> tuple[tuple[int, int], ...]:
        """The stores and answers that a call can lead to; it `fails` perhaps."""
        found = self._results.get((store, call, fails))
        if found is None:
            results = _results(self._content[store], call, fails)
            found = tuple((self.number(content), self._answers(answer)) for content, answer in results)
            self._results[store, call, fails] = found
        return found


def _results(content: Content, call: Call, fails: bool) -> list[tuple[Content, Any]]:
    match call:
        case ("open", key):
            return [(content, content.get(key, ABSENT))]
        case ("stat", key):
            return [(content, len(content[key]) if key in content else ABSENT)]
        case ("list", prefix, after):
            return [(content, tuple(sorted(k for k in content if k.startswith(prefix) and k > after)))]
        case ("put", key, data):
            assert key not in content, f"{key} is put twice"
            return [({**content, key: data}, "")]
        case ("create", key, data):
            done = [(content, False)] if key in content else [({**content, key: data}, True)]
            return [*done, (done[0][0], LOST), (content, LOST), (content, REFUSED)] if fails else done
        case ("delete", key):
            assert not is_forever(key), f"{key} is deleted"
            return [({k: v for k, v in content.items() if k != key}, "")]
    raise AssertionError(call)


class _Courses:
    """What an actor does, by the answers that it was given so far: a tree.

    Each leaf keeps the greenlet that got there. The first further answer goes to it; for others it is run again.
    """

    def __init__(self, actor: Actor, remote: bool, answers: _Numbers) -> None:
        self._actor = actor
        self._remote = remote
        self._answers = answers
        self._runs: dict[int, greenlet] = {}
        self._before: list[tuple[int, int]] = []
        self._after: dict[tuple[int, int], int] = {}
        self.calls: list[Call | None] = []
        """What each course asks for next; None where the actor has ended."""
        self.ends: list[Any] = []
        """What each course ended with; None where it has not."""
        self._add((-1, -1), *self._begin())

    def __len__(self) -> int:
        return len(self.calls)

    def _begin(self) -> tuple[greenlet, Any]:
        store = _Asking(self._remote)

        def live() -> Any:
            try:
                return self._actor(store)
            except AssertionError:
                raise
            except Exception as error:
                return Failed(type(error).__name__, str(error))

        run = greenlet(live)
        return run, run.switch()

    def _add(self, before: tuple[int, int], run: greenlet, said: Any) -> int:
        number = len(self.calls)
        self._before.append(before)
        self.calls.append(None if run.dead else said)
        self.ends.append(said if run.dead else None)
        if not run.dead:
            self._runs[number] = run
        return number

    def after(self, course: int, answer: int) -> int:
        """The course that goes on with this answer."""
        found = self._after.get((course, answer))
        if found is None:
            run = self._runs.pop(course, None) or self._again(course)
            said = run.switch(self._answers.things[answer])
            found = self._after[course, answer] = self._add((course, answer), run, said)
        return found

    def _again(self, course: int) -> greenlet:
        answers = []
        while course:
            course, answer = self._before[course]
            answers.append(answer)
        run, _ = self._begin()
        for answer in reversed(answers):
            run.switch(self._answers.things[answer])
        return run

    def told(self, course: int) -> str:
        """The last call of a course, and its answer."""
        before, answer = self._before[course]
        return f"{_shown(self.calls[before])} -> {_shown(self._answers.things[answer])}"


class _Exploration:
    def __init__(
        self,
        content: Content,
        actors: Mapping[str, Actor],
        judge: Judge,
        readers: Mapping[str, Actor],
        remote: bool,
        every_order: bool,
        failing: Sequence[str],
    ) -> None:
        answers = _Numbers()
        self._contents = _Contents(answers)
        self._actors = {name: _Courses(actor, remote, answers) for name, actor in actors.items()}
        self._readers = {name: _Courses(actor, remote, answers) for name, actor in readers.items()}
        self._first = self._contents.number(content)
        self._judge = judge
        self._every_order = every_order
        self._failing = failing
        self._next: dict[int, dict[int, None]] = {}
        """By the content of the store those that may follow."""
        self._calls = self._moments = self._ends = 0

    def run(self) -> Explored:
        self._search(self._actors, {})
        for name, courses in self._readers.items():
            self._search({name: courses}, self._next)
        courses = [*self._actors.values(), *self._readers.values()]
        return Explored(self._moments, self._calls, len(self._contents), self._ends, sum(map(len, courses)))

    def _search(self, actors: dict[str, _Courses], others: dict[int, dict[int, None]]) -> None:
        """Visit all moments of these actors: the number of the store's content, and of each actor's course.

        Meanwhile `others` may change the content.
        """
        first = (self._first, *(0 for _ in actors))
        search = _Search(actors, self._contents, self._judge)
        search.show(first, [])
        seen, path = {first}, [(first, self._moves(first, actors, others))]
        while path:
            moment = next(path[-1][1], None)
            if moment is None:
                path.pop()
                continue
            self._calls += 1
            if moment not in seen:
                seen.add(moment)
                path.append((moment, self._moves(moment, actors, others)))
                self._ends += search.show(moment, [step for step, _ in path])
        self._moments += len(seen)

    def _moves(
        self, moment: tuple[int, ...], actors: dict[str, _Courses], others: dict[int, dict[int, None]]
    ) -> Iterator[tuple[int, ...]]:
        """The moments that may come next."""
        store, *courses = moment
        calls = [each.calls[course] for each, course in zip(actors.values(), courses, strict=True)]
        if not self._every_order:
            calls = _settled(calls, self._contents[store]) or calls
        for at, (name, call) in enumerate(zip(actors, calls, strict=True)):
            if call is None:
                continue
            for after, answer in self._contents.after(store, call, name in self._failing):
                if after != store:
                    assert not others, f"{name} is no reader"
                    self._next.setdefault(store, {})[after] = None
                course = actors[name].after(courses[at], answer)
                yield (after, *moment[1 : at + 1], course, *moment[at + 2 :])
        for after in others.get(store, ()):
            yield (after, *courses)


class _Search:
    """What is shown to the judge: each content and end once."""

    def __init__(self, actors: dict[str, _Courses], contents: _Contents, judge: Judge) -> None:
        self._actors = actors
        self._contents = contents
        self._judge = judge
        self._shown: set[tuple[Any, ...]] = set()

    def show(self, moment: tuple[int, ...], path: list[tuple[int, ...]]) -> bool:
        """Let the judge see a moment. Whether all actors have ended."""
        ends = tuple(
            courses.ends[course] for courses, course in zip(self._actors.values(), moment[1:], strict=True)
        )
        shown = (moment[0], *ends)
        if shown not in self._shown:
            self._shown.add(shown)
            ended = {name: end for name, end in zip(self._actors, ends, strict=True) if end is not None}
            try:
                self._judge(Moment(self._contents[moment[0]], ended))
            except AssertionError as error:
                raise Violation("\n".join((str(error), *self._story(path)))) from error
        return None not in ends

    def _story(self, path: list[tuple[int, ...]]) -> Iterator[str]:
        """The calls that led to a moment, a line each."""
        for before, after in zip(path, path[1:], strict=False):
            moved = [at for at in range(1, len(after)) if before[at] != after[at]]
            for (name, courses), at in zip(self._actors.items(), range(1, len(after)), strict=True):
                if at in moved:
                    yield f"  {name}: {courses.told(after[at])}"
            if not moved:
                there, then = self._contents[before[0]], self._contents[after[0]]
                changed = [
                    *(f"+ {key}" for key in then.keys() - there),
                    *(f"- {key}" for key in there.keys() - then),
                ]
                yield f"  the others: {', '.join(changed)}"


def _settled(calls: list[Call | None], content: Content) -> list[Call | None]:
    """The first of the calls alone that gets the same answer whenever it is made from here on."""
    for at, call in enumerate(calls):
        if call and call[0] in ("open", "stat") and call[1] in content and is_forever(call[1]):
            return [call if number == at else None for number in range(len(calls))]
    return []


def _shown(thing: Any) -> str:
    if isinstance(thing, tuple):
        return " ".join(map(_shown, thing)) or "()"
    return f"{len(thing)} bytes" if isinstance(thing, bytes) else str(thing)
