"""Checks that the log is complete: without a gap, and up to its end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from saver.errors import DamagedError, SaverError
from saver.repo import document
from saver.repo.log import is_log_key, log_key
from saver.repo.objects import checkpoint_key, is_own
from saver.repo.state import Checkpoint, State
from saver.storage import Storage


def check_log(storage: Storage, state: State, known: int = 0) -> None:
    """Raise DamagedError unless the log has all records that ever existed, as far as can be known. Those up
    to `known` were checked before."""
    check_gaps(storage, state, known)
    check_end(storage, state)


def check_gaps(storage: Storage, state: State, known: int = 0) -> None:
    """Raise DamagedError if a record is missing while later ones exist."""
    log, expected = state.log, known + 1
    for key in filter(is_log_key, storage.keys("log/", after=log_key(known))):
        # A listing need not include what was created after it began.
        while key > log_key(expected) and log.stat(expected) is not None:
            expected += 1
        if key > log_key(expected):
            raise log.gap(expected)
        expected += key == log_key(expected)
    for number in range(expected, state.head + 1):
        if log.stat(number) is None:
            raise log.gap(number)


def check_end(storage: Storage, state: State) -> bool:
    """Raise DamagedError if a checkpoint proves that there were records which the log does not have.

    A checkpoint is made only once they exist, durably, and no record is ever deleted. Checkpoints may also
    be made during this check, so the log is read again before it concludes anything. Returns True: the end
    was checked.
    """
    _check_beyond(storage, state, _beyond(storage, state))
    return True


def check_end_if_possible(storage: Storage, state: State) -> bool:
    """The same for readers, which do not need checkpoints: False if none can be examined."""
    try:
        keys = _beyond(storage, state)
    except SaverError:
        return False
    _check_beyond(storage, state, keys)
    return True


def _beyond(storage: Storage, state: State) -> list[str]:
    """The keys of checkpoints after the head, as listed when the log was read, or else as of now."""
    end = checkpoint_key(state.head)
    return list(takewhile(lambda key: key < end, state.shortcuts.listing()))


def _check_beyond(storage: Storage, state: State, keys: Iterable[str]) -> None:
    for key in keys:
        number = _number_of(storage, key)
        if number > state.head:
            state.refresh()
        if number > state.head:
            raise DamagedError(
                f"{storage}: {key} was made after record {number}, and the log ends with record "
                f"{state.head}: "
                "its newest records were removed, or another copy of the store was mixed in; nothing was "
                "changed; restore the folder log/ from a copy, or delete the folder state/ to go on without "
                "them"
            )


def _number_of(storage: Storage, key: str) -> int:
    """The record of a checkpoint; 0 if it is not one, or is damaged: that proves nothing."""
    if not is_own(key):
        return 0
    try:
        found, _ = document.decode(storage.read(key), Checkpoint, f"{storage}: {key}")
    except SaverError:
        return 0
    return found.number if key == checkpoint_key(found.number) else 0
