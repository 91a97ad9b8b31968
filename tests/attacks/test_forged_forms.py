"""Forged states of patterns, loggers, getters, locks, derived classes, interpolators and distributions: each
is refused, and the same object is refused when it is saved."""

from __future__ import annotations

import logging
import operator
import re
import threading
from collections import UserDict, UserList
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from equality import assert_same
from forging import dump_unchecked, forged
from saver.opening import open_file
from saver.tree import Node, Value

pytest.importorskip("scipy")
from scipy import interpolate, spatial, stats

pytestmark = pytest.mark.filterwarnings("ignore")

X = np.linspace(0, 1, 8)
POINTS = np.random.default_rng(0).random((9, 2))


def loaded(obj: Any, change: Callable[[Any], Value], folder: Path, **options: Any) -> Any:
    """What loads after `change` gave the node of `obj` another state."""
    saver.dump(obj, folder / "m.saver")
    opened = open_file(folder / "m.saver")
    root: Any = opened.trees["model"].root
    root.state = change(root.state)
    return forged(opened).load(options.get("trust", ()))


class Derived(dict[Any, Any]):
    pass


class Letters(str):
    pass


STATES: dict[str, tuple[Callable[[], Any], Callable[[Any], Value]]] = {
    "a pattern that prints": (lambda: re.compile("a"), lambda s: ["a", int(re.DEBUG)]),
    "a pattern with flags of its own": (lambda: re.compile("a"), lambda s: ["a", 1 << 20]),
    "flags that are text": (lambda: re.compile("a"), lambda s: ["a", "i"]),
    "a pattern that is not one": (lambda: re.compile("a"), lambda s: ["(", 32]),
    "a pattern that is a number": (lambda: re.compile("a"), lambda s: [1, 32]),
    "a slow pattern": (lambda: re.compile("a"), lambda s: ["[\u0100-\uffff]" * 30, 34]),
    "a pattern slow by alternatives": (lambda: re.compile("a"), lambda s: ["a" * 30_000 + "|a", 32]),
    "a pattern that is nested": (lambda: re.compile("a"), lambda s: ["(" * 5000 + ")" * 5000, 32]),
    "a logger of a long name": (lambda: logging.getLogger("a"), lambda s: "a." * 200),
    "a logger of a number": (lambda: logging.getLogger("a"), lambda s: 5),
    "an adapter of something else": (
        lambda: logging.LoggerAdapter(logging.getLogger("a"), None), lambda s: [s[0], "text"]
    ),
    "an adapter that merges half": (
        lambda: logging.LoggerAdapter(logging.getLogger("a"), None), lambda s: [*s, "half"]
    ),
    "an address of a long text": (
        lambda: __import__("ipaddress").ip_address("::1"), lambda s: [s[0], "1" * 10_000]
    ),
    "another class than an address": (
        lambda: __import__("ipaddress").ip_address("::1"), lambda s: ["os", s[1]]
    ),
    "a getter of nothing": (lambda: operator.itemgetter(1), lambda s: [s[0], Node("tuple", state=[])]),
    "a getter of another kind": (lambda: operator.itemgetter(1), lambda s: ["methodcaller", s[1]]),
    "a getter of what Python hides": (
        lambda: operator.attrgetter("a"), lambda s: [s[0], Node("tuple", state=["__class__"])]
    ),
    "a getter of what a library hides": (
        lambda: operator.attrgetter("a"), lambda s: [s[0], Node("tuple", state=["a._b"])]
    ),
    "a dict of a user that is a list": (
        lambda: UserDict(a=1), lambda s: [s[0], {"data": Node("list", state=[])}]
    ),
    "a list of a user without one": (lambda: UserList([1]), lambda s: [s[0], {}]),
    "a record of another class": (lambda: UserDict(a=1), lambda s: ["Popen", s[1]]),
    "a record whose method is replaced": (lambda: UserDict(a=1), lambda s: [s[0], {**s[1], "keys": 1}]),
    "a polynomial of text": (lambda: np.poly1d([1, 2]), lambda s: ["text", "x"]),
    "a series without a window": (
        lambda: np.polynomial.Polynomial([1, 2]), lambda s: {**s, "window": s["coef"], "symbol": "a b"}
    ),
    "a derived dict of a list": (Derived, lambda s: ["list", [], {}]),
    "a derived dict whose method is replaced": (Derived, lambda s: [s[0], s[1], {"items": 1}]),
    "a derived text of a number": (lambda: Letters("a"), lambda s: [s[0], 5, {}]),
    "a distribution that is not one": (lambda: stats.dirichlet, lambda s: ["norm", True, None]),
    "a distribution with another generator": (lambda: stats.dirichlet, lambda s: [s[0], False, "generator"]),
    "a frozen distribution of another one": (
        lambda: stats.dirichlet([1.0, 2.0]),
        lambda s: [s[0], {**s[1], "_dist": Node("scipy.multivariate", state=["wishart", True, None])}],
    ),
    "a frozen distribution that brings one": (
        lambda: stats.multinomial(5, [0.2, 0.8]),
        lambda s: [
            s[0], {**s[1], "_dist": Node("scipy.multivariate", state=["multinomial", True, None])}, s[2]
        ],
    ),
    "a triangulation that closes something when it is dropped": (
        lambda: spatial.Delaunay(POINTS), lambda s: [s[0], {**s[1], "_qhull": 1}]
    ),
    "an interpolator of another class": (lambda: interpolate.AAA(X, X), lambda s: ["Rbf", s[1]]),
    "a grid whose method is replaced": (
        lambda: interpolate.RegularGridInterpolator((X,), X), lambda s: [s[0], {**s[1], "_prepare_xi": 1}]
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", STATES)
def test_a_forged_state_is_refused(what: str, tmp_path: Path) -> None:
    make, change = STATES[what]
    with pytest.raises(saver.IncompatibleError):
        loaded(make(), change, tmp_path, trust=[f"{__name__}.*"])


def test_a_forged_lock_is_refused(tmp_path: Path) -> None:
    saver.register(threading.Semaphore)
    numbers = (["Semaphore", -1], ["Semaphore", 0], ["Semaphore", "a"], ["Semaphore", 1, 2])
    barriers = (["Barrier", 0, None], ["Barrier", 2, -1], ["Barrier", 2, "a"], ["Barrier", 2])
    for state in (["Thread"], *numbers, *barriers, ["Condition", 1], ["Lock", 1]):
        with pytest.raises(saver.IncompatibleError):
            loaded(threading.Semaphore(), lambda was, state=state: state, tmp_path)  # type: ignore[misc]


def test_a_frozen_distribution_does_not_change_the_one_that_scipy_exports(tmp_path: Path) -> None:
    before = dict(vars(stats.multinomial))
    made = stats.multinomial(5, [0.2, 0.8])
    made._dist._random_state = np.random.default_rng(0)
    saver.dump(made, tmp_path / "m.saver")
    saver.load(tmp_path / "m.saver")
    assert vars(stats.multinomial) == before


def grid(**changes: Any) -> Any:
    return changed(interpolate.RegularGridInterpolator((X, X), np.outer(X, X)), **changes)


def rbf(**changes: Any) -> Any:
    return changed(interpolate.RBFInterpolator(POINTS, POINTS[:, 0]), **changes)


def near(**changes: Any) -> Any:
    return changed(interpolate.RBFInterpolator(POINTS, POINTS[:, 0], neighbors=4), **changes)


def surface(**changes: Any) -> Any:
    return changed(interpolate.RectBivariateSpline(X, X, np.outer(X, X)), **changes)


def triangles(**changes: Any) -> Any:
    return changed(spatial.Delaunay(POINTS), **changes)


def line(**changes: Any) -> Any:
    return changed(interpolate.CloughTocher2DInterpolator(POINTS, POINTS[:, 0]), **changes)


def smooth(**changes: Any) -> Any:
    return changed(interpolate.UnivariateSpline(X, X), **changes)


def fitted_to(at: int, bad: float) -> Any:
    """A spline with such a number in its points, weights or interval, or as its smoothing."""
    data = list(smooth()._data)
    if at < 3:
        data[at] = data[at].copy()
        data[at][3] = bad
    else:
        data[at] = bad
    return smooth(_data=tuple(data))


def table(**changes: Any) -> Any:
    return changed(stats.random_table([1, 2], [2, 1]), **changes)


def changed(obj: Any, **changes: Any) -> Any:
    vars(obj).update(changes)
    return obj


SIMPLICES = spatial.Delaunay(POINTS).simplices
T, C, K = interpolate.UnivariateSpline(X, X)._eval_args
TX, TY, TC = interpolate.RectBivariateSpline(X, X, np.outer(X, X)).tck
SUMS = np.array([1, 2])

WRAPPED = np.array([2**62] * 4 + [3])
BOUNDS, BESIDE = spatial.Delaunay(POINTS).vertex_neighbor_vertices


def simplex(axes: int) -> Any:
    """A triangulation of one simplex."""
    return triangles(
        _points=np.eye(axes + 1, axes), npoints=axes + 1, ndim=axes, nsimplex=1,
        simplices=np.arange(axes + 1, dtype=np.int32)[None], neighbors=np.full((1, axes + 1), -1, np.int32),
        equations=np.zeros((1, axes + 2)), min_bound=np.zeros(axes), max_bound=np.ones(axes),
        coplanar=np.zeros((0, 3), np.int32), _transform=None, _vertex_to_simplex=None,
        _vertex_neighbor_vertices=None,
    )  # fmt: skip


UNSOUND: list[Callable[[], Any]] = [
    lambda: grid(_grid=(X,) * 3), lambda: grid(_grid=(X[::-1].copy(), X)), lambda: grid(_grid=[X, X]),
    lambda: grid(_grid=(X, X[:-1].copy())), lambda: grid(_values=np.zeros((8, 7))),
    lambda: grid(method="other"),
    lambda: grid(_values=np.zeros((8, 8), object)), lambda: grid(fill_value="text"),
    lambda: grid(bounds_error=1), lambda: grid(_spline=spatial.Delaunay(POINTS)),
    lambda: rbf(y=POINTS[:5].copy()), lambda: rbf(powers=np.zeros((3, 1), np.int64)),
    lambda: rbf(powers=-np.ones((3, 2), np.int64)), lambda: rbf(_shift=np.zeros(1)),
    lambda: rbf(_coeffs=np.zeros((2, 1))), lambda: rbf(kernel="other"), lambda: rbf(smoothing=np.zeros(2)),
    lambda: rbf(d=np.zeros((9, 1), np.float32)), lambda: rbf(d_shape=(5,)), lambda: rbf(epsilon="a"),
    lambda: near(neighbors=50), lambda: near(neighbors=0), lambda: near(_tree=spatial.KDTree(POINTS[:4])),
    lambda: near(_tree=None), lambda: near(_tree=stats.dirichlet),
    lambda: surface(tck=(TX[::-1].copy(), TY, TC)), lambda: surface(tck=(TX, TY, TC[:-1].copy())),
    lambda: surface(degrees=(9, 3)), lambda: surface(degrees=(3,)),
    lambda: surface(tck=(TX[:4].copy(), TY, TC)),
    lambda: triangles(simplices=SIMPLICES + 9), lambda: triangles(simplices=SIMPLICES - 9),
    lambda: triangles(neighbors=np.full_like(SIMPLICES, 10**6)), lambda: triangles(npoints=10**6),
    lambda: triangles(nsimplex=10**6), lambda: triangles(_transform=np.zeros((1, 3, 2))),
    lambda: triangles(neighbors=SIMPLICES[:2].copy()), lambda: triangles(equations=np.zeros((1, 4))),
    lambda: triangles(_vertex_to_simplex=np.full(9, 10**6, np.int32)), lambda: triangles(ndim=9),
    lambda: triangles(_points=POINTS[:4].copy()), lambda: triangles(min_bound=np.zeros(1)),
    lambda: triangles(paraboloid_scale="a"), lambda: triangles(coplanar=np.zeros((1, 1), np.int32)),
    lambda: line(values=np.zeros((2, 1))), lambda: line(grad=np.zeros((9, 1, 1))), lambda: line(tri=None),
    lambda: line(points=POINTS[:3].copy()), lambda: line(is_complex=True), lambda: line(values_shape=(7,)),
    lambda: line(scale=np.zeros(1)), lambda: line(tri=stats.dirichlet), lambda: line(fill_value="a"),
    lambda: smooth(_eval_args=(T[::-1].copy(), C, K)), lambda: smooth(_eval_args=(T, C[:2].copy(), K)),
    lambda: smooth(_eval_args=(T, C, 40)), lambda: smooth(ext=9), lambda: smooth(_eval_args=(T, C, 0)),
    lambda: smooth(_data=(X[:3].copy(), X, *smooth()._data[2:])),
    *(
        lambda at=at, bad=bad: fitted_to(at, bad)  # type: ignore[misc]
        for at in range(5) for bad in (np.nan, np.inf, -np.inf)
    ),
    lambda: fitted_to(6, np.nan),
    lambda: table(_params=(SUMS, SUMS * 9, np.int64(3))), lambda: table(_params=(-SUMS, -SUMS, np.int64(-3))),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS, BESIDE + 9)),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS, BESIDE - 9)),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS * 9, BESIDE)),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS[::-1].copy(), BESIDE)),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS[:-1].copy(), BESIDE)),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS.astype(np.int64), BESIDE)),
    lambda: triangles(_vertex_neighbor_vertices=(BOUNDS,)), lambda: triangles(_vertex_neighbor_vertices=()),
    lambda: simplex(1), lambda: simplex(17), lambda: simplex(32), lambda: simplex(100), lambda: simplex(400),
    lambda: table(_params=(WRAPPED, WRAPPED, np.int64(3))),
    lambda: table(_params=(SUMS, WRAPPED, np.int64(3))),
    lambda: table(_params=(WRAPPED, SUMS, np.int64(3))), lambda: table(_params=(SUMS, SUMS, 3.7)),
    lambda: table(_params=(SUMS, SUMS, np.float64(3))), lambda: table(_params=(SUMS, SUMS, "3")),
    lambda: table(_params=(SUMS, SUMS, np.int64(10**6))), lambda: table(_params=(SUMS, [2, 1], np.int64(3))),
]  # fmt: skip
"""Objects that SciPy would not make, with which its compiled code would read past the end of arrays, or that
call another object than they should."""


