"""What happens in a run. The run emits these events and knows nothing of who listens: the log that marks
saves, the line for a person, a rehearsal.

`step` is the last step that was finished, -1 before the first; for a save, the step whose state it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from saver.policy import Moment
from saver.repo.version import Version


class Event(msgspec.Struct, frozen=True):
    """Something that happened."""

    step: int


class Started(Event, frozen=True):
    """The run was entered."""


class Resumed(Event, frozen=True):
    """What `version` holds is in memory now."""

    version: Version


class StepTaken(Event, frozen=True):
    """A step is finished and in the log. What is due after it is decided next."""

    moment: Moment


class StepDone(Event, frozen=True):
    """What was due after a step has begun, and signals that arrived have done their work."""


class SaveDue(Event, frozen=True):
    """A snapshot will be taken, once the one before is written. `reason` is kept with the version."""

    reason: str


class SaveSkipped(Event, frozen=True):
    """A save was due, and was left out: the one before is still being written."""


class SnapshotTaken(Event, frozen=True):
    """A save holds the state of now, and is being written. Snapshots have so many bytes of `memory`."""

    memory: int


class SnapshotTorn(Event, frozen=True):
    """The tensors of these `names` changed while they were copied: the next step takes another snapshot."""

    names: tuple[str, ...]


class SaveWritten(Event, frozen=True):
    """A save is on disk as `version`, so many `seconds` after it began."""

    version: Version
    seconds: float


class SaveFailed(Event, frozen=True):
    """A save could not be written. The run raises the `error` at its next call."""

    error: BaseException


class Blocked(Event, frozen=True):
    """A save kept training waiting for so many `seconds`."""

    seconds: float


class SignalArrived(Event, frozen=True):
    """A signal that asks for a save was caught. Any instruction of the training may be under way."""

    number: int


class SignalServed(Event, frozen=True):
    """All that a signal asked for is on disk. It does its work next; the process `ends` by it, or not."""

    number: int
    ends: bool


class Ended(Event, frozen=True):
    """The run was left; `failed` with an error of the loop, or of a save."""

    failed: bool


Listener: TypeAlias = Callable[[Event], None]
"""Hears each event, one after another. Those about writing come from the thread that writes, all others from
the one that trains. What a listener raises, the run raises."""


class Stream:
    """Hands each event to those who listen to its kind, in their order."""

    def __init__(self) -> None:
        self._listeners: dict[type[Event], list[Listener]] = {}

    def __call__(self, event: Event) -> None:
        for listener in self._listeners.get(type(event), ()):
            listener(event)

    def add(self, listener: Listener, *kinds: type[Event]) -> None:
        """Have `listener` hear events of these kinds, or of all."""
        for kind in kinds or Event.__subclasses__():
            self._listeners.setdefault(kind, []).append(listener)

    def clear(self) -> None:
        """Nobody listens any more."""
        self._listeners.clear()
