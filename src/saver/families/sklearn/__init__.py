"""scikit-learn: every estimator, fitted or not, and the objects in estimators."""

from __future__ import annotations

from saver.family import Change, Family, seen

FAMILY = Family(
    name="sklearn",
    packages=("sklearn",),
    distribution="scikit-learn",
    extra="sklearn",
    classes="saver.families.sklearn:classes.json",
    codecs="saver.families.sklearn.codecs",
    zips=("skops",),
    misnamed={"_loss": "sklearn._loss._loss"},  # before 1.7
    references="saver.families.sklearn.references",
    reading="saver.families.sklearn.reading",
    change=Change(
        "warning",
        "warning",
        "note",
        "fitted estimators keep private state, which another version may read differently: "
        "compare predictions",
        exact=True,
    ),
    version_bound=True,
    instead={
        "sklearn.callback._scoring_monitor.ScoringMonitor": "save its logs, get_logs(), and take it out of "
        "the estimator with set_callbacks()",
        "joblib.memory.Memory": "set memory to the path of its folder, which means the same to scikit-learn",
        "joblib.memory.MemorizedFunc": "hold the function itself, and cache it again after loading",
    },
    breaks=(
        seen("LogisticRegression LogisticRegressionCV", (1, 8), (1, 6), "no attribute multi_class"),
        seen("RidgeClassifier RidgeClassifierCV", (1, 8), (1, 6), "classes_ is a property there"),
        seen("AdaBoostClassifier", (1, 8), (1, 5), "no attribute algorithm"),
        seen("NearestCentroid", (1, 8), (1, 5), "no attribute predict_proba"),
        seen("SelfTrainingClassifier", (1, 8), (1, 5), "no attribute base_estimator"),
        seen("TunedThresholdClassifierCV", (1, 8), (1, 5), "the class _CurveScorer is elsewhere"),
        seen(
            "AdaBoostClassifier", (1, 5), (1, 9), "its algorithm SAMME.R was removed, SAMME answers instead"
        ),
        seen(
            "ClassifierChain RegressorChain SelfTrainingClassifier", (1, 5), (1, 9), "no attribute estimator"
        ),
        seen("MaxAbsScaler", (1, 5), (1, 9), "no attribute clip"),
        seen("NMF", (1, 5), (1, 9), "its n_components is 'warn', which is not a number"),
        seen("NearestCentroid", (1, 5), (1, 9), "no attribute class_prior_"),
        seen("RidgeClassifier RidgeClassifierCV", (1, 5), (1, 9), "no attribute classes_"),
        seen("SimpleImputer", (1, 5), (1, 9), "no attribute _fill_dtype"),
        seen("SplineTransformer", (1, 5), (1, 9), "no attribute handle_missing"),
    ),
)
