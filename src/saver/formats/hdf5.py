"""HDF5 files of arrays by name; and the weights of Keras models, as its `save_weights` writes them.

h5py reads only what is certain to be in this file: no link leads elsewhere, no data set is stored in another
file or made of others, and none is larger than what is stored of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes, missing
from saver.formats._arrays import Named, arrays_of, numpy_dtype, read_numpy, release, widenings
from saver.formats._blobs import BlobFile
from saver.formats._opening import Arrays, Spool, limit_of, size_of
from saver.formats._writing import PIECE, spread
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.storage import Blob, Progress
from saver.tree import Node

_MAGIC = b"\x89HDF\r\n\x1a\n"
_DEPTH = 100
_FILTERS = frozenset((1, 2, 3, 32000))
"""Deflate, shuffle, Fletcher's sums, LZF. HDF5 would look for others in plugins, which are programs."""

_CHUNK = 64 << 20
"""Bytes of a chunk, which HDF5 holds in memory."""


class Hdf5(Reads, Writes):
    """HDF5 files of arrays."""

    name = "hdf5"
    title = "an HDF5 file"
    endings = (".h5", ".hdf5", ".weights.h5")

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as such files do; those with a block of the user in front are not read."""
        return blob.read(0, len(_MAGIC)) == _MAGIC

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The data sets as one part, a dict of arrays by their paths. Attributes are not read."""
        h5py = _h5py()
        try:
            with h5py.File(BlobFile(blob), "r") as file, Spool(blob.name, limit_of(blob.size)) as spool:
                return _Reading(h5py, blob, spool).opened(file)
        except SaverError:
            raise
        except (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise IncompatibleError(f"{blob.name}: the HDF5 file is broken: {error!s:.200}") from None

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write all arrays that NumPy can hold as numbers or bytes, each in one run. Of a model of Keras they
        get the paths at which `load_weights` looks for them."""
        h5py = _h5py()
        arrays = arrays_of(chosen).of(_fits)
        paths, lost = _paths(chosen, arrays.found)
        kept = [each for each in arrays.found if each.name in paths]
        arrays._replace(found=kept).some(chosen.opened.where, self.title)
        report = spread(progress, (each.array.length for each in kept))
        with h5py.File(out.path(""), "w", libver=("earliest", "v110")) as file:
            for each in kept:
                _write(file, paths[each.name], chosen.opened, each)
                release(chosen.opened, each.array)
                report(each.array.length)
        return [*arrays.losses, *lost, *widenings(kept)]


FORMAT = Hdf5()


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise missing("h5py", "hdf5") from None
    return h5py


def _fits(array: Array) -> str:
    dtype = numpy_dtype(array)
    known = dtype is not None and dtype.kind in "biufcSV" and dtype.itemsize > 0
    return "" if known else "HDF5 has no such dtype"


def _write(file: Any, path: str, opened: Opened, each: Named) -> None:
    dtype = numpy_dtype(each.array)
    assert dtype is not None
    raw = read_numpy(opened, each.array, dtype)
    if not each.array.shape or not raw.size:
        file.create_dataset(path, data=raw.view(dtype).reshape(each.array.shape), dtype=dtype)
        return
    made = file.create_dataset(path, each.array.shape, dtype)
    rows = raw.view(dtype).reshape(each.array.shape)
    step = max(1, PIECE * each.array.shape[0] // raw.size)
    for at in range(0, each.array.shape[0], step):
        made[at : at + step] = rows[at : at + step]


def _paths(chosen: Chosen, found: Sequence[Named]) -> tuple[dict[str, str], list[Loss]]:
    """The path of each array by its name, and those that can have none."""
    root: Any = chosen.opened.tree(chosen.parts[0]).root
    of_keras = len(chosen.parts) == 1 and type(root) is Node and root.codec == "keras.layer"
    paths, lost, groups = dict[str, str](), list[Loss](), set[str]()
    for each in found:
        path = _keras_path(each.steps) if of_keras else each.name
        above = {path[:at] for at, letter in enumerate(path) if letter == "/"}
        sound = all(piece not in ("", ".") and "\0" not in piece for piece in path.split("/"))
        if not sound or path in groups or above & set(paths.values()) or path in paths.values():
            lost.append(Loss(each.place, "its name cannot be the path of a data set"))
            continue
        groups |= above
        paths[each.name] = path
    return paths, lost


def _keras_path(steps: tuple[str, ...]) -> str:
    """Where `load_weights` looks for a variable; "" for what is not one."""
    if len(steps) == 3 and steps[0] == "variables":
        return f"{steps[1]}/vars/{steps[2]}" if steps[1] else f"vars/{steps[2]}"
    return f"optimizer/vars/{steps[2]}" if steps[:2] == ("optimizer", "variables") else ""


class _Reading:
    def __init__(self, h5py: Any, blob: Blob, spool: Spool) -> None:
        self._h5py, self._blob, self._spool = h5py, blob, spool
        self._arrays = Arrays(blob.name)
        self._packed: list[tuple[str, Any, tuple[int, ...], int]] = []

    def opened(self, file: Any) -> Opened:
        """All data sets of a file."""
        for name, found in self._data_sets(file):
            self._check(name, found)
            size, stored = size_of(found.dtype, found.shape), found.id.get_storage_size()
            offset = found.id.get_offset()
            if found.chunks is None and stored != size:
                raise self._wrong(name, f"it should have {size:,} bytes, and {stored:,} are stored")
            if offset is not None:
                self._arrays.add(name, found.dtype, found.shape, self._blob, offset)
            else:
                self._packed.append((name, found.dtype, found.shape, self._copied(name, found, size)))
        held = self._spool.blob() if self._packed else self._blob
        for name, dtype, shape, start in self._packed:
            self._arrays.add(name, dtype, shape, held, start)
        size = self._blob.size + self._spool.size
        return self._arrays.opened(size, blake3(self._blob.map().data).hexdigest())

    def _data_sets(self, file: Any) -> Iterator[tuple[str, Any]]:
        seen, waiting = set[Any](), [("", file, 0)]
        while waiting:
            path, group, depth = waiting.pop()
            address = self._h5py.h5o.get_info(group.id).addr
            if address in seen or depth > _DEPTH:
                raise self._wrong(path, "groups are nested in themselves, or too deeply")
            seen.add(address)
            below = []
            for name in group:
                inner = f"{path}/{name}" if path else name
                if type(group.get(name, getlink=True)) is not self._h5py.HardLink:
                    raise self._wrong(inner, "it is a link to another place or file, which is not followed")
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
            raise self._wrong(name, "its bytes are in other files, which are not read")
        if found.shape is None or found.dtype.hasobject or found.dtype.itemsize == 0:
            raise self._wrong(name, "it has elements of no fixed size, such as texts; leave it out")
        filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
        if not filters <= _FILTERS:
            raise self._wrong(name, f"it needs the filters {sorted(filters - _FILTERS)}; write it without")
        if found.chunks is not None:
            if math.prod(found.chunks) * found.dtype.itemsize > _CHUNK:
                raise self._wrong(name, f"its chunks are larger than {_CHUNK:,} bytes; write it with others")
            needed = math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
            if found.id.get_num_chunks() != needed:
                raise self._wrong(name, "it is larger than what is stored of it")

    def _copied(self, name: str, found: Any, size: int) -> int:
        """Copy a data set that is not one run of the file to the spool; where it begins there."""
        self._spool.check(size)
        start = self._spool.size
        if size == 0:
            return 0
        rows = found.shape[0] if found.shape else 1
        step = max(1, PIECE * rows // size)
        if found.chunks is not None:
            step = max(found.chunks[0], step // found.chunks[0] * found.chunks[0])
        if step * (size // rows) > 16 * _CHUNK:
            raise self._wrong(name, "its rows are too large to be read; write it without compression")
        for at in range(0, rows, step):
            piece = found[at : at + step] if found.shape else found[()]
            self._spool.write(piece.tobytes())
        return start

    def _wrong(self, name: str, why: str) -> IncompatibleError:
        return IncompatibleError(f"{self._blob.name}: {name[:80]!r}: {why}")
