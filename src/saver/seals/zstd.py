"""Compression of one frame: zstd, level 1, of the bytes as they are or shuffled, if that is worth it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from saver.errors import DamagedError, IncompatibleError
from saver.seals.frames import ITEMS, Stored, shuffled

NAME = "zstd"
LEVEL = 1
"""Higher levels take several times as long, and gain some hundredths on weights."""

PROBE = 256 << 10
RUN = 16 << 10
"""A frame is probed by runs of this many bytes, `PROBE` in all, spread out over it."""

WORTH = 0.9
"""What does not become smaller than this share is stored as it is."""

WINDOW = 8 << 20
_MAGIC = b"\x28\xb5\x2f\xfd"

MISSING = (
    "compression needs Python 3.14 or the package zstandard (0.22 or newer); "
    "pip install 'saver-ml[compression]'"
)


def demand() -> None:
    """Raise IncompatibleError if nothing here compresses."""
    _library()


def _library() -> tuple[Callable[[Any], bytes], Callable[[Any, int], bytes], type[Exception]]:
    """What compresses, what decompresses to a number of bytes, and what that raises."""
    if sys.version_info < (3, 14):
        return _of_package()
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:  # Python was built without it
        return _of_package()

    def expand(data: Any, size: int) -> bytes:
        reader = zstd.ZstdDecompressor()
        found: bytes = reader.decompress(data, max_length=size + 1)
        if not reader.eof or reader.unused_data:
            raise zstd.ZstdError("it does not end where it should")
        return found

    options = {
        zstd.CompressionParameter.compression_level: LEVEL,
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.content_size_flag: 1,
    }
    return lambda data: zstd.compress(data, options=options), expand, zstd.ZstdError


def _of_package() -> tuple[Callable[[Any], bytes], Callable[[Any, int], bytes], type[Exception]]:
    """The same with the package."""
    try:
        import zstandard
    except ImportError:
        raise IncompatibleError(MISSING) from None

    def expand(data: Any, size: int) -> bytes:  # none of these objects may be used by two threads
        reader = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        return reader.decompress(data, max_output_size=size, allow_extra_data=False)

    return (
        lambda data: zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(data),
        expand,
        zstandard.ZstdError,
    )


def pack(data: memoryview, item: int) -> tuple[Stored, bytes | memoryview]:
    """How a frame is stored, and its bytes. `item` is the size of the items that most of it has."""
    compress, *_ = _library()
    items = (1, item) if item in ITEMS[1:] else (1,)
    sample = _sample(data)
    sizes = {each: len(compress(shuffled(sample, each))) for each in items}
    best = min(items, key=sizes.__getitem__)
    if sizes[best] < WORTH * len(sample):
        found = compress(shuffled(data, best))
        if len(found) < WORTH * len(data):
            return Stored(len(found), best, True), found
    return Stored(len(data), 1, False), data


def _sample(data: memoryview) -> memoryview:
    """`PROBE` bytes of a frame, or all of a smaller one."""
    count = PROBE // RUN
    if len(data) <= 2 * PROBE:
        return data
    step = (len(data) - RUN) // (count - 1) // 16 * 16  # items of 8 bytes begin where runs do
    return memoryview(b"".join([data[at * step : at * step + RUN] for at in range(count)]))


def unpack(data: memoryview, size: int, where: str) -> bytes:
    """The `size` bytes of which these are the compressed form. Raises DamagedError before any memory is taken
    for a frame that would become another number of bytes."""
    _, expand, failed = _library()
    try:
        if _announced(data) != size:
            raise _broken(where)
        found = expand(data, size)
    except failed:
        raise _broken(where) from None
    if len(found) != size:
        raise _broken(where)
    return found


def _announced(data: memoryview) -> int:
    """The bytes that a frame says it becomes (RFC 8878, 3.1.1.1); -1 if it does not say so, needs a
    dictionary or more memory than ours do, or is not a frame."""
    if data[:4] != _MAGIC or len(data) < 12:
        return -1
    flags = data[4]
    single, width = bool(flags & 0x20), (0, 2, 4, 8)[flags >> 6]
    if flags & 0x1B:  # reserved and unused bits, dictionaries
        return -1
    at = 5
    if not single:
        exponent, mantissa = data[5] >> 3, data[5] & 7
        if math.ldexp(8 + mantissa, 7 + exponent) > WINDOW:
            return -1
        at = 6
    width = width or int(single)
    found = int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
    return found if width else -1


def _broken(where: str) -> DamagedError:
    return DamagedError(f"{where}: a compressed frame is damaged; restore it from a copy")
