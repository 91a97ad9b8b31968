"""Loads changed boosters and uses what loads: python xgboost_crashes.py SAMPLE SEED COUNT."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from booster_changes import attack
from sklearn.datasets import load_diabetes, load_iris

ROWS = 60


def data(kind: str) -> xgboost.DMatrix:
    """The data that a sample was trained on."""
    features, target = load_diabetes(return_X_y=True)
    features, target = features[:ROWS], target[:ROWS]
    if kind in ("classes", "linear_classes"):
        features, target = load_iris(return_X_y=True)
        return xgboost.DMatrix(features[::3], target[::3], nthread=1)
    if kind == "vectors":
        target = np.stack([target, -target], 1)
    if kind == "categories":
        words = pd.Categorical(np.array(["red", "blue", "", "green"])[np.arange(ROWS) * 7 % 4])
        numbers = pd.Categorical(np.arange(ROWS) * 5 % 9 * 10)
        frame = pd.DataFrame({"words": words, "numbers": numbers, "x": features[:, 2]})
        return xgboost.DMatrix(frame, target, enable_categorical=True, nthread=1)
    matrix = xgboost.DMatrix(features, target, nthread=1, feature_names=[f"f{i}" for i in range(10)])
    if kind == "ranking":
        matrix.set_info(label=(target > 100).astype(float), group=[20] * 3)
    return matrix


PARAMETERS: dict[str, dict[str, Any]] = {
    "trees": {"subsample": 0.5, "eval_metric": ["rmse", "mae"]},
    "pruned": {"updater": "grow_colmaker,prune", "gamma": 4000},
    "classes": {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2},
    "linear": {"booster": "gblinear"},
    "linear_classes": {"booster": "gblinear", "objective": "multi:softmax", "num_class": 3},
    "dart": {"booster": "dart", "rate_drop": 0.5},
    "vectors": {"multi_strategy": "multi_output_tree", "tree_method": "hist"},
    "categories": {"max_cat_to_onehot": 2},
    "quantiles": {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]},
    "ranking": {"objective": "rank:ndcg", "lambdarank_unbiased": True, "lambdarank_num_pair_per_sample": 5},
}


def booster(kind: str) -> xgboost.Booster:
    """A small booster of this kind."""
    parameters = {"max_depth": 3, "nthread": 1, "seed": 3, **PARAMETERS[kind]}
    if PARAMETERS[kind].get("booster") == "gblinear":
        del parameters["max_depth"]
    return xgboost.train(parameters, data(kind), 3)


def use(found: Any, matrix: xgboost.DMatrix) -> tuple[Callable[[], object], ...]:
    """Predict in all ways, look at it, and train on."""
    return (
        lambda: found.predict(matrix),
        lambda: found.predict(matrix, pred_leaf=True),
        lambda: found.predict(matrix, pred_contribs=True),
        lambda: found.predict(matrix, iteration_range=(1, 2)),
        lambda: found.get_dump(with_stats=True),
        lambda: found.get_score(importance_type="gain"),
        lambda: found[0:1].save_raw("json"),
        lambda: found.update(matrix, 3),
        lambda: found.eval(matrix),
        lambda: found.predict(matrix),
        lambda: found.save_raw("ubj"),
    )


def main(kind: str, seed: int, count: int) -> None:
    """Try so many changes."""
    xgboost.set_config(verbosity=0)
    warnings.simplefilter("ignore")
    matrix = data(kind)
    attack(
        f"{kind} {seed}", booster(kind), lambda found: use(found, matrix), (xgboost.core.XGBoostError,), count
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
