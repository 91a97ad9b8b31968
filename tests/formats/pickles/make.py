"""Makes golden pickles under an old version of scikit-learn: `python make.py FOLDER`, by its Python.

It fits every estimator of that version, and some with other options, to tiny data, and writes to
FOLDER/VERSION what joblib writes and what they answer. `python pack.py FOLDER` makes the archive of all
versions. Runs under Python 3.6 and later.
"""

import inspect
import io
import json
import os
import pkgutil
import sys
import warnings

import numpy as np

RANDOM = np.random.RandomState(0)
X = RANDOM.uniform(size=(30, 3))
ROWS = X[:, 0] + X[:, 1]
Y2 = (ROWS > 1).astype(int)
Y3 = np.digitize(ROWS, [0.8, 1.2])
TEXTS = ["ax by cz", "by cz do", "ax ax do", "cz cz cz", "do ax", "by"] * 3
WHOLE = np.array([[i % 3, i % 2, (i * i) % 5 % 3] for i in range(30)])
INPUTS = {
    "X": X,
    "plane": X - 0.5,
    "whole": WHOLE,
    "square": X.dot(X.T),
    "distances": np.abs(X[:, :1] - X[:, :1].T),
    "line": X[:, 0],
    "labels": Y3,
    "texts": TEXTS,
    "dicts": [{"a": i % 3, "b": "xyz"[i % 3]} for i in range(18)],
    "pairs": [[("a", i % 3), ("b", 2)] for i in range(18)],
    "words": [["a", "b"][: i % 3] + ["c"] for i in range(18)],
    "gaps": np.where(X < 0.2, np.nan, X),
    "names": np.array([["a", "b"], ["b", "c"], ["a", "c"]] * 6, dtype=object),
    "image": X.reshape(1, 30, 3),
}
TARGETS = {
    "two": Y2,
    "three": Y3,
    "named": np.array(["no", "yes"])[Y2],
    "numbers": ROWS,
    "columns": np.stack([ROWS, X[:, 2]], axis=1),
    "marks": np.stack([Y2, (X[:, 2] > 0.5).astype(int)], axis=1),
    "whole": np.array([0, 1, 2] * 6),
    "none": None,
}
METHODS = (
    "predict",
    "predict_proba",
    "decision_function",
    "score_samples",
    "transform",
    "kneighbors",
    "mahalanobis",
)
ATTRIBUTES = ("labels_", "row_labels_", "embedding_")
ASKED = 6
"""How many rows are asked about; estimators that answer nothing have the result in an attribute."""

SMALL = {
    "n_estimators": 3,
    "n_components": 2,
    "max_depth": 3,
    "cv": 3,
    "random_state": 0,
    "n_clusters": 2,
    "n_init": 1,
    "n_quantiles": 5,
    "max_subpopulation": 20,
    "n_topics": 2,
    "n_nonzero_coefs": 1,
    "hidden_layer_sizes": (4,),
    "n_features": 16,
    "n_alphas": 4,
}
"""Options that keep models small and the same each time, for those that have them."""


def classes():
    """The public estimators of the installed version, by name."""
    import sklearn
    from sklearn.base import BaseEstimator

    for name in ("enable_hist_gradient_boosting", "enable_iterative_imputer", "enable_halving_search_cv"):
        try:
            __import__("sklearn.experimental." + name)
        except ImportError:
            pass
    found = {}
    for _, name, _ in pkgutil.walk_packages(sklearn.__path__, "sklearn.", onerror=lambda name: None):
        if any(
            part in name
            for part in (".tests", ".externals", "conftest", "setup", ".datasets", "_build", "mocking")
        ):
            continue
        try:
            module = __import__(name, fromlist=["x"])
        except Exception:
            continue
        for title, value in vars(module).items():
            public = (
                inspect.isclass(value)
                and not title.startswith(("_", "Base"))
                and title != "GeneralizedLinear"
            )
            ours = public and value.__module__.startswith("sklearn.") and issubclass(value, BaseEstimator)
            if ours and not inspect.isabstract(value):
                found[value.__name__] = value
    return found


