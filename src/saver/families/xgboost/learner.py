"""A booster's model as XGBoost's bytes, and as a small tree and a few arrays: both ways.

XGBoost's parser trusts its input, so it never sees what a file says: `check` goes through all of it, and
`write` makes the bytes from that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from saver.codec import Encoder
from saver.families.xgboost import categories, trees, ubj
from saver.families.xgboost.trees import Arrays
from saver.families.xgboost.words import OBJECTIVES, check_named, numbers, whole
from saver.tree import Value

_SIZES = frozenset(("base_score", "boost_from_average", "num_class", "num_feature", "num_target"))

_MORE: dict[str, type[Any]] = {
    "iteration_indptr": np.int32,
    "weight_drop": np.float32,
    "weights": np.float32,
    "ti+": np.float32,
    "tj-": np.float32,
}

_DTYPES: dict[str, type[Any]] = {**trees.FIELDS, **_MORE}

_FOREST = frozenset((*trees.FIELDS, "iteration_indptr"))
_ARRAYS = {"gbtree": _FOREST, "dart": _FOREST | {"weight_drop"}, "gblinear": frozenset(("weights",))}
"""The arrays of each kind of booster."""

PLAIN = ("version", "booster", "sizes", "objective", "rounds", "parallel")
TEXTS = ("attributes", "names", "types", "encoders")
"""The fields of a model that a booster's state holds as they are, and as values of their own."""

_FEATURE_TYPES = frozenset(("float", "int", "i", "q", "c", "categorical", "indicator"))


class Model(msgspec.Struct, frozen=True):
    """What a booster has learned.

    `sizes` are the parameters of the model, `objective` its name and settings; `booster` is gbtree, dart or
    gblinear, with `rounds` and `parallel` where it keeps them. `arrays` are the trees or weights, and
    `encoders` the categories of data frames.
    """

    version: list[int]
    booster: str
    sizes: dict[str, str]
    objective: dict[str, Any]
    attributes: dict[str, str]
    names: list[str]
    types: list[str]
    encoders: list[dict[str, Any]]
    arrays: Arrays
    rounds: int = 0
    parallel: str = "1"


def read(raw: bytes | bytearray) -> Model:
    """The model in XGBoost's bytes. Raises ValueError for what it never writes."""
    return read_from(ubj.read(raw))


def read_from(document: Any) -> Model:
    """The same in what those bytes hold."""
    learner = document["learner"]
    booster = learner["gradient_booster"]
    objective = dict(learner["objective"])
    arrays: Arrays = {}
    for name in ("ti+", "tj-"):
        if name in objective:
            arrays[name] = np.array(objective.pop(name), np.float32)
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    rounds, parallel, encoders = 0, "1", list[dict[str, Any]]()
    if booster["name"] == "gblinear":
        arrays["weights"] = np.array(model["weights"], np.float32)
        rounds = model["boosted_rounds"]
    else:
        arrays |= trees.read(model["trees"], model["tree_info"])
        arrays["iteration_indptr"] = np.array(model["iteration_indptr"], np.int32)
        parallel = model["gbtree_model_param"]["num_parallel_tree"]
        encoders = categories.read(model.get("cats"))
    if booster["name"] == "dart":
        arrays["weight_drop"] = np.array(booster["weight_drop"], np.float32)
    return Model(
        document["version"], booster["name"], learner["learner_model_param"], objective,
        learner["attributes"], learner["feature_names"], learner["feature_types"], encoders, arrays,
        rounds, parallel,
    )  # fmt: skip


def settings(model: Model) -> dict[str, Any]:
    """What the settings of its training repeat of a model, by section."""
    biases = {name: model.arrays[name].tolist() for name in ("ti+", "tj-") if name in model.arrays}
    return {
        "learner_model_param": model.sizes,
        "objective": model.objective | biases,
        "gbtree_model_param": {
            "num_parallel_tree": model.parallel,
            "num_trees": str(len(model.arrays.get("trees", ()))),
        },
    }


def write(model: Model) -> bytearray:
    """The model in XGBoost's bytes."""
    arrays = model.arrays
    found: dict[str, Any]
    if model.booster == "gblinear":
        found = {"boosted_rounds": model.rounds, "weights": arrays["weights"]}
    else:
        found = {
            "cats": categories.write(model.encoders),
            "gbtree_model_param": settings(model)["gbtree_model_param"],
            "iteration_indptr": ubj.integers(arrays["iteration_indptr"]),
            "tree_info": ubj.integers(arrays["trees"][:, 3]),
            "trees": trees.write(arrays, whole(model.sizes["num_feature"])),
        }
    booster: dict[str, Any] = {"model": found, "name": model.booster}
    if model.booster == "dart":
        inner = {"model": found, "name": "gbtree"}
        booster = {"gbtree": inner, "name": "dart", "weight_drop": arrays["weight_drop"].tolist()}
    biases = {name: arrays[name] for name in ("ti+", "tj-") if name in arrays}
    learner = {
        "attributes": model.attributes,
        "feature_names": model.names,
        "feature_types": model.types,
        "gradient_booster": booster,
        "learner_model_param": model.sizes,
        "objective": model.objective | biases,
    }
    return ubj.write({"learner": learner, "version": model.version})


