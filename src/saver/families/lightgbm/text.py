"""A booster's model as LightGBM's text, and as a small tree and a few arrays: both ways.

LightGBM's parser trusts its input, so it never sees what a file says: `check` goes through all of it, and
`write` makes the text from that.
"""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from saver.codec import Encoder
from saver.families.lightgbm import parameters, trees
from saver.families.lightgbm.trees import Arrays
from saver.tree import Value

_VERSION, _BEFORE = "v4", "v3"
"""The forms of the text since LightGBM 4, and since 2.3."""

_GONE = frozenset(("lambdamart_norm", "max_conflict_rate", "max_position", "sparse_threshold"))
"""Parameters that LightGBM does not have any more."""

_END = b"end of trees\n"
"""What follows the trees."""

_WHOLE = ("num_class", "num_tree_per_iteration", "label_index", "max_feature_idx")

_NUMBER = r"-?(?:[0-9.]{1,40}(?:e[+-]?[0-9]{1,3})?|inf|nan)"
_INFO = re.compile(rf"none|\[{_NUMBER}:{_NUMBER}\]|-?[0-9]{{1,10}}(?::-?[0-9]{{1,10}})*")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\",:\[\]{}\ud800-\udfff]")
"""What LightGBM does not allow in the names of features."""

_OBJECTIVE = re.compile(
    rf"(?:regression|regression_l1|huber|fair|poisson|quantile|mape|gamma|tweedie)(?: sqrt)?"
    rf"|binary sigmoid:{_NUMBER}|multiclass num_class:(?P<classes>[0-9]{{1,9}})"
    rf"|multiclassova num_class:(?P<each>[0-9]{{1,9}}) sigmoid:{_NUMBER}"
    r"|cross_entropy|cross_entropy_lambda|lambdarank|rank_xendcg|custom"
)


PLAIN = ("version", "sizes", "objective", "averaged")
TEXTS = ("names", "infos", "monotone", "parameters")
"""The fields of a model that a booster's state holds as they are, and as values of their own."""

ATTRIBUTES = {"train_data_name": "_train_data_name", "valid_names": "name_valid_sets"}

OF_TRAINING = (
    "_handle", "_network", "train_set", "valid_sets", "train_set_version",
    *(f"_Booster__{name}" for name in (
        "need_reload_eval_info", "set_objective_to_none", "num_dataset", "init_predictor", "num_class",
        "inner_predict_buffer", "is_predicted_cur_iter", "num_inner_eval", "name_inner_eval",
        "higher_better_inner_eval",
    )),
)  # fmt: skip
"""What else is in a booster: its model, and its data and their evaluation while it is trained."""


class Model(msgspec.Struct, frozen=True):
    """What a booster has learned.

    `sizes` are the numbers at the head of the text, `objective` None if it was the user's own, `averaged`
    whether trees are averaged, as in a random forest. `names`, `infos` and `monotone` are those of the
    features, `parameters` those of its training, `arrays` its trees.
    """

    version: str
    sizes: dict[str, int]
    objective: str | None
    averaged: bool
    names: list[str]
    infos: list[str]
    monotone: list[int]
    parameters: dict[str, str]
    arrays: Arrays


def read(text: bytes) -> Model:
    """The model in LightGBM's text. Raises ValueError for what it never writes."""
    at = text.find(b"\n\nTree=") + 2
    if at < 2:
        at = text.find(b"\n\nend of trees\n") + 2
    first, _, lines = text[:at].decode().partition("\n")
    head = dict(line.partition("=")[::2] for line in lines.split("\n") if line)
    sizes = list(map(int, head["tree_sizes"].split())) if at >= 2 else []
    if first != "tree" or min(sizes, default=0) < 0 or not text.startswith(_END, at + sum(sizes)):
        raise ValueError("the text of the model has another form than LightGBM writes, or its trees have")
    body, rest = text[at : at + sum(sizes)], text[at + sum(sizes) + len(_END) :].decode()
    is_old = head["version"] == _BEFORE
    if is_old:
        body, sizes = _renewed(body, sizes)
    return Model(
        _VERSION if is_old else head["version"],
        {name: int(head[name]) for name in _WHOLE},
        head.get("objective"),
        "average_output" in head,
        head["feature_names"].split(" "),
        head["feature_infos"].split(" "),
        list(map(int, head.get("monotone_constraints", "").split())),
        {name: value for name, value in _parameters(rest).items() if not (is_old and name in _GONE)},
        trees.read(body, sizes),
    )


