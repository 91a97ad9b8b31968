"""Pickles of old estimators that were changed are read or refused, in bounded time and memory."""

from __future__ import annotations

import pickle
import random
import tracemalloc
from typing import Any

import numpy as np
import pytest

import saver

pytest.importorskip("sklearn")

from formats.test_pickle_old import _files

pytestmark = pytest.mark.filterwarnings("ignore")

SAMPLES = tuple(
    f"{version}/{title}.joblib"
    for version in ("0.19.2", "0.22.2.post1", "1.3.2")
    for title in (
        "GradientBoostingClassifier",
        "IsolationForest",
        "OneHotEncoder",
        "ColumnTransformer",
        "PolynomialFeatures",
        "HistGradientBoostingClassifier_with_categories",
        "LogisticRegression_to_three",
        "Birch",
        "SimpleImputer",
        "IsotonicRegression",
        "KernelDensity",
        "SVR",
        "PLSRegression",
        "GridSearchCV",
        "DecisionTreeClassifier",
    )
)


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLES)
def test_an_old_estimator_that_was_changed_is_read_or_refused(name: str) -> None:
    if name not in _files():
        pytest.skip("that version does not have it")
    sample, chance = _files()[name], random.Random(name)
    for step in range(60):
        data = bytearray(sample)
        if step % 4 == 0:
            del data[chance.randrange(len(data)) :]
        else:
            for _ in range(chance.choice((1, 1, 4))):
                data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            saver.loads(bytes(data))
        except saver.SaverError:
            continue


class Forged:
    """Pickled as an instance of a class of scikit-learn with any attributes."""

    def __init__(self, module: str, name: str, **state: Any) -> None:
        self._what = module, name, {"_sklearn_version": "0.22", **state}

    def pickled(self) -> bytes:
        module, name, state = self._what
        return (
            b"\x80\x02c%s\n%s\n)\x81" % (module.encode(), name.encode())
            + pickle.dumps(state, 2)[2:-1]
            + b"b."
        )


FORGED = {
    "a huge degree": Forged(
        "sklearn.preprocessing._data",
        "PolynomialFeatures",
        degree=1 << 40,
        n_input_features_=9,
        n_output_features_=3,
    ),
    "a degree that is a text": Forged(
        "sklearn.preprocessing._data",
        "PolynomialFeatures",
        degree="9",
        n_input_features_=9,
        n_output_features_=3,
    ),
    "many features": Forged(
        "sklearn.preprocessing._data",
        "PolynomialFeatures",
        degree=900,
        interaction_only=True,
        n_input_features_=1 << 30,
        n_output_features_=3,
    ),
    "huge columns": Forged(
        "sklearn.preprocessing._encoders",
        "OneHotEncoder",
        n_values=5,
        feature_indices_=np.array([0, 1 << 40]),
    ),
    "columns backwards": Forged(
        "sklearn.preprocessing._encoders",
        "OneHotEncoder",
        feature_indices_=np.array([5, 0]),
        active_features_=np.arange(3),
    ),
    "no columns": Forged(
        "sklearn.preprocessing._encoders", "OneHotEncoder", feature_indices_=np.array([], int)
    ),
    "numbers in place of trees": Forged(
        "sklearn.ensemble._iforest", "IsolationForest", estimators_=[1, 2], offset_=0.5
    ),
    "many classes": Forged(
        "sklearn.ensemble._gb", "GradientBoostingClassifier", n_classes_=1 << 60, estimators_=[]
    ),
    "another loss": Forged("sklearn.ensemble._gb", "GradientBoostingRegressor", loss="evil", estimators_=[]),
    "other coefficients": Forged(
        "sklearn.linear_model._logistic",
        "LogisticRegression",
        multi_class="ovr",
        classes_=np.arange(3),
        coef_=np.zeros((1, 2)),
        intercept_=np.zeros(1),
    ),
    "thresholds that differ": Forged(
        "sklearn.isotonic", "IsotonicRegression", _necessary_X_=np.zeros(3), _necessary_y_=np.zeros(2)
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_attributes_are_refused_in_little_memory(name: str) -> None:
    data = FORGED[name].pickled()
    tracemalloc.start()
    try:
        with pytest.raises(saver.SaverError):
            saver.loads(data)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_what_migrations_make_is_not_made_by_a_name_alone() -> None:
    """The interpolation of an isotonic regression has a name of its own, which a pickle may say too."""
    data = b"\x80\x02csklearn.isotonic\ninterpolation\n)\x81}(X\x01\x00\x00\x00xK\x01ub."
    with pytest.raises(saver.SaverError):
        saver.loads(data)
