"""What of HDF5 files is read, by h5py: only what is certain to be in the file itself.

No link leads elsewhere, no data set is stored in another file or made of others, and none is larger than what
is stored of it.
"""

from __future__ import annotations

import math
import warnings
from ast import literal_eval
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from saver.errors import IncompatibleError, LimitExceededError
from saver.format import missing
from saver.formats._opening import size_of
from saver.formats._writing import PIECE

MAGIC = b"\x89HDF\r\n\x1a\n"
BROKEN = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError)
"""What h5py raises for a file that is broken."""

_DEPTH = 100
_FILTERS = frozenset((1, 2, 3, 32000))
"""Deflate, shuffle, Fletcher's sums, LZF. HDF5 would look for others in plugins, which are programs."""

_CHUNK = 64 << 20
"""Bytes of a chunk, which HDF5 holds in memory."""

_ROOM = 256 << 20
_NAMES = 1_000_000
_BRAIN = "bfloat16"


def library() -> Any:
    """The package h5py. Raises IncompatibleError, which names the extra, if it is not installed."""
    try:
        import h5py
    except ImportError:
        raise missing("h5py", "hdf5") from None
    return h5py


class Held(NamedTuple):
    """A data set: its path, its dtype as NumPy's own files have it, and where its bytes begin, if they are
    one run of the file. `brain` says that Keras calls its elements bfloat16."""

    name: str
    form: str
    shape: tuple[int, ...]
    offset: int | None
    brain: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype."""
        found: np.dtype[Any] = np.lib.format.descr_to_dtype(literal_eval(self.form))
        return found

    @property
    def size(self) -> int:
        """The bytes of its elements."""
        return size_of(self.dtype, self.shape)


class Reader:
    """An HDF5 file. It raises IncompatibleError, which calls the file `where`, for what is not read, and what
    h5py raises for what is broken. `size` are the bytes of the file."""

    def __init__(self, file: Any, where: str, size: int) -> None:
        self._h5py = library()
        self._where, self._room = where, _ROOM + 4 * size
        self._file = self._h5py.File(file, "r")
        self._sets = DataSets(self._h5py, where)

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def sets(self) -> list[Held]:
        """All data sets, checked."""
        return [self._held(name, found) for name, found in self._sets.of(self._file)]

    def _held(self, name: str, found: Any) -> Held:
        with warnings.catch_warnings():  # of what h5py notes beside a dtype
            warnings.simplefilter("ignore")
            form = repr(np.lib.format.dtype_to_descr(found.dtype))
        brain = found.dtype == np.dtype("V2") and self._is_brain(found)
        return Held(name, form, tuple(found.shape), found.id.get_offset(), brain)

    def _is_brain(self, found: Any) -> bool:
        if "dtype" not in found.attrs:
            return False
        kind = self._h5py.h5a.open(found.id, b"dtype")
        return bool(kind.shape == () and kind.get_storage_size() <= 64 and found.attrs["dtype"] == _BRAIN)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The bytes of a data set that is not one run of the file."""
        return self._sets.pieces(name, self._file[name])

    def attributes(self, group: str) -> list[str] | None:
        """The names of the attributes of a group; None if there is no such group. "" is the root."""
        found = self._group(group)
        return None if found is None else list(found.attrs)

    def _group(self, path: str) -> Any:
        found = self._file
        for step in path.split("/") if path else ():
            if not isinstance(found, self._h5py.Group) or step not in found:
                return None
            if type(found.get(step, getlink=True)) is not self._h5py.HardLink:
                raise self._sets.wrong(path, "it is a link to another place or file, which is not followed")
            found = found[step]
        return found

    def texts(self, group: str, name: str, longest: int) -> list[bytes]:
        """The texts of an attribute. Several of them may be the same bytes of the file, none of them more
        than `longest`, so that they take more memory than it has: how much is known before they are read."""
        found = self._group(group)
        kind = self._h5py.h5a.open(found.id, name.encode())
        count = int(np.prod(kind.shape, dtype=object))
        if not count:
            return []
        self._room -= kind.get_storage_size() + (longest * count if kind.dtype.hasobject else 0)
        if self._room < 0 or count > _NAMES:
            raise LimitExceededError(
                f"{self._where}: its attribute {name!r} would take far more than the file"
            )
        if kind.dtype.kind not in "SO" or kind.shape is None or len(kind.shape) > 1:
            raise IncompatibleError(f"{self._where}: its attribute {name!r} is not a text")
        return [each if isinstance(each, bytes) else str(each).encode("utf-8", "surrogateescape")
                for each in np.atleast_1d(np.asarray(found.attrs[name])).tolist()]  # fmt: skip


