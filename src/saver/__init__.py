"""Saver: save any trained model whole, load it anywhere, run nothing from it.

import saver
saver.dump({"scaler": scaler, "model": clf}, "model.saver")
parts = saver.load("model.saver")

store = saver.Saver("models")
store.save("iris", {"scaler": scaler, "model": clf}, metrics={"accuracy": 0.97}, tags=["best"])
parts = store.load("iris@best")
"""

from __future__ import annotations

from saver.errors import (
    CannotRead,
    CannotSave,
    CannotWrite,
    CommitUnknown,
    Damaged,
    DoesNotFit,
    NotFound,
    SaverError,
    Unsupported,
    Untrusted,
    VersionWarning,
)
from saver.policy import Every, Keep, OnSignal
from saver.registration import register
from saver.repo.version import Version
from saver.saver import Saver
from saver.single import describe, dump, load

__version__ = "0.1.0"

__all__ = [
    "CannotRead",
    "CannotSave",
    "CannotWrite",
    "CommitUnknown",
    "Damaged",
    "DoesNotFit",
    "Every",
    "Keep",
    "NotFound",
    "OnSignal",
    "Saver",
    "SaverError",
    "Unsupported",
    "Untrusted",
    "Version",
    "VersionWarning",
    "describe",
    "dump",
    "load",
    "register",
]
