"""Saver: save any trained model whole, load it anywhere, run nothing from it.

import saver
saver.dump({"scaler": scaler, "model": clf}, "model.saver")
parts = saver.load("model.saver")

store = saver.Saver("models")
store.save("iris", {"scaler": scaler, "model": clf}, metrics={"accuracy": 0.97}, tags=["best"])
parts = store.load("iris@best")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saver.errors import (
    CannotReadError,
    CannotSaveError,
    CannotWriteError,
    CommitUnknownError,
    DamagedError,
    DoesNotFitError,
    IncompatibleError,
    KeyNeededError,
    LimitExceededError,
    NotFoundError,
    SaverError,
    UntrustedError,
    VersionWarning,
    WrongKeyError,
)

if TYPE_CHECKING:
    from saver.exporting import export
    from saver.file import describe, diff, dump, dumps, load, loads, restore, verify
    from saver.keys.sources import Keys
    from saver.migrating import migrate
    from saver.policy import Every, Keep, OnSignal
    from saver.registration import register
    from saver.repo.version import Version
    from saver.saver import Saver

__version__ = "0.1.0"

__all__ = [
    "CannotReadError",
    "CannotSaveError",
    "CannotWriteError",
    "CommitUnknownError",
    "DamagedError",
    "DoesNotFitError",
    "Every",
    "IncompatibleError",
    "Keep",
    "KeyNeededError",
    "Keys",
    "LimitExceededError",
    "NotFoundError",
    "OnSignal",
    "Saver",
    "SaverError",
    "UntrustedError",
    "Version",
    "VersionWarning",
    "WrongKeyError",
    "describe",
    "diff",
    "dump",
    "dumps",
    "export",
    "load",
    "loads",
    "migrate",
    "register",
    "restore",
    "verify",
]

_LATER = {
    **dict.fromkeys(
        ("describe", "diff", "dump", "dumps", "load", "loads", "restore", "verify"), "saver.file"
    ),
    "Every": "saver.policy",
    "Keep": "saver.policy",
    "Keys": "saver.keys.sources",
    "OnSignal": "saver.policy",
    "Saver": "saver.saver",
    "Version": "saver.repo.version",
    "export": "saver.exporting",
    "migrate": "saver.migrating",
    "register": "saver.registration",
}
"""Names whose modules are imported on first use: code that only uses one file needs no store, and the command
line needs no NumPy to show its help or to complete a word."""


def __dir__() -> list[str]:
    """The public names. Submodules that were imported are attributes too, and internal for the most part."""
    return sorted([*__all__, "__version__"])


if not TYPE_CHECKING:  # otherwise type checkers would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module 'saver' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(_LATER[name]), name)
        return found
