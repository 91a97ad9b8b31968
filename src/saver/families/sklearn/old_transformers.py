"""Transformers of older versions of scikit-learn: what their attributes are today."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from saver.families.numpy.pickles import array_of
from saver.families.sklearn.old_values import (
    State,
    Version,
    arrays_of,
    count_of,
    is_array,
    made,
    number_of,
    rename,
)
from saver.pickled import Call, Global, NotReadError, Pairs, attributes_of, sequence


def words(state: State, then: Version) -> None:
    """Of words: a diagonal matrix until 1.3, an array now."""
    matrix = state.pop("_idf_diag", None)
    if type(matrix) is Call and "idf_" not in state:
        state["idf_"] = np.ascontiguousarray(array_of(attributes_of(matrix).get("data")).ravel())
    if "idf_" in state:
        state.setdefault("n_features_in_", len(array_of(state["idf_"])))


def vectorizer(state: State, then: Version) -> None:
    """Weights had their parameters in the object within, until 1.1."""
    weights = state.get("_tfidf")
    if type(weights) is Call:
        own = attributes_of(weights)
        for name in ("norm", "use_idf", "smooth_idf", "sublinear_tf"):
            if name in own:
                state.setdefault(name, own[name])


def embedding(state: State, then: Version) -> None:
    rename(state, n_iter="max_iter")  # since 1.5


def encoder(state: State, then: Version) -> None:
    """Categories that occur rarely are new in 1.1; dropped ones in 0.21."""
    rename(state, sparse="sparse_output")
    _by_numbers(state)
    if "categories_" not in state:
        return
    categories = arrays_of(state["categories_"], "the categories")
    state.setdefault("n_features_in_", len(categories))
    if "_infrequent_enabled" not in state:
        state["_infrequent_enabled"] = False
    drop = state.setdefault("drop_idx_", None)
    state.setdefault("_drop_idx_after_grouping", drop)
    dropped = [None] * len(categories) if drop is None else array_of(drop).tolist()
    counts = zip(categories, dropped, strict=True)
    state.setdefault("_n_features_outs", [len(each) - (out is not None) for each, out in counts])


def _by_numbers(state: State) -> None:
    """Before 0.20 it took numbers from 0 on, and kept those that occurred."""
    rename(state, _feature_indices_="feature_indices_", _active_features_="active_features_")
    if "categories_" in state or "feature_indices_" not in state:
        return
    if state.get("categorical_features", "all") not in ("all", None):
        raise NotReadError(
            "a OneHotEncoder of some columns is a ColumnTransformer today; fit it again as one"
        )
    ends = array_of(state["feature_indices_"])
    if ends.ndim != 1 or ends.dtype.kind != "i" or not (np.diff(ends) >= 0).all() or ends[-1] > 1 << 20:
        raise NotReadError("a OneHotEncoder does not say where its columns begin")
    if is_array(state.get("active_features_")) and state.get("n_values") in ("auto", None):
        active = array_of(state["active_features_"])
    else:
        active = np.arange(ends[-1])
    pairs = pairwise(ends.tolist())
    state["categories_"] = [active[(first <= active) & (active < last)] - first for first, last in pairs]


def ordinals(state: State, then: Version) -> None:
    if "categories_" in state:
        state.setdefault("n_features_in_", len(sequence(state["categories_"], "the categories")))
        state.setdefault("_infrequent_enabled", False)
        state.setdefault("_missing_indices", Pairs())


def imputer(state: State, then: Version) -> None:
    """The types of what it was fitted to, and of what it fills in. Before 0.20 it was called Imputer."""
    if state.pop("axis", 0) != 0:
        raise NotReadError("an imputer of rows has no successor")
    state.setdefault("fill_value", None)
    if "statistics_" not in state:
        return
    statistics = array_of(state["statistics_"])
    kind = made_dtype(statistics.dtype)
    state.setdefault("n_features_in_", len(statistics))
    state.setdefault("_fit_dtype", kind)
    state.setdefault("_fill_dtype", state["_fit_dtype"])
    _precomputed(state)
    if "missing_values" in state and state["missing_values"] == "NaN":
        state["missing_values"] = math.nan


def _precomputed(state: State) -> None:
    """The indicator of an imputer is given what is missing, since 0.24."""
    indicator = state.setdefault("indicator_", None)
    if type(indicator) is Call and type(indicator.state) is Pairs:
        indicator.state.items.append(("_precomputed", True))


def indicator(state: State, then: Version) -> None:
    if "features_" in state:
        state.setdefault("_precomputed", False)
        state.setdefault("n_features_in_", state.get("_n_features"))


def function(state: State, then: Version) -> None:
    """An option of `check_array` has another name since 1.6."""
    func = state.get("func")
    if type(func) is Call and type(func.state) is tuple:
        for part in func.state:
            if type(part) is Pairs:
                part.items = [
                    (_FINITE.get(key, key) if type(key) is str else key, value) for key, value in part.items
                ]


_FINITE = {"force_all_finite": "ensure_all_finite"}


def iterative_imputer(state: State, then: Version) -> None:
    """Features without any value are marked since 1.6."""
    first = state.get("initial_imputer_")
    if type(first) is Call:
        statistics = array_of(attributes_of(first).get("statistics_"))
        state.setdefault("_is_empty_feature", np.isnan(statistics.astype(float)))
        state.setdefault("n_features_in_", len(statistics))
        for name in ("_min_value", "_max_value"):
            if not is_array(state.get(name)):
                given = state.get(name, state.get(name[1:]))
                least = number_of(given, f"the limit {name}") if given is not None else math.inf
                state[name] = np.full(
                    len(statistics), -least if given is None and name == "_min_value" else least
                )
        _precomputed(state)


def made_dtype(kind: np.dtype[Any]) -> Call:
    """A dtype, as pickles hold it."""
    return Call(Global("numpy", "dtype"), (kind.str[1:], False, True), state=None)


def nearest_imputer(state: State, then: Version) -> None:
    mask = state.get("_mask_fit_X")
    if mask is not None:
        state.setdefault("_valid_mask", ~np.all(array_of(mask), axis=0))
        _precomputed(state)


_MOST_DEGREES, _MOST_FEATURES = 1000, 1 << 20


def polynomials(state: State, then: Version) -> None:
    """How many it makes was computed from powers, which are computed now."""
    rename(state, n_input_features_="n_features_in_", _n_input_features="n_features_in_")
    rename(state, _n_output_features="n_output_features_")
    if "n_features_in_" not in state or "n_output_features_" not in state:
        return
    degree = state.get("degree")
    low, high = (0, degree) if type(degree) is int else sequence(degree, "the degrees")
    features = count_of(state, "n_features_in_")
    if type(high) is not int or not 0 <= high <= _MOST_DEGREES or features > _MOST_FEATURES:
        raise NotReadError("the degrees of polynomials are not those of a fitted object")
    state.setdefault("_min_degree", low)
    state.setdefault("_max_degree", high)
    if state.get("interaction_only") is True:
        found = sum(math.comb(features, size) for size in range(1, min(high, features) + 1))
    else:
        found = math.comb(features + high, high) - 1
    found += state.get("include_bias") is True
    state.setdefault("_n_out_full", found)


def binarizer(state: State, then: Version) -> None:
    state.setdefault("_cached_dict", None)


def columns(state: State, then: Version) -> None:
    """Before 1.4 columns passed through without an estimator; which went where was private."""
    rename(state, _n_features="n_features_in_")
    fitted = state.get("transformers_")
    if type(fitted) is not list:
        return
    width = count_of(state, "n_features_in_")
    parts = [(*sequence(each, "a transformer"), None, None, None)[:3] for each in fitted]
    taken = {name: which for name, _, which in parts}
    state["transformers_"] = [
        (name, _through() if what == "passthrough" else what, which) for name, what, which in parts
    ]
    state.setdefault("sparse_output_", False)
    rest = taken.get("remainder", [])
    state.setdefault("_remainder", ("remainder", state.get("remainder"), rest if rest is not None else []))
    state.setdefault("_columns", [taken[name] for name, *_ in state.get("transformers", []) if name in taken])
    state.setdefault("n_features_in_", width)


def _through() -> Call:
    """What columns pass through unchanged."""
    return made("sklearn.preprocessing._function_transformer:FunctionTransformer", {
        "func": None, "inverse_func": None, "validate": False, "accept_sparse": True, "check_inverse": False,
        "feature_names_out": "one-to-one", "kw_args": None, "inv_kw_args": None,
    })  # fmt: skip


def kernel_components(state: State, then: Version) -> None:
    """Eigenvalues had letters for names until 1.0."""
    rename(state, lambdas_="eigenvalues_", alphas_="eigenvectors_")
    if "X_fit_" in state and "gamma_" not in state:
        gamma, points = state.get("gamma"), state["X_fit_"]
        state["gamma_"] = 1 / array_of(points).shape[1] if gamma is None and is_array(points) else gamma


def sparse_components(state: State, then: Version) -> None:
    """Components have a length of one since 0.22, and features a mean of zero."""
    if "components_" in state and "mean_" not in state:
        raise NotReadError(
            "sparse components that are not normalized are transformed otherwise today; fit it again"
        )


def selection(state: State, then: Version) -> None:
    """`max_features_` is new in 1.1, and as given unless it was a function."""
    state.pop("threshold_", None)
    most = state.get("max_features")
    if "max_features_" in state and most is None:
        del state["max_features_"]


def partial_least_squares(state: State, then: Version) -> None:
    """Coefficients have targets first since 1.3, and divide by the scale of the features since 1.5."""
    rename(state, x_mean_="_x_mean", y_mean_="_y_mean", x_std_="_x_std", y_std_="_y_std")
    if "_coef_" in state:
        state.pop("coef_", None)
    transposed = then < (1, 3) and "_coef_" not in state
    rename(state, _coef_="coef_")
    if "coef_" not in state or "_y_mean" not in state:
        return
    state.setdefault("intercept_", state["_y_mean"])
    state.setdefault("_predict_1d", False)
    if then < (1, 5):
        coef = array_of(state["coef_"]).astype(float)
        scale = array_of(state["_x_std"])
        state["coef_"] = np.ascontiguousarray((coef.T if transposed else coef) / scale)


def analysis(state: State, then: Version) -> None:
    state.pop("_n_features_out", None)  # a property of the class since 1.4


CHANGES: dict[str, Callable[[State, Version], None]] = {
    "TfidfTransformer": words,
    "TfidfVectorizer": vectorizer,
    "TSNE": embedding,
    "OneHotEncoder": encoder,
    "OrdinalEncoder": ordinals,
    "SimpleImputer": imputer,
    "MissingIndicator": indicator,
    "FunctionTransformer": function,
    "IterativeImputer": iterative_imputer,
    "KNNImputer": nearest_imputer,
    "PolynomialFeatures": polynomials,
    "MultiLabelBinarizer": binarizer,
    "ColumnTransformer": columns,
    "KernelPCA": kernel_components,
    "SparsePCA": sparse_components,
    "MiniBatchSparsePCA": sparse_components,
    "SelectFromModel": selection,
    "PLSRegression": partial_least_squares,
    "PLSCanonical": partial_least_squares,
    "CCA": partial_least_squares,
    "PLSSVD": partial_least_squares,
    "NeighborhoodComponentsAnalysis": analysis,
}
"""Changes of one class, by its name; each changes the attributes in place, and knows their version."""
