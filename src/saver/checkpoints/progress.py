"""The status line of a run: step, rate, what was saved, when the next save is due."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import RLock
from typing import Any, TextIO

import msgspec

from saver import forks
from saver.errors import printable
from saver.repo.version import Version

INTERVAL = 0.2
"""The least number of seconds between two updates."""

MEMORY = 5.0
"""Seconds after which a measurement of the rate has about a third (1/e) of its weight."""

SMOOTHING = 0.3
"""Weight of the newest measurement in the cost of a save."""

WIDTH = 80
"""Columns if the terminal does not say how many it has."""


class Progress(msgspec.Struct):
    """The progress of a run. `blocked_seconds` is the total time for which saving has stopped training."""

    step: int = -1
    steps_per_second: float = 0.0
    saved: Version | None = None
    skipped: int = 0
    blocked_seconds: float = 0.0
    saves: int = 0
    staging_bytes: int = 0
    """Memory that is kept for snapshots."""


class Cost:
    """How many seconds a save stops training, in the call that begins it and later: an average over saves,
    in which the newest has the weight `SMOOTHING`. None before the first.
    """

    def __init__(self) -> None:
        self._before: float | None = None
        self._newest: float | None = None

    def begin(self) -> None:
        """What is added from now on belongs to another save."""
        self._before, self._newest = self(), None

    def add(self, seconds: float) -> None:
        self._newest = (self._newest or 0.0) + seconds

    def __call__(self) -> float | None:
        if self._before is None or self._newest is None:
            return self._before if self._newest is None else self._newest
        return (1 - SMOOTHING) * self._before + SMOOTHING * self._newest


class Pace:
    """How fast steps follow each other: an average that decays with `MEMORY`."""

    __slots__ = ("_rate", "_since", "_step")

    def __init__(self) -> None:
        self._since, self._step, self._rate = 0.0, -1, 0.0

    def __call__(self, step: int, now: float) -> float:
        """Steps per second, given that `step` is finished at time `now`; 0 while unknown."""
        passed = now - self._since
        if passed < INTERVAL:
            return self._rate
        if self._step >= 0 and step > self._step:
            newest = (step - self._step) / passed
            self._rate += (newest - self._rate) * (1 - math.exp(-passed / MEMORY) if self._rate else 1)
        self._since, self._step = now, step
        return self._rate


class Line:
    """One line at the bottom of a terminal, updated in place. Other output goes above it.

    That applies to all Python code in this process that writes to `sys.stdout` or `sys.stderr`, if these
    are terminals: the line is removed before a write, and comes back once the written line is complete.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write = stream.write
        forks.begin_anew(self, Line._begin)
        self._begin()
        self._process = os.getpid()
        self._shown = 0
        self._next = 0.0
        self._whole = True
        self._undo: list[Callable[[], None]] = []

    def _begin(self) -> None:
        """Also in a forked child, where a thread that no longer exists may hold the old lock."""
        self._lock = RLock()

    def open(self) -> None:
        """Let other output go above the line from now on."""
        for stream in {id(each): each for each in (sys.stdout, sys.stderr, self._stream)}.values():
            if is_terminal(stream):
                self._come_between(stream)

    def _come_between(self, stream: Any) -> None:
        write, own = stream.write, vars(stream).get("write") if hasattr(stream, "__dict__") else None

        def above(text: str) -> Any:
            if not text or not self._undo or os.getpid() != self._process:  # a forked child has no line
                return write(text)
            with self._lock:
                self._take_away()
                self._whole = text.endswith("\n")
                return write(text)

        def undo() -> None:
            if vars(stream).get("write") is not above:  # another wrapper is in front of it now
                return
            if own is None:
                del stream.write
            else:
                stream.write = own

        with suppress(AttributeError):  # of a stream that cannot be wrapped
            stream.write = above
            self._undo.append(undo)

    def is_due(self, now: float) -> bool:
        """Whether it is time to call `show` again."""
        return now >= self._next

    def show(self, pieces: Iterable[str]) -> None:
        """Show as many of the pieces as the terminal has room for."""
        with self._lock:
            self._next = time.monotonic() + INTERVAL
            if self._whole:
                text = fitting(pieces, columns(self._stream) - 1)
                width = _width(text)
                self._put(f"\r{text}{' ' * (self._shown - width)}")
                self._shown = width

    def close(self) -> None:
        """End the line; it stays as it was shown last."""
        with self._lock:
            undo, self._undo = self._undo, []
            for each in undo:
                each()
            if self._shown:
                self._shown = 0
                self._put("\n")

    def _take_away(self) -> None:
        if self._shown:
            shown, self._shown = self._shown, 0
            self._put(f"\r{' ' * shown}\r")

    def _put(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a lost terminal must not stop training
            self._write(text)
            self._stream.flush()


def line(wanted: bool | None) -> Line | None:
    """The line on standard error if it is wanted; for None, if standard error is a terminal."""
    if sys.stderr is None or not (is_terminal(sys.stderr) if wanted is None else wanted):
        return None
    return Line(sys.stderr)


def is_terminal(stream: Any) -> bool:
    """Whether a line can be updated in place on this stream: a terminal, or a cell of a notebook."""
    if type(stream).__module__.startswith("ipykernel."):
        return True
    try:
        return bool(stream.isatty()) and os.environ.get("TERM") not in ("dumb", "")
    except (AttributeError, ValueError):  # None, or closed
        return False


def columns(stream: Any) -> int:
    """How many columns a terminal has."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except (AttributeError, OSError, ValueError):
        return WIDTH


def fitting(pieces: Iterable[str], width: int) -> str:
    """The pieces joined, as many as fit into `width` columns; the first is cut to fit."""
    text = ""
    for piece in filter(None, map(printable, pieces)):
        longer = f"{text}  {piece}" if text else piece
        if text and _width(longer) > width:
            break
        text = longer
    while _width(text) > width:
        text = text[:-1]
    return text


def _width(text: str) -> int:
    """The most columns that a text takes: a non-ASCII character may take two."""
    return len(text) if text.isascii() else sum(1 if char.isascii() else 2 for char in text)


def status(
    model: str, progress: Progress, total: int | None, next_due: str | None, kept: int, now: float
) -> tuple[str, ...]:
    """The pieces of the line, most important first. `now` is Unix time."""
    done = progress.step + 1
    saved = progress.saved
    return (
        f"{model}: step {done:,}" + ("" if total is None else f"/{total:,}"),
        rate_text(progress.steps_per_second),
        f"saved @{saved.number} {ago(now - saved.time)}, {kept} kept"
        if saved is not None
        else "not saved yet",
        f"next {next_due}" if next_due is not None and (total is None or done < total) else "",
    )


def rate_text(rate: float) -> str:
    """`12.3/s`, or `4.5 s/step` for slow steps; empty for 0."""
    if rate < 1:
        return f"{1 / rate:.3g} s/step" if rate > 0 else ""
    return f"{rate:.3g}/s" if rate < 1000 else f"{rate:,.0f}/s"


def ago(seconds: float) -> str:
    """How long ago something was: `8 s ago`."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{int(seconds / unit)} {name} ago"
    return f"{int(max(0.0, seconds))} s ago"
