"""Configurations as Keras writes them, without what differs each time. Imports nothing of Keras."""

from __future__ import annotations

from typing import Any


def plain(config: Any, shared: dict[int, int]) -> Any:
    """A configuration without the compile settings of models within models, and with shared objects counted:
    Keras names them by their addresses."""
    if isinstance(config, (list, tuple)):
        return [plain(item, shared) for item in config]
    if not isinstance(config, dict):
        return config
    named = "class_name" in config
    found = {
        key: plain(item, shared) for key, item in config.items() if not (named and key == "compile_config")
    }
    if named and str(config.get("module")).startswith(
        "keras.src.backend."
    ):  # an optimizer's class of a backend
        found["module"] = "keras.optimizers"
    if named and _is_value(config):
        found.pop("shared_object_id", None)
    elif named and "shared_object_id" in config:
        found["shared_object_id"] = shared.setdefault(config["shared_object_id"], len(shared))
    return found


_VALUES = (
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.quantizers",
    "keras.regularizers",
)


def _is_value(config: Any) -> bool:
    """Whether an object has no state, so that it does not matter who shares it."""
    return config.get("module") in _VALUES or config["class_name"] in ("DTypePolicy", "FloatDTypePolicy")
