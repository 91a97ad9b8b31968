"""Estimators that answer with less around their arithmetic: the same bits, or the estimator itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import saver
from saver.families.sklearn import predicting
from saver.predicting.contract import Quick
from saver.predicting.quick import quicker, seen_same

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(60, 5))
TWO = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
THREE = np.array(["low", "middle", "high"])[np.digitize(X[:, 0], [-0.4, 0.4])]
SUM = X @ np.arange(5.0) + X[:, 0] ** 2
FEW = {"n_estimators": 7, "random_state": 0}

MODELS: dict[str, Callable[[], Any]] = {
    "scaler": lambda: StandardScaler().fit(X),
    "logistic of two": lambda: LogisticRegression().fit(X, TWO),
    "logistic of three": lambda: LogisticRegression().fit(X, THREE),
    "logistic without intercept": lambda: LogisticRegression(fit_intercept=False).fit(X, TWO),
    "linear": lambda: LinearRegression().fit(X, SUM),
    "linear of two outputs": lambda: LinearRegression().fit(X, np.stack([SUM, -SUM], 1)),
    "ridge": lambda: Ridge().fit(X, SUM),
    "forest": lambda: RandomForestClassifier(**FEW).fit(X, TWO),
    "forest of texts": lambda: RandomForestClassifier(**FEW, max_depth=2).fit(X, THREE),
    "forest of numbers": lambda: RandomForestRegressor(**FEW).fit(X, SUM),
    "extra trees": lambda: ExtraTreesClassifier(**FEW).fit(X, THREE),
    "extra trees of numbers": lambda: ExtraTreesRegressor(**FEW).fit(X, SUM),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()).fit(X, THREE),
    "pipeline of scalers": lambda: make_pipeline(StandardScaler(), StandardScaler(), Ridge()).fit(X, SUM),
}
OWN: dict[str, Callable[[], Any]] = {
    "another scaler": lambda: MinMaxScaler().fit(X),
    "a scaler that does not center": lambda: StandardScaler(with_mean=False).fit(X),
    "a scaler with frames": lambda: StandardScaler().set_output(transform="default").fit(X),
    "not fitted": StandardScaler,
    "narrow": lambda: Ridge().fit(X.astype(np.float32), SUM.astype(np.float32)),
    "threads": lambda: RandomForestClassifier(**FEW, n_jobs=2).fit(X, TWO),
    "talkative": lambda: RandomForestClassifier(**FEW).fit(X, TWO).set_params(verbose=1),
    "two outputs": lambda: RandomForestClassifier(**FEW).fit(X, np.stack([TWO, 1 - TWO], 1)),
    "an unknown step": lambda: make_pipeline(MinMaxScaler(), Ridge()).fit(X, SUM),
    "without its numbers": lambda: _without(StandardScaler().fit(X), "mean_"),
    "without its trees": lambda: _without(RandomForestRegressor(**FEW).fit(X, SUM), "estimators_"),
    "with other steps": lambda: make_pipeline(StandardScaler(), Ridge()).set_params(steps=[3]),
    "an unknown end": lambda: make_pipeline(Ridge(), StandardScaler()),
}


def _without(model: Any, name: str) -> Any:
    delattr(model, name)
    return model


HUGE = np.full((2, 5), 1e300)
INPUTS: dict[str, Any] = {
    "one row": X[:1],
    "some rows": X[:17], "all": X, "every other": X[::2], "columns first": np.asfortranarray(X),
    "narrow": X[:3].astype(np.float32), "whole numbers": np.arange(10).reshape(2, 5), "lists": X[:3].tolist(),
    "read only": np.frombuffer(X.tobytes()).reshape(X.shape), "huge": HUGE, "far": X[:4] * 1e30,
    "NaN": np.where(X > 1, np.nan, X), "infinite": np.where(X > 1, np.inf, X), "no rows": X[:0],
    "too few columns": np.ascontiguousarray(X[:, :4]), "flat": X[0], "nothing": None,
}  # fmt: skip


def said(ask: Callable[[Any], Any], inputs: Any) -> Any:
    """An answer as bytes, or the error."""
    given = inputs.copy() if isinstance(inputs, np.ndarray) and inputs.flags.writeable else inputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = np.asarray(ask(given))
        except (ValueError, TypeError) as error:
            return type(error), str(error)
    if isinstance(inputs, np.ndarray):
        assert np.array_equal(given, inputs, equal_nan=True)  # what came is as it was
    return found.dtype, found.shape, found.tobytes()


@pytest.mark.parametrize("name", MODELS)
def test_the_same_bits_or_the_same_error(name: str) -> None:
    model = MODELS[name]()
    quick = predicting.PREDICTING.quick(model)
    assert quick is not None
    pairs = [(quick.transform, model.transform)] if quick.transform is not None else []
    own = {"prediction": "predict", "probability": "predict_proba"}
    pairs += [
        (ask, getattr(model, own[output]))
        for output, ask in quick.methods.items()
        if hasattr(model, own[output])
    ]
    assert pairs
    for ask, wanted in pairs:
        for inputs in INPUTS.values():
            assert said(ask, inputs) == said(wanted, inputs)
        for _ in range(8):
            rows = RANDOM.normal(scale=10.0 ** RANDOM.integers(-3, 4), size=(int(RANDOM.integers(1, 9)), 5))
            assert said(ask, rows) == said(wanted, rows)


@pytest.mark.parametrize("solver", ["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"])
@pytest.mark.parametrize("classes", [TWO, THREE], ids=["two", "three"])
def test_every_solver(solver: str, classes: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = LogisticRegression(solver=solver, max_iter=20).fit(X, classes)
        except ValueError:
            return  # it does not take several classes in this version
    quick = predicting.PREDICTING.quick(model)
    if quick is not None:
        assert said(quick.methods["probability"], X) == said(model.predict_proba, X)
    assert (quick is None) == (len(model.classes_) > 2 and solver in predicting.AGAINST_OTHERS)


@pytest.mark.parametrize("name", OWN)
def test_what_is_not_known_is_left_to_the_library(name: str) -> None:
    assert predicting.PREDICTING.quick(OWN[name]()) is None


def test_a_version_that_was_not_read_is_left_to_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["ridge"]()
    for version, known in (
        ("1.4.2", False),
        ("1.5.0", True),
        ("1.9.rc1", True),
        ("1.10.0", False),
        ("2.0", False),
    ):
        monkeypatch.setattr(predicting.sklearn, "__version__", version)
        assert (predicting.PREDICTING.quick(model) is not None) == known


@pytest.fixture
def store(tmp_path: Any) -> saver.Saver:
    parts = {"scaler": StandardScaler().fit(X), "model": LogisticRegression().fit(X, TWO)}
    store = saver.Saver(tmp_path / "store")
    store.save("m", parts, example=X[:30], pipeline="scaler | model")
    return store


def test_a_predictor_answers_quickly_what_it_answers(store: saver.Saver) -> None:
    predictor = store.predictor("m")
    assert seen_same(predictor)
    quick, inputs = quicker(predictor), {"input": X}
    for only in ((), ("probability",), ("prediction",)):
        wanted, found = predictor.predict(inputs, only), quick.predict(inputs, only)
        assert {name: each.tobytes() for name, each in found.items()} == {
            name: each.tobytes() for name, each in wanted.items()
        }
    assert quick.check().same


@pytest.mark.parametrize("output", ["prediction", "probability"])
def test_an_answer_that_differs_in_one_bit_is_noticed(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    real = predicting.PREDICTING.quick

    def wrong(model: Any) -> Quick | None:
        found = real(model)
        if found is None or output not in found.methods:
            return found
        ask = found.methods[output]

        def otherwise(rows: Any) -> Any:
            answer = np.array(ask(rows))
            if len(rows) == 1 and rows[0, 0] == third:  # alone, not among others
                answer.view(np.uint8).reshape(-1)[0] ^= 1
            return answer

        return Quick({**found.methods, output: otherwise})

    third = StandardScaler().fit(X).transform(X[:3])[2, 0]
    monkeypatch.setattr(type(predicting.PREDICTING), "quick", lambda self, model: wrong(model))
    assert not seen_same(store.predictor("m"))


def test_frames_and_functions_are_left_to_the_library(tmp_path: Any) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X[:20], columns=list("abcde"))
    store = saver.Saver(tmp_path / "store")
    store.save("frame", Ridge().fit(frame, SUM[:20]), example=frame)
    store.save("unknown", MinMaxScaler().fit(X), example=X)
    assert not seen_same(store.predictor("frame"))
    assert not seen_same(store.predictor("unknown"))


def test_arithmetic_that_fails_is_left_to_the_library(
    store: saver.Saver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(rows: Any) -> Any:
        raise IndexError("a defect")

    monkeypatch.setattr(
        type(predicting.PREDICTING), "quick", lambda self, model: Quick({"prediction": failing}, None)
    )
    assert not seen_same(store.predictor("m"))
