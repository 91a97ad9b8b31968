"""Which texts can be paths."""

from __future__ import annotations

import os


def can_be_path(text: str) -> bool:
    """Whether the system can have a file or folder of this name."""
    if text.isascii():
        return bool(text) and "\0" not in text
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a lone surrogate
        return False
