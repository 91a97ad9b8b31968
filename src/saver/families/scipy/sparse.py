"""SciPy's sparse matrices and arrays, of every format.

Their native code trusts the index arrays, so these are checked before anything is built from them, in time
linear in their bytes; and also when saving, so that every file that was written can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder, is_array
from saver.errors import SaverError
from saver.families.python.columns import decode_run, encode_run
from saver.tree import Node, Value

_FORMATS = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
_KINDS: dict[str, Any] = {
    name: getattr(scipy.sparse, name)
    for format in _FORMATS
    for name in (f"{format}_matrix", f"{format}_array")
}
_FLAGS = ("has_sorted_indices", "has_canonical_format")
_AXES_LIMIT = 64
_LARGEST = 2**63 - 1
_USUAL_PRINT: int = scipy.sparse.coo_array((1, 1)).maxprint

Shape = tuple[int, ...]


class SparseCodec(Codec):
    """Values, indices and flags exactly as they are: explicit zeros, duplicates, unused capacity.

    A flag that is true (`has_sorted_indices`) is determined again after loading, since native code relies
    on it.
    """

    name = "scipy.sparse"
    types = tuple(_KINDS.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            state = _HANDLERS[obj.format].encode(obj, encoder)
        except SaverError:
            raise
        except (ValueError, TypeError) as error:
            encoder.refuse(f"the sparse matrix is not sound ({error}); see its check_format()")
        extra = {} if obj.maxprint == _USUAL_PRINT else {"maxprint": int(obj.maxprint)}
        return {"kind": type(obj).__name__, "shape": list(map(int, obj.shape)), **state, **extra}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        cls = _KINDS[state["kind"]]
        shape = _shape(state["shape"], cls)
        decoder.budget.charge(steps=1000)
        found = _HANDLERS[state["kind"][:3]].decode(state, cls, shape, decoder)
        if "maxprint" in state:
            found.maxprint = _count(state["maxprint"])
        return found


def _shape(value: Any, cls: type) -> Shape:
    if type(value) is not list or not 1 <= len(value) <= _AXES_LIMIT:
        raise ValueError("the shape is not that of a sparse array")
    if len(value) != 2 and (cls is not _KINDS["coo_array"] and not (
        len(value) == 1 and cls in (_KINDS["csr_array"], _KINDS["dok_array"])
    )):  # fmt: skip
        raise ValueError(f"a {cls.__name__} cannot have {len(value)} axes")
    return tuple(map(_count, value))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is not a size")
    return value


def _check_index(array: Any, what: str) -> None:
    if not is_array(array) or array.ndim != 1:
        raise ValueError(f"{what} must be an array of one axis")
    if array.dtype not in (np.int32, np.int64) or not array.dtype.isnative:
        raise ValueError(f"{what} must be int32 or int64, not {array.dtype}")


def _check_range(array: NDArray[Any], size: int, what: str) -> None:
    if array.size and not (int(array.min()) >= 0 and int(array.max()) < size):
        raise ValueError(f"{what} must be between 0 and {size - 1}")


def _check_shape(shape: Shape, *indices: NDArray[Any]) -> None:
    """Check that the sizes fit the type of the indices, in which native code computes with them."""
    smallest = min(int(np.iinfo(index.dtype).max) for index in indices)
    if 0 not in shape and max(shape) > smallest:
        raise ValueError(f"the shape {shape} does not fit the type of the indices")


def _check_pointers(indptr: Any, indices: Any, stored: int, major: int, minor: int) -> None:
    """Check that rows (or columns, or rows of blocks) end within the indices, and those within the shape."""
    _check_index(indptr, "indptr")
    _check_index(indices, "indices")
    if len(indptr) != major + 1:
        raise ValueError(f"indptr has {len(indptr)} entries for {major} rows")
    if len(indices) != stored:
        raise ValueError(f"there are {len(indices)} indices for {stored} values")
    if int(indptr[0]) != 0 or int(indptr[-1]) > stored or bool(np.any(indptr[1:] < indptr[:-1])):
        raise ValueError("indptr must go from 0 to at most the number of indices without decreasing")
    _check_range(indices[: int(indptr[-1])], minor, "indices")


def _check_values(data: Any, ndim: int) -> None:
    if not is_array(data) or data.ndim != ndim:
        raise ValueError(f"data must be an array with {ndim} axes")


def _check_compressed(kind: str, shape: Shape, data: Any, indices: Any, indptr: Any) -> None:
    rows, columns = (1, *shape)[-2:]
    if kind == "bsr":
        _check_values(data, 3)
        height, width = data.shape[1:]
        if not height or not width or rows % height or columns % width:
            raise ValueError(f"blocks of {height} by {width} do not tile the shape {shape}")
        rows, columns = rows // height, columns // width
    else:
        _check_values(data, 1)
    major, minor = (columns, rows) if kind == "csc" else (rows, columns)
    _check_pointers(indptr, indices, len(data), major, minor)
    _check_shape(shape, indices, indptr)


def _encode_compressed(obj: Any, encoder: Encoder) -> dict[str, Value]:
    _check_compressed(obj.format, obj.shape, obj.data, obj.indices, obj.indptr)
    flags = {name: bool(vars(obj)[f"_{name}"]) for name in _FLAGS if f"_{name}" in vars(obj)}
    return {
        "data": encoder(obj.data, "data"),
        "indices": encoder.own(obj.indices, "indices"),
        "indptr": encoder.own(obj.indptr, "indptr"),
        **flags,
    }


def _decode_compressed(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    data, indices, indptr = (
        decoder(state["data"]),
        decoder.own(state["indices"]),
        decoder.own(state["indptr"]),
    )
    _check_compressed(state["kind"][:3], shape, data, indices, indptr)
    found = cls(shape, **({"blocksize": data.shape[1:]} if data.ndim == 3 else {}))
    found.data, found.indices, found.indptr = data, indices, indptr
    for name in _FLAGS:
        if state.get(name) is True:
            getattr(found, name)
    for name in _FLAGS:
        if state.get(name) is False:
            setattr(found, f"_{name}", False)
    return found


def _check_coordinates(shape: Shape, data: Any, coordinates: Sequence[Any]) -> None:
    _check_values(data, 1)
    if len(coordinates) != len(shape):
        raise ValueError(f"there are {len(coordinates)} index arrays for {len(shape)} axes")
    for axis, (index, size) in enumerate(zip(coordinates, shape, strict=True)):
        _check_index(index, f"the indices of axis {axis}")
        if len(index) != len(data):
            raise ValueError(f"there are {len(index)} indices of axis {axis} for {len(data)} values")
        _check_range(index, size, f"the indices of axis {axis}")
    _check_shape(shape, *coordinates)


def _encode_coordinates(obj: Any, encoder: Encoder) -> dict[str, Value]:
    _check_coordinates(obj.shape, obj.data, obj.coords)
    return {
        "data": encoder(obj.data, "data"),
        "coords": [encoder.own(index, "coords", axis) for axis, index in enumerate(obj.coords)],
        "has_canonical_format": bool(obj.has_canonical_format),
    }


def _decode_coordinates(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    data, coordinates = decoder(state["data"]), tuple(map(decoder.own, state["coords"]))
    _check_coordinates(shape, data, coordinates)
    found = cls(shape)
    found.data, found.coords = data, coordinates
    found.has_canonical_format = state["has_canonical_format"] is True
    return found


def _check_diagonals(shape: Shape, data: Any, offsets: Any) -> None:
    _check_values(data, 2)
    _check_index(offsets, "offsets")
    if len(offsets) != len(data) or len(np.unique(offsets)) != len(offsets):
        raise ValueError(f"{len(data)} diagonals need as many different offsets")
    _check_shape(shape, offsets)
    room = int(np.iinfo(offsets.dtype).max) - max(shape)
    if offsets.size and not -room <= int(offsets.min()) <= int(offsets.max()) <= room:
        raise ValueError("the offsets are too far outside the matrix")


def _encode_diagonals(obj: Any, encoder: Encoder) -> dict[str, Value]:
    _check_diagonals(obj.shape, obj.data, obj.offsets)
    return {"data": encoder(obj.data, "data"), "offsets": encoder.own(obj.offsets, "offsets")}


def _decode_diagonals(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    data, offsets = decoder(state["data"]), decoder.own(state["offsets"])
    _check_diagonals(shape, data, offsets)
    found = cls(shape)
    found.data, found.offsets = data, offsets
    return found


def _encode_dictionary(obj: Any, encoder: Encoder) -> dict[str, Value]:
    keys = np.array([*obj.keys()], np.int64).reshape(len(obj.keys()), len(obj.shape))
    values = list(obj.values())
    typed = np.array(values, obj.dtype) if {type(v) for v in values} <= {obj.dtype.type} else None
    return {
        "dtype": encoder(obj.dtype),
        "keys": encoder(keys, "keys"),
        "values": encode_run(values, encoder, "values") if typed is None else encoder(typed, "values"),
    }


def _decode_dictionary(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    keys, values = decoder.own(state["keys"]), state["values"]
    if type(values) is list or type(values) is dict:
        values = list(decode_run(values, decoder))
    else:
        typed = decoder.own(values)
        _check_values(typed, 1)
        values = list(typed)
    if not is_array(keys) or keys.dtype != np.int64 or keys.shape != (len(values), len(shape)):
        raise ValueError("the keys do not fit the values")
    for axis, size in enumerate(shape):
        _check_range(keys[:, axis], size, f"the indices of axis {axis}")
    found = cls(shape, dtype=decoder(state["dtype"]))
    names = keys[:, 0].tolist() if len(shape) == 1 else map(tuple, keys.tolist())
    found._dict.update(zip(names, values, strict=True))
    if len(found._dict) != len(values):
        raise ValueError("a key occurs twice")
    return found


def _check_rows(shape: Shape, rows: list[list[Any]]) -> None:
    columns = shape[1]
    for row in rows:
        if row and not (
            all(type(column) is int for column in row)
            and row[0] >= 0
            and row[-1] < columns
            and all(a < b for a, b in pairwise(row))
        ):
            raise ValueError(f"the columns of a row must increase, between 0 and {columns - 1}")


def _encode_lists(obj: Any, encoder: Encoder) -> dict[str, Value]:
    rows = [list(map(int, row)) for row in obj.rows]
    if len(rows) != obj.shape[0] or list(map(len, rows)) != list(map(len, obj.data)):
        raise ValueError("rows and data have different lengths")
    _check_rows(obj.shape, rows)
    return {
        "dtype": encoder(obj.dtype),
        "ends": encoder(np.array(list(accumulate(map(len, rows))), np.int64), "ends"),
        "columns": encode_run([column for row in rows for column in row], encoder, "columns"),
        "values": encode_run([value for row in obj.data for value in row], encoder, "values"),
    }


def _decode_lists(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    ends = decoder.own(state["ends"])
    columns, values = (list(decode_run(state[name], decoder)) for name in ("columns", "values"))
    _check_index(ends, "ends")
    edges = [0, *ends.tolist()]
    if len(ends) != shape[0] or any(b < a for a, b in pairwise(edges)):
        raise ValueError(f"there are {len(ends)} ends for {shape[0]} rows")
    if not edges[-1] == len(columns) == len(values):
        raise ValueError("the ends of the rows do not fit their values")
    rows = [columns[a:b] for a, b in pairwise(edges)]
    _check_rows(shape, rows)
    found = cls(shape, dtype=decoder(state["dtype"]))
    for row, (a, b) in enumerate(pairwise(edges)):
        found.rows[row], found.data[row] = rows[row], values[a:b]
    return found


class _Handler(NamedTuple):
    encode: Callable[[Any, Encoder], dict[str, Value]]
    decode: Callable[[Any, Any, Shape, Decoder], Any]


_COMPRESSED = _Handler(_encode_compressed, _decode_compressed)
_HANDLERS = {
    "csr": _COMPRESSED,
    "csc": _COMPRESSED,
    "bsr": _COMPRESSED,
    "coo": _Handler(_encode_coordinates, _decode_coordinates),
    "dia": _Handler(_encode_diagonals, _decode_diagonals),
    "dok": _Handler(_encode_dictionary, _decode_dictionary),
    "lil": _Handler(_encode_lists, _decode_lists),
}
