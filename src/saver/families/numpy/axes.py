"""The order in which the axes of an array lie in memory.

It decides how BLAS rounds, so it comes back, as with `numpy.copy(order="K")`; gaps and directions do not.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from saver.rules import Broken
from saver.tree import Value


def order_of(array: NDArray[Any]) -> Value:
    """`"C"`, `"F"`, or the axes from the slowest to the fastest. Axes that repeat their elements, and those
    of one element, have no order of their own."""
    if array.flags.c_contiguous:
        return "C"
    if array.flags.f_contiguous:
        return "F"
    long = [axis for axis, size in enumerate(array.shape) if size > 1]
    if not array.size or not all(array.strides[axis] for axis in long):
        return "C"
    steps = sorted(long, key=lambda axis: -abs(array.strides[axis]))
    if steps == long:
        return "C"
    if steps == long[::-1]:
        return "F"
    axes = list(range(array.ndim))
    for place, axis in zip(long, steps, strict=True):
        axes[place] = axis
    return list[Value](axes)


def axes_of(order: Any, ndim: int) -> tuple[int, ...]:
    """The axes from the slowest to the fastest; C's order is not stored. Raises ValueError for what is not an
    order of `ndim` axes."""
    if order == "F":
        return tuple(reversed(range(ndim)))
    if type(order) is not list or not all(type(axis) is int for axis in order):
        raise Broken("3.13", f"{str(order)[:80]} is not an order of axes")
    if sorted(order) != list(range(ndim)):
        raise Broken("3.13", f"{str(order)[:80]} is not an order of {ndim} axes")
    return tuple(order)


def places(axes: tuple[int, ...]) -> tuple[int, ...]:
    """Where each axis is among `axes`: transposing by it undoes transposing by them."""
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))
