"""Gradient boosting's initial prediction, `init_`: compiled code adds trees to it without checking its shape.

If it had fewer rows or columns than expected, compiled code would write beyond its end. No method of an
estimator from a file may be called to find out, so only estimators are accepted whose output shape follows
from their attributes. The user's own classes were trusted by name, with their methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from saver.errors import kind_of
from saver.families.sklearn.checks.attributes import (
    is_array,
    is_of,
    is_text,
    is_users_own,
    require,
    shape,
    state,
    whole,
)

_MOST_STEPS = 100


def check_first_guess(guess: Any, known: int, width: int, *, classifies: bool) -> None:
    """Raise ValueError unless `guess` predicts a row for each sample, and the columns of `width` trees."""
    if is_text(guess):
        require(guess == "zero", "init_ is a string other than 'zero'")
        return
    inner, expected = _last(guess, known)
    proof = provable(inner)
    if proof is not None:
        classes = max(width, 2) if classifies else None
        require(is_of(inner, "ClassifierMixin") == classifies, "init_ is of another kind than its estimator")
        require(proof(inner, expected, classes), "the predictions of init_ have another shape than expected")


def provable(inner: Any) -> Callable[[Any, int | None, int | None], bool] | None:
    """The check of an estimator's output shape; None for the user's own classes. Raises ValueError for other
    estimators, which honest models can have, too."""
    if is_users_own(inner):
        return None
    for base in type(inner).__mro__:
        if base.__module__.startswith("sklearn.") and base.__name__ in _PROOFS:
            return _PROOFS[base.__name__]
    raise ValueError(
        f"init_ is {kind_of(inner)}, whose output shape cannot be checked; use a Dummy estimator, "
        "a linear model, a tree, a forest, a perceptron, a support vector machine, or your own class"
    )


def _last(guess: Any, known: int | None) -> tuple[Any, int | None]:
    """The estimator that predicts, after the transformers of a pipeline, and the number of its features."""
    for _ in range(_MOST_STEPS):
        if not is_of(guess, "Pipeline"):
            return guess, known
        steps = guess.__dict__.get("steps")
        require(type(steps) is list and len(steps) > 0, "a pipeline has no steps")
        require(all(type(step) is tuple and len(step) == 2 for step in steps), "a step is not a pair")
        for _, step in steps[:-1]:
            require(step is None or is_text(step) or _keeps_rows(step), "a step may drop samples")
        guess = steps[-1][1]
        if is_of(guess, "BaseEstimator") and not is_of(guess, "Pipeline"):
            return guess, whole(guess.__dict__.get("n_features_in_"))
    raise ValueError("pipelines are nested too deep")


def _keeps_rows(step: Any) -> bool:
    """Whether a transformer returns a row for each sample: it holds no function that might not."""
    name, module = type(step).__name__, type(step).__module__
    if is_users_own(step):
        return True
    if name == "FunctionTransformer":
        return state(step, "func") == [None]
    return module.startswith(("sklearn.preprocessing.", "sklearn.decomposition.", "sklearn.impute."))


def _dummy_classifier(guess: Any, _: int | None, classes: int | None) -> bool:
    outputs, number, known, prior = state(guess, "n_outputs_", "n_classes_", "classes_", "class_prior_")
    return (
        whole(outputs) == 1
        and whole(number) == classes
        and shape(known) == (classes,)
        and shape(prior) == (classes,)
        and is_array(prior)
    )


def _dummy_regressor(guess: Any, _: int | None, classes: int | None) -> bool:
    outputs, constant = state(guess, "n_outputs_", "constant_")
    return whole(outputs) == 1 and is_array(constant) and constant.size == 1 and constant.dtype.kind in "fiu"


def _linear(guess: Any, known: int | None, classes: int | None) -> bool:
    coefficients, intercept = state(guess, "coef_", "intercept_")
    rows = 1 if classes in (None, 2) else classes
    plain = type(intercept) in (float, int, np.float64, np.float32)
    fits = shape(coefficients) in (((known,), (1, known)) if classes is None else ((rows, known),))
    offsets = ((rows,), ()) if rows == 1 else ((rows,),)
    fits = fits and (plain or (is_array(intercept) and intercept.shape in offsets))
    return fits and (classes is None or shape(guess.__dict__.get("classes_")) == (classes,))


def _tree(guess: Any, _: int | None, classes: int | None) -> bool:
    tree = guess.__dict__.get("tree_")
    return type(tree).__module__ == "sklearn.tree._tree" and _of_tree(guess, tree, classes)


def _of_tree(guess: Any, tree: Any, classes: int | None) -> bool:
    outputs, number = state(guess, "n_outputs_", "n_classes_")
    if whole(outputs) != 1 or tree.n_outputs != 1:
        return False
    return classes is None or (whole(number) == classes and int(tree.max_n_classes) == classes)


def _forest(guess: Any, _: int | None, classes: int | None) -> bool:
    outputs, trees, number = state(guess, "n_outputs_", "estimators_", "n_classes_")
    if whole(outputs) != 1 or type(trees) is not list or not trees:
        return False
    return classes is None or whole(number) == classes


def _support_vectors(guess: Any, _: int | None, classes: int | None) -> bool:
    found = guess.__dict__.get("classes_")
    return classes is None or (is_array(found) and found.shape == (classes,))


def _neighbors(guess: Any, _: int | None, classes: int | None) -> bool:
    targets = guess.__dict__.get("_y")
    if classes is None:
        return is_array(targets) and targets.ndim in (1, 2) and 0 not in targets.shape
    return guess.__dict__.get("outputs_2d_") is False and shape(guess.__dict__.get("classes_")) == (classes,)


def _histograms(guess: Any, _: int | None, classes: int | None) -> bool:
    per_round = whole(guess.__dict__.get("n_trees_per_iteration_"))
    return per_round == (1 if classes in (None, 2) else classes)


def _layers(guess: Any, known: int | None, classes: int | None) -> bool:
    """Each layer takes the output of the previous one; the last returns a column for each class but one."""
    weights, offsets, layers = state(guess, "coefs_", "intercepts_", "n_layers_")
    if type(weights) is not list or type(offsets) is not list or not 0 < len(weights) == len(offsets):
        return False
    shapes = [shape(item) for item in weights]
    if any(item is None or len(item) != 2 for item in shapes) or whole(layers) != len(weights) + 1:
        return False
    sizes = [known, *(item[1] for item in shapes if item is not None)]
    taken = [item[0] for item in shapes if item is not None]
    last = 1 if classes in (None, 2) else classes
    fits = sizes[:-1] == taken and sizes[-1] == last
    return fits and [shape(item) for item in offsets] == [(size,) for size in sizes[1:]]


_PROOFS: dict[str, Callable[[Any, int | None, int | None], bool]] = {
    "DummyClassifier": _dummy_classifier,
    "DummyRegressor": _dummy_regressor,
    "LinearModel": _linear,
    "LogisticRegression": _linear,
    "SGDRegressor": _linear,
    "_GeneralizedLinearRegressor": _linear,
    "BaseDecisionTree": _tree,
    "BaseForest": _forest,
    "BaseMultilayerPerceptron": _layers,
    "BaseLibSVM": _support_vectors,
    "KNeighborsRegressor": _neighbors,
    "KNeighborsClassifier": _neighbors,
    "BaseHistGradientBoosting": _histograms,
    "BaseGradientBoosting": _histograms,
}
"""By class of scikit-learn: whether its output for `n` samples has `n` rows, and a column for each class.

Regressors return one column (a vector). More columns are harmless, none would not be."""
