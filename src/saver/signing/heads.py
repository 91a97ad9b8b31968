"""The heads of logs that were seen on this machine, by the ids of their stores, as ssh keeps known hosts.

A log only grows. So a store whose log is shorter than one that was seen, or has another record under that
number, was rolled back, or had records replaced.
"""

from __future__ import annotations

import os
import re
import threading
from contextlib import suppress

import msgspec

from saver.callers import warn
from saver.disk.locks import alone
from saver.errors import CannotReadError, IncompatibleError
from saver.strict import decodable

VARIABLE = "SAVER_HEADS"
"""The environment variable that names the folder, if it is not the usual one."""

LOCK = ".lock"
"""The file in the folder that one holds who changes the memory."""

PATIENCE = 5.0
"""Seconds for which that is waited for; it is held for a moment."""

_ID = re.compile(r"[0-9a-f]{1,64}")


@decodable
class Head(msgspec.Struct, frozen=True):
    """The last record of a log: its number and hash; and where the store was."""

    number: int
    hash: str
    store: str = ""


class Heads:
    """The memory of heads: a file for each store, in a folder of the user."""

    def __init__(self, folder: str = "") -> None:
        self._folder = folder or heads_folder()
        self._noted: dict[str, int] = {}
        self.checked = set[str]()
        """The ids of stores whose logs were found to go on from the head that was seen."""

    def path(self, store: str) -> str:
        """The file about the store with this id."""
        if not _ID.fullmatch(store):
            raise IncompatibleError(f"the id of the store, {store[:80]!r}, is not one; no Saver wrote it")
        return os.path.join(self._folder, f"{store}.json")

    def seen(self, store: str) -> Head | None:
        """The newest head that was seen of a store; None if none was. Raises CannotReadError or
        IncompatibleError: what was seen must not be forgotten unnoticed."""
        path = self.path(store)
        try:
            with open(path, "rb") as file:
                return msgspec.json.decode(file.read(100_000), type=Head)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CannotReadError(
                f"{path}: the head that was seen of the store cannot be read: {error.strerror}"
            ) from error
        except (msgspec.DecodeError, ValueError):
            raise IncompatibleError(
                f"{path} does not say which head was seen of the store; delete it to begin anew"
            ) from None

    def known(self, store: str) -> Head | None:
        """The same, for one who demands nothing: a memory that this process may not look for is as none."""
        return self.seen(store) if os.path.exists(self.path(store)) else None

    def note(self, store: str, head: Head) -> None:
        """Remember a head, if it is newer than the one that is known, also if others do so at that moment.
        Warns if that fails: then a rollback to this one is not noticed."""
        path = self.path(store)
        if self._noted.get(store, 0) >= head.number:
            return
        known = self.seen(store)
        self._noted[store] = max(head.number, known.number if known is not None else 0)
        if known is not None and known.number >= head.number:
            return
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            with alone(os.path.join(self._folder, LOCK), PATIENCE):
                known = self.seen(store)
                if known is None or known.number < head.number:
                    _write(path, msgspec.json.encode(head))
        except OSError as error:
            warn(
                f"{path}: the head of the store could not be remembered ({error.strerror}), so a store "
                f"that is rolled back to before it is not noticed; let ${VARIABLE} name a folder to write to",
                UserWarning,
            )


def _write(path: str, data: bytes) -> None:
    """Replace a file as a whole."""
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.new"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            os.remove(temporary)
        raise


def heads_folder() -> str:
    """The folder of the heads: `$SAVER_HEADS`, else in the XDG folder for state."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.environ.get(VARIABLE) or os.path.join(state, "saver", "heads")
