"""The settings of a booster's training, from `save_config()`; the model does not have them.

What is also part of the model is left out: its sizes, its objective and the number of its trees. XGBoost is
given the settings in the form that it writes itself for that model, in which only texts are replaced.
"""

from __future__ import annotations

import json
from typing import Any

from saver.families.xgboost.words import METRICS, UPDATERS, check_named, check_setting, check_settings

_OF_THE_LEARNER, _OF_THE_TREES = ("learner_model_param", "objective"), "gbtree_model_param"
_FROM_MODEL = frozenset((*_OF_THE_LEARNER, _OF_THE_TREES))
_FORMS = frozenset(("metrics", "updater"))
_SECTIONS = frozenset(("generic_param", "gradient_booster", "learner_train_param", "metrics"))


def read(text: str) -> dict[str, Any]:
    """The settings in what `save_config()` returns."""
    return read_from(json.loads(text))


def read_from(document: Any) -> dict[str, Any]:
    """The same in what that text, or XGBoost's bytes of it, holds."""
    found: dict[str, Any] = _without_model(document["learner"])
    return found


def _without_model(section: Any) -> Any:
    if type(section) is not dict:
        return section
    return {name: _without_model(value) for name, value in section.items() if name not in _FROM_MODEL}


def check(settings: Any, booster: str, vectors: bool | None) -> None:
    """Raise ValueError unless they are settings that XGBoost could have written for such a booster, whose
    leaves are `vectors` or not, if it has any."""
    if type(settings) is not dict or settings.keys() != _SECTIONS:
        raise ValueError("the settings have other sections than XGBoost writes")
    check_settings(settings["generic_param"])
    check_settings(settings["learner_train_param"])
    if type(settings["metrics"]) is not list or len(settings["metrics"]) > 1000:
        raise ValueError("the metrics are not a list")
    for metric in settings["metrics"]:
        check_named(metric, METRICS, "a metric")
    if settings["learner_train_param"].get("booster") != booster:
        raise ValueError("the settings are those of another booster")
    if vectors and settings["learner_train_param"].get("multi_strategy") != "multi_output_tree":
        raise ValueError("the leaves are vectors, and training would add leaves that are not")
    _check_booster(settings["gradient_booster"], booster)


def _check_booster(found: Any, booster: str) -> None:
    if type(found) is not dict or found.get("name") != booster:
        raise ValueError("the settings are those of another booster")
    for name, section in found.items():
        if name == "gbtree" and booster == "dart":
            _check_booster(section, "gbtree")
        elif name == "updater":
            _check_updaters(section, booster)
        elif name == "specified_updater":
            if type(section) is not bool:
                raise ValueError("specified_updater is neither true nor false")
        elif name != "name":
            check_settings(section)


def _check_updaters(found: Any, booster: str) -> None:
    if booster == "gblinear":
        if type(found) is not dict:
            raise ValueError("the updater has no settings")
        for section in found.values():
            check_settings(section)
        return
    if type(found) is not list or not 0 < len(found) <= 10:
        raise ValueError("the updaters are not a list")
    for updater in found:
        check_named(updater, UPDATERS, "an updater")


def write(settings: dict[str, Any], form: str, model: dict[str, Any]) -> str:
    """The settings with those that a `model` has, in the form of what `save_config()` returned for a booster
    of its kind. Raises ValueError for a section that this does not have; a setting that only one of them has
    is left out, or as it is."""
    document = json.loads(form)
    learner = _merged(document["learner"], settings, "learner")
    document["learner"] = {**learner, **{name: model[name] for name in _OF_THE_LEARNER}}
    learner["learner_train_param"]["objective"] = model["objective"]["name"]
    booster = learner["gradient_booster"]
    for section in (booster, booster.get("gbtree", {})):
        if _OF_THE_TREES in section:
            section[_OF_THE_TREES] = model[_OF_THE_TREES]
    return json.dumps(document)


def _merged(form: dict[str, Any], settings: dict[str, Any], where: str) -> dict[str, Any]:
    found = dict(form)
    for name, value in settings.items():
        if name in _FORMS:
            found[name] = value
        elif type(value) is dict:
            if type(form.get(name)) is not dict:
                raise ValueError(f"this XGBoost has no settings {where}.{name}")
            found[name] = _merged(form[name], value, f"{where}.{name}")
        elif type(form.get(name)) is type(value):
            if type(value) is str:
                check_setting(name, value)
            found[name] = value
    return found
