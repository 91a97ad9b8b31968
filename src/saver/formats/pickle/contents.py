"""The bytes of a file that holds a pickle: mapped, or decompressed as joblib compresses."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from saver.errors import IncompatibleError, LimitExceededError
from saver.storage import Blob
from saver.tensors import Bytes

FLOOR, FACTOR = 256 << 20, 64
"""What the smallest compressed file may unpack to, in bytes, and how many times its size a larger one may."""

_STEP = 1 << 20
_OLD_PICKLE = re.compile(rb"c[\w.]+\n[\w.<>]+\n|\((lp|dp|[cid])|[]})]q\x00|\(V|\(S'")
"""The beginning of pickles of the protocols 0 and 1, which have no magic number."""

ZFILE = b"ZF"
_ZFILE_DIGITS = 19

Making = Callable[[], Any]
_METHODS: tuple[tuple[bytes, str, Making], ...] = (
    (b"\x1f\x8b", "gzip-compressed", lambda: zlib.decompressobj(31)),
    (b"BZh", "bzip2-compressed", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", "xz-compressed", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=FLOOR)),
    (b"\x5d\x00\x00", "lzma-compressed", lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=FLOOR)),
    *(
        (b"x" + level, "zlib-compressed", lambda: zlib.decompressobj(15))
        for level in b"\x01 \x5e \x9c \xda".split()
    ),
)


class Content(NamedTuple):
    """The bytes of a pickle. `mapped` are those of the file itself, if the pickle is stored as it is;
    `how` says how it was compressed, "" if it was not."""

    data: memoryview
    mapped: Bytes | None
    how: str


def is_pickle(first: bytes) -> bool:
    """Whether a pickle begins like this. Headers of safetensors may begin with the same two bytes."""
    if first[:1] == b"\x80" and len(first) > 2:
        return first[1] <= 5 and first[2] != 0
    return _OLD_PICKLE.match(first) is not None


def holds_pickle(blob: Blob) -> bool:
    """Whether a file is a pickle, compressed or not."""
    method = _method(blob.read(0, 16))
    first = blob.read(0, 4096 if method is None else _STEP)  # a block of bzip2 is unpacked whole
    if method is None:
        return is_pickle(first)
    start = _zfile_start(first)
    try:
        return is_pickle(_some(method[2](), first[start:]))
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return False


def _zfile_start(first: bytes) -> int:
    """Where the compressed bytes begin: old files of joblib have a length before, in 19 or 20 characters."""
    if not first.startswith(ZFILE):
        return 0
    start = len(ZFILE) + _ZFILE_DIGITS
    return start + (first[start : start + 1] == b" ")


def _some(unpack: Any, data: bytes) -> bytes:
    found: bytes = unpack.decompress(data, 64)
    return found


def _method(first: bytes) -> tuple[bytes, str, Making] | None:
    if first.startswith(ZFILE):
        return ZFILE, "zlib-compressed by an old joblib", lambda: zlib.decompressobj(15)
    return next((each for each in _METHODS if first.startswith(each[0])), None)


def content_of(blob: Blob) -> Content:
    """The bytes of a pickle. Raises IncompatibleError or LimitExceededError if they cannot be unpacked."""
    method = _method(blob.read(0, 16))
    if method is None:
        mapped = mapped_whole(blob)
        return Content(mapped.data, mapped, "")
    return Content(memoryview(unpacked(blob)), None, method[1])


def mapped_whole(blob: Blob) -> Bytes:
    """All bytes of a file as an array, fetched."""
    mapped = blob.map()
    scratch = memoryview(bytearray(min(max(blob.size, 1), _STEP)))
    for start in range(0, blob.size, _STEP):
        if not blob.near(start, min(start + _STEP, blob.size)):
            blob.fetch(start, min(start + _STEP, blob.size), scratch)
    return mapped


def unpacked(blob: Blob) -> bytearray:
    """What a compressed file unpacks to, in memory that belongs to the caller."""
    method = _method(blob.read(0, 16))
    if method is None:
        raise IncompatibleError(f"{blob.name} is not compressed in a way that joblib uses")
    at = _zfile_start(blob.read(0, 64))
    limit, found = max(FLOOR, FACTOR * blob.size), bytearray()
    unpack, pending = method[2](), b""
    try:
        while True:
            if not pending and at < blob.size and getattr(unpack, "needs_input", True):
                pending = blob.read(at, at + _STEP)
                at += len(pending)
            piece, pending = _step(unpack, pending)
            found += piece
            if len(found) > limit:
                raise LimitExceededError(
                    f"{blob.name}: {blob.size:,} bytes unpack to more than {limit:,}; unpack the file "
                    "yourself if you trust its author, and open the result"
                )
            if unpack.eof:
                if not (pending or at < blob.size) or method[0] != b"\x1f\x8b":
                    return found
                unpack = method[2]()  # the next member
            elif not piece and not pending and at >= blob.size:
                raise IncompatibleError(f"{blob.name} is cut off: its compressed bytes have no end")
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise IncompatibleError(f"{blob.name}: its compressed bytes are not sound: {error}") from None


def _step(unpack: Any, pending: bytes) -> tuple[bytes, bytes]:
    """Some more bytes, and what is left of the pending ones."""
    piece: bytes = unpack.decompress(pending, _STEP)
    if unpack.eof:
        return piece, unpack.unused_data
    return piece, getattr(unpack, "unconsumed_tail", b"")


def as_array(data: bytearray) -> Bytes:
    """Unpacked bytes as a writable array."""
    return np.frombuffer(data, np.uint8)