@pytest.mark.parametrize("number", range(len(UNSOUND)))
def test_what_compiled_code_would_trust_is_refused_on_both_sides(number: int, tmp_path: Path) -> None:
    made = UNSOUND[number]()
    with pytest.raises(saver.CannotSaveError):
        saver.dump(made, tmp_path / "m.saver")
    dump_unchecked(made, tmp_path / "m.saver")
    with pytest.raises(saver.IncompatibleError):
        saver.load(tmp_path / "m.saver")


def test_what_a_triangulation_computes_later_comes_back(tmp_path: Path) -> None:
    made = spatial.Delaunay(POINTS)
    expected = [made.vertex_neighbor_vertices, made.vertex_to_simplex, made.transform]
    saver.dump([made, made.vertex_neighbor_vertices[1]], tmp_path / "m.saver")
    found, beside = saver.load(tmp_path / "m.saver")
    assert_same([found.vertex_neighbor_vertices, found.vertex_to_simplex, found.transform], expected)
    assert not np.shares_memory(found.vertex_neighbor_vertices[1], beside)


def test_checked_arrays_are_the_objects_own(tmp_path: Path) -> None:
    made = spatial.Delaunay(POINTS)
    saver.dump({"tri": made, "same": made.simplices}, tmp_path / "m.saver")
    found = saver.load(tmp_path / "m.saver")
    assert not np.shares_memory(found["tri"].simplices, found["same"])
