"""What somebody typed on the terminal: it is tried at the next place, too, before they are asked again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Typed:
    """What was typed, the oldest first: `answers` to what opens a place, and those for `new` places, by
    place."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.new: dict[str, list[Any]] = {}
        self.lock = threading.RLock()
        self._places: set[str] = set()

    def first(self, place: str, ask: Callable[[], Sequence[Any]]) -> None:
        """Ask what opens a place, unless there is something to try."""
        with self.lock:
            if not self.answers:
                self.again(place, ask)

    def again(self, place: str, ask: Callable[[], Sequence[Any]]) -> bool:
        """Ask what opens a place, and whether that was done: nobody is asked twice for the same place."""
        with self.lock:
            if place in self._places:
                return False
            self.answers += ask()
            self._places.add(place)
            return True

    def for_new(self, place: str, ask: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        """What is to open a new place: asked for once."""
        with self.lock:
            if place not in self.new:
                self.new[place] = [*ask()]
                self.answers += self.new[place]
                self._places.add(place)
            return self.new[place]


_shared: list[Typed] = []


@contextmanager
def together() -> Iterator[None]:
    """What is typed while this lasts is tried by all keys that are made meanwhile."""
    mine = Typed()
    _shared.append(mine)
    try:
        yield
    finally:
        _shared.remove(mine)


def typed() -> Typed:
    """What was typed for those with which answers are shared; nothing as yet if there are none."""
    return _shared[-1] if _shared else Typed()
