"""The interpolators of `scipy.interpolate`: splines, piecewise polynomials, `interp1d`.

They are built from their coefficients, not fitted again, so that they return the same bits. Native code
searches the knots and indexes the coefficients, so both are checked first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, is_array, private
from saver.errors import kind_of
from saver.tree import Node, Value

_POLYNOMIALS = (
    "PPoly", "BPoly", "CubicHermiteSpline", "PchipInterpolator", "Akima1DInterpolator", "CubicSpline",
)  # fmt: skip
_METHODS = ("linear", "nearest", "nearest-up", "previous", "next")
_SPLINE_CALLS = ("_call_spline", "_call_nan_spline")


def _named(cls: type, *names: str) -> bool:
    return cls.__module__.startswith("scipy.interpolate.") and cls.__qualname__ in names


def _check_coefficients(c: Any, x: Any, least: int) -> None:
    for array, ndim in ((x, 1), (c, least)):
        if not is_array(array) or array.ndim < ndim or not array.dtype.isnative:
            raise ValueError("coefficients and knots must be arrays")
    if x.ndim != 1 or x.dtype != np.float64 or c.dtype not in (np.float64, np.complex128):
        raise ValueError("knots must be float64, coefficients float64 or complex128")


def _check_way(extrapolate: Any, axis: Any, ndim: int) -> None:
    if not (isinstance(extrapolate, bool) or extrapolate == "periodic"):
        raise ValueError(f"extrapolate cannot be {extrapolate!r}")
    if type(axis) is not int or not 0 <= axis < ndim:
        raise ValueError(f"there is no axis {axis!r}")


def check_spline(t: Any, c: Any, k: Any, extrapolate: Any, axis: Any) -> None:
    _check_coefficients(c, t, 1)
    _check_way(extrapolate, axis, c.ndim)
    if type(k) is not int or not 0 <= k < len(t):
        raise ValueError(f"the degree cannot be {k!r} for {len(t)} knots")
    count = len(t) - k - 1
    if count < k + 1 or len(c) < count:
        raise ValueError(f"{len(t)} knots and {len(c)} coefficients do not define a spline of degree {k}")
    if not np.isfinite(t).all() or np.any(t[1:] < t[:-1]):
        raise ValueError("knots must be finite and must not decrease")


class SplineCodec(Codec):
    """`BSpline`, built by the constructor, which checks the knots."""

    name = "scipy.BSpline"

    def accepts(self, cls: type) -> bool:
        return _named(cls, "BSpline")

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "axis", "extrapolate", "k", "t", "c", *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        t, c, k, extrapolate, axis = obj.t, obj.c, int(obj.k), _plain(obj.extrapolate), int(obj.axis)
        try:
            check_spline(t, c, k, extrapolate, axis)
        except ValueError as error:
            encoder.refuse(f"the spline is not sound: {error}")
        return {
            "t": encoder.own(t, "t"),
            "c": encoder(c, "c"),
            "k": k,
            "extrapolate": extrapolate,
            "axis": axis,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy.interpolate import BSpline

        state = node.state
        t, c = decoder.own(state["t"]), decoder(state["c"])
        k, extrapolate, axis = state["k"], state["extrapolate"], state["axis"]
        check_spline(t, c, k, extrapolate, axis)
        decoder.budget.charge(t.nbytes + c.nbytes)
        return BSpline.construct_fast(t, np.ascontiguousarray(c), k, extrapolate, axis)


def _plain(extrapolate: Any) -> bool | str:
    return extrapolate if extrapolate == "periodic" else bool(extrapolate)


def _check_polynomial(x: Any, c: Any, extrapolate: Any, axis: Any) -> None:
    _check_coefficients(c, x, 2)
    _check_way(extrapolate, axis, c.ndim - 1)
    if len(x) < 2 or c.shape[0] == 0 or c.shape[1] != len(x) - 1:
        raise ValueError(f"there are coefficients of shape {c.shape} for {len(x)} breakpoints")
    steps = x[1:] - x[:-1]
    if not (np.all(steps >= 0) or np.all(steps <= 0)):
        raise ValueError("breakpoints must be in order")


class PolynomialCodec(Codec):
    """`PPoly`, `BPoly` and classes derived from them, such as `CubicSpline`."""

    name = "scipy.polynomial"

    def accepts(self, cls: type) -> bool:
        return _named(cls, *_POLYNOMIALS)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "axis", "extrapolate", "x", "c", *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        x, c, extrapolate, axis = obj.x, obj.c, _plain(obj.extrapolate), int(obj.axis)
        try:
            _check_polynomial(x, c, extrapolate, axis)
        except ValueError as error:
            encoder.refuse(f"the piecewise polynomial is not sound: {error}")
        return {
            "kind": type(obj).__name__,
            "x": encoder.own(x, "x"),
            "c": encoder(c, "c"),
            "extrapolate": extrapolate,
            "axis": axis,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy import interpolate

        state = node.state
        if state["kind"] not in _POLYNOMIALS:
            raise ValueError(f"{state['kind']!r} is not a piecewise polynomial")
        x, c = decoder.own(state["x"]), decoder(state["c"])
        extrapolate, axis = state["extrapolate"], state["axis"]
        _check_polynomial(x, c, extrapolate, axis)
        cls: Any = getattr(interpolate, state["kind"])
        decoder.budget.charge(x.nbytes + c.nbytes)
        if cls is interpolate.BPoly:  # whose own `construct_fast` makes a PPoly in SciPy 1.18
            return cls(np.moveaxis(np.moveaxis(c, 0, axis + 1), 0, axis + 1), x, extrapolate, axis)
        return cls.construct_fast(np.ascontiguousarray(c), x, extrapolate, axis)


class Interp1dCodec(Codec):
    """`interp1d` of every kind, as `IsotonicRegression` holds it."""

    name = "scipy.interp1d"

    def accepts(self, cls: type) -> bool:
        return _named(cls, "interp1d")

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "axis", "bounds_error", "copy", "x", "x_bds", "y", *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        spline = obj._kind == "spline"
        return {
            "kind": obj._kind,
            "x": encoder(obj.x, "x"),
            "y": encoder(obj.y, "y"),
            "axis": int(obj.axis),
            "copy": bool(obj.copy),
            "bounds_error": bool(obj.bounds_error),
            "fill_value": encoder(obj.fill_value, "fill_value"),
            **({"spline": encoder(obj._spline, "spline"), "call": obj._call.__name__} if spline else {}),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy.interpolate import BSpline, interp1d

        state = node.state
        kind = state["kind"]
        x, y = decoder(state["x"]), decoder(state["y"])
        for array in (x, y):
            if not is_array(array) or array.dtype.kind not in "biufc":
                raise ValueError("x and y must be arrays of numbers")
            decoder.budget.charge(array.nbytes)
        if kind not in (*_METHODS, "spline"):
            raise ValueError(f"{kind!r} is not a kind of interpolation")
        found: Any = interp1d(
            x,
            y,
            "linear" if kind == "spline" else kind,
            axis=state["axis"],
            copy=False,
            bounds_error=state["bounds_error"] is True,
            fill_value=_fill_value(decoder(state["fill_value"])),
            assume_sorted=True,
        )
        found.copy = state["copy"] is True
        if kind == "spline":
            spline = decoder(state["spline"])
            if type(spline) is not BSpline or state["call"] not in _SPLINE_CALLS:
                raise ValueError("the spline is missing")
            found._kind, found._spline = "spline", spline
            found._call = getattr(interp1d, state["call"])
        return found


def _fill_value(value: Any) -> Any:
    for item in value if type(value) is tuple else (value,):
        number = isinstance(item, (int, float, complex, np.generic)) or is_array(item)
        if not (number or (type(item) is str and item == "extrapolate")):
            raise ValueError(f"{kind_of(item)} cannot be a fill value")
    return value
