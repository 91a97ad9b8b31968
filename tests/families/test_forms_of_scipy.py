"""Every interpolator and every distribution of SciPy comes back, and gives the same bits."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest

import saver
from saver.testing.codecs import bytes_of

pytest.importorskip("scipy")
from scipy import interpolate, spatial, stats
from scipy.stats._distr_params import distcont, distdiscrete
from scipy.stats._multivariate import multi_rv_generic

pytestmark = pytest.mark.filterwarnings("ignore")

RANDOM = np.random.default_rng(0)
X = np.linspace(0, 1, 12)
Y = np.sin(5 * X)
GRID = np.outer(Y, X + 1)
POINTS = RANDOM.random((20, 2))
VALUES = POINTS.sum(1)
SPREAD = (np.repeat(X, 12), np.tile(X, 12), GRID.ravel())
SPHERE = (np.linspace(0.1, 3, 12), np.linspace(0, 6, 12))
KNOTS = np.array([0, 0, 0, 0, 0.5, 1, 1, 1, 1.0])
ASKED = np.array([[0.3, 0.4], [0.05, 0.9], [0.5, 0.5]])

LINE: Callable[[Any], Any] = lambda it: it(ASKED[:, 0])  # noqa: E731
PLANE: Callable[[Any], Any] = lambda it: it(ASKED)  # noqa: E731
PAIRS: Callable[[Any], Any] = lambda it: it.ev(*(ASKED.T + 0.2))  # noqa: E731

INTERPOLATORS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "AAA": (lambda: interpolate.AAA(X, Y), LINE),
    "Akima1DInterpolator": (lambda: interpolate.Akima1DInterpolator(X, Y), LINE),
    "BPoly": (lambda: interpolate.BPoly(np.ones((3, 4)), np.arange(5.0)), LINE),
    "BPoly along an axis": (
        lambda: interpolate.BPoly(RANDOM.random((2, 3, 4, 5)), np.arange(5.0), axis=1),
        LINE,
    ),
    "BSpline": (lambda: interpolate.make_interp_spline(X, Y), LINE),
    "BarycentricInterpolator": (lambda: interpolate.BarycentricInterpolator(X, Y), LINE),
    "CloughTocher2DInterpolator": (lambda: interpolate.CloughTocher2DInterpolator(POINTS, VALUES), PLANE),
    "CubicHermiteSpline": (lambda: interpolate.CubicHermiteSpline(X, Y, Y), LINE),
    "CubicSpline": (lambda: interpolate.CubicSpline(X, Y), LINE),
    "FloaterHormannInterpolator": (lambda: interpolate.FloaterHormannInterpolator(X, Y), LINE),
    "InterpolatedUnivariateSpline": (lambda: interpolate.InterpolatedUnivariateSpline(X, Y), LINE),
    "KroghInterpolator": (lambda: interpolate.KroghInterpolator(X, Y), LINE),
    "LSQBivariateSpline": (lambda: interpolate.LSQBivariateSpline(*SPREAD, [0.5], [0.5]), PAIRS),
    "LSQSphereBivariateSpline": (
        lambda: interpolate.LSQSphereBivariateSpline(
            np.repeat(SPHERE[0], 12), np.tile(SPHERE[1], 12), GRID.ravel() + 1, [1.0, 2.0], [1.0, 2.0, 3.0]
        ),
        PAIRS,
    ),
    "LSQUnivariateSpline": (lambda: interpolate.LSQUnivariateSpline(X, Y, [0.3, 0.6]), LINE),
    "LinearNDInterpolator": (lambda: interpolate.LinearNDInterpolator(POINTS, VALUES * 1j), PLANE),
    "NdBSpline": (lambda: interpolate.NdBSpline((KNOTS, KNOTS), RANDOM.random((5, 5)), 3), PLANE),
    "NdPPoly": (lambda: interpolate.NdPPoly(RANDOM.random((2, 2, 1, 1)), ([0, 1.0], [0, 1.0])), PLANE),
    "NearestNDInterpolator": (lambda: interpolate.NearestNDInterpolator(POINTS, VALUES), PLANE),
    "PPoly": (lambda: interpolate.PPoly(np.ones((3, 4)), np.arange(5.0)), LINE),
    "PchipInterpolator": (lambda: interpolate.PchipInterpolator(X, Y), LINE),
    "RBFInterpolator": (lambda: interpolate.RBFInterpolator(POINTS, VALUES), PLANE),
    "RectBivariateSpline": (lambda: interpolate.RectBivariateSpline(X, X, GRID), PAIRS),
    "RectSphereBivariateSpline": (lambda: interpolate.RectSphereBivariateSpline(*SPHERE, GRID), PAIRS),
    "RegularGridInterpolator": (lambda: interpolate.RegularGridInterpolator((X, X), GRID), PLANE),
    "SmoothBivariateSpline": (lambda: interpolate.SmoothBivariateSpline(*SPREAD), PAIRS),
    "SmoothSphereBivariateSpline": (
        lambda: interpolate.SmoothSphereBivariateSpline(
            POINTS[:, 0] * 3 + 0.05, POINTS[:, 1] * 6, VALUES, s=20.0
        ),
        PAIRS,
    ),
    "UnivariateSpline": (lambda: interpolate.UnivariateSpline(X, Y, s=0.1), LINE),
    "interp1d": (lambda: interpolate.interp1d(X, Y, kind="cubic"), LINE),
    "many values": (lambda: interpolate.RegularGridInterpolator((X, X), np.stack([GRID, -GRID], -1)), PLANE),
    "descending": (lambda: interpolate.RegularGridInterpolator((X[::-1], X), GRID), PLANE),
    **{
        method: (lambda method=method: interpolate.RegularGridInterpolator((X, X), GRID, method), PLANE)
        for method in ("nearest", "slinear", "cubic", "quintic", "pchip")
    },
    **{
        kernel: (
            lambda kernel=kernel: interpolate.RBFInterpolator(POINTS, VALUES, 9, 0.1, kernel, 2.0),
            PLANE,
        )
        for kernel in ("linear", "cubic", "quintic", "multiquadric", "gaussian", "inverse_quadratic")
    },
    "of complex numbers": (lambda: interpolate.RBFInterpolator(POINTS, VALUES * 1j), PLANE),
    "triangles": (lambda: spatial.Delaunay(POINTS), lambda it: it.find_simplex(ASKED)),
}
NOT_SAVED = {
    "BivariateSpline": "cannot be made",
    "Rbf": "use RBFInterpolator",
    "interp2d": "removed",
    "pchip": "",
}


def again(obj: Any) -> Any:
    return saver.loads(saver.dumps({"x": obj}))["x"]


@pytest.mark.parametrize("name", INTERPOLATORS)
def test_an_interpolator_gives_the_same_bits(name: str) -> None:
    make, ask = INTERPOLATORS[name]
    if name in ("AAA", "FloaterHormannInterpolator") and not hasattr(interpolate, name):
        pytest.skip(f"this version of SciPy has no {name}")
    made = make()
    found = again(made)
    assert type(found) is type(made)
    assert bytes_of(found) == bytes_of(made)
    assert np.asarray(ask(found)).tobytes() == np.asarray(ask(made)).tobytes()
    assert np.asarray(ask(again(made))).tobytes() == np.asarray(ask(made)).tobytes()  # once it was used


def test_every_interpolator_is_tried() -> None:
    classes = {name for name, each in vars(interpolate).items() if inspect.isclass(each) and name[0] != "_"}
    assert classes == {name for name in INTERPOLATORS if name in classes} | (classes & NOT_SAVED.keys())
    with pytest.raises(saver.CannotSaveError, match="use RBFInterpolator"):
        saver.dumps(interpolate.Rbf(X, X, Y))


def test_a_spline_can_be_smoothed_further() -> None:
    made = interpolate.UnivariateSpline(X, Y, s=0.5)
    found = again(made)
    for each in (made, found):
        each.set_smoothing_factor(0.01)
    assert found(X).tobytes() == made(X).tobytes()
    assert found.get_residual() == made.get_residual()


def test_a_spline_whose_fit_may_take_long_is_fitted_again_only_within_the_limit() -> None:
    x = np.linspace(0, 1, 2000)
    made = interpolate.UnivariateSpline(x, np.sin(5 * x), s=0.1)
    if made._data[11] is None:
        pytest.skip("this SciPy keeps nothing to go on from, so there is nothing to fit again")
    data = saver.dumps(made)
    never = mock.patch.object(interpolate.UnivariateSpline, "__init__", side_effect=AssertionError)
    with never, pytest.warns(RuntimeWarning, match=r"a spline of 2,000 points.*load it with a higher limit="):
        found = saver.loads(data)
    assert found(x).tobytes() == made(x).tobytes()
    longer = saver.loads(data, limit=1 << 30)
    for each in (made, longer):
        each.set_smoothing_factor(0.01)
    assert longer(x).tobytes() == made(x).tobytes()


def test_derivatives_of_splines_come_back() -> None:
    made = interpolate.UnivariateSpline(X, Y, s=0.1).derivative()
    assert again(made)(X).tobytes() == made(X).tobytes()
    surface = interpolate.RectBivariateSpline(X, X, GRID)
    assert again(surface)(X, X, dx=1).tobytes() == surface(X, X, dx=1).tobytes()


UNIVARIATE = [(name, shapes) for name, shapes in distcont + distdiscrete if isinstance(name, str)]


@pytest.mark.parametrize(
    ("name", "shapes"), UNIVARIATE, ids=[f"{n}-{i}" for i, (n, _) in enumerate(UNIVARIATE)]
)
def test_a_frozen_distribution_comes_back(name: str, shapes: tuple[Any, ...]) -> None:
    made = getattr(stats, name)(*shapes, loc=1)
    found = again(made)
    assert type(found) is type(made)
    assert (found.args, found.kwds, found.dist.name) == (made.args, made.kwds, made.dist.name)
    assert found.support() == made.support()
    assert again(getattr(stats, name)) is getattr(stats, name)


EYE = np.eye(2)
MULTIVARIATE: dict[str, tuple[Any, ...]] = {
    "dirichlet": ([1.0, 2.0],),
    "dirichlet_multinomial": ([1.0, 2.0], 4),
    "invwishart": (5, EYE),
    "matrix_normal": (np.zeros((2, 2)),),
    "matrix_t": (np.zeros((2, 2)), EYE, EYE, 3),
    "multinomial": (5, [0.2, 0.8]),
    "multivariate_hypergeom": ([3, 4], 5),
    "multivariate_normal": ([0.0, 1.0], [[2.0, 0.3], [0.3, 1.0]]),
    "multivariate_t": ([0.0, 1.0], EYE, 3),
    "normal_inverse_gamma": (0, 1, 1, 1),
    "ortho_group": (3,),
    "random_correlation": ([0.5, 1.5],),
    "random_table": ([1, 2], [2, 1]),
    "special_ortho_group": (3,),
    "uniform_direction": (3,),
    "unitary_group": (3,),
    "vonmises_fisher": ([1.0, 0.0], 2),
    "wishart": (5, EYE),
}


def test_every_multivariate_distribution_is_tried() -> None:
    names = {name for name, each in vars(stats).items() if isinstance(each, multi_rv_generic)}
    assert names <= MULTIVARIATE.keys()


@pytest.mark.parametrize("name", [name for name in MULTIVARIATE if hasattr(stats, name)])
@pytest.mark.parametrize("seeded", [False, True])
def test_a_multivariate_distribution_draws_the_same(name: str, seeded: bool) -> None:
    exported = getattr(stats, name)
    assert again(exported) is exported
    made = exported(*MULTIVARIATE[name])
    if seeded:
        made._dist._random_state = np.random.default_rng(3)
    found = again(made)
    assert type(found) is type(made)
    assert found._dist is not exported
    draws = []
    for each in (made, found):
        np.random.seed(0)
        draws.append(np.asarray(each.rvs() if hasattr(each, "rvs") else each.mean()))
    assert draws[0].tobytes() == draws[1].tobytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda: stats.Covariance.from_diagonal([1.0, 2.0]), lambda: stats.Covariance.from_precision(EYE),
        lambda: stats.Covariance.from_cholesky(EYE),
        lambda: stats.Covariance.from_eigendecomposition(np.linalg.eigh(EYE)),
    ],
)  # fmt: skip
def test_a_covariance_comes_back(make: Callable[[], Any]) -> None:
    made = make()
    normal = again(stats.multivariate_normal([0.0, 1.0], made))
    assert normal.pdf([0.5, 0.5]) == stats.multivariate_normal([0.0, 1.0], made).pdf([0.5, 0.5])
    assert again(made).covariance.tobytes() == made.covariance.tobytes()


def test_a_parameterization_comes_back() -> None:
    made = stats.levy_stable(1.8, 0.5)
    made.dist.parameterization = "S0"
    assert again(made).dist.parameterization == "S0"
    assert stats.levy_stable.parameterization == "S1"
