"""What a cycle delays: places that get their object once it is complete, and keys that are hashed then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Pending:
    """A placeholder for an object that is being built, until it can be stored where it is needed."""

    __slots__ = ("id",)

    def __init__(self, ident: int | str) -> None:
        self.id = ident


class Delayed:
    """The places that wait for objects which are being built, by the ids of their nodes; and functions to
    call once all are complete, which put keys into containers."""

    def __init__(self) -> None:
        self._places: dict[int | str, list[tuple[Any, Any]]] = {}
        self._log: list[int | str] = []
        self._late: list[Callable[[], object]] = []

    @property
    def count(self) -> int:
        """How many places had to wait so far."""
        return len(self._log)

    @property
    def is_waiting(self) -> bool:
        """Whether a place waits."""
        return bool(self._places)

    def put(self, ident: int | str, container: Any, key: Any) -> None:
        """Store the object of that node in `container[key]` once it is there."""
        self._places.setdefault(ident, []).append((container, key))
        self._log.append(ident)

    def later(self, insert: Callable[[], object]) -> None:
        """Call this once everything is complete: it hashes keys, whose hashes may need all of it."""
        self._late.append(insert)

    def taken(self) -> list[Callable[[], object]]:
        """What is to be called now, as everything is complete."""
        if not self._late:
            return self._late
        late, self._late = self._late, []
        return late

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
        self._late.clear()


class _Copying:
    """Waits like a container, and copies what another one holds by then."""

    def __init__(self, copy: Callable[[], object]) -> None:
        self._copy = copy

    def __setitem__(self, key: Any, obj: Any) -> None:
        self._copy()