def variants(known):
    """Estimators by title: each class with its defaults, and what migrations depend on."""
    made = {}

    def add(title, name, *args, **options):
        if name not in known:
            return
        try:
            model = known[name](*args)
            taken = model.get_params(deep=False)
            small = {key: value for key, value in SMALL.items() if key in taken}
            if "threshold" in name.lower() or name == "RANSACRegressor":
                small.pop("cv", None)
            model.set_params(**small)
            model.set_params(**options)
        except (TypeError, ValueError):  # this version has no such option
            return
        made[title] = model

    def new(name, **options):
        title = str(len(made))
        add(title, name, **options)
        return made.pop(title)

    def try_add(title, name, make, **options):
        try:
            args = make()
        except (KeyError, TypeError, ValueError):
            return
        add(title, name, *args, **options)

    logistic = {"solver": "liblinear"}
    meta = {
        "OneVsOneClassifier",
        "OneVsRestClassifier",
        "OutputCodeClassifier",
        "ClassifierChain",
        "RFE",
        "RFECV",
        "SelectFromModel",
        "MultiOutputClassifier",
        "SelfTrainingClassifier",
        "CalibratedClassifierCV",
        "FixedThresholdClassifier",
        "TunedThresholdClassifierCV",
        "SequentialFeatureSelector",
        "FrozenEstimator",
    }
    for name in sorted(known):
        if name in meta:
            try_add(name, name, lambda: (new("LogisticRegression", **logistic),))
        elif name in (
            "MultiOutputRegressor",
            "RegressorChain",
            "RANSACRegressor",
            "TransformedTargetRegressor",
        ):
            try_add(name, name, lambda: (new("Ridge"),))
        elif name in ("GridSearchCV", "HalvingGridSearchCV"):
            try_add(name, name, lambda: (new("LogisticRegression", **logistic), {"C": [0.5, 1.0]}))
        elif name in ("RandomizedSearchCV", "HalvingRandomSearchCV"):
            try_add(name, name, lambda: (new("DecisionTreeClassifier"), {"max_depth": [1, 2]}), n_iter=2)
        elif name in ("VotingClassifier", "StackingClassifier"):
            pair = lambda: ([("a", new("LogisticRegression", **logistic)), ("b", new("GaussianNB"))],)  # noqa: E731
            try_add(name, name, pair)
            if name == "VotingClassifier":
                try_add(name + " soft", name, pair, voting="soft")
        elif name in ("VotingRegressor", "StackingRegressor"):
            try_add(name, name, lambda: ([("a", new("Ridge")), ("b", new("LinearRegression"))],))
        elif name == "Pipeline":
            try_add(
                name,
                name,
                lambda: (
                    [("a", new("StandardScaler")), ("b", new("MinMaxScaler")), ("c", new("SVC", gamma=0.5))],
                ),
            )
            try_add(
                "Pipeline of texts",
                name,
                lambda: (
                    [
                        ("a", new("TfidfVectorizer", token_pattern="[a-d].")),
                        ("b", new("LogisticRegression", **logistic)),
                    ],
                ),
            )
            try_add(
                "Pipeline with a gap",
                name,
                lambda: (
                    [("a", None if "ColumnTransformer" not in known else "passthrough"), ("b", new("Ridge"))],
                ),
            )
        elif name == "FeatureUnion":
            try_add(name, name, lambda: ([("a", new("StandardScaler")), ("b", new("PCA"))],))
        elif name == "ColumnTransformer":
            pairs = [("a", "StandardScaler", [0, 1]), ("b", "MinMaxScaler", slice(2, 3))]
            try_add(
                name, name, lambda pairs=pairs: ([(title, new(kind), which) for title, kind, which in pairs],)
            )
            try_add(
                name + " dropping",
                name,
                lambda: ([("a", new("StandardScaler"), [0]), ("b", "drop", [1])],),
                remainder="passthrough",
            )
            try_add(
                name + " of the rest",
                name,
                lambda: ([("a", "passthrough", [0])],),
                remainder=new("StandardScaler"),
            )
        elif name == "SparseCoder":
            add(name, name, np.eye(3))
        else:
            add(name, name)

    for loss in ("deviance", "log_loss", "exponential"):
        add("GradientBoostingClassifier " + loss, "GradientBoostingClassifier", loss=loss)
    for loss in ("ls", "lad", "huber", "quantile", "squared_error", "absolute_error"):
        add("GradientBoostingRegressor " + loss, "GradientBoostingRegressor", loss=loss)
    for name in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
        add(name + " from zero", name, init="zero")
        if "DecisionTreeRegressor" in known:
            kind = "Ridge" if name.endswith("Regressor") else "LogisticRegression"
            add(name + " from a model", name, init=new(kind))
        add(name + " that stops", name, n_iter_no_change=2)
    for loss in (
        "log",
        "log_loss",
        "modified_huber",
        "squared_hinge",
        "perceptron",
        "squared_loss",
        "squared_error",
        "huber",
    ):
        add("SGDClassifier " + loss, "SGDClassifier", loss=loss)
    for loss in ("huber", "epsilon_insensitive"):
        add("SGDRegressor " + loss, "SGDRegressor", loss=loss)
    add("SGDClassifier averaged", "SGDClassifier", average=True)
    for how in ("ovr", "multinomial", "auto"):
        add("LogisticRegression " + how, "LogisticRegression", multi_class=how, solver="lbfgs")
        add("LogisticRegressionCV " + how, "LogisticRegressionCV", multi_class=how, solver="lbfgs", Cs=2)
    add("LogisticRegression liblinear", "LogisticRegression", solver="liblinear")
    add("LogisticRegression l1", "LogisticRegression", solver="liblinear", penalty="l1")
    for kernel in ("linear", "poly", "sigmoid", "precomputed"):
        for name in ("SVC", "SVR", "NuSVC", "OneClassSVM"):
            add(name + " " + kernel, name, kernel=kernel)
    add("SVC probable", "SVC", probability=True, gamma=0.5)
    add("SVC one", "SVC", decision_function_shape="ovo", gamma=0.5)
    for algorithm in ("brute", "kd_tree", "ball_tree"):
        for name in (
            "KNeighborsClassifier",
            "KNeighborsRegressor",
            "NearestNeighbors",
            "RadiusNeighborsRegressor",
            "LocalOutlierFactor",
        ):
            options = {"novelty": True} if name.startswith("Local") else {}
            add(name + " " + algorithm, name, algorithm=algorithm, **options)
    for metric in ("manhattan", "chebyshev", "euclidean"):
        add("KNeighborsClassifier " + metric, "KNeighborsClassifier", metric=metric, algorithm="ball_tree")
    add("KNeighborsClassifier cubed", "KNeighborsClassifier", p=3, weights="distance")
    for kernel in ("tophat", "epanechnikov", "exponential", "linear", "cosine"):
        add("KernelDensity " + kernel, "KernelDensity", kernel=kernel)
    for criterion in ("entropy", "mse", "squared_error", "mae", "absolute_error", "friedman_mse", "poisson"):
        for name in ("DecisionTreeClassifier", "DecisionTreeRegressor", "RandomForestRegressor"):
            if (criterion == "entropy") == name.endswith("Classifier"):
                add(name + " " + criterion, name, criterion=criterion)
    for name in ("RandomForestClassifier", "ExtraTreesRegressor"):
        add(name + " out of bag", name, oob_score=True, bootstrap=True)
    add("RandomForestClassifier balanced", "RandomForestClassifier", class_weight="balanced")
    add("RandomForestClassifier pruned", "RandomForestClassifier", ccp_alpha=0.01, max_samples=0.9)
    add("IsolationForest contaminated", "IsolationForest", contamination=0.1)
    add("IsolationForest old", "IsolationForest", behaviour="old")
    add("IsolationForest new", "IsolationForest", behaviour="new")
    add("IsolationForest of some features", "IsolationForest", max_features=2)
    add("BaggingClassifier of some features", "BaggingClassifier", max_features=2)
    for held, name in (
        ("BaggingRegressor", "Ridge"),
        ("BaggingClassifier", "GaussianNB"),
        ("AdaBoostRegressor", "Ridge"),
    ):
        for key in ("base_estimator", "estimator"):
            if name in known:
                add(f"{held} of {name}, {key}", held, **{key: new(name)})
    add("AdaBoostClassifier SAMME", "AdaBoostClassifier", algorithm="SAMME")
    for loss in (
        "least_squares",
        "squared_error",
        "least_absolute_deviation",
        "absolute_error",
        "poisson",
        "quantile",
        "gamma",
    ):
        add("HistGradientBoostingRegressor " + loss, "HistGradientBoostingRegressor", loss=loss, max_iter=3)
    for name in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        add(name, name, max_iter=3, min_samples_leaf=4)
        add(name + " that stops", name, max_iter=3, min_samples_leaf=4, early_stopping=True)
        add(name + " with categories", name, max_iter=3, min_samples_leaf=4, categorical_features=[0])
        add(name + " with constraints", name, max_iter=3, min_samples_leaf=4, monotonic_cst=[1, 0, -1])
    for activation in ("identity", "logistic", "tanh"):
        for name in ("MLPClassifier", "MLPRegressor"):
            add(name + " " + activation, name, activation=activation, max_iter=5)
    for solver in ("lbfgs", "sgd"):
        add("MLPClassifier " + solver, "MLPClassifier", solver=solver, max_iter=5)
    add("MLPClassifier that stops", "MLPClassifier", early_stopping=True, max_iter=5)
    for method in ("isotonic", "temperature"):
        if "LinearSVC" in known:
            for key in ("base_estimator", "estimator"):
                add(
                    f"CalibratedClassifierCV {method}, {key}",
                    "CalibratedClassifierCV",
                    method=method,
                    **{key: new("LinearSVC")},
                )
    add("CalibratedClassifierCV of one", "CalibratedClassifierCV", ensemble=False)
    for name in ("OneHotEncoder", "OrdinalEncoder"):
        add(
            name + " of unknown",
            name,
            **(
                {"handle_unknown": "ignore"}
                if name[1] == "n"
                else {"handle_unknown": "use_encoded_value", "unknown_value": -1}
            ),
        )
    add("OneHotEncoder full", "OneHotEncoder", sparse=False)
    add("OneHotEncoder dense", "OneHotEncoder", sparse_output=False)
    add("OneHotEncoder dropping", "OneHotEncoder", drop="first")
    add("OneHotEncoder of few", "OneHotEncoder", max_categories=2)
    for strategy in ("median", "most_frequent", "constant"):
        add("SimpleImputer " + strategy, "SimpleImputer", strategy=strategy)
    add("SimpleImputer marking", "SimpleImputer", add_indicator=True)
    for strategy in ("uniform", "quantile", "kmeans"):
        add("KBinsDiscretizer " + strategy, "KBinsDiscretizer", strategy=strategy, encode="ordinal")
    for name in ("CountVectorizer", "TfidfVectorizer", "HashingVectorizer"):
        add(name + " of letters", name, analyzer="char_wb", ngram_range=(1, 2))
        add(name + " of own words", name, token_pattern="[a-d].")
    add("TfidfVectorizer sublinear", "TfidfVectorizer", token_pattern="[a-d].", sublinear_tf=True, norm="l1")
    add("TfidfTransformer plain", "TfidfTransformer", use_idf=False)
    add("FunctionTransformer of a function", "FunctionTransformer", func=np.log1p)
    add("PolynomialFeatures of products", "PolynomialFeatures", interaction_only=True)
    add("QuantileTransformer normal", "QuantileTransformer", output_distribution="normal")
    add("PowerTransformer Box-Cox", "PowerTransformer", method="box-cox")
    for solver in ("full", "arpack", "randomized"):
        add("PCA " + solver, "PCA", svd_solver=solver)
    add("PCA whitened", "PCA", whiten=True)
    for solver in ("svd", "lsqr", "eigen"):
        add(
            "LinearDiscriminantAnalysis " + solver,
            "LinearDiscriminantAnalysis",
            solver=solver,
            n_components=1,
        )
    add("NearestCentroid shrunken", "NearestCentroid", shrink_threshold=0.1)
    for kind in ("full", "tied", "diag", "spherical"):
        add("GaussianMixture " + kind, "GaussianMixture", covariance_type=kind)
        add("BayesianGaussianMixture " + kind, "BayesianGaussianMixture", covariance_type=kind)
    for algorithm in ("full", "elkan", "lloyd"):
        add("KMeans " + algorithm, "KMeans", algorithm=algorithm)
    add("KernelPCA rbf", "KernelPCA", kernel="rbf")
    add("Ridge of columns", "Ridge", alpha=0.5)
    add("RidgeCV by folds", "RidgeCV", cv=3)
    add("LinearRegression positive", "LinearRegression", positive=True)
    add("LinearRegression normalized", "LinearRegression", normalize=True)
    add(
        "TransformedTargetRegressor of logarithms",
        "TransformedTargetRegressor",
        func=np.log1p,
        inverse_func=np.expm1,
    )
    try:
        from sklearn.gaussian_process import kernels as k

        for title, kernel in (
            ("sum", k.ConstantKernel() * k.RBF() + k.WhiteKernel()),
            ("Matern", k.Matern()),
            ("quadratic", k.RationalQuadratic()),
        ):
            for name in ("GaussianProcessClassifier", "GaussianProcessRegressor"):
                add(name + " " + title, name, kernel=kernel)
    except ImportError:
        pass
    return made


