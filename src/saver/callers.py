"""Warnings name the line that called Saver."""

from __future__ import annotations

import sys
import warnings
from contextlib import _GeneratorContextManager
from types import FrameType

from saver.errors import printable
from saver.logger import logger

_BETWEEN = _GeneratorContextManager.__module__
"""A module of Python whose functions may stand between the caller and Saver."""


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn about a call of Saver, at the line of the call. The log gets the warning, too."""
    logger.warning("%s", message, extra={"category": category.__name__})
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and _is_own(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(printable(message), category, stacklevel=level)


def _is_own(module: str) -> bool:
    return module == "saver" or module.startswith("saver.") or module == _BETWEEN
