"""Boosters and estimators of XGBoost before 2.1, in the form that they have since then.

A pickle of a booster holds structs of XGBoost's memory until 1.2, JSON until 1.5, and its binary form since.
What those versions did not have gets the value that they worked with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from saver.families.numpy.pickles import array_of
from saver.families.xgboost import alike, structs, ubj
from saver.families.xgboost.alike import Table
from saver.families.xgboost.words import METRICS, OBJECTIVES, whole
from saver.pickled import NotReadError, Pairs, sequence

FORM = [2, 1]
"""The first version with today's form."""

OWN = ("feature_names", "feature_types", "booster", "best_iteration", "best_ntree_limit", "best_score")
"""Attributes of boosters that are in their bytes today."""

_DTYPES = {"default_left": np.uint8, "split_type": np.uint8} | dict.fromkeys(
    ("split_conditions", "loss_changes", "sum_hessian", "base_weights"), np.float32
)
"""Types of numbers that JSON does not tell; others are 64-bit integers."""

_GONE = frozenset((
    "_features_count", "_le", "best_iteration", "best_ntree_limit", "best_score", "classes_", "gpu_id",
    "n_features_in_", "nthread", "predictor", "seed", "silent", "use_label_encoder",
))  # fmt: skip
"""Attributes of estimators that are in the booster today, or nowhere."""

_NEW = dict.fromkeys(
    (
        "callbacks", "device", "early_stopping_rounds", "eval_metric", "feature_types", "feature_weights",
        "grow_policy", "importance_type", "interaction_constraints", "max_bin", "max_cat_threshold",
        "max_cat_to_onehot", "max_leaves", "monotone_constraints", "multi_strategy", "num_parallel_tree",
        "random_state", "sampling_method", "tree_method", "validate_parameters", "verbosity",
    )
) | {"enable_categorical": False}  # fmt: skip
"""Attributes of estimators that older ones do not all have, and what those worked with."""


def attributes(own: dict[str, Any]) -> dict[str, Any]:
    """Those that an estimator has today. Raises NotReadError if its classes are not 0, 1, 2 …, as today's are
    in all models."""
    classes = own.get("classes_")
    if classes is not None:
        found = array_of(classes)
        if found.ndim != 1 or found.dtype.kind not in "iufb" or (found != np.arange(len(found))).any():
            raise NotReadError(
                "the classes of a classifier are not 0, 1, 2 …, as this XGBoost needs them; read its "
                "booster, and name the classes yourself"
            )
    kept = {name: value for name, value in own.items() if name not in _GONE}
    if type(kept.get("kwargs")) is Pairs and not kept["kwargs"].items:
        del kept["kwargs"]
    return kept | {name: value for name, value in _NEW.items() if name not in kept}


def read(raw: bytes | bytearray, own: Mapping[str, Any]) -> dict[str, Any]:
    """The model and the settings of a booster with these attributes. Raises ValueError, and what comes of
    accesses to what is not there, for bytes that XGBoost does not write."""
    data = bytes(raw)
    if data.startswith(b"{L"):
        found = ubj.read(data)
    elif data.startswith(b"{"):
        found = json.loads(data)
        _tabled(found["Model"]["learner"]["gradient_booster"])
    else:
        found = structs.read(data)
    document: dict[str, Any] = found
    if document["Model"]["version"][:2] >= FORM:
        if own:
            raise ValueError(f"it has an attribute {min(own)[:40]!r} of its own")
        return document
    learner = document["Model"]["learner"]
    config = (document["Config"] or {"learner": {}})["learner"]
    _renew(learner, config, own)
    return {
        "Model": {"version": [*FORM, 0], "learner": learner},
        "Config": {"learner": _settings(config, learner)},
    }


def _tabled(booster: dict[str, Any]) -> None:
    """Make the trees of JSON those of the binary form."""
    model = _inner(booster)["model"]
    if "trees" not in model:
        return
    trees = model["trees"]
    names = [name for name, value in trees[0].items() if type(value) is list] if trees else []
    dtypes = {name: np.dtype(_DTYPES.get(name, np.int64)) for name in names}
    columns = {name: [np.array(tree[name], dtypes[name]).tobytes() for tree in trees] for name in names}
    model["trees"] = alike.table(columns, dtypes, [tree["tree_param"] for tree in trees])


def _inner(booster: dict[str, Any]) -> dict[str, Any]:
    """The part of a booster that has its trees or weights."""
    found: dict[str, Any] = booster["gbtree"] if booster["name"] == "dart" else booster
    return found


