"""How the commonest estimators answer without what scikit-learn does around it: at each call, it checks
itself and its inputs, which takes longer than the arithmetic of some rows, and asks the trees of a forest
through joblib.

The arithmetic is that of scikit-learn, in its order. It is used for arrays of finite numbers that have the
columns of the estimator; anything else is given to the estimator, and its errors are the estimator's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.extmath import softmax

from saver.predicting.contract import Method, Predicting, Quick

KNOWN = ((1, 5), (1, 9))
"""The first and the last version with which the tests run."""


AGAINST_OTHERS = ("liblinear", "newton-cholesky")
"""Solvers of logistic regressions that hold each class against all others, the second one until 1.5."""


class _Sklearn(Predicting):
    def quick(self, model: Any) -> Quick | None:
        version = tuple(int(each) for each in sklearn.__version__.split(".")[:2])
        make = _MAKE.get(f"{type(model).__module__}.{type(model).__qualname__}")
        if make is None or not KNOWN[0] <= version <= KNOWN[1]:
            return None
        try:
            return make(model) if not hasattr(model, "_sklearn_output_config") else None
        except (
            AttributeError,
            TypeError,
            ValueError,
        ):  # it is not fitted, or not whole: it will say so itself
            return None


def _fits(values: Any, width: int) -> bool:
    return (
        type(values) is np.ndarray
        and values.dtype == np.float64
        and values.ndim == 2
        and values.shape[1] == width
        and len(values) > 0
        and values.flags.c_contiguous
        and bool(np.isfinite(values).all())
    )


def _is_array(value: Any, *shape: int) -> bool:
    return type(value) is np.ndarray and value.dtype == np.float64 and value.shape == shape


def _scaler(model: Any) -> Quick | None:
    """`StandardScaler`."""
    width, own = model.n_features_in_, type(model).transform
    mean, scale = model.mean_, model.scale_
    if not (model.with_mean and model.with_std and _is_array(mean, width) and _is_array(scale, width)):
        return None

    def transform(values: Any) -> Any:
        if not _fits(values, width):
            return own(model, values)
        found = values - mean
        found /= scale
        return found

    return Quick(transform=transform)


def _logistic(model: Any) -> Quick | None:
    """`LogisticRegression`."""
    width, many = model.n_features_in_, len(model.classes_)
    if getattr(model, "multi_class", "auto") not in ("auto", "deprecated"):
        return None
    if many > 2 and model.solver in AGAINST_OTHERS:
        return None
    rows = 1 if many == 2 else many
    if not (_is_array(model.coef_, rows, width) and _is_array(model.intercept_, rows)):
        return None
    return _of_scores(model, width, model.coef_.T, model.intercept_, model.classes_)


def _of_scores(model: Any, width: int, weights: Any, intercept: Any, classes: NDArray[Any]) -> Quick:
    kind, two = type(model), len(classes) == 2

    def scores(values: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = values @ weights + intercept
        return found.reshape(-1) if two else found

    def predict(values: Any) -> Any:
        if not _fits(values, width):
            return kind.predict(model, values)
        found = scores(values)
        return classes.take((found > 0).astype(np.intp) if two else found.argmax(axis=1), axis=0)

    def probability(values: Any) -> Any:
        if not _fits(values, width):
            return kind.predict_proba(model, values)
        if not two:
            return softmax(scores(values), copy=False)
        found = expit(scores(values))
        return np.stack([1 - found, found], axis=1)

    return Quick({"prediction": predict, "probability": probability})


def _linear(model: Any) -> Quick | None:
    """`LinearRegression` and `Ridge`, of one output or several."""
    width, own, coefficients = model.n_features_in_, type(model).predict, model.coef_
    if type(coefficients) is not np.ndarray or coefficients.dtype != np.float64:
        return None
    weights, intercept = coefficients.T, model.intercept_

    def predict(values: Any) -> Any:
        return values @ weights + intercept if _fits(values, width) else own(model, values)

    return Quick({"prediction": predict})


def _forest(model: Any) -> Quick | None:
    """Forests of one output, whose trees are asked one after another."""
    width, trees = model.n_features_in_, [each.tree_ for each in model.estimators_]
    classes = getattr(model, "classes_", None)
    many = model.n_classes_ if classes is not None else 1
    if (
        model.n_jobs not in (None, 1) or model.verbose or model.n_outputs_ != 1 or not trees
        or {(tree.n_features, tree.n_outputs, tree.max_n_classes) for tree in trees} != {(width, 1, many)}
    ):  # fmt: skip
        return None
    return _answers_of(model, width, [tree.predict for tree in trees], classes, many)


def _answers_of(
    model: Any, width: int, ask: list[Method], classes: NDArray[Any] | None, many: int
) -> Quick:  # fmt: skip
    kind = type(model)

    def mean(values: Any) -> NDArray[Any] | None:
        """Of what the trees say; None if the forest itself has to look at the values."""
        if not _fits(values, width):
            return None
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        if not np.isfinite(narrow).all():
            return None
        found = np.zeros((len(narrow), many))
        for each in ask:
            found += each(narrow)
        found /= len(ask)
        return found

    def probability(values: Any) -> Any:
        found = mean(values)
        return found if found is not None else kind.predict_proba(model, values)

    def predict(values: Any) -> Any:
        found = mean(values)
        if found is None:
            return kind.predict(model, values)
        return classes.take(found.argmax(axis=1), axis=0) if classes is not None else found[:, 0]

    return Quick({"prediction": predict, "probability": probability})


def _pipeline(model: Any) -> Quick | None:
    """`Pipeline`, if all of its steps are known."""
    steps = [PREDICTING.quick(step) for _, step in model.steps]
    *before, last = steps
    transforms = [each.transform for each in before if each is not None and each.transform is not None]
    if last is None or len(transforms) < len(before):
        return None

    def after(method: Method) -> Method:
        def answer(values: Any) -> Any:
            for transform in transforms:
                values = transform(values)
            return method(values)

        return answer

    return Quick({name: after(method) for name, method in last.methods.items()})


_MAKE: dict[str, Callable[[Any], Quick | None]] = {
    "sklearn.preprocessing._data.StandardScaler": _scaler,
    "sklearn.linear_model._logistic.LogisticRegression": _logistic,
    "sklearn.linear_model._base.LinearRegression": _linear,
    "sklearn.linear_model._ridge.Ridge": _linear,
    "sklearn.ensemble._forest.RandomForestClassifier": _forest,
    "sklearn.ensemble._forest.RandomForestRegressor": _forest,
    "sklearn.ensemble._forest.ExtraTreesClassifier": _forest,
    "sklearn.ensemble._forest.ExtraTreesRegressor": _forest,
    "sklearn.pipeline.Pipeline": _pipeline,
}

PREDICTING = _Sklearn()
