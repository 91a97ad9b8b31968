"""An exception at every line: Ctrl-C, and memory that runs out, wherever they arrive."""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, Generic, TypeVar

import msgspec

import saver

T = TypeVar("T")

Line = tuple[str, int]
"""A file, relative to the folder under test, and a line of it."""

_PACKAGE = os.path.dirname(saver.__file__)


class Interrupted(msgspec.Struct, Generic[T], frozen=True):
    """The outcome of an act that was interrupted: the `subject` that it acted on, what it returned, what it
    raised, and whether it reached the line at all."""

    subject: T
    result: Any
    error: BaseException | None
    struck: bool


class Interrupt(msgspec.Struct, Generic[T], frozen=True):
    """An interrupt to be tried: `error` is raised before `act` executes a line for the time number `time`.
    Its `str` can be the id of a test."""

    make: Callable[[], T]
    act: Callable[[T], Any]
    folder: str
    line: Line
    time: int
    error: type[BaseException]

    def __str__(self) -> str:
        return f"{self.line[0]}:{self.line[1]}, time {self.time}: {self.error.__name__}"

    def strike(self) -> Interrupted[T]:
        """Act on a subject of its own, with the interrupt. Never raises what the act raises."""
        subject, left, struck = self.make(), self.time, False

        def reached(line: Line) -> None:
            nonlocal left, struck
            left -= line == self.line
            if not left and not struck:
                struck = True
                sys.settrace(None)  # one interrupt: what cleans up is left alone
                raise self.error("injected")

        try:
            result, error = _traced(lambda: self.act(subject), self.folder, reached), None
        except BaseException as raised:
            result, error = None, raised
        return Interrupted(subject, result, error, struck)


def every_interrupt(
    make: Callable[[], T],
    act: Callable[[T], Any],
    *,
    errors: Iterable[type[BaseException]] = (KeyboardInterrupt, MemoryError),
    sample: int | None = None,
    seed: int = 0,
    folder: str = _PACKAGE,
) -> list[Interrupt[T]]:
    """Every interrupt of `act` in its own thread: one of `errors` before each line below `folder` (Saver's
    own code) that it executes, each time it does. `make` returns what the act is given.

    With `sample`, that many: the first and the last time of as many lines as possible. Lines are those that
    `sys.settrace` tells of; a signal may also arrive within one.
    """
    seen: list[Line] = []
    subject = make()
    _traced(lambda: act(subject), os.path.realpath(folder), seen.append)
    times, total = Counter[Line](), Counter(seen)
    moments: list[tuple[Line, int]] = []
    for line in seen:
        times[line] += 1
        moments.append((line, times[line]))
    cases = [
        Interrupt(make, act, os.path.realpath(folder), line, time, error)
        for line, time in moments
        for error in errors
    ]
    if sample is None or sample >= len(cases):
        return cases
    random.Random(seed).shuffle(cases)
    cases.sort(key=lambda case: case.time not in (1, total[case.line]))
    return cases[:sample]


def _traced(act: Callable[[], Any], folder: str, reached: Callable[[Line], None]) -> Any:
    """What `act` returns; `reached` is called before each line below the folder, and may raise."""
    inside: dict[str, str] = {}

    def entered(frame: FrameType, event: str, value: Any) -> Any:
        path = frame.f_code.co_filename
        if path not in inside:
            real = os.path.realpath(path)
            inside[path] = os.path.relpath(real, folder) if real.startswith(folder + os.sep) else ""
        return within if inside[path] else None

    def within(frame: FrameType, event: str, value: Any) -> Any:
        if event == "line":
            reached((inside[frame.f_code.co_filename], frame.f_lineno))
        return within

    def own_handled_exceptions() -> Iterator[Any]:
        """A generator has its own list of the exceptions being handled. Python 3.11 leaves one in it when
        a trace function raises where an `except` block ends; in the list of the thread it would stay."""
        yield act()

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        return next(own_handled_exceptions())
    finally:
        sys.settrace(before)
