"""One NumPy array, as `numpy.save` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from blake3 import blake3

from saver.errors import IncompatibleError
from saver.format import Beside, Chosen, Loss, Out, Reads, Writes
from saver.formats._arrays import arrays_of, numpy_dtype, numpy_pieces, release, widenings
from saver.formats._npy import HEADER, MAGIC, header, parsed
from saver.formats._opening import Arrays, size_of
from saver.formats._writing import Later, Streamed
from saver.formats.npz import fits
from saver.formats.pickle.contents import content_of
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opening import array_of_objects, opened_value, value_of
from saver.opened import Opened
from saver.storage import Blob, Progress


class Npy(Reads, Writes):
    """One NumPy array."""

    name = "npy"
    title = "an .npy file"
    endings = (".npy",)

    def recognizes(self, blob: Blob) -> bool:
        """Whether it begins as such files do."""
        return blob.read(0, len(MAGIC)) == MAGIC

    def open(self, blob: Blob, beside: Beside | None = None) -> Opened:
        """The array, by itself."""
        dtype, shape, order, length = parsed(blob.read(0, HEADER), blob.name, "the array", objects=True)
        if dtype.hasobject:
            return _objects(blob, length)
        if length + size_of(dtype, shape) != blob.size:
            raise IncompatibleError(
                f"{blob.name}: it does not have the bytes that its shape needs: it was cut off, or "
                "something was appended; copy it from its source again"
            )
        arrays = Arrays(blob.name)
        arrays.add("array", dtype, shape, blob, length, order)
        return arrays.opened(blob.size, blake3(blob.map().data).hexdigest(), sole="array")

    def write(self, chosen: Chosen, out: Out, progress: Progress | None) -> Sequence[Loss]:
        """Write the only array."""
        arrays = arrays_of(chosen).of(fits).some(chosen.opened.where, self.title)
        if len(arrays.found) > 1:
            raise IncompatibleError(
                f"{chosen.opened.where}: there are {len(arrays.found):,} arrays in it, and an .npy file "
                "holds one; write an .npz file, or choose other parts"
            )
        (each,) = arrays.found
        dtype = numpy_dtype(each.array)
        assert dtype is not None
        reading = partial(numpy_pieces, chosen.opened, each.array, dtype)
        done = partial(release, chosen.opened, each.array)
        data = Later(size_of(dtype, each.array.shape), reading, done)
        out.add("", Streamed([header(dtype, each.array.shape), data], progress))
        return [*arrays.losses, *widenings(arrays.found)]


FORMAT = Npy()


def _objects(blob: Blob, start: int) -> Opened:
    """An array of Python objects: a pickle, which is read without running it."""
    content = content_of(blob)
    machine = Machine(content.data, start)
    root = value_of(machine, blob.name, "an array of objects, a pickle,", array_of_objects)
    return opened_value(root, machine, blob, content.mapped, blob.size, "an array of objects, by numpy.save")
