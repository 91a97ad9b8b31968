"""How SciPy's sparse matrices lie in pickles: instances with attributes, in modules that have moved."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from saver.codec import Encoder
from saver.families.numpy.pickles import array_of, shape_of
from saver.families.python.columns import encode_run
from saver.pickled import Call, NotReadError, Pickled, attributes_of, sequence
from saver.tree import Value

_FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil")
_FLAGS = ("has_sorted_indices", "has_canonical_format")


class SparsePickled(Pickled):
    """Sparse matrices and arrays by their attributes."""

    name = "scipy.sparse"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own, kind = attributes_of(obj), obj.function.name
        shape = shape_of(own.get("_shape", own.get("shape")))
        state: dict[str, Value] = {"kind": kind, "shape": [*shape]}
        if kind[:3] in ("csr", "csc", "bsr"):
            return state | self._compressed(own, encoder)
        if kind[:3] == "coo":
            return state | self._coordinates(own, encoder)
        if kind[:3] == "dia":
            offsets = encoder.own(array_of(own.get("offsets")), "offsets")
            return state | {"data": encoder(own.get("data"), "data"), "offsets": offsets}
        return state | self._lists(own, encoder)

    def _compressed(self, own: dict[str, Any], encoder: Encoder) -> dict[str, Value]:
        flags: dict[str, Value] = {}
        for name in _FLAGS:
            value = own.get(f"_{name}")
            if type(value) in (bool, int):
                flags[name] = bool(value)
        return {
            "data": encoder(own.get("data"), "data"),
            "indices": encoder.own(array_of(own.get("indices")), "indices"),
            "indptr": encoder.own(array_of(own.get("indptr")), "indptr"),
            **flags,
        }

    def _coordinates(self, own: dict[str, Any], encoder: Encoder) -> dict[str, Value]:
        old = (own.get("row"), own.get("col"))
        axes = sequence(own.get("coords", old), "the coordinates of a sparse matrix")
        return {
            "data": encoder(own.get("data"), "data"),
            "coords": [encoder.own(array_of(index), "coords", axis) for axis, index in enumerate(axes)],
            "has_canonical_format": own.get("has_canonical_format") is True,
        }

    def _lists(self, own: dict[str, Any], encoder: Encoder) -> dict[str, Value]:
        rows = [sequence(row, "a row") for row in array_of(own.get("rows")).tolist()]
        data = [sequence(row, "a row") for row in array_of(own.get("data")).tolist()]
        if list(map(len, rows)) != list(map(len, data)):
            raise NotReadError("the rows of a sparse matrix do not fit its values")
        dtype = own.get("dtype", own.get("_dtype"))
        return {
            "dtype": encoder(dtype),
            "ends": encoder(np.array([*accumulate(map(len, rows))], np.int64), "ends"),
            "columns": encode_run([column for row in rows for column in row], encoder, "columns"),
            "values": encode_run([value for row in data for value in row], encoder, "values"),
        }


class SplinePickled(Pickled):
    """Splines: knots, coefficients, a degree."""

    name = "scipy.BSpline"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = attributes_of(obj)
        degree, axis = own.get("k"), own.get("axis", 0)
        if type(degree) is not int or type(axis) is not int:
            raise NotReadError("a spline has no degree")
        return {
            "t": encoder.own(array_of(own.get("t", own.get("_t"))), "t"),
            "c": encoder(own.get("c", own.get("_c")), "c"),
            "k": degree,
            "extrapolate": encoder(own.get("extrapolate"), "extrapolate"),
            "axis": axis,
        }


_SPARSE = SparsePickled()
_SPLINE = SplinePickled()
READERS: dict[str, Pickled] = {
    "scipy.interpolate._bsplines:BSpline": _SPLINE, "scipy.interpolate.interpolate:BSpline": _SPLINE,
}  # fmt: skip


def claims(call: Call) -> Pickled | None:
    """Sparse matrices, whatever module of `scipy.sparse` they are in."""
    name = call.function.name
    format, _, kind = name.partition("_")
    is_sparse = call.function.module.startswith("scipy.sparse") and kind in ("matrix", "array")
    return _SPARSE if is_sparse and format in _FORMATS and call.made and not call.args else None