def _renewed(body: bytes, sizes: list[int]) -> tuple[bytes, list[int]]:
    """The text of trees before version 4, and their sizes; until LightGBM 3.1 none had linear leaves."""
    texts = [body[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]
    found = [
        tree if b"\nis_linear=" in tree else tree.replace(b"\nshrinkage=", b"\nis_linear=0\nshrinkage=", 1)
        for tree in texts
    ]
    return b"".join(found), list(map(len, found))


def _parameters(rest: str) -> dict[str, str]:
    _, found, lines = rest.partition("\nparameters:\n")
    if not found:
        return {}
    lines, _, more = lines.partition("\nend of parameters\n")
    if "\nparser:\n" in more:
        raise ValueError("the booster has a parser of its own for files, which has no data form")
    pairs = (line[1:-1].split(": ", 1) for line in lines.split("\n") if line)
    return parameters.without_places(dict(pairs), "")


def write(model: Model) -> str:
    """The model as LightGBM's text, without what LightGBM computes from the rest."""
    texts = trees.write(model.arrays)
    lines = ["tree", f"version={model.version}", *(f"{name}={model.sizes[name]}" for name in _WHOLE)]
    if model.objective is not None:
        lines.append(f"objective={model.objective}")
    if model.averaged:
        lines.append("average_output")
    lines.append(f"feature_names={' '.join(model.names)}")
    if model.monotone:
        lines.append(f"monotone_constraints={' '.join(map(str, model.monotone))}")
    lines.append(f"feature_infos={' '.join(model.infos)}")
    lines.append(f"tree_sizes={' '.join(str(len(text)) for text in texts)}")
    after = ["end of trees", "", "parameters:"]
    after += [f"[{name}: {value}]" for name, value in model.parameters.items()]
    after += ["", "end of parameters", ""]
    return b"".join(("\n".join((*lines, "", "")).encode(), *texts, "\n".join(after).encode())).decode()


def state_of(model: Model, kept: dict[str, Any], encoder: Encoder) -> Value:
    """The state of the codec of boosters, from a model and what a booster keeps in Python."""
    return {
        **{name: getattr(model, name) for name in PLAIN},
        **{name: encoder.own(getattr(model, name), name) for name in TEXTS},
        "kept": {name: encoder(value, name) for name, value in kept.items() if name != "params"},
        "params": encoder.own(kept["params"], "params"),
        "arrays": {name: encoder.tensor(array, name) for name, array in model.arrays.items()},
    }


def check(model: Model) -> None:
    """Raise ValueError unless LightGBM could have written the model."""
    sizes = model.sizes
    if model.version != _VERSION:
        raise ValueError(f"the model has the form {model.version!r:.20}, which Saver does not know")
    if type(sizes) is not dict or sizes.keys() != set(_WHOLE):
        raise ValueError("the model has other sizes than LightGBM writes")
    if not all(type(size) is int and 0 <= size < 2**31 - 1 for size in sizes.values()):
        raise ValueError("a size of the model is not a number of things")
    classes, features = sizes["num_class"], sizes["max_feature_idx"] + 1
    if classes < 1 or classes != sizes["num_tree_per_iteration"]:
        raise ValueError("the model has an impossible number of outputs")
    _check_objective(model.objective, classes)
    if type(model.averaged) is not bool:
        raise ValueError("averaged is neither true nor false")
    _check_features(model, features)
    parameters.check(model.parameters)
    trees.check(model.arrays, features)
    if len(model.arrays["trees"]) % classes:
        raise ValueError("there is not a tree for each output in each round")


def _check_objective(objective: str | None, classes: int) -> None:
    if objective is None:
        return
    found = _OBJECTIVE.fullmatch(objective) if type(objective) is str else None
    if found is None:
        raise ValueError(f"{objective!r:.60} is not an objective that Saver knows")
    if int(found["classes"] or found["each"] or "1") != classes:
        raise ValueError(f"{objective} has another number of classes than the model")


def _check_features(model: Model, features: int) -> None:
    for texts in (model.names, model.infos):
        if type(texts) is not list or len(texts) != features or not all(type(each) is str for each in texts):
            raise ValueError("there are not as many names and ranges as features")
    for name in model.names:
        if not name or _FORBIDDEN.search(name):
            raise ValueError(f"{name!r:.60} cannot be the name of a feature")
    for info in model.infos:
        if not _INFO.fullmatch(info):
            raise ValueError(f"{info!r:.60} is not the range of a feature")
    signs = model.monotone
    if type(signs) is not list or len(signs) not in (0, features):
        raise ValueError("there are not as many monotone constraints as features")
    if not all(type(sign) is int and -1 <= sign <= 1 for sign in signs):
        raise ValueError("a monotone constraint is not -1, 0 or 1")
