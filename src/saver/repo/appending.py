"""The way into the log: nothing is appended that readers would refuse, as nobody could read on after it."""

from __future__ import annotations

from saver.errors import CannotWriteError, DamagedError, IncompatibleError
from saver.repo.log import Record
from saver.repo.state import State
from saver.repo.state.effects import changes_of


def append(state: State, record: Record) -> str | None:
    """Take the record's number, durably. Returns its hash, or None if another record has the number.

    Raises CannotWriteError, and appends nothing, if the record does not fit what the log says.
    """
    last = state.last()
    if last == (record.number - 1, record.previous):  # otherwise the number is taken
        try:
            changes_of(record, state, f"record {record.number:,}")
        except (DamagedError, IncompatibleError) as error:
            if state.last() == last:
                raise CannotWriteError(
                    f"{state.log.storage}: nothing was appended to the log, as nobody could read it "
                    f"afterwards: {error}; look for a forged record with `saver log`, and restore a copy of "
                    "the store from before it, or go on under another name"
                ) from error
    return state.log.append(record)
