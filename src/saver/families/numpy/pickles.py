"""How NumPy pickles arrays, scalars, dtypes and random generators, in all versions."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver import registry
from saver.codec import Encoder
from saver.families.numpy.arrays import ArrayCodec
from saver.families.numpy.codecs import ScalarCodec
from saver.families.numpy.pickled_dtypes import dtype_of
from saver.families.numpy.pickled_random import GENERATORS
from saver.pickled import Call, Global, Inert, Making, NotReadError, Pairs, Pickled, fields_of, sequence
from saver.tree import Node, Value

_LIMIT = 1 << 62


def home(name: str) -> str:
    """Where it is since NumPy 2: `numpy.core` became `numpy._core`."""
    module, _, what = name.partition(":")
    if module == "numpy.core" or module.startswith("numpy.core."):
        module = f"numpy._core{module[len('numpy.core') :]}"
    if module == "numpy._core._multiarray_umath" or (module, what) == ("numpy._core.numeric", "_reconstruct"):
        module = "numpy._core.multiarray" if what in ("_reconstruct", "scalar") else "numpy"
    if module == "numpy._core.fromnumeric":
        module = "numpy"
    return f"{module}:{_RENAMED.get(what, what) if module == 'numpy' else what}"


_RENAMED = {"bool": "bool_", "str": "str_", "unicode_": "str_", "string_": "bytes_", "float_": "float64"}


def shape_of(value: Any) -> tuple[int, ...]:
    """A shape: a tuple of sizes, or one size."""
    axes = value if type(value) is tuple else (value,)
    if len(axes) > 64 or not all(type(axis) is int and 0 <= axis < _LIMIT for axis in axes):
        raise NotReadError("the shape of an array does not consist of sizes")
    return axes


def laid_out(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> NDArray[Any]:
    """Bytes as an array. Raises NotReadError unless there are exactly as many as it needs."""
    raw = data.encode("latin-1") if type(data) is str else data
    if type(raw) not in (bytes, bytearray, memoryview, np.ndarray):
        raise NotReadError("the elements of an array are not bytes")
    if dtype.hasobject:
        raise NotReadError("the elements of an array of objects are bytes")
    need = math.prod(shape) * dtype.itemsize
    if len(raw) != need:
        raise NotReadError(f"an array of {dtype}{list(shape)} has {len(raw):,} bytes, and needs {need:,}")
    if not need:
        return np.empty(shape, dtype, "F" if fortran else "C") if math.prod(shape) == 0 else _no_bytes()
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran else "C")


def _no_bytes() -> NDArray[Any]:
    raise NotReadError("the elements of an array have no size")


def array_of(value: Any) -> NDArray[Any]:
    """The array that a call, or joblib, describes: of plain elements, or of inert objects."""
    if isinstance(value, np.ndarray):
        return value
    if type(value) is Call:
        name = home(f"{value.function.module}:{value.function.name}")
        if name == "numpy._core.multiarray:_reconstruct":
            return _from_state(value.state)
        if name == "numpy._core.numeric:_frombuffer" and len(value.args) == 4:
            data, kind, shape, order = value.args
            return laid_out(data, dtype_of(kind), shape_of(shape), order == "F")
    raise NotReadError("an array is missing")


def _from_state(state: Any) -> NDArray[Any]:
    """The arguments of `ndarray.__setstate__`: version, shape, dtype, order, and bytes or a list."""
    if isinstance(state, np.ndarray):
        return state
    parts = sequence(state, "the state of an array")
    if len(parts) == 4:
        parts = [0, *parts]
    if len(parts) != 5:
        raise NotReadError("the state of an array does not have five parts")
    _, axes, kind, fortran, data = parts
    dtype, shape = dtype_of(kind), shape_of(axes)
    if type(data) is not list:
        return laid_out(data, dtype, shape, bool(fortran))
    if len(data) != math.prod(shape):
        raise NotReadError(f"an array of the shape {list(shape)} has {len(data):,} elements")
    if dtype.names is not None or dtype != np.dtype(object):
        raise NotReadError(f"an array of {dtype} is pickled element by element; save its fields")
    found = np.empty(len(data), object)
    box = np.empty((), object)
    for at, item in enumerate(data):
        box.fill(None)
        box[()] = item
        found[at : at + 1] = box
    found = found.reshape(shape)  # the list is in C order, also of an array that was not
    return np.asfortranarray(found) if fortran else found


class ArrayPickled(Pickled):
    """Arrays."""

    name = "numpy.array"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return ArrayCodec().encode(array_of(obj), encoder)


class SubclassPickled(Pickled):
    """`np.matrix` and `np.recarray`."""

    name = "numpy.subclass"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [obj.args[0].name, encoder(_from_state(obj.state))]


class MaskedPickled(Pickled):
    """Masked arrays: their state has the mask and the fill value as well."""

    name = "numpy.masked"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        _, axes, kind, fortran, data, mask, fill = sequence(obj.state, "the state of a masked array")
        found = _from_state([0, axes, kind, fortran, data])
        hidden = laid_out(mask, np.dtype(bool), found.shape, bool(fortran))
        return {
            "data": encoder(found, "data"),
            "mask": encoder(hidden, "mask"),
            "fill_value": None if fill is None else encoder(fill, "fill_value"),
            "hard": False,
        }


class ScalarPickled(Pickled):
    """NumPy scalars: a dtype, and its bytes."""

    name = "numpy.scalar"
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind, data = (*obj.args, None)[:2]
        dtype = dtype_of(kind)
        array = laid_out(data, dtype, (), False)
        return ScalarCodec().encode(array[()], encoder)


class DtypePickled(Pickled):
    """Dtypes."""

    name = "numpy.dtype"
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        from saver.families.numpy.dtypes import encode_dtype

        return encode_dtype(dtype_of(obj), encoder)


class UfuncPickled(Pickled):
    """Ufuncs, which NumPy before 1.20 pickled as a call with a module and a name."""

    name = "function"
    shared = False

    def class_of(self, obj: Any) -> str:
        module, name = (*obj.args, None, None)[:2]
        if type(module) is not str or type(name) is not str:
            raise NotReadError("a ufunc has no name")
        return home(f"{module}:{name}")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None


_ARRAY, _SUBCLASS = ArrayPickled(), SubclassPickled()
READERS: dict[str, Pickled] = {
    "numpy._core.numeric:_frombuffer": _ARRAY,
    "numpy._core.multiarray:scalar": ScalarPickled(),
    "numpy.ma.core:_mareconstruct": MaskedPickled(),
    "numpy._core:_ufunc_reconstruct": UfuncPickled(),
    "numpy:dtype": DtypePickled(),
    **GENERATORS,
}


def _state(node: Node, making: Making, place: str) -> Inert:
    """A `RandomState`, by the state of its bit generator."""
    bits, has_gauss, gauss = sequence(node.state, "a random state")
    kind, state, _ = sequence(getattr(bits, "state", None), "a bit generator")
    held = fields_of(making.whole(state, place), "the state of a bit generator")
    if kind != "MT19937":
        raise NotReadError(f"a RandomState of {str(kind)[:40]} is not written")
    held |= {"has_gauss": has_gauss, "gauss": making.whole(gauss, place)}
    maker = Call(Global("numpy.random._pickle", "__bit_generator_ctor"), ("MT19937",))
    call = Call(Global("numpy.random._pickle", "__randomstate_ctor"), (maker,), has_state=True)
    call.state = Pairs(list(held.items()))
    return call


def written(value: Any) -> Inert:
    """A dtype, or what its `__reduce__` gives, as the calls that make it."""
    if isinstance(value, np.dtype):
        reduced: Any = value.__reduce__()
        return Call(Global("numpy", "dtype"), written(reduced[1]), state=written(reduced[2]), has_state=True)
    if isinstance(value, type):
        return Global(value.__module__, value.__qualname__)
    if isinstance(value, tuple):
        return tuple(map(written, value))
    if isinstance(value, dict):
        return Pairs([(key, written(item)) for key, item in value.items()])
    return Pairs(list(value.items())) if isinstance(value, MappingProxyType) else value


WRITERS: dict[str, Callable[[Node, Making, str], Inert]] = {
    "numpy.RandomState": _state,
    "numpy.dtype": lambda node, making, place: written(making.decoder(node)),
}


def claims(call: Call) -> Pickled | None:
    """Arrays, whose class is an argument."""
    if home(f"{call.function.module}:{call.function.name}") != "numpy._core.multiarray:_reconstruct":
        return None
    kind = call.args[0] if call.args else None
    if type(kind) is not Global:
        return None
    if (kind.module, kind.name) in (("numpy", "ndarray"), ("numpy", "memmap")):
        return _ARRAY
    root = kind.module.partition(".")[0]
    if kind.name in ("matrix", "recarray") and root == "numpy":
        return _SUBCLASS
    other = registry.family(root).module("pickles") if registry.is_own(root) else None
    return _ARRAY if f"{kind.module}:{kind.name}" in getattr(other, "PLAIN_ARRAYS", ()) else None