def _renew(learner: dict[str, Any], config: dict[str, Any], own: Mapping[str, Any]) -> None:
    """Give a learner what it lacks."""
    sizes = {"boost_from_average": "1", "num_target": "1", **learner["learner_model_param"]}
    name = learner["objective"]["name"]
    section = OBJECTIVES.get(name, "")
    settings = learner["objective"].get(section, config.get("objective", {}).get(section, {}))
    if name.startswith("multi:"):
        settings = {**settings, "num_class": sizes["num_class"]}
    learner |= {
        "learner_model_param": sizes,
        "objective": {"name": name} | ({section: settings} if section else {}),
        "feature_names": learner.get("feature_names") or _names(own.get("feature_names") or []),
        "feature_types": learner.get("feature_types") or own.get("feature_types") or [],
    }
    model = _inner(learner["gradient_booster"])["model"]
    best = own.get("best_iteration")
    if "trees" not in model:
        rounds = best + 1 if type(best) is int and 0 <= best < 1 << 30 else 1
        model.setdefault("boosted_rounds", rounds)
        return
    given = _inner(config.get("gradient_booster") or {"name": ""}).get("gbtree_train_param", {})
    _renew_trees(model, {"num_parallel_tree": _parallel(own), **given, **model.get("gbtree_model_param", {})})
    rounds = len(model["iteration_indptr"]) - 1
    if type(best) is int and 0 <= best < rounds - 1:
        learner["attributes"].setdefault("best_iteration", str(best))


def _renew_trees(model: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Give the trees what they lack, by these settings."""
    trees, parallel = model["trees"], given["num_parallel_tree"]
    model["gbtree_model_param"] = {"num_parallel_tree": parallel}
    sizes = [{**each, "size_leaf_vector": _vector(each.get("size_leaf_vector"))} for each in trees.last]
    model["trees"] = msgspec.structs.replace(_with_types(trees), last=sizes)
    if "iteration_indptr" not in model:
        step = whole(parallel) * (max(model["tree_info"], default=0) + 1)
        if step < 1 or len(trees.which) % step:
            raise ValueError("there is not a tree for each output in each round")
        model["iteration_indptr"] = list(range(0, len(trees.which) + 1, step))


def _vector(size: Any) -> Any:
    """How many numbers a leaf has: one was zero, or not said, until 2.0."""
    return "1" if size in (None, "0") else size


def _names(names: Any) -> list[Any]:
    """The names of features; none if they are those that data without names had until 1.3."""
    found = sequence(names, "the names of features")
    return [] if found == [f"f{at}" for at in range(len(found))] else found


def _parallel(own: Mapping[str, Any]) -> str:
    """How many trees each round has, by what a booster knows of its best one."""
    rounds, trees = own.get("best_iteration"), own.get("best_ntree_limit")
    if type(rounds) is not int or type(trees) is not int or not 0 <= rounds < trees < 1 << 30:
        return "1"
    return str(trees // (rounds + 1))


def _with_types(trees: Table) -> Table:
    """Trees with the kind of each split, which they may not say."""
    if "split_type" in trees.columns:
        return trees
    counts = trees.counts("left_children")
    return msgspec.structs.replace(
        trees,
        columns={**trees.columns, "split_type": bytes(counts.sum())},
        lengths={**trees.lengths, "split_type": counts},
        dtypes={**trees.dtypes, "split_type": np.dtype(np.uint8)},
    )


def _settings(config: dict[str, Any], learner: dict[str, Any]) -> dict[str, Any]:
    """The settings of training, without those of steps that are done otherwise today."""
    booster = learner["gradient_booster"]["name"]
    found = config.get("metrics", learner.get("metrics", []))
    metrics = [{"name": each} if type(each) is str else each for each in found]
    return {
        "generic_param": config.get("generic_param", {}),
        "learner_train_param": {
            **config.get("learner_train_param", {}),
            "booster": booster,
        },
        "metrics": [_metric(each["name"]) for each in metrics],
        "gradient_booster": _of_booster(config.get("gradient_booster", {}), booster),
    }


def _metric(name: str) -> dict[str, Any]:
    section = METRICS.get(name.partition("@")[0].rstrip("-"), "")
    return {"name": name} | ({section: {}} if section else {})


def _of_booster(found: Any, name: str) -> dict[str, Any]:
    settings = {"name": name}
    if name == "dart":
        return settings | {
            "dart_train_param": found.get("dart_train_param", {}),
            "gbtree": _of_booster(found.get("gbtree", {}), "gbtree"),
        }
    if name == "gblinear":
        return settings
    given = found.get("gbtree_train_param", {})
    updaters = found.get("updater", {})
    first: Any = next(iter(updaters.values() if type(updaters) is dict else updaters), {})
    return settings | {
        "gbtree_train_param": {k: v for k, v in given.items() if k not in ("updater", "updater_seq")},
        "tree_train_param": found.get("tree_train_param", first.get("train_param", {})),
    }
