"""Pickles of old environments, some of which today's joblib cannot open, predict what they did there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver

pytest.importorskip("sklearn")

HERE = Path(__file__).parent / "pickles"
VERSIONS = ("0.19.2", "0.20.4", "0.22.2.post1", "0.24.2", "1.0.2", "1.2.2")
EXPECTED: dict[str, dict[str, Any]] = {
    version: json.loads((HERE / version / "expected.json").read_text()) for version in VERSIONS
}
REMOVED = {"boosting": "SAMME.R"}
"""What scikit-learn of today would answer otherwise."""

X = np.random.RandomState(0).uniform(size=(60, 3))
TEXTS = ["a b c", "b c d", "a a d", "c c c", "d a", "b"]

pytestmark = pytest.mark.filterwarnings("ignore::saver.VersionWarning")


@pytest.mark.parametrize("name", [name for name in EXPECTED["0.19.2"] if name not in REMOVED])
@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_estimator_predicts_what_it_did(version: str, name: str) -> None:
    """Sums may be rounded otherwise by another NumPy: to the last bits, not more."""
    found = saver.load(HERE / version / f"{name}.joblib")
    method, expected = EXPECTED[version][name]
    predicted = getattr(found, method)(TEXTS if name == "words" else X)
    np.testing.assert_allclose(predicted, expected, rtol=1e-14)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_would_predict_otherwise_is_refused(version: str) -> None:
    for name, why in REMOVED.items():
        with pytest.raises(saver.IncompatibleError, match=why):
            saver.load(HERE / version / f"{name}.joblib")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_version_is_recorded_and_loading_warns_of_it(version: str) -> None:
    path = HERE / version / "forest.joblib"
    assert saver.describe(path).environment["packages"]["sklearn"] == version
    with pytest.warns(saver.VersionWarning, match=version):
        saver.load(path)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


JOBLIB = sorted(
    path.name for path in (HERE / "joblib").iterdir() if not path.name.endswith((".npy", ".npy.z"))
)


@pytest.mark.parametrize("name", JOBLIB)
def test_every_layout_of_joblib_is_read(name: str) -> None:
    found = saver.load(HERE / "joblib" / name)
    assert list(map(_plain, found[:3])) == [[*range(5)], [*range(5)], [1, "abc", {"a": 1, "b": 2}]]


def test_arrays_beside_a_file_need_its_path() -> None:
    data = (HERE / "joblib" / "joblib_0.9.2_pickle_py35_np19.pkl").read_bytes()
    with pytest.raises(saver.IncompatibleError, match="in a file beside it"):
        saver.loads(data)
