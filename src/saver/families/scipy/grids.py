"""Splines and piecewise polynomials of several variables."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, is_array, private
from saver.tree import Node, Value


class NdSplineCodec(Codec):
    """`NdBSpline` and `NdPPoly`, made by their constructors, which check that the parts fit together."""

    name = "scipy.nd"

    def accepts(self, cls: type) -> bool:
        return cls.__module__.startswith("scipy.interpolate.") and cls.__qualname__ in (
            "NdBSpline",
            "NdPPoly",
        )

    def unsaved(self, obj: Any) -> Iterable[str]:
        own = ("x", "t", "c", "k", "extrapolate")  # some of them only in some versions of SciPy
        return added(obj, *own, *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        spline = type(obj).__name__ == "NdBSpline"
        arrays, degrees = (obj.t, [int(k) for k in obj.k]) if spline else (obj.x, None)
        encoder.check(_check_nd, arrays, degrees, obj.c, bool(obj.extrapolate))
        held = [encoder.own(array, index) for index, array in enumerate(arrays)]
        return {"arrays": held, "k": degrees, "c": encoder(obj.c, "c"), "extrapolate": bool(obj.extrapolate)}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy import interpolate

        state = node.state
        arrays, degrees = tuple(map(decoder.own, state["arrays"])), state["k"]
        coefficients = decoder(state["c"])
        decoder.budget.charge(_check_nd(arrays, degrees, coefficients, state["extrapolate"]))
        if degrees is None:
            return interpolate.NdPPoly(coefficients, arrays, extrapolate=state["extrapolate"])
        return interpolate.NdBSpline(arrays, coefficients, tuple(degrees), extrapolate=state["extrapolate"])


_AXES = 16


def _check_nd(arrays: Any, degrees: Any, coefficients: Any, extrapolate: Any) -> int:
    """Raise ValueError unless the constructors can check the rest. Returns the bytes that they take."""
    if not 0 < len(arrays) <= _AXES or type(extrapolate) is not bool:
        raise ValueError(f"there are 1 to {_AXES} axes, and extrapolate is true or false")
    for array in (*arrays, coefficients):
        if not is_array(array) or array.dtype not in (np.float64, np.complex128) or not array.size:
            raise ValueError("knots and coefficients are float64 or complex128")
    if any(array.ndim != 1 or array.dtype != np.float64 for array in arrays):
        raise ValueError("knots have one axis, and are float64")
    if degrees is None:
        return int(2 * coefficients.nbytes)
    pieces = 1
    for degree, array in zip(degrees, arrays, strict=True):
        if type(degree) is not int or not 0 <= degree < len(array):
            raise ValueError(f"the degree cannot be {degree!r} for {len(array)} knots")
        if any(b < a for a, b in pairwise(array.tolist())):
            raise ValueError("knots must not decrease")
        pieces *= degree + 1
    longest = max(map(len, arrays))
    return int(2 * coefficients.nbytes + 16 * len(arrays) * (pieces + longest))


CODECS: tuple[Codec, ...] = (NdSplineCodec(),)
