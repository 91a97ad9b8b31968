"""Archives of NumPy arrays by name, as `numpy.savez` writes them.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, in a zip archive.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

from blake3 import blake3

from saver.errors import DamagedError, IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of, numpy_dtype, numpy_pieces, release, widenings
from saver.formats._blobs import BlobFile, ends_as_skops
from saver.formats._npy import HEADER, header, parsed
from saver.formats._opening import Arrays, Spool, limit_of, size_of
from saver.formats._writing import PIECE, spread
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.storage import Blob, Progress

_ENDING = ".npy"
_LONGEST = 60_000
"""Bytes of a name; zip archives can hold some more."""


class Npz(Reads, Writes):
    """NumPy arrays by name; no objects."""

    name = "npz"
    title = "an .npz archive"
    endings = (".npz",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it is a zip archive whose first entry is an array."""
        start = blob.read(0, 30)
        length = int.from_bytes(start[26:28], "little")
        is_array = start[:4] == b"PK\3\4" and blob.read(30, 30 + length).endswith(_ENDING.encode())
        return is_array and not ends_as_skops(blob)

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The arrays as one part, a dict of them. Those that are compressed go to a temporary file."""
        try:
            with zipfile.ZipFile(BlobFile(blob)) as archive, Spool(blob.name, limit_of(blob.size)) as spool:
                return _opened(archive, blob, spool)
        except SaverError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error) as error:
            raise IncompatibleError(f"{blob.name}: the archive is broken: {error}") from None

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write all arrays that NumPy can hold, uncompressed."""
        arrays = arrays_of(chosen).of(fits)
        kept = [each for each in arrays.found if _can_be_named(each.name)]
        losses = [
            Loss(each.place, "its name cannot be that of an entry of a zip archive")
            for each in arrays.found
            if not _can_be_named(each.name)
        ]
        arrays = arrays._replace(found=kept).some(chosen.opened.where, self.title)
        report = spread(progress, (each.array.length for each in kept))
        with zipfile.ZipFile(out.path(""), "w") as archive:
            for each in kept:
                _add(archive, chosen.opened, each)
                release(chosen.opened, each.array)
                report(each.array.length)
        return [*arrays.losses, *losses, *widenings(kept)]


FORMAT = Npz()


def fits(array: Array) -> str:
    """Why NumPy cannot hold an array; "" if it can."""
    return "" if numpy_dtype(array) is not None else "NumPy has no such dtype"


def _can_be_named(name: str) -> bool:
    try:
        return "\0" not in name and len(name.encode()) < _LONGEST
    except UnicodeEncodeError:
        return False


def _add(archive: zipfile.ZipFile, opened: Opened, each: Named) -> None:
    dtype = numpy_dtype(each.array)
    assert dtype is not None
    info = zipfile.ZipInfo(f"{each.name}{_ENDING}")  # of 1980, so that equal arrays make equal files
    info.external_attr = 0o644 << 16
    large = size_of(dtype, each.array.shape) >= 1 << 30
    with archive.open(info, "w", force_zip64=large) as file:
        file.write(header(dtype, each.array.shape))
        for data in numpy_pieces(opened, each.array, dtype):
            for at in range(0, data.size, PIECE):
                file.write(data[at : at + PIECE].data)


def _opened(archive: zipfile.ZipFile, blob: Blob, spool: Spool) -> Opened:
    where, arrays = blob.name, Arrays(blob.name)
    packed: list[tuple[str, Any, tuple[int, ...], str, int]] = []
    for info in archive.infolist():
        if not info.filename.endswith(_ENDING):
            raise IncompatibleError(f"{where}: {info.filename[:80]!r} in it is not an array; unpack it")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise IncompatibleError(
                f"{where}: {info.filename[:80]!r} is encrypted, or compressed in a way that NumPy does not "
                "write; write it again with numpy.savez"
            )
        name = info.filename.removesuffix(_ENDING)
        if info.compress_type == zipfile.ZIP_STORED:
            start = _start(info, blob)
            dtype, shape, order, length = parsed(blob.read(start, start + HEADER), where, name)
            if length + size_of(dtype, shape) != info.file_size:
                raise IncompatibleError(
                    f"{where}: {name[:80]!r} does not have the bytes that its shape needs"
                )
            _check_sum(info, blob, start)
            arrays.add(name, dtype, shape, blob, start + length, order)
        else:
            packed.append((name, *_unpacked(archive, info, spool, where)))
    unpacked = spool.blob() if packed else blob
    for name, dtype, shape, order, start in packed:
        arrays.add(name, dtype, shape, unpacked, start, order)
    return arrays.opened(blob.size + spool.size, blake3(blob.map().data).hexdigest())


def _start(info: zipfile.ZipInfo, blob: Blob) -> int:
    """Where the bytes of an entry begin. Raises IncompatibleError if the archive says two things of it."""
    local = blob.read(info.header_offset, info.header_offset + 30)
    name, extra = int.from_bytes(local[26:28], "little"), int.from_bytes(local[28:30], "little")
    start = info.header_offset + 30 + name + extra
    said = blob.read(info.header_offset + 30, info.header_offset + 30 + name)
    own = info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437", "replace")
    if local[:4] != b"PK\3\4" or said != own or start + info.file_size > blob.size:
        raise IncompatibleError(f"{blob.name}: the archive contradicts itself about {info.filename[:80]!r}")
    return start


def _check_sum(info: zipfile.ZipInfo, blob: Blob, start: int) -> None:
    found = 0
    for at in range(start, start + info.file_size, PIECE):
        found = zlib.crc32(blob.map()[at : min(at + PIECE, start + info.file_size)].data, found)
    if found != info.CRC:
        raise DamagedError(
            f"{blob.name}: the bytes of {info.filename[:80]!r} are not what was written; copy the file from "
            "its source again"
        )


def _unpacked(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, spool: Spool, where: str
) -> tuple[Any, tuple[int, ...], str, int]:
    """Decompress an entry; its dtype, shape and order, and where in the spool its bytes begin."""
    spool.check(info.file_size)
    name = info.filename.removesuffix(_ENDING)
    with archive.open(info) as file:
        first = file.read(HEADER)
        dtype, shape, order, length = parsed(first, where, name)
        start = spool.size
        spool.write(first[length:])
        while data := file.read(PIECE):
            spool.write(data)
    if spool.size - start != size_of(dtype, shape):
        raise IncompatibleError(f"{where}: {name[:80]!r} does not have the bytes that its shape needs")
    return dtype, shape, order, start
