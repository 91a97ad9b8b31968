"""What a cycle delays: places that get their object once it is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Delayed:
    """The places that wait for objects which are being built, by the ids of their nodes."""

    def __init__(self) -> None:
        self._places: dict[int | str, list[tuple[Any, Any]]] = {}
        self._log: list[int | str] = []

    @property
    def count(self) -> int:
        """How many places had to wait so far."""
        return len(self._log)

    def put(self, ident: int | str, container: Any, key: Any) -> None:
        """Store the object of that node in `container[key]` once it is there."""
        self._places.setdefault(ident, []).append((container, key))
        self._log.append(ident)

    def copied(self, copy: Callable[[], object], since: int) -> None:
        """Call `copy` again whenever an object is there for which a place waits since `since`, a `count`."""
        again = _Copying(copy)
        for ident in set(self._log[since:]):
            if ident in self._places:
                self._places[ident].append((again, None))

    def are_there(self, ident: int | str, obj: Any) -> None:
        """The object of that node is complete."""
        for container, key in self._places.pop(ident, ()):
            container[key] = obj
        if not self._places:
            self._log.clear()

    def clear(self) -> None:
        """Forget all."""
        self._places.clear()
        self._log.clear()


class _Copying:
    """Waits like a container, and copies what another one holds by then."""

    def __init__(self, copy: Callable[[], object]) -> None:
        self._copy = copy

    def __setitem__(self, key: Any, obj: Any) -> None:
        self._copy()
