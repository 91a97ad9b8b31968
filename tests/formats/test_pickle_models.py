"""Files of pickle and joblib are read without running them, and predict as the objects that were saved."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver

joblib = pytest.importorskip("joblib")
pytest.importorskip("sklearn")

from sklearn.datasets import load_iris  # noqa: E402
from sklearn.ensemble import (  # noqa: E402
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier  # noqa: E402
from sklearn.neighbors import KNeighborsClassifier  # noqa: E402
from sklearn.neural_network import MLPClassifier  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler  # noqa: E402
from sklearn.svm import SVC  # noqa: E402
from sklearn.tree import DecisionTreeRegressor  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # that fits end early

X, Y = load_iris(return_X_y=True)

MODELS: dict[str, Callable[[], Any]] = {
    "a forest": lambda: RandomForestClassifier(5, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=2, random_state=0),
    "boosting by histograms": lambda: HistGradientBoostingClassifier(max_iter=2, random_state=0),
    "logistic regression": lambda: LogisticRegression(max_iter=20),
    "stochastic gradients": lambda: SGDClassifier(random_state=0),
    "neighbours in a KD tree": lambda: KNeighborsClassifier(algorithm="kd_tree"),
    "neighbours in a ball tree": lambda: KNeighborsClassifier(algorithm="ball_tree"),
    "a support-vector machine": SVC,
    "a network": lambda: MLPClassifier(max_iter=3, random_state=np.random.RandomState(3)),
    "an isolation forest": lambda: IsolationForest(n_estimators=3, random_state=0),
    "ridge": Ridge,
    "a tree": lambda: DecisionTreeRegressor(random_state=0),
    "a pipeline": lambda: make_pipeline(StandardScaler(), FunctionTransformer(np.abs), SVC()),
    "categories": lambda: make_pipeline(OneHotEncoder(), LogisticRegression()),
}

WAYS: dict[str, Callable[[Any, Path], Any]] = {
    **{f"protocol {number}": lambda obj, path, number=number: path.write_bytes(pickle.dumps(obj, number))
       for number in range(6)},
    "joblib": lambda obj, path: joblib.dump(obj, path),
    **{f"joblib, {method}": lambda obj, path, method=method: joblib.dump(obj, path, compress=(method, 3))
       for method in ("zlib", "gzip", "bz2", "xz", "lzma")},
}  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {name: make().fit(X, Y) for name, make in MODELS.items()}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_an_estimator_predicts_what_it_did(
    name: str, way: str, fitted: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "model.pkl"
    WAYS[way](fitted[name], path)
    found = saver.load(path)
    assert type(found) is type(fitted[name])
    for method in ("predict", "predict_proba", "decision_function"):
        if hasattr(fitted[name], method):
            assert np.array_equal(getattr(fitted[name], method)(X), getattr(found, method)(X)), method


def test_a_dict_of_estimators_has_their_names_as_parts(fitted: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "models.joblib"
    joblib.dump({"forest": fitted["a forest"], "tree": fitted["a tree"], "rows": [1, 2]}, path)
    assert list(saver.load(path, parts=["tree"])) == ["tree"]
    assert saver.load(path)["rows"] == [1, 2]


def test_it_is_shown_imported_and_compared_as_a_file_of_saver(fitted: dict[str, Any], tmp_path: Path) -> None:
    path, same = tmp_path / "model.joblib", tmp_path / "model.saver"
    joblib.dump(fitted["a forest"], path)
    saver.dump(fitted["a forest"], same)
    described = saver.describe(path)
    assert described.parts[0].kind == "sklearn.ensemble._forest.RandomForestClassifier"
    assert described.untrusted == ()
    assert described.environment["packages"]["sklearn"] == sys.modules["sklearn"].__version__
    store = saver.Saver(tmp_path / "models")
    version = store.import_(path, "iris")
    assert np.array_equal(store.load(str(version)).predict(X), fitted["a forest"].predict(X))
    assert described.parts[0].hash == saver.describe(same).parts[0].hash


def test_arrays_of_joblib_stay_where_they_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "array.joblib"
    array = np.arange(1_000_000.0)
    joblib.dump([array], path)
    (found,) = saver.load(path)
    assert np.array_equal(found, array)
    found[0] = 7  # in memory only
    assert saver.load(path)[0][0] == 0


def test_what_changes_after_it_was_opened_is_damage(tmp_path: Path) -> None:
    from saver.opening import open_file

    path = tmp_path / "array.joblib"
    joblib.dump([np.arange(1_000_000.0)], path)
    opened = open_file(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(saver.DamagedError):
        opened.load(())
