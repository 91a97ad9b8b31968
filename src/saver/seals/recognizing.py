"""Recognizes compressed files by their first bytes. What reads them is imported when there is one."""

from __future__ import annotations

from saver.errors import DamagedError
from saver.seals.layout import PREFIX, is_sealed
from saver.storage import Blob

_AT = 8 + len(PREFIX) + 64
_SEAL = rb"\",\"seal\":\"zstd\""
FIRST = _AT + len(_SEAL)
"""Bytes that show whether a file is compressed."""


def is_compressed(first: bytes) -> bool:
    """Whether a file that begins so is compressed."""
    return is_sealed(first) and first[_AT:FIRST] == _SEAL


def opened(blob: Blob) -> Blob:
    """What was compressed, if this is a compressed file; otherwise the blob itself. What is damaged raises
    DamagedError when it is read."""
    try:
        first = blob.read(0, min(FIRST, blob.size))
    except DamagedError:
        return blob  # it raises this again
    if not is_compressed(first):
        return blob
    from saver.seals.decompressing import DecompressedBlob

    return DecompressedBlob(blob)