def check(model: Model, charge: Callable[[int], object] = lambda count: None) -> None:
    """Raise ValueError unless XGBoost could have written the model. `charge` is called with the bytes that
    it needs beside those of the arrays."""
    features, groups = _check_sizes(model)
    charge(4 * features + 8 * groups)
    _check_objective(model)
    _check_texts(model, features)
    arrays = model.arrays
    expected = _ARRAYS.get(model.booster)
    if expected is None or arrays.keys() - {"ti+", "tj-"} != expected:
        raise ValueError(f"a {model.booster!r:.40} has other arrays than XGBoost writes")
    for name, array in arrays.items():
        if array.dtype != _DTYPES[name] or (name != "trees" and array.ndim != 1):
            raise ValueError(f"{name} is {array.dtype} with {array.ndim} axes")
    if model.booster == "gblinear":
        if model.rounds < 0 or len(arrays["weights"]) not in (0, (features + 1) * groups):
            raise ValueError("the weights do not fit the features and outputs of the model")
        if model.rounds and not len(arrays["weights"]):
            raise ValueError("the model was trained, and has no weights")
        return
    charge(trees.check(arrays, features, groups))
    _check_rounds(model)
    categories.check(model.encoders, features)


def state_of(model: Model, found: dict[str, Any], encoder: Encoder) -> Value:
    """The state of the codec of boosters, from a model and the settings of its training."""
    return {
        **{name: getattr(model, name) for name in PLAIN},
        **{name: encoder.own(getattr(model, name), name) for name in TEXTS},
        "settings": found,
        "arrays": {name: encoder.tensor(array, name) for name, array in model.arrays.items()},
    }


def has_vectors(model: Model) -> bool | None:
    """Whether its leaves are vectors; None if it has no trees."""
    table = model.arrays.get("trees")
    return None if table is None or not len(table) else bool(table[0, 2] > 1)


def _check_sizes(model: Model) -> tuple[int, int]:
    """The numbers of features and of outputs."""
    version, sizes = model.version, model.sizes
    if (
        type(version) is not list
        or len(version) != 3
        or not all(type(n) is int and 0 <= n < 999 for n in version)
    ):
        raise ValueError("the version of XGBoost is not three numbers")
    if type(sizes) is not dict or sizes.keys() != _SIZES:
        raise ValueError("the model has other sizes than XGBoost writes")
    if sizes["boost_from_average"] not in ("0", "1"):
        raise ValueError("boost_from_average is neither 0 nor 1")
    classes, features, targets = (whole(sizes[f"num_{what}"]) for what in ("class", "feature", "target"))
    if features < 1 or targets < 1 or (classes > 1 and targets > 1):
        raise ValueError("the model has an impossible number of features or outputs")
    groups = max(classes, targets, 1)
    if len(numbers(sizes["base_score"])) != groups:
        raise ValueError("base_score has another length than there are outputs")
    return features, groups


def _check_objective(model: Model) -> None:
    name = check_named(model.objective, OBJECTIVES, "an objective")
    settings = model.objective.get(OBJECTIVES[name], {})
    if name.startswith("multi:") and settings.get("num_class") != model.sizes["num_class"]:
        raise ValueError(f"{name} has another number of classes than the model")
    if name == "reg:quantileerror" and len(numbers(settings.get("quantile_alpha"))) != whole(
        model.sizes["num_target"]
    ):
        raise ValueError(f"{name} has another number of quantiles than the model has outputs")
    biases = [model.arrays.get(name) for name in ("ti+", "tj-")]
    if any(bias is not None for bias in biases):
        unbiased = settings.get("lambdarank_unbiased") == "1"
        if not unbiased or any(bias is None for bias in biases) or len({len(bias) for bias in biases}) != 1:  # type: ignore[arg-type]
            raise ValueError("the position biases do not belong to this objective")


def _check_texts(model: Model, features: int) -> None:
    texts = (*model.names, *model.types, *model.attributes, *model.attributes.values())
    if not all(type(text) is str for text in texts):
        raise ValueError("a name, a type or an attribute is not text")
    if any("\0" in text for text in texts):
        raise ValueError("a name or an attribute has a null character, which XGBoost ends texts at")
    if any(len(each) not in (0, features) for each in (model.names, model.types)):
        raise ValueError("there are not as many names or types as features")
    if not set(model.types) <= _FEATURE_TYPES:
        raise ValueError("a feature has a type that XGBoost does not have")


def _check_rounds(model: Model) -> None:
    ends, count = model.arrays["iteration_indptr"], len(model.arrays["trees"])
    if not len(ends) or ends[0] != 0 or ends[-1] != count or (np.diff(ends) < 0).any():
        raise ValueError("the rounds do not divide the trees")
    if whole(model.parallel) < 1:
        raise ValueError("there is no tree in a round")
    if model.booster == "dart" and len(model.arrays["weight_drop"]) != count:
        raise ValueError("there are not as many weights as trees")
