"""Fitted estimators of many kinds, and what each answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from estimators import named_instances
from sklearn import datasets, linear_model
from sklearn.base import clone
from sklearn.utils.estimator_checks import _enforce_estimator_tags_X, _enforce_estimator_tags_y

X, Y = datasets.make_blobs(40, n_features=4, centers=3, random_state=0)
METHODS = ("predict", "predict_proba", "decision_function", "transform")
SMALL = {"n_estimators": 2, "max_iter": 10, "hidden_layer_sizes": (3,), "random_state": 0}
DATA = "data"
NAMES = """
    AdaBoostClassifier Birch ClassicalMDS ClassifierChain ColumnTransformer DecisionTreeClassifier
    DictionaryLearning ElasticNetCV FixedThresholdClassifier FrozenEstimator GammaRegressor
    GaussianNB GradientBoostingClassifier GradientBoostingRegressor GridSearchCV
    HistGradientBoostingClassifier HistGradientBoostingRegressor KBinsDiscretizer KMeans
    KNeighborsClassifier LassoCV LinearDiscriminantAnalysis LinearRegression LinearSVC
    LogisticRegression LogisticRegressionCV MDS MLPClassifier MaxAbsScaler
    MiniBatchDictionaryLearning MultiTaskElasticNetCV MultiTaskLassoCV NMF NearestCentroid
    OneVsRestClassifier PCA PassiveAggressiveClassifier Perceptron Pipeline PoissonRegressor
    PolynomialFeatures QuadraticDiscriminantAnalysis QuantileTransformer RFE RandomForestClassifier
    RegressorChain Ridge RidgeCV RidgeClassifier RidgeClassifierCV SGDClassifier SGDOneClassSVM SVC
    SelfTrainingClassifier SimpleImputer SplineTransformer StackingClassifier
    StandardScaler TSNE TargetEncoder TheilSenRegressor TunedThresholdClassifierCV TweedieRegressor
    VotingClassifier
"""
"""Those that one version of scikit-learn cannot take from another, and one or more of every other kind."""


def estimators() -> dict[str, Any]:
    """Parts: each estimator, under its name; and under `data`, what it was fitted to and its answers."""
    found: dict[str, Any] = {}
    for name, estimator in named_instances(linear_model.LogisticRegression().fit(X, Y)):
        name = name.partition("-")[0]
        if name in found or name not in NAMES.split():
            continue
        model = clone(estimator)
        options = {key: value for key, value in SMALL.items() if key in model.get_params(deep=False)}
        try:
            model.set_params(**options)
            features = _enforce_estimator_tags_X(model, X)
            model.fit(features, _enforce_estimator_tags_y(model, Y))
        except (ValueError, TypeError, AttributeError):
            continue  # made for texts, or labels alone
        found[name] = model
        found.setdefault(DATA, {})[name] = [features, answers(model, features.copy())]
    return found


def answers(model: Any, features: Any) -> dict[str, Any]:
    """What the methods of a model answer, as arrays."""
    found = {}
    for method in METHODS:
        if hasattr(model, method):
            try:
                answer = answer_of(model, method, features)
            except (ValueError, TypeError, AttributeError):
                continue  # made for texts, or for two classes
            if answer.dtype.kind in "biuf":
                found[method] = answer
    return found


def answer_of(model: Any, method: str, features: Any) -> Any:
    answer = getattr(model, method)(features)
    return np.ascontiguousarray(answer.toarray() if scipy.sparse.issparse(answer) else answer)
