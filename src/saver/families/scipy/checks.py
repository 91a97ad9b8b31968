"""What compiled code of SciPy relies on in the objects that it is given."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from saver.codec import is_array, shown

Fields = Mapping[str, Any]

_KERNELS = (
    "linear", "thin_plate_spline", "cubic", "quintic", "multiquadric", "inverse_multiquadric",
    "inverse_quadratic", "gaussian",
)  # fmt: skip
_WAYS = ("linear", "nearest", "slinear", "cubic", "quintic", "pchip")


def nothing(fields: Fields) -> None:
    """Nothing is relied on: it is all Python and NumPy."""


def _is(array: Any, shape: tuple[int, ...], dtypes: tuple[Any, ...] = (np.float64,)) -> bool:
    """Whether it is an array of this shape, where -1 stands for any size, and of one of these dtypes."""
    return (
        is_array(array)
        and array.dtype in dtypes
        and array.dtype.isnative
        and array.flags.c_contiguous
        and array.ndim == len(shape)
        and all(want in (-1, size) for want, size in zip(shape, array.shape, strict=True))
    )


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _is_shape(shape: Any) -> bool:
    """Whether it is a shape that an array can have."""
    return type(shape) is tuple and len(shape) <= 64 and all(type(n) is int and 0 <= n < 2**63 for n in shape)


def _increases(array: Any, *, strictly: bool) -> bool:
    steps = array[1:] - array[:-1]
    return bool(np.isfinite(array).all() and (np.all(steps > 0) if strictly else np.all(steps >= 0)))


def check_grid(fields: Fields) -> None:
    """Of a `RegularGridInterpolator`: the points of each axis, and a value at each."""
    own = "_" if "_grid" in fields else ""  # SciPy 1.13 has no properties in front of them
    grid, values = fields[f"{own}grid"], fields[f"{own}values"]
    _require(type(grid) is tuple and len(grid) > 0, "the grid is not a tuple of axes")
    for axis in grid:
        _require(_is(axis, (-1,)) and len(axis) > 0, "an axis of the grid is not an array of float64")
        _require(_increases(axis, strictly=True), "the points of an axis do not increase")
    sizes = tuple(map(len, grid))
    _require(is_array(values) and values.dtype.kind in "fc", "the values are not an array of numbers")
    _require(
        values.shape[: len(grid)] == sizes, f"values of shape {values.shape} do not fit the grid {sizes}"
    )
    _require(fields["method"] in _WAYS, f"the method is {shown(fields['method'])}")
    _require(type(fields["bounds_error"]) is bool, "bounds_error is neither true nor false")
    _check_fill(fields["fill_value"])


def _check_fill(value: Any) -> None:
    number = isinstance(value, (int, float, complex, np.generic, type(None)))
    _require(number or (is_array(value) and value.dtype.kind in "biufc"), "the fill value is not a number")


def check_rbf(fields: Fields) -> None:
    """Of an `RBFInterpolator`: points, data, and the coefficients of both kinds of terms."""
    points, data, powers = fields["y"], fields["d"], fields["powers"]
    _require(_is(points, (-1, -1)), "the points are not an array of float64")
    count, axes = points.shape
    _require(_is(data, (count, -1)), "the data do not fit the points")
    _require(_is(fields["smoothing"], (count,)), "the smoothing does not fit the points")
    _require(_is(powers, (-1, axes), (np.int64,)), "the powers do not fit the points")
    _require(bool(np.all(powers >= 0)), "a power is negative")
    _require(fields["kernel"] in _KERNELS, f"the kernel is {shown(fields['kernel'])}")
    _require(isinstance(fields["epsilon"], (int, float)), "epsilon is not a number")
    shape = fields["d_shape"]
    _require(_is_shape(shape), "d_shape is not a shape")
    _require(data.shape[1] in (prod(shape), 2 * prod(shape)), "the data do not have the shape d_shape")
    near = fields["neighbors"]
    if near is None:
        terms = (count + len(powers), data.shape[1])
        fits = _is(fields["_shift"], (axes,)) and _is(fields["_scale"], (axes,))
        coefficients = fields["_coeffs"]
        shaped = is_array(coefficients) and coefficients.dtype == np.float64 and coefficients.shape == terms
        _require(fits and shaped, "the coefficients do not fit the points")
        return
    _require(
        isinstance(near, (int, np.integer)) and 0 < near <= count, f"the number of neighbors is {shown(near)}"
    )
    tree = fields["_tree"]
    _require(tree is not None and (tree.n, tree.m) == points.shape, "the search tree has other points")


def check_surface(fields: Fields) -> None:
    """Of a spline of two variables: knots, coefficients, degrees."""
    degrees, (first, second, coefficients) = fields["degrees"], fields["tck"]
    _require(type(degrees) is tuple and len(degrees) == 2, "a surface has two degrees")
    counts = []
    for knots, degree in zip((first, second), degrees, strict=True):
        _require(_is(knots, (-1,)) and _increases(knots, strictly=False), "knots are missing or not in order")
        _require(
            isinstance(degree, (int, np.integer)) and bool(1 <= degree <= 5), f"a degree is {shown(degree)}"
        )
        counts.append(len(knots) - int(degree) - 1)
        _require(bool(counts[-1] > degree), f"{len(knots)} knots are too few for the degree {degree}")
    _require(_is(coefficients, (-1,)) and len(coefficients) >= prod(counts), "coefficients are missing")


_INT = (np.int32,)

AXES = 16
"""Of a triangulation: SciPy's compiled code has room for some 32 axes on its stack, and does not look. Fewer
are practical: the number of simplices grows exponentially with the axes."""


def check_delaunay(fields: Fields) -> None:
    """Of a triangulation: the corners and the neighbors of its simplices."""
    points = fields["_points"]
    _require(_is(points, (-1, -1)) and points.size > 0, "the points are not an array of float64")
    count, axes = points.shape
    _require(2 <= axes <= AXES, f"a triangulation in {axes} dimensions; 2 to {AXES} are supported")
    _require((fields["npoints"], fields["ndim"]) == points.shape, "the number of points is another one")
    corners, near = fields["simplices"], fields["neighbors"]
    _require(_is(corners, (-1, axes + 1), _INT) and _is(near, (-1, axes + 1), _INT), "simplices are missing")
    many = len(corners)
    _require(len(near) == many == fields["nsimplex"] and many > 0, "the number of simplices is another one")
    _require(bool(np.all((corners >= 0) & (corners < count))), "a corner is not a point")
    _require(bool(np.all((near >= -1) & (near < many))), "a neighbor is not a simplex")
    _require(_is(fields["equations"], (many, axes + 2)), "the equations do not fit the simplices")
    _require(_is(fields["min_bound"], (axes,)) and _is(fields["max_bound"], (axes,)), "bounds are missing")
    _require(_is(fields["coplanar"], (-1, 3), _INT), "the coplanar points are not an array of indices")
    for name in ("paraboloid_scale", "paraboloid_shift"):
        _require(isinstance(fields[name], float), f"{name} is not a number")
    _check_made(fields, many, count, axes)


def _check_made(fields: Fields, many: int, count: int, axes: int) -> None:
    """What a triangulation computes on first use."""
    made = fields["_transform"]
    _require(made is None or _is(made, (many, axes + 1, axes)), "the transform does not fit the simplices")
    home = fields["_vertex_to_simplex"]
    fits = home is None or (_is(home, (count,), _INT) and bool(np.all((home >= -1) & (home < many))))
    _require(fits, "a point lies in no simplex")
    beside = fields["_vertex_neighbor_vertices"]
    _require(beside is None or _are_rows(beside, count), "the neighbors of points are not points")


def _are_rows(pair: Any, count: int) -> bool:
    """Whether these are the bounds and the entries of `count` rows of indices below `count`."""
    if type(pair) is not tuple or len(pair) != 2:
        return False
    bounds, entries = pair
    if not (_is(bounds, (count + 1,), _INT) and _is(entries, (-1,), _INT)):
        return False
    in_order = bounds[0] == 0 and bounds[-1] == len(entries) and np.all(bounds[1:] >= bounds[:-1])
    return bool(in_order and np.all((entries >= 0) & (entries < count)))


def check_triangulated(fields: Fields) -> None:
    """Of an interpolator on a triangulation: a value, and maybe a gradient, at each of its points."""
    tri, points, values = fields["tri"], fields["points"], fields["values"]
    _require(tri is not None, "the triangulation is missing")
    _require(_is(points, (tri.npoints, tri.ndim)), "the points are not those of the triangulation")
    kinds = (np.complex128,) if fields["is_complex"] else (np.float64,)
    _require(_is(values, (tri.npoints, -1), kinds), "the values do not fit the points")
    shape = fields["values_shape"]
    _require(_is_shape(shape) and prod(shape) == values.shape[1], "the values have another shape")
    scale = fields["scale"]
    _require(scale is None or _is(scale, (tri.ndim,)), "the scale does not fit the points")
    _check_fill(fields["fill_value"])
    if "grad" in fields:
        fits = tri.ndim == 2 and _is(fields["grad"], (tri.npoints, values.shape[1], 2), kinds)
        _require(fits, "the gradients do not fit the values")


def check_random_table(fields: Fields) -> None:
    """Of a frozen `random_table`: the sums of rows and columns, and of all."""
    rows, columns, total = fields["_params"]
    _require(isinstance(total, (int, np.integer)) and type(total) is not bool, "the total is not an integer")
    for sums in (rows, columns):
        _require(_is(sums, (-1,), (np.int64,)) and len(sums) > 0, "the sums are not an array of int64")
        exact = sum(sums.tolist())  # an array's own sum wraps around
        _require(bool(np.all(sums >= 0)) and exact == int(total), "the sums do not fit the total")
