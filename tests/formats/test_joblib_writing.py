"""What Saver writes for joblib is loaded by it, and predicts the same; what has no reviewed form is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.errors import IncompatibleError

joblib = pytest.importorskip("joblib")
pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator  # noqa: E402
from sklearn.ensemble import (  # noqa: E402
    AdaBoostClassifier,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(60, 4))
Y = (X[:, 0] > X[:, 1]).astype(int)
pytestmark = pytest.mark.filterwarnings("ignore")

MODELS: dict[str, Callable[[], Any]] = {
    "a pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "a forest": lambda: RandomForestClassifier(5, random_state=np.random.RandomState(1)),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=3),
    "adaptive boosting": AdaBoostClassifier,
    "isolation": lambda: IsolationForest(n_estimators=3),
    "gradients": SGDClassifier,
    "vectors": SVC,
    "a network": lambda: MLPClassifier(max_iter=3),
    "neighbours": lambda: KNeighborsClassifier(algorithm="brute"),
    "a function": lambda: make_pipeline(FunctionTransformer(np.log1p), Ridge()),
    "categories": lambda: make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.shows("joblib", "save")
def test_an_estimator_predicts_the_same(name: str, tmp_path: Path) -> None:
    model = MODELS[name]().fit(X, Y)
    saver.dump(model, tmp_path / "a.saver")
    assert saver.export(tmp_path / "a.saver", tmp_path / "a.joblib").losses == ()
    for found in (joblib.load(tmp_path / "a.joblib"), saver.load(tmp_path / "a.joblib")):
        assert type(found) is type(model)
        assert found.get_params().keys() == model.get_params().keys()
        assert np.array_equal(found.predict(X), model.predict(X))


VALUES: dict[str, Any] = {
    "objects": np.array([[1, "a"], [None, 2.5]], object),
    "records": np.ones(3, [("a", "i4"), ("b", "f8", (2,))]),
    "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "texts": np.array(["a", "ünf"]),
    "order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big": np.arange(4, dtype=">f8"),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(3.5),
    "large": np.arange(100_000.0),
    "number": np.float32(2.5),
    "dtype": np.dtype([("a", ">i4")]),
    "values": [1, 2.5, None, True, "ü", b"b", (1, [2]), {1: "a"}, {3}, frozenset({4}), 2**70, 1j],
    "long": [*range(1000)],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_what_it_was(name: str, tmp_path: Path) -> None:
    value = VALUES[name]
    saver.dump([value], tmp_path / "a.saver")
    assert saver.export(tmp_path / "a.saver", tmp_path / "a.joblib").losses == ()
    for (found,) in (joblib.load(tmp_path / "a.joblib"), saver.load(tmp_path / "a.joblib")):
        assert type(found) is type(value)
        if isinstance(value, np.ndarray):
            assert found.dtype == value.dtype.newbyteorder("=")  # as joblib makes it
            assert repr(found.tolist()) == repr(value.tolist())
        else:
            assert found == value


def test_arrays_are_mapped_by_joblib(tmp_path: Path) -> None:
    saver.dump({"a": np.arange(1000.0), "b": np.arange(7)}, tmp_path / "a.saver")
    saver.export(tmp_path / "a.saver", tmp_path / "a.joblib")
    found = joblib.load(tmp_path / "a.joblib", mmap_mode="r")
    assert isinstance(found["a"], np.memmap)
    assert np.array_equal(found["a"], np.arange(1000.0))
    assert found["a"].ctypes.data % 16 == 0
    assert np.array_equal(found["b"], np.arange(7))


def test_it_warns_that_the_file_is_run_when_it_is_loaded(tmp_path: Path) -> None:
    saver.dump([1], tmp_path / "a.saver")
    with pytest.warns(UserWarning, match="is a pickle, which is run when it is loaded"):
        saver.export(tmp_path / "a.saver", tmp_path / "a.joblib")


class Own(BaseEstimator):  # type: ignore[misc]
    """A class of the user."""

    def __init__(self, held: Any = None) -> None:
        self.held = held


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (KNeighborsClassifier(algorithm="kd_tree").fit(X, Y), "_tree"),
        (make_pipeline(Own(), Ridge()), "a class of your own"),
        (SVC(kernel=range(3)), "no pickled form"),
    ],
)
def test_an_object_is_written_whole_or_not_at_all(value: Any, why: str, tmp_path: Path) -> None:
    saver.register(Own)
    saver.dump({"model": value, "x": 1}, tmp_path / "a.saver")
    found = saver.export(tmp_path / "a.saver", tmp_path / "a.joblib")
    assert joblib.load(tmp_path / "a.joblib") == {"x": 1}
    assert why in "\n".join(map(str, found.losses))
    with pytest.raises(IncompatibleError, match="nothing was written"):
        saver.export(tmp_path / "a.saver", tmp_path / "b.joblib", parts=["model"])
    assert not (tmp_path / "b.joblib").exists()
