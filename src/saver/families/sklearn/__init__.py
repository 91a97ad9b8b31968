"""scikit-learn: every estimator, fitted or not, and the objects in estimators."""

from __future__ import annotations

from saver.family import Change, Family, seen

_CLONE = "cannot be cloned or shown"
_LOAD = "will not load"

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
    pickles="saver.families.sklearn.pickles",
    exports={"onnx": "saver.families.sklearn.onnx"},
    predicting="saver.families.sklearn.predicting",
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
        seen("AdaBoostClassifier", "..1.5", "1.6..", "SAMME.R was removed, SAMME answers instead"),
        seen("NMF", "..1.5", "1.6..", "its n_components is 'warn', which is not a number"),
        seen("NearestCentroid", "..1.5", "1.6..", "no attribute class_prior_"),
        seen("SelfTrainingClassifier", "..1.5", "1.6..", "no attribute estimator"),
        seen("Pipeline", "..1.5", "1.6..", "no attribute transform_input", _CLONE),
        seen("ClassifierChain RegressorChain", "..1.6", "1.7..", "no attribute estimator"),
        seen("KBinsDiscretizer", "..1.6", "1.7..", "no attribute quantile_method", _CLONE),
        seen("LinearRegression", "..1.6", "1.7..", "no attribute tol", _CLONE),
        seen("MaxAbsScaler", "..1.7", "1.8..", "no attribute clip"),
        seen("RidgeClassifier RidgeClassifierCV", "..1.7", "1.8..", "no attribute classes_"),
        seen("SimpleImputer", "..1.7", "1.8..", "no attribute _fill_dtype"),
        seen("SplineTransformer", "..1.7", "1.8..", "no attribute handle_missing"),
        seen("LogisticRegressionCV", "..1.7", "1.8..", "no attribute use_legacy_attributes", _CLONE),
        seen("MDS", "..1.7", "1.8..", "no attribute init", _CLONE),
        seen("QuadraticDiscriminantAnalysis", "..1.7", "1.8..", "no attribute covariance_estimator", _CLONE),
        seen("SparseCoder", "..1.7", "1.8..", "it must be fitted there", "will not name its features"),
        seen("ClassifierChain RegressorChain", "1.9..", "1.6..1.8", "no attribute base_estimator"),
        seen("ClassifierChain RegressorChain", "1.9..", "..1.5", "no attribute base_estimator", _CLONE),
        seen("ColumnTransformer", "1.9..", "..1.8", "no attribute force_int_remainder_cols", _CLONE),
        seen(
            "ElasticNetCV LassoCV MultiTaskElasticNetCV MultiTaskLassoCV", "1.9..", "..1.8",
            "no attribute n_alphas", _CLONE,
        ),
        seen(
            "LogisticRegression LogisticRegressionCV", "1.8..", "..1.7",
            "no attribute multi_class, so predict_proba fails",
        ),
        seen("ClassicalMDS", "1.8..", "..1.7", "the class is new in 1.8", _LOAD),
        seen("RidgeClassifier RidgeClassifierCV", "1.8..", "..1.7", "classes_ is a property there", _LOAD),
        seen("SparseCoder", "1.8..", "..1.7", "n_features_in_ is a property there", _LOAD),
        seen("AdaBoostClassifier", "1.8..", "..1.5", "no attribute algorithm"),
        seen("AdaBoostClassifier", "1.8..", "1.6..1.7", "no attribute algorithm", _CLONE),
        seen("Birch", "1.8..", "..1.7", "no attribute copy", _CLONE),
        seen("TheilSenRegressor", "1.8..", "..1.7", "no attribute copy_X", _CLONE),
        seen("RidgeCV", "1.7..", "..1.6", "no attribute store_cv_values", _CLONE),
        seen("RidgeClassifierCV", "1.7..1.7", "..1.6", "no attribute store_cv_values", _CLONE),
        seen("TSNE", "1.7..", "..1.6", "no attribute n_iter", _CLONE),
        seen(
            "DictionaryLearning MiniBatchDictionaryLearning", "1.7..", "..1.6", "it is new in 1.7",
            "will not transform back",
        ),
        seen("NearestCentroid", "1.6..", "..1.5", "no attribute predict_proba"),
        seen("SelfTrainingClassifier", "1.6..", "..1.5", "no attribute base_estimator"),
        seen("SelfTrainingClassifier", "1.8..", "1.6..1.7", "no attribute base_estimator", _CLONE),
        seen("FrozenEstimator", "1.6..", "..1.5", "the class is new in 1.6", _LOAD),
        seen("TunedThresholdClassifierCV", "1.6..", "..1.5", "the class _CurveScorer is elsewhere", _LOAD),
    ),
)  # fmt: skip