class DataSets:
    """The data sets of a file, checked. Raises IncompatibleError, which calls the file `where`."""

    def __init__(self, h5py: Any, where: str) -> None:
        self._h5py, self._where = h5py, where

    def of(self, file: Any) -> Iterator[tuple[str, Any]]:
        """All of a file, with their paths, in the order of the file."""
        for name, found in self._all(file):
            self._check(name, found)
            yield name, found

    def _all(self, file: Any) -> Iterator[tuple[str, Any]]:
        seen, waiting = set[Any](), [("", file, 0)]
        while waiting:
            path, group, depth = waiting.pop()
            address = self._h5py.h5o.get_info(group.id).addr
            if address in seen or depth > _DEPTH:
                raise self.wrong(path, "groups are nested in themselves, or too deeply")
            seen.add(address)
            below = []
            for name in group:
                inner = f"{path}/{name}" if path else name
                if type(group.get(name, getlink=True)) is not self._h5py.HardLink:
                    raise self.wrong(inner, "it is a link to another place or file, which is not followed")
                found = group[name]
                if isinstance(found, self._h5py.Group):
                    below.append((inner, found, depth + 1))
                elif isinstance(found, self._h5py.Dataset):
                    yield inner, found
            waiting += reversed(below)

    def _check(self, name: str, found: Any) -> None:
        """Raise IncompatibleError for a data set that is not wholly in this file."""
        made = found.id.get_create_plist()
        if found.is_virtual or made.get_external_count():
            raise self.wrong(name, "its bytes are in other files, which are not read")
        if found.shape is None or found.dtype.hasobject or found.dtype.itemsize == 0:
            raise self.wrong(name, "it has elements of no fixed size, such as texts; leave it out")
        filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
        if not filters <= _FILTERS:
            raise self.wrong(name, f"it needs the filters {sorted(filters - _FILTERS)}; write it without")
        if found.chunks is not None:
            if math.prod(found.chunks) * found.dtype.itemsize > _CHUNK:
                raise self.wrong(name, f"its chunks are larger than {_CHUNK:,} bytes; write it with others")
            needed = math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
            if found.id.get_num_chunks() != needed:
                raise self.wrong(name, "it is larger than what is stored of it")
        elif found.id.get_storage_size() != (size := size_of(found.dtype, found.shape)):
            stored = found.id.get_storage_size()
            raise self.wrong(name, f"it should have {size:,} bytes, and {stored:,} are stored")

    def pieces(self, name: str, found: Any) -> Iterator[bytes]:
        """The bytes of a data set that is not one run of the file."""
        size = size_of(found.dtype, found.shape)
        if size == 0:
            return
        rows = found.shape[0] if found.shape else 1
        step = max(1, PIECE * rows // size)
        if found.chunks is not None:
            step = max(found.chunks[0], step // found.chunks[0] * found.chunks[0])
        if step * (size // rows) > 16 * _CHUNK:
            raise self.wrong(name, "its rows are too large to be read; write it without compression")
        for at in range(0, rows, step):
            yield (found[at : at + step] if found.shape else found[()]).tobytes()

    def wrong(self, name: str, why: str) -> IncompatibleError:
        """The error for what is at this path."""
        return IncompatibleError(f"{self._where}: {name[:80]!r}: {why}")
