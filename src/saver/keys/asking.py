"""Questions for secrets, on the terminal and without echo."""

from __future__ import annotations

import getpass
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from saver.errors import KeyNeededError, printable
from saver.keys.secret import Passphrase

_drawn: list[tuple[Callable[[], None], Callable[[], None]]] = []
"""How to stop and to go on with what is drawn on the terminal."""


@contextmanager
def aside(stop: Callable[[], None], start: Callable[[], None]) -> Iterator[None]:
    """Have something that draws on the terminal stopped while somebody is asked, and started again then."""
    each = stop, start
    _drawn.append(each)
    try:
        yield
    finally:
        _drawn.remove(each)


@contextmanager
def alone() -> Iterator[None]:
    """Nothing is drawn over a question, or over what is said."""
    stopped = tuple(_drawn)
    for stop, _ in stopped:
        stop()
    try:
        yield
    finally:
        for _, start in stopped:
            start()


def ask(question: str, instead: str = "pass 'env:NAME' or 'command:…' instead") -> str:
    """What somebody types. Raises KeyNeededError without a terminal, and says what to do `instead`: nothing
    is read that could be seen."""
    if not has_terminal():
        raise KeyNeededError(f"{question.rstrip(': ')}: there is no terminal to ask on; {instead}")
    with alone(), warnings.catch_warnings():
        warnings.simplefilter("error", getpass.GetPassWarning)
        try:
            return getpass.getpass(printable(question))
        except getpass.GetPassWarning:
            raise KeyNeededError(f"{question.rstrip(': ')}: it could not be read; {instead}") from None
        except EOFError:
            _end_line()
            raise KeyNeededError(
                f"{question.rstrip(': ')}: nothing was typed; nothing was done; try again"
            ) from None
        except KeyboardInterrupt:
            _end_line()
            raise


def _end_line() -> None:
    """End the line of a question that nobody answered."""
    with open("/dev/tty" if os.name == "posix" else "CONOUT$", "w") as terminal:
        terminal.write("\n")


def ask_new(place: str) -> Passphrase:
    """A new passphrase for a file or store, which is typed twice. Raises KeyNeededError if it is empty, or
    differs the second time."""
    question = f"A new passphrase for {place}"
    first = Passphrase(ask(f"{question}: ", "a new passphrase is typed, so run this on a terminal"))
    if not first.reveal():
        raise KeyNeededError(f"{question}: it is empty; nothing was written; type one")
    if Passphrase(ask(f"The same once more, for {place}: ")) != first:
        raise KeyNeededError(f"{question}: the second one differs; nothing was written; try again")
    return first


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    if os.name != "posix":
        return sys.stdin is not None and sys.stdin.isatty()
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
