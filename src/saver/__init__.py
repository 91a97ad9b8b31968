"""Saver: save any trained model whole, load it anywhere, run nothing from it.

import saver
saver.dump({"scaler": scaler, "model": clf}, "model.saver")
parts = saver.load("model.saver")
"""

from __future__ import annotations

from saver.errors import (
    CannotSave,
    CannotWrite,
    CommitUnknown,
    Damaged,
    NotFound,
    SaverError,
    Unsupported,
    Untrusted,
    VersionWarning,
)
from saver.registration import register
from saver.single import Description, describe, dump, load

__version__ = "0.1.0"

__all__ = [
    "CannotSave",
    "CannotWrite",
    "CommitUnknown",
    "Damaged",
    "Description",
    "NotFound",
    "SaverError",
    "Unsupported",
    "Untrusted",
    "VersionWarning",
    "describe",
    "dump",
    "load",
    "register",
]
