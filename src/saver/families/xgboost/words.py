"""The words in what XGBoost writes of a booster: which objectives, metrics and updaters there are, and what
their settings may be. XGBoost keeps numbers as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

OBJECTIVES: Mapping[str, str] = {
    "binary:hinge": "",
    "binary:logistic": "reg_loss_param",
    "binary:logitraw": "reg_loss_param",
    "count:poisson": "poisson_regression_param",
    "multi:softmax": "softmax_multiclass_param",
    "multi:softprob": "softmax_multiclass_param",
    "rank:map": "lambdarank_param",
    "rank:ndcg": "lambdarank_param",
    "rank:pairwise": "lambdarank_param",
    "reg:absoluteerror": "",
    "reg:gamma": "reg_loss_param",
    "reg:linear": "reg_loss_param",
    "reg:logistic": "reg_loss_param",
    "reg:pseudohubererror": "pseudo_huber_param",
    "reg:quantileerror": "quantile_loss_param",
    "reg:squarederror": "reg_loss_param",
    "reg:squaredlogerror": "",
    "reg:tweedie": "tweedie_regression_param",
    "survival:aft": "aft_loss_param",
    "survival:cox": "",
}
"""Objective → the section that has its settings."""

METRICS: Mapping[str, str] = {
    "aft-nloglik": "aft_loss_param",
    "map": "lambdarank_param",
    "mphe": "pseudo_huber_param",
    "ndcg": "lambdarank_param",
    "pre": "lambdarank_param",
    "quantile": "quantile_loss_param",
}
"""The same for metrics, without what follows their `@`; other metrics have no settings."""

UPDATERS: Mapping[str, str] = {
    "grow_colmaker": "colmaker_train_param",
    "grow_gpu_approx": "hist_train_param",
    "grow_gpu_hist": "hist_train_param",
    "grow_histmaker": "hist_train_param",
    "grow_quantile_histmaker": "hist_train_param",
    "prune": "",
    "refresh": "",
    "sync": "",
}

_NAME = re.compile(r"[a-z0-9_]{1,60}")
_NUMBER = re.compile(r"-?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?|inf|nan)", re.ASCII)
_WORDS = re.compile(r"[A-Za-z0-9_@:,.+\-]{0,400}")
_LISTS = re.compile(r"[0-9eE,.+\-()\[\] ]*")
_METRIC = re.compile(r"[a-z][a-z\-]{0,40}(?:@[0-9.]{1,20})?-?")
_DEVICE = re.compile(r"(?:cpu|cuda|gpu|sycl(?::cpu|:gpu)?)(?::[0-9]{1,3})?")

_LIMITS = {
    "max_bin": 1 << 20,
    "max_depth": 4096,
    "max_leaves": 1 << 28,
    "n_jobs": 4096,
    "nthread": 4096,
    "num_parallel_tree": 1 << 20,
}
"""What XGBoost allocates by, and the most that it may be."""


def whole(value: Any, most: int = 2**31 - 1) -> int:
    """A number of things, written as text. Raises ValueError for anything else."""
    if type(value) is not str or not value.isascii() or not value.isdecimal() or len(value) > 12:
        raise ValueError(f"{value!r:.60} is not a number of things")
    if int(value) > most:
        raise ValueError(f"{value} is too large")
    return int(value)


def numbers(value: Any) -> list[float]:
    """Numbers in brackets, or one alone. Raises ValueError for anything else."""
    if type(value) is not str:
        raise ValueError("numbers are not text")
    inner = value[1:-1] if value[:1] == "[" and value[-1:] == "]" else value
    items = inner.split(",")
    if not all(_NUMBER.fullmatch(item) for item in items):
        raise ValueError(f"{value:.60} are not numbers")
    return list(map(float, items))


def check_setting(name: Any, value: Any) -> None:
    """Raise ValueError unless it is a setting that XGBoost writes."""
    if type(name) is not str or not _NAME.fullmatch(name) or type(value) is not str:
        raise ValueError(f"{name!r:.60} is not a setting")
    if name == "device":
        fits = _DEVICE.fullmatch(value) is not None
    elif name.endswith(("_constraints", "_alpha")):
        fits = _LISTS.fullmatch(value) is not None
    else:
        fits = _WORDS.fullmatch(value) is not None
    if not fits:
        raise ValueError(f"the setting {name} is {value!r:.60}")
    if name in _LIMITS and not (_NUMBER.fullmatch(value) and abs(float(value)) <= _LIMITS[name]):
        raise ValueError(f"the setting {name} is {value!r:.60}")


def check_settings(section: Any) -> None:
    """The same for a section of settings."""
    if type(section) is not dict:
        raise ValueError("a section of settings is not an object")
    for name, value in section.items():
        check_setting(name, value)


def check_named(found: Any, sections: Mapping[str, str], what: str, *more: str) -> str:
    """The name of an objective, a metric or an updater. Raises ValueError unless it has its section of
    settings, and nothing else but `more`."""
    name = found.get("name") if type(found) is dict else None
    if type(name) is not str:
        raise ValueError(f"{what} has no name")
    if what == "a metric":
        if not _METRIC.fullmatch(name):
            raise ValueError(f"{name!r:.60} is not {what}")
        section = sections.get(name.partition("@")[0].rstrip("-"), "")
    elif name in sections:
        section = sections[name]
    else:
        raise ValueError(f"{name!r:.60} is not {what} that Saver knows")
    if found.keys() - set(more) != {"name", section} - {""}:
        raise ValueError(f"{what} {name} has other sections than XGBoost writes")
    if section:
        check_settings(found[section])
    return name
