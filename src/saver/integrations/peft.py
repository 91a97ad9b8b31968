"""Adapters of PEFT alone, with a reference to the version that they adapt."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Any

from peft import PeftModel, get_peft_config, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from saver import Saver, Version
from saver.errors import CannotSaveError, IncompatibleError

__all__ = ["load_adapted", "save_adapter"]

_PART = "adapter"
_RUNS_CODE = ("megatron_config", "auto_mapping")
"""Settings with which PEFT imports modules by name."""


def save_adapter(
    store: Saver, name: str, model: PeftModel, *, base: Version, part: str = "model", **arguments: Any
) -> Version:
    """Save the active adapter of `model` as a version of its own, which costs its weights only.

    `base` is the version that has the model that is adapted, as its `part`; the adapter refers to it by name
    and hash. Keep that version. Further arguments are those of `Saver.save`. Raises CannotSaveError if
    several adapters are active, or if their settings have PEFT import modules.
    """
    active = model.active_adapters
    if len(active) != 1:
        raise CannotSaveError(f"{name}: {len(active)} adapters are active; choose one with set_adapter")
    settings = _plain(model.peft_config[active[0]].to_dict())
    _check(name, settings, CannotSaveError)
    found = {
        "settings": settings,
        "weights": dict(get_peft_model_state_dict(model, adapter_name=active[0])),
        "base": {"ref": str(base), "hash": base.manifest, "part": part},
    }
    version: Version = store.save(name, {_PART: found}, **arguments)
    return version


def load_adapted(store: Saver, ref: str | Version, *, trust: Iterable[str] = ()) -> PeftModel:
    """The adapted model: the base that the adapter refers to, loaded, with the adapter around it.

    `trust` is as in `Saver.load`, for classes of the base. Raises NotFoundError if the store lacks the base,
    and IncompatibleError if another version has its name now, or if the settings of the adapter are not
    plain.
    """
    found = store.load(ref, parts=[_PART])[_PART]
    settings, base = found["settings"], found["base"]
    _check(str(ref), settings, IncompatibleError)
    version = store.version(base["ref"])
    if version.manifest != base["hash"]:
        raise IncompatibleError(f"{ref}: {base['ref']} is not the version that the adapter was trained on")
    net = store.load(version, parts=[base["part"]], trust=trust)[base["part"]]
    model = get_peft_model(net, get_peft_config(dict(settings)))
    told = set_peft_model_state_dict(model, found["weights"])
    if told.unexpected_keys:
        raise IncompatibleError(f"{ref}: the model has no place for {', '.join(told.unexpected_keys[:3])}")
    return model.train(False)


def _check(name: str, settings: Any, error: type[CannotSaveError] | type[IncompatibleError]) -> None:
    if type(settings) is not dict or not _is_plain(settings):
        raise error(f"{name}: the settings of the adapter are not plain values")
    for each in _RUNS_CODE:
        if settings.get(each):
            raise error(f"{name}: with {each}, PEFT imports modules by their names; leave it out")


def _plain(value: Any) -> Any:
    """Settings without enums and sets, which PEFT takes as texts and lists, too."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(name) is str and _is_plain(item) for name, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return type(value) in (type(None), bool, int, float, str)
