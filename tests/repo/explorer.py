"""Runs actors on one store through every interleaving of their calls, and says how many there were.

An actor is a function of a Storage. It runs in a greenlet and stops at every call of the store; what it asks
for next depends on the answers so far alone. So the whole of a moment is what the store holds and, for each
actor, the answers that it was given; from there each actor's next call leads to another moment. All moments
are visited once. Orders of calls that lead to the same moment merge there, and none is left out: this is a
search of the whole graph, no sample of it.

What readers do is seen by nobody. So the others are explored without them, and then each reader by itself
on the graph of the contents that the store passed through: it may see any walk through that graph, which is
every walk that is possible, and perhaps more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from asking import Asking, Call, Contents, Held, Numbers
from greenlet import greenlet

from saver.storage import Storage

Actor: TypeAlias = Callable[[Storage], Any]
"""Deterministic; what it returns is hashable, and not None."""


class Failed(NamedTuple):
    """An actor ended with an error."""

    kind: str
    message: str


class Moment(NamedTuple):
    """What the store holds, and what those of the actors that have ended ended with."""

    content: Held
    ended: dict[str, Any]


Judge: TypeAlias = Callable[[Moment], None]
"""Raises AssertionError for a moment that must not be."""


class Violation(AssertionError):
    """A moment that must not be, and the calls that led there."""


class Explored(NamedTuple):
    """How much was explored: moments, and the calls between them; contents that the store had; moments at
    which all actors had ended. `courses` counts what the actors went through, each by itself, up to any
    point."""

    moments: int
    calls: int
    stores: int
    ends: int
    courses: int


def explore(
    content: Held,
    actors: Mapping[str, Actor],
    judge: Judge,
    readers: Mapping[str, Actor] | None = None,
    *,
    remote: bool = False,
    failing: Sequence[str] = (),
) -> Explored:
    """Visit every moment of these actors on a store with this content, and show each to the judge.

    As every moment is judged, what holds at all of them holds when any of the actors is killed at any call.
    With `remote`, an object may be gone while it is open, and what comes or goes during a listing may be in
    it or not. Each `create` of the actors that are `failing` may also fail, or its answer get lost.

    Raises Violation.
    """
    return _Exploration(content, actors, judge, readers or {}, remote, failing).run()


class _Courses:
    """What an actor does, by the answers that it was given so far: a tree.

    Each leaf keeps the greenlet that got there. The first further answer goes to it; for others it runs
    again.
    """

    def __init__(self, actor: Actor, remote: bool, answers: Numbers) -> None:
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
        store = Asking(self._remote)

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
        way = []
        while course:
            way.append(course)
            course, _ = self._before[course]
        run, _ = self._begin()
        for course in reversed(way):
            said = run.switch(self._answers.things[self._before[course][1]])
            assert said == self.calls[course], "an actor did something else when it lived again"
        return run

    def told(self, course: int) -> str:
        """The last call of a course, and its answer."""
        before, answer = self._before[course]
        return f"{_shown(self.calls[before])} -> {_shown(self._answers.things[answer])}"


_Point: TypeAlias = tuple[int, ...]
_Graph: TypeAlias = dict[int, dict[int, None]]
"""By the content of the store those that may follow it."""


class _Exploration:
    def __init__(
        self,
        content: Held,
        actors: Mapping[str, Actor],
        judge: Judge,
        readers: Mapping[str, Actor],
        remote: bool,
        failing: Sequence[str],
    ) -> None:
        answers = Numbers()
        self._contents = Contents(answers)
        self._actors = {name: _Courses(actor, remote, answers) for name, actor in actors.items()}
        self._readers = {name: _Courses(actor, remote, answers) for name, actor in readers.items()}
        self._first = self._contents.number(content)
        self._judge = judge
        self._failing = failing
        self._next: _Graph = {}
        self._calls = self._moments = self._ends = 0

    def run(self) -> Explored:
        self._search(self._actors, None)
        for name, courses in self._readers.items():
            self._search({name: courses}, self._next)
        every = [*self._actors.values(), *self._readers.values()]
        return Explored(self._moments, self._calls, len(self._contents), self._ends, sum(map(len, every)))

    def _search(self, actors: dict[str, _Courses], others: _Graph | None) -> None:
        """Visit all moments of these actors: the number of the store's content, and of each actor's course.

        Readers do so while `others` change the content.
        """
        first = (self._first, *(0 for _ in actors))
        search = _Search(actors, self._contents, self._judge)
        seen, path = {first}, [(first, self._moves(first, actors, others))]
        search.show(path)
        while path:
            moment = next(path[-1][1], None)
            if moment is None:
                path.pop()
                continue
            self._calls += 1
            if moment not in seen:
                seen.add(moment)
                path.append((moment, self._moves(moment, actors, others)))
                self._ends += search.show(path)
        self._moments += len(seen)

    def _moves(self, moment: _Point, actors: dict[str, _Courses], others: _Graph | None) -> Iterator[_Point]:
        """The moments that may come next."""
        store, *courses = moment
        calls = [each.calls[course] for each, course in zip(actors.values(), courses, strict=True)]
        for at, (name, call) in enumerate(zip(actors, calls, strict=True)):
            if call is None:
                continue
            for after, answer in self._contents.after(store, call, name in self._failing):
                if after != store:
                    assert others is None, f"{name} is not a reader: {call[:2]}"
                    self._next.setdefault(store, {})[after] = None
                course = actors[name].after(courses[at], answer)
                yield (after, *moment[1 : at + 1], course, *moment[at + 2 :])
        for after in others.get(store, ()) if others is not None else ():
            yield (after, *courses)


class _Search:
    """What is shown to the judge: each content and end once."""

    def __init__(self, actors: dict[str, _Courses], contents: Contents, judge: Judge) -> None:
        self._actors = actors
        self._contents = contents
        self._judge = judge
        self._shown: set[tuple[Any, ...]] = set()

    def show(self, path: list[tuple[_Point, Any]]) -> bool:
        """Let the judge see the moment at the end of the path. Whether all actors have ended."""
        store, *at = path[-1][0]
        ends = [courses.ends[course] for courses, course in zip(self._actors.values(), at, strict=True)]
        shown = (store, *ends)
        if shown not in self._shown:
            self._shown.add(shown)
            ended = {name: end for name, end in zip(self._actors, ends, strict=True) if end is not None}
            try:
                self._judge(Moment(self._contents[store], ended))
            except AssertionError as error:
                raise Violation("\n".join((str(error), *self._story(path)))) from error
        return None not in ends

    def _story(self, path: list[tuple[_Point, Any]]) -> Iterator[str]:
        """The calls that led there, a line each."""
        for (before, _), (after, _) in pairwise(path):
            if before[1:] == after[1:]:
                yield f"  others: {_change(self._contents[before[0]], self._contents[after[0]])}"
            for (name, courses), was, now in zip(self._actors.items(), before[1:], after[1:], strict=True):
                if was != now:
                    yield f"  {name}: {courses.told(now)}"


def _change(before: Held, after: Held) -> str:
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    return " ".join([*(f"put {key}" for key in added), *(f"delete {key}" for key in removed)])


def _shown(thing: Any) -> str:
    if isinstance(thing, tuple):
        return " ".join(map(_shown, thing)) or "()"
    return f"{len(thing)} bytes" if isinstance(thing, bytes) else str(thing)
