"""The polynomials of NumPy: the series of `numpy.polynomial`, and `poly1d`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy import polynomial

from saver.codec import Codec, Decoder, Encoder, added, is_array, keyed, listed
from saver.tree import Node, Value

_SERIES: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        polynomial.Polynomial,
        polynomial.Chebyshev,
        polynomial.Legendre,
        polynomial.Hermite,
        polynomial.HermiteE,
        polynomial.Laguerre,
    )
}
_FIELDS = ("coef", "domain", "window")


def _numbers(array: Any) -> Any:
    if not is_array(array) or array.ndim != 1 or not len(array) or array.dtype.kind not in "biufcO":
        raise ValueError("the coefficients of a polynomial are an array of numbers with one axis")
    return array


def _name(text: Any) -> str:
    if type(text) is not str or len(text) > 100:
        raise ValueError("the variable of a polynomial is a short text")
    return text


def _check_series(arrays: list[Any], symbol: Any) -> None:
    _, *ends = map(_numbers, arrays)
    if any(len(each) != 2 for each in ends) or not _name(symbol).isidentifier():
        raise ValueError("a series needs a domain and a window of two numbers, and a symbol")


class SeriesCodec(Codec):
    """Coefficients, domain, window and symbol."""

    name = "numpy.series"
    types = tuple(_SERIES.values())

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_FIELDS, "_symbol")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_check_series, [getattr(obj, name) for name in _FIELDS], obj.symbol)
        arrays = {name: encoder(getattr(obj, name), name) for name in _FIELDS}
        return {"kind": type(obj).__name__, **arrays, "symbol": obj.symbol}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = keyed(node.state, "coef", "domain", "kind", "symbol", "window")
        arrays = [decoder(state[name]) for name in _FIELDS]
        _check_series(arrays, state["symbol"])
        found = object.__new__(_SERIES[state["kind"]])
        found.coef, found.domain, found.window = arrays
        found._symbol = state["symbol"]
        return found


def _check_poly1d(coefficients: Any, variable: Any) -> None:
    _numbers(coefficients), _name(variable)


class Poly1dCodec(Codec):
    """Coefficients, the highest first, and the name of the variable."""

    name = "numpy.poly1d"
    types = (np.poly1d,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "coeffs", "_variable")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_check_poly1d, obj.coeffs, obj.variable)
        return [encoder(obj.coeffs, "coeffs"), obj.variable]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state, variable = listed(node.state, 2)
        coefficients = decoder(state)
        _check_poly1d(coefficients, variable)
        found = np.poly1d([0], variable=variable)
        vars(found)["coeffs"] = coefficients
        return found


CODECS: tuple[Codec, ...] = (SeriesCodec(), Poly1dCodec())
