"""Why a commit did not take place, for those who staged what it was to commit."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from saver.errors import CannotWriteError, SaverError
from saver.repo.staged import Condemned


class CondemnedError(SaverError, RuntimeError):
    """Before it could be committed, a collector condemned something that was staged, or a check found that
    bytes which it shares are damaged; nothing was changed.

    `condemned` says, by the `id` of each Staged, what of it must be staged again.
    """

    code = "condemned"

    def __init__(self, message: str, condemned: Mapping[str, Condemned] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.condemned = dict(condemned)


class VoidError(CannotWriteError):
    """Those who wait for a commit gave it up before it took place; nothing was changed."""

    code = "void"
