"""HDF5 files of arrays by name; and the weights of Keras models, as its `save_weights` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from blake3 import blake3

from saver.errors import IncompatibleError, SaverError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import Named, arrays_of, numpy_dtype, read_numpy, release, widenings
from saver.formats._hdf5 import BROKEN, MAGIC, Held, library
from saver.formats._hdf5_apart import Source, source_of
from saver.formats._opening import Arrays, Spool, limit_of
from saver.formats._writing import PIECE, spread
from saver.formats.keras import older
from saver.opened import Opened
from saver.reading.arrays import Array
from saver.storage import Blob, Progress
from saver.tree import Node

_OF_KERAS = ".weights.h5"
"""How a file must end that `load_weights` of Keras is to read as it is written here."""


class Hdf5(Reads, Writes):
    """HDF5 files of arrays."""

    name = "hdf5"
    title = "an HDF5 file"
    endings = (".h5", ".hdf5", _OF_KERAS)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as such files do; those with a block of the user in front are not read."""
        return blob.read(0, len(MAGIC)) == MAGIC

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The data sets as one part, a dict of arrays by their paths; of a model of Keras, the model. Other
        attributes are not read."""
        try:
            with source_of(blob) as source, Spool(blob.name, limit_of(blob.size)) as spool:
                if older.CONFIG in (source.attributes("") or ()):
                    return older.open_model(blob)
                return _opened(source, blob, spool)
        except SaverError:
            raise
        except BROKEN as error:
            raise IncompatibleError(f"{blob.name}: the HDF5 file is broken: {error!s:.200}") from None

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write all arrays that NumPy can hold as numbers or bytes, each in one run. Of a model of Keras they
        get the paths at which `load_weights` looks for them."""
        h5py = library()
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
        return [*arrays.losses, *lost, *widenings(kept), *_misnamed(chosen, out.stem)]


FORMAT = Hdf5()


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
    of_keras = _is_keras(chosen)
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


def _is_keras(chosen: Chosen) -> bool:
    root: Any = chosen.opened.tree(chosen.parts[0]).root
    return len(chosen.parts) == 1 and type(root) is Node and root.codec == "keras.layer"


def _misnamed(chosen: Chosen, name: str) -> list[Loss]:
    """What becomes of weights of Keras, which reads `.h5` as the files of its version 2."""
    if not _is_keras(chosen) or not name or name.endswith(_OF_KERAS):
        return []
    told = f"load_weights of Keras reads these weights only from a file whose name ends in {_OF_KERAS}"
    return [Loss(f"$.{chosen.parts[0]}", told)]


def _keras_path(steps: tuple[str, ...]) -> str:
    """Where `load_weights` looks for a variable; "" for what is not one."""
    if len(steps) == 3 and steps[0] == "variables":
        return f"{steps[1]}/vars/{steps[2]}" if steps[1] else f"vars/{steps[2]}"
    if len(steps) == 4 and (steps[0], steps[2]) == ("optimizers", "variables"):
        return "/".join(filter(None, (steps[1], "optimizer/vars", steps[3])))
    return ""


def _opened(source: Source, blob: Blob, spool: Spool) -> Opened:
    arrays, packed = Arrays(blob.name), list[tuple[Held, int]]()
    for each in source.sets():
        if each.offset is not None:
            arrays.add(each.name, each.dtype, each.shape, blob, each.offset)
            continue
        spool.check(each.size)
        packed.append((each, spool.size))
        for piece in source.pieces(each.name):
            spool.write(piece)
    held = spool.blob() if packed else blob
    for each, start in packed:
        arrays.add(each.name, each.dtype, each.shape, held, start)
    return arrays.opened(blob.size + spool.size, blake3(blob.map().data).hexdigest())
