"""Arrays as joblib stores them: within the pickle behind a wrapper (since 0.10), or in files beside it."""

from __future__ import annotations

import io
import math
import os
from typing import Any

import numpy as np

from saver import registry
from saver.errors import IncompatibleError
from saver.format import Beside
from saver.formats.pickle.calls import READ, Malformed
from saver.formats.pickle.contents import ZFILE, content_of, unpacked
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import inside, run
from saver.pickled import Call, Global, NotReadError, fields_of, sequence
from saver.storage import Blob

WITHIN, BESIDE, PACKED = "NumpyArrayWrapper", "NDArrayWrapper", "ZNDArrayWrapper"


class Arrays:
    """Reads the arrays of a file of joblib: `built` of its machine. `beside` opens files in its folder."""

    def __init__(self, where: str, beside: Beside | None) -> None:
        self._where, self._beside = where, beside
        self.machine: Machine | None = None
        self.met = False

    def __call__(self, call: Call, at: int) -> tuple[Any, int]:
        kind = _wrapper(call.function)
        if kind is None:
            return call, at
        self.met = True
        call.marks.add(READ)
        try:
            state = fields_of(call.state, "the wrapper of an array")
            if kind == WITHIN:
                return self._within(state, at)
            return self._from_file(state, kind), at
        except NotReadError as error:
            raise Malformed(str(error)) from None

    def _within(self, state: dict[str, Any], at: int) -> tuple[Any, int]:
        assert self.machine is not None
        numpy: Any = registry.family("numpy").module("pickles")
        dtype = numpy.dtype_of(state.get("dtype"))
        shape = numpy.shape_of(state.get("shape"))
        data = self.machine.data
        if dtype.hasobject:
            return self._nested(data, at)
        if type(state.get("numpy_array_alignment_bytes")) is int:
            at += 1 + (data[at] if at < len(data) else 0)
        size = math.prod(shape) * dtype.itemsize
        if size > len(data) - at:
            raise Malformed(f"it is cut off: an array at {at:,} has {size:,} bytes, which are not there")
        found = numpy.laid_out(
            np.frombuffer(data, np.uint8)[at : at + size], dtype, shape, state.get("order") == "F"
        )
        return _as_class(_native(found), state.get("subclass")), at + size

    def _nested(self, data: memoryview, at: int) -> tuple[Any, int]:
        """An array of objects, which is a pickle of its own."""
        assert self.machine is not None
        inner = inside(self.machine, data, at)
        return run(inner), inner.at

    def _from_file(self, state: dict[str, Any], kind: str) -> Any:
        name = state.get("filename")
        if type(name) is not str or os.path.basename(name) != name or not name.endswith((".npy", ".z")) or (
            "\\" in name or "\0" in name
        ):  # fmt: skip
            raise NotReadError(f"{str(name)[:80]!r} is not the name of a file with an array")
        if self._beside is None:
            raise IncompatibleError(
                f"{self._where}: the array {name!r} is in a file beside it; pass the path, not bytes"
            )
        blob = self._beside(name)
        if kind == PACKED:
            return self._packed(state, blob)
        return _as_class(_native(self._npy(blob)), state.get("subclass"))

    def _packed(self, state: dict[str, Any], blob: Blob) -> Any:
        """The elements of an array, compressed; shape and dtype are in the pickle."""
        numpy: Any = registry.family("numpy").module("pickles")
        parts = sequence(state.get("state"), "the state of an array")
        if len(parts) != 4 or blob.read(0, 2) != ZFILE:
            raise NotReadError("the state of an array beside it lacks parts")
        dtype, shape = numpy.dtype_of(parts[2]), numpy.shape_of(parts[1])
        return _native(numpy.laid_out(unpacked(blob), dtype, shape, bool(parts[3])))

    def _npy(self, blob: Blob) -> Any:
        content = content_of(blob)
        shape, fortran, dtype, at = npy_header(bytes(content.data[:_HEADER]))
        if dtype.hasobject:
            found, _ = self._nested(content.data, at)
            return found
        numpy: Any = registry.family("numpy").module("pickles")
        size = math.prod(shape) * dtype.itemsize
        data = np.frombuffer(content.data, np.uint8)[at : at + size].copy()
        return numpy.laid_out(data, dtype, numpy.shape_of(shape), fortran)


_HEADER = 1 << 16


def npy_header(first: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether it is in Fortran's order, dtype, and where the elements begin, of a .npy file."""
    stream: Any = io.BytesIO(first)
    form: Any = np.lib.format
    try:
        version = form.read_magic(stream)
        read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream)
    except (ValueError, KeyError, TypeError, SyntaxError) as error:
        raise NotReadError(f"the header of an array beside it is not sound: {error}") from None
    return shape, fortran, dtype, stream.tell()


def _wrapper(function: Global) -> str | None:
    """The kind of wrapper that a class is; None if it is another class."""
    module, name = function.module, function.name
    ours = module.removeprefix("sklearn.externals.") in ("joblib.numpy_pickle", "joblib.numpy_pickle_compat")
    return name if ours and name in (WITHIN, BESIDE, PACKED) else None


def _native(array: Any) -> Any:
    """The array in the byte order of this machine, as joblib gives it back."""
    if type(array) is Call:
        return array
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _as_class(array: Any, kind: Any) -> Any:
    if type(kind) is not Global or kind.name in ("ndarray", "memmap") or type(array) is Call:
        return array
    if kind.name not in ("matrix", "recarray") or not kind.module.startswith("numpy"):
        raise NotReadError(f"an array is of the class {kind}, of which joblib keeps its elements alone")
    maker = Global("numpy._core.multiarray", "_reconstruct")
    return Call(maker, (kind, (0,), b"b"), state=array, has_state=True)
