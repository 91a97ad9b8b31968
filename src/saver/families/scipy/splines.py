"""The smoothing splines of one variable, which FITPACK fits: `UnivariateSpline` and those derived from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from saver.callers import warn
from saver.codec import Codec, Decoder, Encoder, added, is_array
from saver.families.scipy.interpolation import check_spline
from saver.tree import Node, Value

_KINDS = ("UnivariateSpline", "InterpolatedUnivariateSpline", "LSQUnivariateSpline")
_SMOOTHING, _COUNT = 6, 7
"""Where `_data` has the smoothing, and the number of knots."""


def _check(t: Any, c: Any, k: Any, ext: Any) -> None:
    check_spline(t, c, k, True, 0)
    if not 1 <= k <= 5 or c.ndim != 1 or c.dtype != np.float64:
        raise ValueError("a smoothing spline has one row of coefficients and a degree of 1 to 5")
    if not (type(ext) is int and 0 <= ext <= 3):
        raise ValueError(f"ext is {ext!r}, not 0 to 3")


def _check_data(given: Any, smoothing: Any) -> None:
    x, y, weights, begin, end, k = given
    for array in (x, y, weights):
        if not is_array(array) or array.dtype != np.float64 or array.ndim != 1 or array.shape != x.shape:
            raise ValueError("the points are not arrays of float64 of one length")
    if not all(type(number) is float for number in (begin, end, smoothing)) or type(k) is not int:
        raise ValueError("the interval, the degree or the smoothing is not a number")
    if not all(np.isfinite(part).all() for part in given[:5]) or np.isnan(smoothing):
        raise ValueError("the points, the weights or the interval are not finite")


class SmoothingCodec(Codec):
    """Knots and coefficients, to the bit, and the points and the smoothing that they were fitted to.

    With those, they are fitted again when they are loaded, and what that needs is kept if it gives the same
    bits, and if the fit takes no longer than a file of this size may (`limit=` of `load` allows more).
    Otherwise a warning says that the spline is whole, and that `set_smoothing_factor` would not go on from
    the same place.
    """

    name = "scipy.smoothing"

    def accepts(self, cls: type) -> bool:
        return cls.__module__.startswith("scipy.interpolate.") and cls.__qualname__ in _KINDS

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "ext", "_data", "_eval_args", "_spline_class")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = vars(obj)
        t, c, k = own["_eval_args"]
        encoder.check(_check, t, c, int(k), int(own["ext"]))
        then = own.get("_spline_class")
        state: dict[str, Value] = {
            "kind": type(obj).__name__,
            "then": None if then is None else then.__name__,
            "t": encoder.own(t, "t"),
            "c": encoder.own(c, "c"),
            "k": int(k),
            "ext": int(own["ext"]),
            "data": None,
        }
        data = own.get("_data")
        if data is not None:
            state["data"] = _encode_data(data, encoder)
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        from scipy import interpolate

        state = node.state
        t, c, k, ext = decoder.own(state["t"]), decoder.own(state["c"]), state["k"], state["ext"]
        _check(t, c, k, ext)
        if state["kind"] not in _KINDS or state["then"] not in (None, *_KINDS):
            raise ValueError("the content is not a smoothing spline")
        found: Any = object.__new__(getattr(interpolate, state["kind"]))
        found.ext, found._eval_args = ext, (t, c, k)
        if state["then"] is not None:
            found._spline_class = getattr(interpolate, state["then"])
        if state["data"] is not None:
            found._data = _data(state["data"], t, c, k, decoder)
        return found


def _encode_data(data: Any, encoder: Encoder) -> Value:
    """The points, the smoothing and the outcome; nothing of a derivative, which was fitted to none."""
    if data[0] is None:
        return []
    given, smoothing = [*data[:3], float(data[3]), float(data[4]), int(data[5])], float(data[_SMOOTHING])
    encoder.check(_check_data, given, smoothing)
    arrays = [encoder.own(array, name) for name, array in zip("xyw", given[:3], strict=True)]
    numbers = [encoder(number) for number in (*given[3:], smoothing, float(data[10]))]
    return [*arrays, *numbers, int(data[13]), data[11] is not None]


def _data(state: Any, t: Any, c: Any, k: int, decoder: Decoder) -> tuple[Any, ...]:
    """What FITPACK returned when it fitted the spline; without points, what a derivative has."""
    if state == []:
        return (*[None] * 5, k, None, len(t), t, c, *[None] * 4)
    *arrays, begin, end, degree, smoothing, error, outcome, goes_on = state
    begin, end, smoothing, error = map(decoder, (begin, end, smoothing, error))
    given = [*map(decoder.own, arrays), begin, end, degree]
    _check_data(given, smoothing)
    if type(outcome) is not int or type(error) is not float or type(goes_on) is not bool:
        raise ValueError("the outcome of the fit is missing")
    work: tuple[Any, ...] = (None, None)
    cost = _cost(len(given[0]), smoothing)
    if goes_on and 2 * cost <= decoder.budget.steps:  # what is left must do for the rest of the file
        decoder.budget.charge(8 * given[0].nbytes, cost)
        again = _fitted(given, smoothing)
    else:
        again = None
    if again is not None:
        n = again[_COUNT]
        if n == len(t) and np.array_equal(again[8][:n], t) and np.array_equal(again[9][:n], c[:n]):
            return tuple(again)
    if goes_on:
        warn(
            f"a spline of {len(given[0]):,} points was not fitted again, as that takes long or gives "
            "other bits here: it is what was saved, but set_smoothing_factor may come to another result; "
            "load it with a higher limit= to smooth it further"
        )
    return (*given, smoothing, len(t), t, c, error, *work, outcome)


def _cost(count: int, smoothing: float) -> int:
    """The steps of a fit, at most: FITPACK may add a knot for each point, and fits them all after each time;
    measured with a smoothing of almost nothing. Without smoothing, it knows all knots before it begins."""
    return 200 * count + (3 * count**2 if smoothing > 0 else 0)


def _fitted(given: list[Any], smoothing: float) -> Any:
    """The same, from a new fit; None if there can be none."""
    import warnings

    from scipy.interpolate import UnivariateSpline

    x, y, weights, begin, end, k = given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made: Any = UnivariateSpline(x, y, weights, [begin, end], k, smoothing)
        except ValueError:
            return None
    return made._data


CODECS: tuple[Codec, ...] = (SmoothingCodec(),)
