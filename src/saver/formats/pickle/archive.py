"""Zip archives, read strictly: the directory and the header of each entry must say the same, so that no other
reader sees another archive.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, as far as PyTorch writes it.
"""

from __future__ import annotations

import codecs
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from saver.errors import DamagedError, IncompatibleError, LimitExceededError
from saver.formats._blobs import BlobFile
from saver.formats._hashing import in_threads
from saver.formats._packing import ArrayBlob
from saver.formats.pickle.contents import FACTOR, FLOOR, mapped_whole
from saver.storage import Blob
from saver.tensors import Bytes

codecs.lookup("cp437")  # so that zipfile imports nothing while it reads names

MAGIC = b"PK\x03\x04"
_HEADER = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8, _DESCRIPTOR = 1, 0x800, 8
_KNOWN_FLAGS = _UTF8 | _DESCRIPTOR | 0x6  # how hard the compressor tried
_ENTRIES = 1 << 20
_STEP = 4 << 20
_SOME = 4096


class Archive:
    """The entries of an archive below its only folder, by their names there. Raises IncompatibleError if the
    archive is not sound."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._room = max(FLOOR, FACTOR * blob.size)
        self._map: Bytes | None = None
        entries = self._directory()
        self.folder = next(
            (
                entry.filename.removesuffix("data.pkl")
                for entry in entries
                if entry.filename.endswith("/data.pkl")
            ),
            "",
        )
        self._entries = {
            entry.filename.removeprefix(self.folder): entry
            for entry in entries
            if entry.filename.startswith(self.folder)
        }
        self._check(entries)

    @property
    def mapped(self) -> Bytes:
        """The bytes of the file."""
        if self._map is None:
            self._map = mapped_whole(self._blob)
        return self._map

    @property
    def names(self) -> tuple[str, ...]:
        """Of all entries."""
        return tuple(self._entries)

    def has(self, name: str) -> bool:
        """Whether there is an entry of this name."""
        return name in self._entries

    def _wrong(self, what: str) -> IncompatibleError:
        return IncompatibleError(f"{self._blob.name}: the zip archive is not sound: {what}")

    def _directory(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(io.BufferedReader(BlobFile(self._blob), 1 << 16)) as archive:
                return archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OverflowError, EOFError,
                OSError, IndexError) as error:  # fmt: skip
            raise self._wrong(str(error) or type(error).__name__) from None

    def _check(self, entries: list[zipfile.ZipInfo]) -> None:
        if len(entries) > _ENTRIES or len({entry.filename for entry in entries}) != len(entries):
            raise self._wrong("two entries have the same name, or there are too many")
        end, ordered = 0, sorted(entries, key=lambda each: each.header_offset)
        if ordered and ordered[0].header_offset:
            raise self._wrong(
                f"{ordered[0].header_offset:,} bytes lie before it; if it is a file of a distributed "
                "checkpoint (.distcp), pass the path of the folder"
            )
        for entry in ordered:
            name = entry.filename
            if "\\" in name or name.startswith("/") or ".." in name.split("/") or "\0" in entry.orig_filename:
                raise self._wrong(f"an entry is called {name[:80]!r}")
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise self._wrong(f"{name[:80]!r} is a link")
            if entry.flag_bits & ~_KNOWN_FLAGS:
                raise self._wrong(
                    f"{name[:80]!r} has the flags {entry.flag_bits:#x}, as if it were encrypted"
                )
            if entry.compress_type not in (_STORED, _DEFLATED):
                raise self._wrong(f"{name[:80]!r} is compressed in another way than deflate")
            if entry.compress_type == _STORED and entry.compress_size != entry.file_size:
                raise self._wrong(f"{name[:80]!r} has two sizes")
            start = self._start(entry)
            if entry.header_offset < end:
                raise self._wrong(f"{name[:80]!r} overlaps with another entry")
            end = start + entry.compress_size
            if end > self._blob.size:
                raise self._wrong(f"{name[:80]!r} lies beyond the end of the file")

    def _start(self, entry: zipfile.ZipInfo) -> int:
        """Where the bytes of an entry begin. Its own header must say what the directory says."""
        raw = self._blob.read(entry.header_offset, entry.header_offset + _HEADER.size)
        if len(raw) < _HEADER.size or raw[:4] != MAGIC:
            raise self._wrong(f"{entry.filename[:80]!r} has no header of its own")
        _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _HEADER.unpack(raw)
        at = entry.header_offset + _HEADER.size
        name = self._blob.read(at, at + name_size)
        same = entry.orig_filename.encode("utf-8" if flags & _UTF8 else "cp437", "replace") == name
        later = flags & _DESCRIPTOR
        sized = later or _LARGE in (packed, size) or (packed, size) == (entry.compress_size, entry.file_size)
        summed = later or crc == entry.CRC
        if not same or flags != entry.flag_bits or method != entry.compress_type or not (sized and summed):
            raise self._wrong(f"{entry.filename[:80]!r} is described in two ways, so that readers disagree")
        return int(at + name_size + extra_size)

    def read(self, name: str) -> bytes:
        """The bytes of an entry, compared with their sum."""
        entry = self._entry(name)
        self._charge(entry)
        return self.checked(name).tobytes()

    def sole(self) -> memoryview:
        """The bytes of the only entry, compared with their sum."""
        (name,) = self.names
        return memoryview(self.read(name))

    def beginning(self) -> bytes:
        """A few bytes of the first entry, not compared with anything."""
        entry = self._entry(self.names[0])
        start = self._start(entry)
        data = self._blob.read(start, start + min(entry.compress_size, _SOME))
        if entry.compress_type == _STORED:
            return data
        try:
            return zlib.decompressobj(-15).decompress(data, _SOME)
        except zlib.error:
            return b""

    def inner(self, name: str) -> Archive:
        """An archive that is an entry of this one."""
        data = self.checked(name)
        return Archive(ArrayBlob(data, f"{self._blob.name}: {name[:80]}"))

    def array(self, name: str) -> Bytes:
        """The bytes of an entry, where they are in the mapped file if they are stored as they are."""
        entry = self._entry(name)
        start = self._start(entry)
        data = self.mapped[start : start + entry.compress_size]
        if entry.compress_type == _STORED:
            return data
        self._charge(entry)
        unpack = zlib.decompressobj(-15)
        try:
            found = bytearray(unpack.decompress(data.data, entry.file_size + 1))
        except zlib.error as error:
            raise self._wrong(f"{name[:80]!r} cannot be unpacked: {error}") from None
        if len(found) != entry.file_size or not unpack.eof:
            raise self._wrong(f"{name[:80]!r} does not unpack to the size that it declares")
        return np.frombuffer(found, np.uint8)

    def checked(self, name: str) -> Bytes:
        """The same, compared with their sum."""
        (found,) = self.all_checked([name])
        return found

    def all_checked(self, names: Sequence[str]) -> list[Bytes]:
        """The same for several entries."""
        found = [*map(self.array, names)]
        in_threads(lambda at: self._check_sum(names[at], found[at]), [data.size for data in found])
        return found

    def _check_sum(self, name: str, found: Bytes) -> None:
        """Raise DamagedError for other bytes than were written. PyTorch can leave out sums: they are 0."""
        expected, total = self._entry(name).CRC, 0
        for at in range(0, found.size, _STEP) if expected else ():
            total = zlib.crc32(found[at : at + _STEP].data, total)
        if total != expected:
            raise DamagedError(
                f"{self._blob.name}: the bytes of {name[:80]!r} are not what was written; restore a copy"
            )

    def _entry(self, name: str) -> zipfile.ZipInfo:
        found = self._entries.get(name)
        if found is None:
            raise self._wrong(f"{name[:80]!r} is missing")
        return found

    def _charge(self, entry: zipfile.ZipInfo) -> None:
        self._room -= entry.file_size
        if self._room < 0:
            raise LimitExceededError(
                f"{self._blob.name}: it unpacks to more than {max(FLOOR, FACTOR * self._blob.size):,} bytes; "
                "unpack it yourself if you trust its author"
            )


_LARGE = 0xFFFFFFFF
"""In place of a size that takes more than 32 bits."""
