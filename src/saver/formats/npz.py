"""Archives of NumPy arrays by name, as `numpy.savez` writes them.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, in a zip archive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from saver import registry
from saver.errors import IncompatibleError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of, numpy_dtype, numpy_pieces, release, widenings
from saver.formats._blobs import ends_as_skops
from saver.formats._npy import HEADER, header, parsed
from saver.formats._opening import Arrays, Spool, limit_of, size_of
from saver.formats._writing import Later, Streamed
from saver.formats._zip import Entry, archived
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import inside
from saver.formats.pickle.opening import array_of_objects, opened_value, value_of
from saver.opened import Opened
from saver.pickled import Inert, Pairs
from saver.reading.arrays import Array
from saver.storage import Blob, Progress
from saver.tensors import Bytes

_ENDING = ".npy"
_ALIGNMENT = 64
_LONGEST = 60_000
"""Bytes of a name; zip archives can hold some more."""


class Npz(Reads, Writes):
    """NumPy arrays by name; those of objects are read, and not written."""

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
        """The arrays as one part, a dict of them. Nothing is imported or called for those of objects."""
        archive = Archive(blob)
        headers = _headers(archive, blob.name)
        if any(each.dtype.hasobject for each in headers.values()):
            return _with_objects(archive, headers, blob)
        with Spool(blob.name, limit_of(blob.size)) as spool:
            return _plain(archive, headers, blob, spool)

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
        entries = [Entry(f"{each.name}{_ENDING}", _entry(chosen.opened, each)) for each in kept]
        out.add("", Streamed(archived(entries, _ALIGNMENT), progress))
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


def _entry(opened: Opened, each: Named) -> Later:
    """An array as an `.npy` file."""
    dtype = numpy_dtype(each.array)
    assert dtype is not None
    first = np.frombuffer(header(dtype, each.array.shape), np.uint8)

    def read() -> Iterator[Bytes]:
        yield first
        yield from numpy_pieces(opened, each.array, dtype)

    length = first.size + size_of(dtype, each.array.shape)
    return Later(length, read, partial(release, opened, each.array))


class _Header(NamedTuple):
    """What an array's header says, and how many bytes it has."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    order: str
    length: int


def _headers(archive: Archive, where: str) -> dict[str, _Header]:
    """The headers of all arrays, by the names of their entries."""
    found = {}
    for name in archive.names:
        if not name.endswith(_ENDING):
            raise IncompatibleError(f"{where}: {name[:80]!r} in it is not an array; unpack it")
        each = _Header(*parsed(archive.beginning(name, HEADER), where, name, objects=True))
        if not each.dtype.hasobject and each.length + size_of(each.dtype, each.shape) != archive.size(name):
            raise IncompatibleError(f"{where}: {name[:80]!r} does not have the bytes that its shape needs")
        found[name] = each
    return found


def _plain(archive: Archive, headers: Mapping[str, _Header], blob: Blob, spool: Spool) -> Opened:
    """Arrays without objects. Those that are compressed go to a temporary file."""
    starts = {}
    for name, each in headers.items():
        if archive.place(name) is None:
            starts[name] = spool.size + each.length
            spool.check(archive.size(name))
            for piece in archive.pieces(name):
                spool.write(piece)
    archive.all_checked([name for name in headers if name not in starts])
    unpacked, arrays = spool.blob() if starts else blob, Arrays(blob.name)
    for name, (dtype, shape, order, length) in headers.items():
        start = archive.place(name)
        held, at = (unpacked, starts[name]) if start is None else (blob, start + length)
        arrays.add(name.removesuffix(_ENDING), dtype, shape, held, at, order)
    return arrays.opened(blob.size + spool.size, blake3(blob.map().data).hexdigest())


def _with_objects(archive: Archive, headers: Mapping[str, _Header], blob: Blob) -> Opened:
    """Arrays some of which hold Python objects: pickles, which are read without running them."""
    machine = Machine(memoryview(b""))

    def read(machine: Machine) -> Inert:
        arrays: Any = registry.family("numpy").module("pickles")
        items = list[tuple[str, Inert]]()
        for name, (dtype, shape, order, length) in headers.items():
            data = archive.checked(name)[length:]
            if dtype.hasobject:
                found = array_of_objects(inside(machine, data.data), name)
            else:
                found = arrays.laid_out(data, dtype, shape, order == "F")
            items.append((name.removesuffix(_ENDING), found))
        return Pairs(items)

    root = value_of(machine, blob.name, "an archive with arrays of objects, which are pickles,", read)
    told = "an archive with arrays of objects, by numpy.savez"
    return opened_value(root, machine, blob, archive.mapped, blob.size, told, in_parts=False)
