"""Loads changed boosters and uses what loads: python lightgbm_crashes.py SAMPLE SEED COUNT."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from booster_changes import attack
from sklearn.datasets import load_diabetes

ROWS = 90

PARAMETERS: Mapping[str, Mapping[str, Any]] = {
    "trees": {},
    "classes": {"objective": "multiclass", "num_class": 3},
    "binary": {"objective": "binary", "boosting": "goss"},
    "categories": {"min_data_per_group": 1, "cat_smooth": 1},
    "linear": {"linear_tree": True},
    "linear single leaves": {"linear_tree": True, "min_data_in_leaf": 80},
    "dart": {"boosting": "dart", "drop_rate": 0.5},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "monotone": {"monotone_constraints": [1, 0, 0, 0, 0, 0, 0, 0, 0, -1]},
    "single leaves": {"min_data_in_leaf": 80},
    "ranking": {"objective": "lambdarank"},
}


def frame(kind: str) -> tuple[Any, Any]:
    """The features and the target that a sample is trained on."""
    features, target = load_diabetes(return_X_y=True)
    features, target = features[:ROWS], target[:ROWS]
    if kind == "classes":
        target = np.digitize(target, [90, 160])
    if kind in ("binary", "ranking"):
        target = (target > 100).astype(float)
    if kind == "categories":
        words = pd.Categorical(np.array(["red", "blue", "green"])[np.arange(ROWS) * 7 % 3])
        numbers = pd.Categorical(np.arange(ROWS) * 5 % 40)
        features = pd.DataFrame({"words": words, "numbers": numbers, "x": features[:, 2]})
    return features, target


def data(kind: str) -> lightgbm.Dataset:
    """The same as a Dataset."""
    features, target = frame(kind)
    group = [30, 30, 30] if kind == "ranking" else None
    return lightgbm.Dataset(features, target, group=group, free_raw_data=False)


def booster(kind: str, rounds: int = 3) -> lightgbm.Booster:
    """A small booster of this kind."""
    small = {"num_leaves": 6, "min_data_in_leaf": 3, "num_threads": 1, "verbose": -1}
    return lightgbm.train({**small, **PARAMETERS[kind]}, data(kind), rounds)


def use(found: Any, kind: str) -> tuple[Callable[[], object], ...]:
    """Predict in all ways, look at it, and train on."""
    features, target = frame(kind)
    more = {"num_threads": 1, "verbose": -1, "num_leaves": 4}
    return (
        lambda: found.predict(features),
        lambda: found.predict(features, raw_score=True, num_iteration=2),
        lambda: found.predict(features, pred_leaf=True),
        lambda: found.predict(features, pred_contrib=True),
        lambda: found.model_to_string(),
        lambda: found.dump_model(),
        lambda: found.trees_to_dataframe(),
        lambda: found.feature_importance("gain"),
        lambda: found.get_split_value_histogram(0),
        lambda: lightgbm.train(more, data(kind), 1, init_model=found),
        lambda: found.refit(features, target) if refits(found) else None,
        lambda: found.shuffle_models().predict(features),
        lambda: found.set_leaf_output(0, 0, 1.0).predict(features),
    )


def refits(found: Any) -> bool:
    """Whether LightGBM fits the leaves of a booster again, rather than ending the process: with linear_tree,
    it does that to models of its own, untouched, if a leaf has no rows or a tree is not linear."""
    return "[linear_tree: 1" not in found.model_to_string(num_iteration=-1)


def main(kind: str, seed: int, count: int) -> None:
    """Try so many changes."""
    warnings.simplefilter("ignore")
    lightgbm.register_logger(_Silent())
    errors = (lightgbm.basic.LightGBMError, KeyError, AttributeError)
    attack(f"{kind} {seed}", booster(kind), lambda found: use(found, kind), errors, count)


class _Silent:
    def info(self, text: str) -> None:
        pass

    warning = info


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
