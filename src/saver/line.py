"""A line of a terminal or a notebook, updated in place: the status of a run, the progress of a save."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from threading import RLock
from typing import Any, TextIO, TypeAlias, TypeVar

from saver import forks
from saver.errors import printable
from saver.human import size

INTERVAL = 0.2
"""The least number of seconds between two updates."""

NAME = 30
"""The most characters of the name of what is saved or loaded."""

WIDTH = 80
"""Columns if the terminal does not say how many it has."""


class Line:
    """One line at the bottom of a terminal, updated in place. Other output goes above it.

    That applies to all Python code in this process that writes to `sys.stdout` or `sys.stderr`, if these
    are terminals: the line is removed before a write, and comes back once the written line is complete.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write = stream.write
        self._begin()
        forks.begin_anew(self, Line._begin)
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


class Bar:
    """Shows how much is done when it is called with bytes: `saving iris: 62%  211 MB of 340 MB  1.3 GB/s`.

    What is done so fast that nobody could read it is not shown.
    """

    def __init__(self, what: str, shown: Line) -> None:
        self._what, self._line = what, shown
        self._begun = time.monotonic()
        self._last = (0, 0)
        self._visible = self._closed = False

    def __call__(self, done: int, total: int) -> None:
        self._last = done, total
        now = time.monotonic()
        if not self._closed and now >= self._begun + INTERVAL and self._line.is_due(now):
            self._visible = True
            self._show(now)

    def close(self) -> None:
        """End the line: it stays, with all that was done. Calls that come later show nothing."""
        self._closed = True
        if self._visible:
            self._show(time.monotonic())
        self._line.close()

    def _show(self, now: float) -> None:
        done, total = self._last
        share = f"{self._what}: {100 * done // total}%" if total else self._what
        rate = f"{size(int(done / (now - self._begun)))}/s" if now > self._begun else ""
        self._line.show((share, f"{size(done)} of {size(total)}", rate))


Showing: TypeAlias = Callable[[int, int], None] | bool | None
"""What may be given as `progress`: a function that is called with the bytes done and those in total, or True,
which shows them in a line of standard error while the call lasts."""

F = TypeVar("F", bound=Callable[..., Any])


def shown(doing: str) -> Callable[[F], F]:
    """Lets a function take `progress=True`, which shows a bar while it runs. The function itself gets that
    bar, or whatever else it was given."""

    def decorate(function: F) -> F:
        @wraps(function)
        def showing(*args: Any, **kwargs: Any) -> Any:
            progress = kwargs.get("progress")
            if progress is None or not isinstance(progress, bool):
                return function(*args, **kwargs)
            found = line(True) if progress else None
            if found is None:
                return function(*args, **kwargs | {"progress": None})
            named = next((os.fsdecode(each) for each in args if isinstance(each, str | os.PathLike)), "")
            short = named if len(named) <= NAME else f"…{named[-NAME:]}"  # the end of a path says most
            bar = Bar(f"{doing} {short}".rstrip(), found)
            found.open()
            try:
                return function(*args, **kwargs | {"progress": bar})
            finally:
                bar.close()

        return showing  # type: ignore[return-value]

    return decorate
