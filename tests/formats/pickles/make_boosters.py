"""Makes golden pickles under old versions of XGBoost and LightGBM: `python make_boosters.py FOLDER`, by their
Python. `python pack.py FOLDER boosters` makes the archive of all versions.

It writes to FOLDER/LIBRARY-VERSION what `pickle` writes, and what the models answer.
"""

import json
import os
import pickle
import sys
import warnings

import numpy as np

RANDOM = np.random.RandomState(0)
X = RANDOM.uniform(size=(60, 3))
ROWS = X[:, 0] + X[:, 1]
Y2 = (ROWS > 1).astype(int)
Y3 = np.digitize(ROWS, [0.8, 1.2])
ASKED = 10


def models():
    """Models by library and title, each with the target that it is fitted to."""
    found = {}
    try:
        import xgboost

        small = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}
        found["xgboost", xgboost.__version__] = {
            "classifier": (xgboost.XGBClassifier(**small), Y2),
            "to_three": (xgboost.XGBClassifier(**small), Y3),
            "regressor": (xgboost.XGBRegressor(**small), ROWS),
            "dart": (xgboost.XGBRegressor(booster="dart", **small), ROWS),
            "linear": (xgboost.XGBRegressor(booster="gblinear", **small), ROWS),
            "forest": (xgboost.XGBRFRegressor(**small), ROWS),
            "counts": (xgboost.XGBRegressor(objective="count:poisson", **small), ROWS),
            "histograms": (xgboost.XGBRegressor(tree_method="hist", gamma=0.1, **small), ROWS),
        }
    except ImportError:
        pass
    try:
        import lightgbm

        small = {"n_estimators": 3, "num_leaves": 4, "min_child_samples": 5, "n_jobs": 1, "verbose": -1}
        found["lightgbm", lightgbm.__version__] = {
            "classifier": (lightgbm.LGBMClassifier(**small), Y2),
            "to_three": (lightgbm.LGBMClassifier(**small), Y3),
            "regressor": (lightgbm.LGBMRegressor(**small), ROWS),
            "dart": (lightgbm.LGBMRegressor(boosting_type="dart", **small), ROWS),
            "linear": (lightgbm.LGBMRegressor(linear_tree=True, **small), ROWS),
        }
    except ImportError:
        pass
    return found


def answers(model):
    """What a model answers to a few rows."""
    found = {"predict": model.predict(X[:ASKED]).tolist()}
    if hasattr(model, "predict_proba"):
        found["predict_proba"] = model.predict_proba(X[:ASKED]).tolist()
    return found


def booster(model):
    """The booster in an estimator."""
    return model.get_booster() if hasattr(model, "get_booster") else model.booster_


def main(folder):
    """Write all models, and the booster of each alone."""
    for (library, version), each in models().items():
        target = os.path.join(folder, library + "-" + version)
        os.makedirs(target, exist_ok=True)
        for title, (model, labels) in each.items():
            model.fit(X, labels)
            with open(os.path.join(target, title + ".json"), "w") as file:
                json.dump(answers(model), file)
            for name, value in ((title, model), (title + "_booster", booster(model))):
                with open(os.path.join(target, name + ".pkl"), "wb") as file:
                    pickle.dump(value, file, 4)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1])
