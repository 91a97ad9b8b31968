"""Makes the golden pickles of one old environment: `python make.py FOLDER`, by the Python that has it.

Runs under Python 3.6 and later.
"""

import json
import os
import sys
import warnings

import numpy as np
import sklearn

try:
    import joblib
except ImportError:
    from sklearn.externals import joblib
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

warnings.simplefilter("ignore")
random = np.random.RandomState(0)
X = random.uniform(size=(60, 3))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
TEXTS = ["a b c", "b c d", "a a d", "c c c", "d a", "b"]
KINDS = np.array([0, 1, 0, 1, 0, 1])

MODELS = {
    "forest": RandomForestClassifier(3, random_state=0, max_depth=3),
    "regressors": ExtraTreesRegressor(3, random_state=0, max_depth=3),
    "tree": DecisionTreeClassifier(random_state=0, max_depth=3),
    "bagging": BaggingClassifier(random_state=0, n_estimators=3),
    "boosting": AdaBoostClassifier(random_state=0, n_estimators=3),
    "logistic": LogisticRegression(solver="liblinear"),
    "ridge": Ridge(),
    "gradients": SGDClassifier(random_state=0, max_iter=5, tol=None),
    "normal": GaussianNB(),
    "multinomial": MultinomialNB(),
    "neighbours": KNeighborsClassifier(algorithm="kd_tree"),
    "network": MLPClassifier((4,), max_iter=5, random_state=0),
    "scaled": make_pipeline(StandardScaler(), MinMaxScaler(), SVC(gamma=0.5)),
    "calibrated": CalibratedClassifierCV(LinearSVC(random_state=0), cv=3),
    "words": make_pipeline(TfidfVectorizer(token_pattern="[a-d]"), LogisticRegression(solver="liblinear")),
}


def main(folder: str) -> None:
    """Write the models and what they predict."""
    where = os.path.join(folder, sklearn.__version__)
    os.makedirs(where)
    expected = {}  # type: ignore[var-annotated]
    for name, model in sorted(MODELS.items()):
        data = TEXTS if name == "words" else X
        model.fit(data, KINDS if name == "words" else Y)
        joblib.dump(model, os.path.join(where, name + ".joblib"), compress=("zlib", 9))
        method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
        expected[name] = [method, getattr(model, method)(data).tolist()]
    with open(os.path.join(where, "expected.json"), "w") as file:
        json.dump(expected, file)


main(sys.argv[1])