WAYS = [
    ("X", "two"),
    ("X", "numbers"),
    ("X", "none"),
    ("whole", "two"),
    ("whole", "none"),
    ("texts", "whole"),
    ("texts", "none"),
    ("dicts", "none"),
    ("pairs", "none"),
    ("line", "numbers"),
    ("labels", "none"),
    ("words", "none"),
    ("X", "columns"),
    ("X", "marks"),
    ("square", "two"),
    ("gaps", "none"),
    ("names", "none"),
    ("distances", "none"),
    ("image", "none"),
]
REGRESSORS = [("X", "numbers"), ("X", "columns"), ("line", "numbers"), ("square", "numbers")]
AGAIN = {
    "classifier": [("X", "three"), ("X", "named"), ("X", "marks")], "regressor": [("X", "columns")],
}  # fmt: skip
"""To what those are fitted again that take more than one kind of target."""


def ways(title, model):
    """The data and targets to try, in order."""
    name = type(model).__name__
    if "precomputed" in title:
        return [("square", "two")]
    if "imputer" in name.lower() or name == "MissingIndicator":
        return [("gaps", "none")]
    if name.endswith("Encoder") and name[:5] not in ("Label", "Targe"):
        return [("whole", "none"), ("names", "none")]
    if name == "FeatureHasher":
        return [("dicts", "none")]
    if "Vectorizer" in name or "texts" in title:
        return [("texts", "whole"), ("dicts", "none")]
    if kind(model) == "regressor":
        return REGRESSORS
    if name in ("CCA", "PLSCanonical", "PLSSVD"):
        return [("X", "columns")]
    if name.startswith("MultiTask") or name in ("MultiOutputClassifier", "ClassifierChain", "RegressorChain"):
        return [("X", "marks")]
    return WAYS


