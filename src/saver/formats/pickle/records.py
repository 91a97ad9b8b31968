"""What a zip archive says of itself in several places: where its directory is, and what each entry is.

Readers look at different ones of these places. An archive is only read if all of them say the same, and if
nothing lies between them.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from saver.storage import Blob

MAGIC = b"PK\x03\x04"
_HEADER = struct.Struct("<4s5H3I2H")
_END = struct.Struct("<4s4H2IH")
_LARGE_END = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_BEHIND = (struct.Struct("<4sIQQ"), struct.Struct("<4sIII"))
"""What follows the bytes of an entry whose sum was not known before."""

_LISTED, _LENGTHS = 46, struct.Struct("<3H")
"""Bytes of an entry of the directory, and how long its name is, and what follows that."""

_LARGE, _MANY = 0xFFFFFFFF, 0xFFFF
"""In place of a size that takes more than 32 bits, or of a number of entries that takes more than 16."""

_SIZES, _NAME = 1, 0x7075
"""Extra fields: sizes of 64 bits, and a name that some readers take in place of the one in the header."""

DESCRIPTOR = 8


class TwofoldError(ValueError):
    """What an archive says in two ways, so that readers disagree."""


class Directory(NamedTuple):
    """How many entries the directory has, and where it begins."""

    entries: int
    start: int


class Said(NamedTuple):
    """What is said of an entry: its flags, its method, its sum, and its sizes, compressed and not."""

    flags: int
    method: int
    sum: int
    packed: int
    size: int


def directory(blob: Blob) -> Directory:
    """Where the directory is. Raises TwofoldError unless the file ends as an archive does that has one."""
    at = blob.size - _END.size
    raw = blob.read(max(at, 0), blob.size)
    if len(raw) < _END.size or raw[:4] != b"PK\5\6":
        raise TwofoldError("its end is not the end of its directory: it was cut off, or something follows it")
    _, disk, first, here, count, length, start, comment = _END.unpack(raw)
    small = (count, length, start)
    locator = blob.read(max(at - _LOCATOR.size, 0), at)
    if locator[:4] == b"PK\6\7" and len(locator) == _LOCATOR.size:
        at, (count, length, start) = _large(blob, at, locator)
        same = all(
            told in (limit, found)
            for told, found, limit in zip(small, (count, length, start), (_MANY, _LARGE, _LARGE), strict=True)
        )
        if not same:
            raise TwofoldError("its end says two things of the directory")
    if disk or first or comment or here != small[0] or start + length != at:
        raise TwofoldError("its end says another place, or another number of entries, than the directory has")
    raw, reached = blob.read(start, at), 0
    for _ in range(count):
        if len(raw) - reached < _LISTED:
            break
        reached += _LISTED + sum(_LENGTHS.unpack_from(raw, reached + 28))
    if reached != length:
        raise TwofoldError("its directory is longer or shorter than its entries")
    return Directory(count, start)


def _large(blob: Blob, at: int, locator: bytes) -> tuple[int, tuple[int, int, int]]:
    """Where the record of an archive that may be large begins, and what it says."""
    _, disk, place, disks = _LOCATOR.unpack(locator)
    raw = blob.read(place, place + _LARGE_END.size)
    if disk or disks != 1 or place + _LARGE_END.size != at - _LOCATOR.size or len(raw) < _LARGE_END.size:
        raise TwofoldError("the record of a large archive lies elsewhere")
    signature, size, _, _, disk, first, here, count, length, start = _LARGE_END.unpack(raw)
    if signature != b"PK\6\6" or size != _LARGE_END.size - 12 or disk or first or here != count:
        raise TwofoldError("the record of a large archive is not one")
    return place, (count, length, start)


def start_of(blob: Blob, at: int, name: bytes, said: Said) -> int:
    """Where the bytes of an entry begin, whose header is at `at`. Raises TwofoldError unless the header says
    what the directory says."""
    raw = blob.read(at, at + _HEADER.size)
    if len(raw) < _HEADER.size or raw[:4] != MAGIC:
        raise TwofoldError("there is no header where the directory says")
    _, _, flags, method, _, _, total, packed, size, name_size, extra_size = _HEADER.unpack(raw)
    at += _HEADER.size
    if flags != said.flags or method != said.method or blob.read(at, at + name_size) != name:
        raise TwofoldError("it is described in two ways")
    at += name_size
    extra = blob.read(at, at + extra_size)
    wide = sizes_of(extra)
    if _LARGE in (packed, size):
        if len(wide) != 16 or packed != size:
            raise TwofoldError("its header lacks the sizes that it announces")
        size, packed = struct.unpack("<QQ", wide)
    later = flags & DESCRIPTOR
    for told, found in ((total, said.sum), (packed, said.packed), (size, said.size)):
        if told != found and not (later and told == 0):
            raise TwofoldError("its sum or its sizes are described in two ways")
    return int(at + extra_size)


def end_of(blob: Blob, at: int, said: Said) -> int:
    """Where an entry ends whose bytes end at `at`. Raises TwofoldError unless what follows the bytes says
    what the directory says."""
    if not said.flags & DESCRIPTOR:
        return at
    raw = blob.read(at, at + 24)
    for form in _BEHIND:
        told = (b"PK\7\x08", said.sum, said.packed, said.size)
        if max(said.packed, said.size) <= _LARGE or form is _BEHIND[0]:
            packed = form.pack(*told)
            for written in (packed, packed[4:]):
                if raw.startswith(written):
                    return at + len(written)
    raise TwofoldError("what follows its bytes says another sum, or other sizes")


def sizes_of(extra: bytes) -> bytes:
    """The field of an entry with sizes of 64 bits. Raises TwofoldError for fields that are not sound, and for
    one with another name."""
    found = b""
    for kind, value in _fields(extra):
        if kind == _NAME:
            raise TwofoldError("it has another name in an extra field")
        if kind == _SIZES and found:
            raise TwofoldError("it has its sizes twice")
        found = value if kind == _SIZES else found
    return found


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        at += 4 + size
        if at > len(extra):
            raise TwofoldError("its extra fields are longer than their place")
        yield kind, extra[at - size : at]
    if any(extra[at:]):
        raise TwofoldError("its extra fields are cut off")
