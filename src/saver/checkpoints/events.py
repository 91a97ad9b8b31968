"""The events of a run. The run emits them and does not know its listeners: the log that marks saves, the
status line, a rehearsal.

`step` is the last step that was finished, -1 before the first; for a save, the step whose state it holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from saver.policy import Moment
from saver.repo.version import Version


class Event(msgspec.Struct, frozen=True):
    """An event of a run."""

    step: int


class Started(Event, frozen=True):
    """The run was entered."""


class Resumed(Event, frozen=True):
    """The state of `version` has been restored."""

    version: Version


class StepTaken(Event, frozen=True):
    """A step is finished and in the log. Whether a save is due is decided next."""

    moment: Moment


class StepDone(Event, frozen=True):
    """A save that was due after a step has begun, and signals that arrived have been served."""


class SaveDue(Event, frozen=True):
    """A snapshot will be taken once the previous one is written. `reason` is kept with the version."""

    reason: str


class SaveSkipped(Event, frozen=True):
    """A save was due but was skipped, because the previous one is still being written."""


class SnapshotTaken(Event, frozen=True):
    """A save has captured the current state, and is being written. Snapshots use `memory` bytes."""

    memory: int


class SnapshotTorn(Event, frozen=True):
    """The tensors of these `names` changed while they were copied: the next step takes another snapshot."""

    names: tuple[str, ...]


class SaveWritten(Event, frozen=True):
    """A save is on disk as `version`, `seconds` after it began."""

    version: Version
    seconds: float


class SaveFailed(Event, frozen=True):
    """A save could not be written. The run raises the `error` at its next call."""

    error: BaseException


class Blocked(Event, frozen=True):
    """A save kept training waiting for `seconds`."""

    seconds: float


class SignalArrived(Event, frozen=True):
    """A signal that asks for a save was caught. It may interrupt any instruction of the training."""

    number: int


class SignalServed(Event, frozen=True):
    """The save that a signal asked for is on disk. The signal takes its normal effect next; `ends` says
    whether that ends the process."""

    number: int
    ends: bool


class Ended(Event, frozen=True):
    """The run was closed; `failed` says whether the loop or a save raised an error."""

    failed: bool


Listener: TypeAlias = Callable[[Event], None]
"""Called with each event in turn. Events about writing come from the thread that writes, all others from
the one that trains. The run raises what a listener raises."""


class Stream:
    """Passes each event to the listeners for its kind, in the order in which they were added."""

    def __init__(self) -> None:
        self._listeners: dict[type[Event], list[Listener]] = {}

    def __call__(self, event: Event) -> None:
        for listener in self._listeners.get(type(event), ()):
            listener(event)

    def add(self, listener: Listener, *kinds: type[Event]) -> None:
        """Call `listener` with events of these kinds; without kinds, with all."""
        for kind in kinds or Event.__subclasses__():
            self._listeners.setdefault(kind, []).append(listener)

    def clear(self) -> None:
        """Remove all listeners."""
        self._listeners.clear()
