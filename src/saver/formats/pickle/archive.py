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
from collections.abc import Iterator, Sequence

import numpy as np

from saver.errors import DamagedError, IncompatibleError, LimitExceededError
from saver.formats._blobs import BlobFile
from saver.formats._hashing import in_threads
from saver.formats._packing import ArrayBlob
from saver.formats.pickle import records
from saver.formats.pickle.contents import FACTOR, FLOOR, mapped_whole
from saver.formats.pickle.records import DESCRIPTOR, TwofoldError
from saver.storage import Blob
from saver.tensors import Bytes

codecs.lookup("cp437")  # so that zipfile imports nothing while it reads names

_STORED, _DEFLATED = 0, 8
_UTF8 = 0x800
_KNOWN_FLAGS = _UTF8 | DESCRIPTOR | 0x6  # how hard the compressor tried
_ENTRIES = 1 << 20
_STEP = 4 << 20


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
            self._check_entry(entry)
            if entry.header_offset != end:
                told = "overlaps with" if entry.header_offset < end else "does not follow"
                raise self._wrong(f"{entry.filename[:80]!r} {told} another entry")
            end = self._end(entry)
        try:
            found = records.directory(self._blob)
        except TwofoldError as error:
            raise self._wrong(str(error)) from None
        if found != (len(entries), end):
            raise self._wrong("its directory does not follow its entries, or has another number of them")

    def _check_entry(self, entry: zipfile.ZipInfo) -> None:
        name = entry.filename
        if "\\" in name or name.startswith("/") or ".." in name.split("/") or name != entry.orig_filename:
            raise self._wrong(f"an entry is called {entry.orig_filename[:80]!r}")
        if stat.S_ISLNK(entry.external_attr >> 16):
            raise self._wrong(f"{name[:80]!r} is a link")
        if entry.flag_bits & ~_KNOWN_FLAGS:
            raise self._wrong(f"{name[:80]!r} has the flags {entry.flag_bits:#x}, as if it were encrypted")
        if entry.volume:
            raise self._wrong(f"{name[:80]!r} is said to lie on another disk")
        if entry.compress_type not in (_STORED, _DEFLATED):
            raise self._wrong(f"{name[:80]!r} is compressed in another way than deflate")
        if entry.compress_type == _STORED and entry.compress_size != entry.file_size:
            raise self._wrong(f"{name[:80]!r} has two sizes")

    def _start(self, entry: zipfile.ZipInfo) -> int:
        """Where the bytes of an entry begin. Its own header must say what the directory says."""
        try:
            records.sizes_of(entry.extra)
            start = records.start_of(self._blob, entry.header_offset, _name(entry), _said(entry))
        except TwofoldError as error:
            raise self._wrong(f"{entry.filename[:80]!r}: {error}, so that readers disagree") from None
        if start + entry.compress_size > self._blob.size:
            raise self._wrong(f"{entry.filename[:80]!r} lies beyond the end of the file")
        return start

    def _end(self, entry: zipfile.ZipInfo) -> int:
        """Where an entry ends, with what is said of it behind its bytes."""
        try:
            return records.end_of(self._blob, self._start(entry) + entry.compress_size, _said(entry))
        except TwofoldError as error:
            raise self._wrong(f"{entry.filename[:80]!r}: {error}, so that readers disagree") from None

    def read(self, name: str) -> bytes:
        """The bytes of an entry, compared with their sum."""
        entry = self._entry(name)
        self._charge(entry)
        return self.checked(name).tobytes()

    def sole(self) -> memoryview:
        """The bytes of the only entry, compared with their sum."""
        (name,) = self.names
        return memoryview(self.read(name))

    def beginning(self, name: str, count: int) -> bytes:
        """The first bytes of an entry, at most so many, not compared with anything."""
        entry = self._entry(name)
        start = self._start(entry)
        data = self._blob.read(start, start + min(entry.compress_size, count))
        if entry.compress_type == _STORED:
            return data
        try:
            return zlib.decompressobj(-15).decompress(data, count)
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

    def place(self, name: str) -> int | None:
        """Where the bytes of an entry begin in the file; None if they are compressed."""
        entry = self._entry(name)
        return self._start(entry) if entry.compress_type == _STORED else None

    def size(self, name: str) -> int:
        """The bytes of an entry, uncompressed, as the archive says."""
        return self._entry(name).file_size

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a compressed entry, a part at a time, compared with their size and sum at the end."""
        entry = self._entry(name)
        start, unpack, size, total = self._start(entry), zlib.decompressobj(-15), 0, 0
        for at in range(start, start + entry.compress_size, _STEP):
            pending = self._blob.read(at, min(at + _STEP, start + entry.compress_size))
            while pending and not unpack.eof:
                try:
                    piece = unpack.decompress(pending, _STEP)
                except zlib.error as error:
                    raise self._wrong(f"{name[:80]!r} cannot be unpacked: {error}") from None
                pending, size, total = unpack.unconsumed_tail, size + len(piece), zlib.crc32(piece, total)
                yield piece
        if not unpack.eof or unpack.unused_data or size != entry.file_size:
            raise self._wrong(f"{name[:80]!r} does not unpack to the size that it declares")
        self._compare(name, total)

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
        total = 0
        for at in range(0, found.size, _STEP) if self._entry(name).CRC or not self.folder else ():
            total = zlib.crc32(found[at : at + _STEP].data, total)
        self._compare(name, total)

    def _compare(self, name: str, total: int) -> None:
        expected = self._entry(name).CRC
        if total != expected and (expected or not self.folder):
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


def _said(entry: zipfile.ZipInfo) -> records.Said:
    return records.Said(entry.flag_bits, entry.compress_type, entry.CRC, entry.compress_size, entry.file_size)


def _name(entry: zipfile.ZipInfo) -> bytes:
    """The name as the archive has it."""
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & _UTF8 else "cp437", "replace")
