"""Loads changed boosters and uses what loads: python xgboost_crashes.py SAMPLE SEED COUNT.

Each number is printed before its attempt, so that the last one tells which attempt ended the process.
"""

from __future__ import annotations

import contextlib
import copy
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from sklearn.datasets import load_diabetes, load_iris

from saver.errors import SaverError
from saver.tensors import TensorData, pieces
from saver.testing.codecs import StoredObject, change, load

ROWS = 60
EXTREMES = (0, 1, 2, -1, -2, 3, 7, 100, 2**24, 2**30, 2**31 - 1, -(2**31), 127, 255)


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


def changed_tensor(saved: StoredObject, draw: random.Random) -> None:
    """Change some elements, the length, the type or the shape of a tensor."""
    name = draw.choice(sorted(saved.tensors))
    old = saved.tensors[name]
    raw = np.concatenate([np.empty(0, np.uint8), *pieces(old)])
    kinds = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64, "U8": np.uint8}
    values = raw.view(kinds[old.dtype]).copy()
    what, shape = draw.randrange(8), old.shape
    if what == 0:
        keep = draw.randrange(len(values) + 1)
        values, shape = values[:keep], (keep,)
    elif what == 1:
        values = np.concatenate([values, values])
        shape = (len(values),)
    elif what == 2:
        shape = tuple(reversed(shape)) if len(shape) > 1 else (1, *shape)
    elif len(values):
        for _ in range(draw.choice((1, 1, 2, 5))):
            choice = draw.choice(
                (*EXTREMES, int(draw.choice(range(len(values)))), float("nan"), float("inf"))
            )
            with contextlib.suppress(ValueError, OverflowError):
                values[draw.randrange(len(values))] = choice
    saved.tensors[name] = TensorData(old.dtype, shape, values)


def changed_text(trees: Any, draw: random.Random) -> None:
    """Change a number or a word that XGBoost keeps as text."""
    texts = [(holder, key) for holder, key in _places(trees) if type(holder[key]) is str]
    holder, key = draw.choice(texts)
    values = (
        "",
        "0",
        "1",
        "2",
        "3",
        "-1",
        "100000",
        "4294967295",
        "9" * 30,
        "nan",
        "[1E0,2E0]",
        "[]",
        "1e9",
        "x",
    )
    holder[key] = draw.choice((*values, *(other[where] for other, where in draw.sample(texts, 3))))


def _places(value: Any) -> list[tuple[Any, Any]]:
    if not isinstance(value, (dict, list)):
        return []
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    return [*((value, key) for key in keys), *(place for key in keys for place in _places(value[key]))]


def use(found: Any, matrix: xgboost.DMatrix) -> None:
    """Predict in all ways, look at it, and train on."""
    ways: tuple[Callable[[], object], ...] = (
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
    for way in ways:
        with contextlib.suppress(xgboost.core.XGBoostError, ValueError, TypeError, IndexError, MemoryError):
            way()


def main(kind: str, seed: int, count: int) -> None:
    """Try so many changes."""
    xgboost.set_config(verbosity=0)
    warnings.simplefilter("ignore")
    honest, matrix, loaded = StoredObject(booster(kind)), data(kind), 0
    for number in range(count):
        draw = random.Random(f"{kind} {seed} {number}")
        changed = honest.copy()
        changed.tensors = copy.copy(honest.tensors)
        way = draw.choice((changed_tensor, changed_tensor, changed_text, change))
        if way is changed_tensor:
            changed_tensor(changed, draw)
        else:
            way(changed.trees, draw)
        print(number, flush=True)
        try:
            found = load(changed, ())
        except SaverError:
            continue
        if isinstance(found, xgboost.Booster):
            loaded += 1
            use(found, matrix)
    print(f"done, {loaded} loaded", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