def kind(model):
    """Whether it is a classifier or a regressor."""
    bases = [base.__name__ for base in type(model).__mro__]
    if "RegressorMixin" in bases or "Regressor" in type(model).__name__:
        return "regressor"
    return "classifier" if "ClassifierMixin" in bases else ""


def plain(value):
    """An answer as JSON has it."""
    if hasattr(value, "toarray"):
        if value.shape[1] > 100:
            raise ValueError("too wide")
        value = value.toarray()
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    found = np.asarray(value)
    return found.tolist()


def fitted(title, model, way):
    """The model, fitted, and what it answers; None if it cannot be fitted so, or answers nothing."""
    from sklearn.base import clone

    data, target = way
    given, wanted = INPUTS[data], TARGETS[target]
    if wanted is not None and len(wanted) != len(given):
        return None
    try:
        model = clone(model)
        model.fit(given) if wanted is None else model.fit(given, wanted)
    except Exception:
        return None
    answers = {}
    for method in METHODS:
        try:
            found = plain(getattr(model, method)(given[:ASKED]))
            json.dumps(found)
            answers[method] = found
        except Exception:
            continue
    if not answers:
        answers = {name: plain(getattr(model, name)[:ASKED]) for name in ATTRIBUTES if hasattr(model, name)}
    if not answers:
        return None
    return {
        "model": model,
        "class": type(model).__name__,
        "input": data,
        "target": target,
        "answers": answers,
    }


def dumped(model):
    """The bytes that joblib writes."""
    try:
        import joblib
    except ImportError:
        from sklearn.externals import joblib
    stream = io.BytesIO()
    joblib.dump(model, stream)
    return stream.getvalue()


def main(folder):
    """Write the models and what they answer."""
    import sklearn

    warnings.simplefilter("ignore")
    where = os.path.join(folder, sklearn.__version__)
    os.makedirs(where)
    left = []
    for title, model in sorted(variants(classes()).items()):
        made = [each for each in (fitted(title, model, way) for way in ways(title, model)) if each][:1]
        if not made:
            left.append(title)
        elif title == type(model).__name__ and not title.startswith("GaussianProcess"):
            more = AGAIN.get(kind(model), [])
            made += [fitted(title, model, way) for way in more]
        for found in filter(None, made):
            name = title if found is made[0] else title + " to " + found["target"]
            base = os.path.join(where, name.replace(" ", "_").replace(",", ""))
            with open(base + ".joblib", "wb") as file:
                file.write(dumped(found.pop("model")))
            with open(base + ".json", "w") as file:
                json.dump(found, file)
    sys.stderr.write("not fitted: " + ", ".join(left) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
