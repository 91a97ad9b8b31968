"""The document of a checkpoint: which pages say what the log says, up to a record."""

from __future__ import annotations

import msgspec

from saver.errors import IncompatibleError
from saver.repo import document
from saver.repo.objects import USERS
from saver.repo.state.page import check_name
from saver.strict import decodable

FORMAT, USERS_FORMAT = 3, 103
"""They differ, so that neither kind of checkpoint is taken for the other, wherever it is found."""


@decodable
class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """The state after a record; `previous` is that record's hash, `root` the name of the root page.

    `spare` are the pages of checkpoints before it that this one does not need, each with the number of the
    newest that needs it.
    """

    format: int
    number: int
    previous: str
    root: str | None
    spare: tuple[tuple[int, tuple[str, ...]], ...] = ()
    roles: dict[str, tuple[str, ...]] = {}
    """Who may do what: little, and needed to apply each record that follows."""


@decodable
class UsersCheckpoint(Checkpoint, frozen=True, kw_only=True):
    """Which objects versions need, after a record. `listed` is when all objects of the store were last
    listed, by its own clock; 0 if they never were. The log has no gap up to this record."""

    listed: float


def decoded(key: str, data: bytes, where: str) -> Checkpoint:
    """The checkpoint in the object with this key. Raises DamagedError or IncompatibleError."""
    users = key.startswith(USERS)
    found, _ = document.decode(data, UsersCheckpoint if users else Checkpoint, where)
    if found.format != (USERS_FORMAT if users else FORMAT):
        raise IncompatibleError(f"{where} is of another Saver")
    for _, names in found.spare:
        for name in names:
            check_name(name)
    return found
