"""What a process has open below a folder: elsewhere, threads that other tests left open and close files."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

HELD = Path("/proc/self/fd")

listed = pytest.mark.skipif(not HELD.is_dir(), reason="the system does not list descriptors")


def open_files(within: Path) -> list[str]:
    """One entry for each descriptor of a file, a removed file or a folder there. Empty where the system does
    not list descriptors (see `listed`)."""
    found = []
    for number in os.listdir(HELD) if HELD.is_dir() else ():
        with suppress(FileNotFoundError):  # that of the listing itself, or one that such a thread closed
            found.append(os.readlink(HELD / number))
    return sorted(each for each in found if Path(each).is_relative_to(within))
