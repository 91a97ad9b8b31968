"""SciPy: sparse matrices of every format, distributions, interpolators, search trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("scipy")

import numpy as np
import scipy.interpolate
import scipy.optimize
import scipy.sparse
import scipy.spatial
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from equality import assert_same

Roundtrip = Callable[..., Any]
FORMATS = ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
pytestmark = pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")


def same_matrix(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    assert_same(a.toarray(), b.toarray())
    for name in ("data", "indices", "indptr", "offsets", "row", "col"):
        if a.format not in ("dok", "lil") and hasattr(a, name):
            assert_same(np.asarray(getattr(a, name)), np.asarray(getattr(b, name)))


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.sampled_from(FORMATS),
    st.sampled_from(["matrix", "array"]),
    st.sampled_from(["f8", "f4", "i4", "i8", "c16", "?", "u1"]),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 99),
)
def test_every_format_comes_back(
    roundtrip: Roundtrip, form: str, kind: str, dtype: str, rows: int, columns: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    dense = (random.random((rows, columns)) * 9 * (random.random((rows, columns)) < 0.4)).astype(dtype)
    made = getattr(scipy.sparse, f"coo_{kind}")(dense).asformat(form)
    same_matrix(made, roundtrip(made))


def test_duplicates_explicit_zeros_and_index_types_are_kept(roundtrip: Roundtrip) -> None:
    csr = scipy.sparse.csr_array(
        (np.array([1.0, 0.0, 3.0]), np.array([2, 2, 0], np.int64), np.array([0, 2, 3], np.int64)),
        shape=(2, 3),
    )
    loaded = roundtrip(csr)
    same_matrix(csr, loaded)
    assert loaded.nnz == 3
    coo = scipy.sparse.coo_array((np.ones(3), (np.array([0, 0, 1]), np.array([1, 1, 0]))), shape=(2, 2))
    same_matrix(coo, roundtrip(coo))
    assert roundtrip(scipy.sparse.coo_array(np.arange(5.0))).shape == (5,)


CSR = {
    "data": np.ones(4),
    "indices": np.array([0, 1, 2, 1], np.int32),
    "indptr": np.array([0, 2, 3, 4], np.int32),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indices", [0, 1, 3, 1]),
        ("indices", [0, -1, 2, 1]),
        ("indices", [0, 1]),
        ("indptr", [0, 3, 2, 4]),
        ("indptr", [1, 2, 3, 4]),
        ("indptr", [0, 2, 3, 9]),
        ("indptr", [0, 2, 4]),
        ("indptr", [0, -5, 3, 4]),
    ],
)
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_wrong_pointers_and_indices_are_refused(
    form: str, name: str, value: list[int], tmp_path: Path
) -> None:
    """Neither written nor, in a file that says so all the same, believed."""
    matrix = getattr(scipy.sparse, f"{form}_matrix")((3, 3))
    for key, array in {**CSR, name: np.array(value, np.int32)}.items():
        setattr(matrix, key, array)
    with pytest.raises(saver.CannotSaveError, match="the sparse matrix is not sound"):
        saver.dump(matrix, tmp_path / "m")
    good = getattr(scipy.sparse, f"{form}_matrix")((3, 3))
    for key, array in CSR.items():
        setattr(good, key, array)
    saver.dump(good, tmp_path / "m")
    forged = np.array(value, np.int32)
    if forged.nbytes == CSR[name].nbytes:
        assert_refused_when_changed(tmp_path / "m", CSR[name].tobytes(), forged.tobytes())


def assert_refused_when_changed(path: Path, old: bytes, new: bytes) -> None:
    """Changes inline bytes in the manifest, and the header's hash as an attacker would."""
    import base64

    from blake3 import blake3

    data = path.read_bytes()
    before, after = (base64.b64encode(b) for b in (old, new))
    assert data.count(before) >= 1
    changed = data.replace(before, after)
    at = changed.index(b'saver.header":"') + len(b'saver.header":"')
    length = 8 + int.from_bytes(changed[:8], "little")
    blank = changed[:at] + b"0" * 64 + changed[at + 64 : length]
    path.write_bytes(blank[:at] + blake3(blank).hexdigest().encode() + changed[at + 64 :])
    with pytest.raises(saver.IncompatibleError):
        saver.load(path)


@pytest.mark.parametrize(
    "frozen",
    [
        scipy.stats.loguniform(1e-3, 1e2),
        scipy.stats.uniform(0, 5),
        scipy.stats.randint(2, 9),
        scipy.stats.norm(1, 2),
        scipy.stats.expon(scale=3),
        scipy.stats.poisson(4.5),
        scipy.stats.beta(2, b=3),
        scipy.stats.truncnorm(-1, 1),
    ],
    ids=lambda f: f.dist.name,
)
def test_frozen_distributions_draw_the_same(roundtrip: Roundtrip, frozen: Any) -> None:
    assert_same(frozen.rvs(9, random_state=3), roundtrip(frozen).rvs(9, random_state=3))
    frozen.random_state = np.random.RandomState(5)
    loaded = roundtrip(frozen)
    assert_same(frozen.rvs(4), loaded.rvs(4))


def test_distributions_and_functions_are_known_by_name(roundtrip: Roundtrip) -> None:
    assert roundtrip(scipy.stats.norm).name == "norm"
    assert roundtrip(scipy.special.expit) is scipy.special.expit


def test_interpolators_answer_to_the_bit(roundtrip: Roundtrip) -> None:
    x = np.linspace(0, 4, 12)
    y = np.sin(x)
    at = np.linspace(-1, 5, 50)
    for found in (
        scipy.interpolate.BSpline(np.r_[[0.0] * 2, x[1:], [4.0] * 2], np.arange(12.0), 2),
        scipy.interpolate.interp1d(x, y, kind="linear", bounds_error=False, fill_value=(0.0, 9.0)),
        scipy.interpolate.interp1d(x, y, kind="cubic", fill_value="extrapolate"),
        scipy.interpolate.CubicSpline(x, y),
        scipy.interpolate.PchipInterpolator(x, y),
        scipy.interpolate.Akima1DInterpolator(x, y),
        scipy.interpolate.make_interp_spline(x, y),
    ):
        loaded = roundtrip(found)
        assert type(loaded) is type(found)
        assert_same(found(at), loaded(at))


def test_search_trees_rotations_results_and_densities(roundtrip: Roundtrip) -> None:
    points = np.random.default_rng(0).random((200, 3))
    for tree in (scipy.spatial.cKDTree(points, leafsize=7), scipy.spatial.KDTree(points, boxsize=2.0)):
        assert_same(tree.query(points[:20] + 0.01, 4), roundtrip(tree).query(points[:20] + 0.01, 4))
    rotation = scipy.spatial.transform.Rotation.from_euler("xyz", [[10, 20, 30], [1, 2, 3]], degrees=True)
    assert_same(rotation.as_quat(), roundtrip(rotation).as_quat())
    result = scipy.optimize.minimize(lambda v: float(((v - 1) ** 2).sum()), np.zeros(2), method="L-BFGS-B")
    loaded = roundtrip(result)
    assert_same(result.x, loaded.x)
    assert loaded.message == result.message
    density = scipy.stats.gaussian_kde(points.T)
    assert_same(density(points[:5].T), roundtrip(density)(points[:5].T))
