"""SciPy's sparse matrices and arrays, of every format.

Their native code trusts the index arrays, so these are checked before anything is built from them, in time
linear in their bytes; and also when saving, so that every file that was written can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from saver.codec import Codec, Decoder, Encoder, added, is_array, private
from saver.errors import SaverError, with_article
from saver.families.python.columns import decode_run, encode_run
from saver.families.scipy.indices import (
    Shape,
    check_compressed,
    check_coordinates,
    check_diagonals,
    check_index,
    check_range,
    check_rows,
    check_values,
)
from saver.tree import Node, Value

_FORMATS = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
_KINDS: dict[str, Any] = {
    name: getattr(scipy.sparse, name)
    for format in _FORMATS
    for name in (f"{format}_matrix", f"{format}_array")
}
_FLAGS = ("has_sorted_indices", "has_canonical_format")
_FIELDS = (
    "maxprint", "data", "indices", "indptr", "coords", "has_canonical_format", "offsets", "dtype", "rows",
)  # fmt: skip
_AXES_LIMIT = 64
_LARGEST = 2**63 - 1
_USUAL_PRINT: int = scipy.sparse.coo_array((1, 1)).maxprint


class SparseCodec(Codec):
    """Values, indices and flags exactly as they are: explicit zeros, duplicates, unused capacity.

    A flag that is true (`has_sorted_indices`) is determined again after loading, since native code relies
    on it.
    """

    name = "scipy.sparse"
    types = tuple(_KINDS.values())

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_FIELDS, *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            _shape([*map(int, obj.shape)], type(obj))
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
    row = len(value) == 1 and cls.__name__ in ("csr_array", "csr_matrix", "dok_array")
    if len(value) != 2 and not row and cls is not _KINDS["coo_array"]:
        raise ValueError(f"{with_article(cls.__name__)} cannot have {len(value)} axes")
    return tuple(map(_count, value))


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError(f"{value!r} is not a size")
    return value


def _encode_compressed(obj: Any, encoder: Encoder) -> dict[str, Value]:
    check_compressed(obj.format, obj.shape, obj.data, obj.indices, obj.indptr)
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
    check_compressed(state["kind"][:3], shape, data, indices, indptr)
    found = cls((1, *shape)[-2:], **({"blocksize": data.shape[1:]} if data.ndim == 3 else {}))
    found._shape = shape
    found.data, found.indices, found.indptr = data, indices, indptr
    for name in _FLAGS:
        if state.get(name) is True:
            getattr(found, name)
    for name in _FLAGS:
        if state.get(name) is False:
            setattr(found, f"_{name}", False)
    return found


def _encode_coordinates(obj: Any, encoder: Encoder) -> dict[str, Value]:
    check_coordinates(obj.shape, obj.data, obj.coords)
    return {
        "data": encoder(obj.data, "data"),
        "coords": [encoder.own(index, "coords", axis) for axis, index in enumerate(obj.coords)],
        "has_canonical_format": bool(obj.has_canonical_format),
    }


def _decode_coordinates(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    data, coordinates = decoder(state["data"]), tuple(map(decoder.own, state["coords"]))
    check_coordinates(shape, data, coordinates)
    found = cls(shape)
    found.data, found.coords = data, coordinates
    found.has_canonical_format = state["has_canonical_format"] is True
    return found


def _encode_diagonals(obj: Any, encoder: Encoder) -> dict[str, Value]:
    check_diagonals(obj.shape, obj.data, obj.offsets)
    return {"data": encoder(obj.data, "data"), "offsets": encoder.own(obj.offsets, "offsets")}


def _decode_diagonals(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    data, offsets = decoder(state["data"]), decoder.own(state["offsets"])
    check_diagonals(shape, data, offsets)
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


def _dtype(state: Any, decoder: Decoder) -> Any:
    found = decoder(state["dtype"])
    if not isinstance(found, np.dtype):
        raise ValueError("the dtype of the values is not one")
    return found


def _decode_dictionary(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    keys, values = decoder.own(state["keys"]), state["values"]
    if type(values) is list or type(values) is dict:
        values = list(decode_run(values, decoder))
    else:
        typed = decoder.own(values)
        check_values(typed, 1)
        values = list(typed)
    if not is_array(keys) or keys.dtype != np.int64 or keys.shape != (len(values), len(shape)):
        raise ValueError("the keys do not fit the values")
    for axis, size in enumerate(shape):
        check_range(keys[:, axis], size, f"the indices of axis {axis}")
    found = cls(shape, dtype=_dtype(state, decoder))
    names = keys[:, 0].tolist() if len(shape) == 1 else map(tuple, keys.tolist())
    found._dict.update(zip(names, values, strict=True))
    if len(found._dict) != len(values):
        raise ValueError("a key occurs twice")
    return found


def _encode_lists(obj: Any, encoder: Encoder) -> dict[str, Value]:
    rows = [list(map(int, row)) for row in obj.rows]
    if len(rows) != obj.shape[0] or list(map(len, rows)) != list(map(len, obj.data)):
        raise ValueError("rows and data have different lengths")
    check_rows(obj.shape, rows)
    return {
        "dtype": encoder(obj.dtype),
        "ends": encoder(np.array(list(accumulate(map(len, rows))), np.int64), "ends"),
        "columns": encode_run([column for row in rows for column in row], encoder, "columns"),
        "values": encode_run([value for row in obj.data for value in row], encoder, "values"),
    }


def _decode_lists(state: Any, cls: Any, shape: Shape, decoder: Decoder) -> Any:
    ends = decoder.own(state["ends"])
    columns, values = (list(decode_run(state[name], decoder)) for name in ("columns", "values"))
    check_index(ends, "ends")
    edges = [0, *ends.tolist()]
    if len(ends) != shape[0] or any(b < a for a, b in pairwise(edges)):
        raise ValueError(f"there are {len(ends)} ends for {shape[0]} rows")
    if not edges[-1] == len(columns) == len(values):
        raise ValueError("the ends of the rows do not fit their values")
    rows = [columns[a:b] for a, b in pairwise(edges)]
    check_rows(shape, rows)
    found = cls(shape, dtype=_dtype(state, decoder))
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
