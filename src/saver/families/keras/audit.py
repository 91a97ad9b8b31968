"""What a configuration may name: the reviewed objects of Keras, with numbers that do not ask for too much.

Decides by name, and imports nothing of Keras.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from saver.families.keras import FAMILY
from saver.tree import EXACT_INTEGER

FIELDS = frozenset(
    (
        "module", "class_name", "config", "registered_name", "build_config", "compile_config", "name",
        "inbound_nodes", "shared_object_id",
    )
)  # fmt: skip
"""What stands beside `class_name`."""

NAMES = frozenset(("class_name", "module", "registered_name"))

VALUES = frozenset(("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__slice__", "__ellipsis__"))
"""Objects of Keras' configurations that are values; `__lambda__` and `__typespec__` are not among them."""

_DTYPES = frozenset(
    (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
        "float32", "float64", "bfloat16", "string",
    )
)  # fmt: skip

_LISTED = ("vocabulary", "idf_weights")
"""Fields in which Keras would take a text for the path of a file."""

_GREEDY = re.compile(r"\)[*+?{]|\\\d|\(\?")
"""Repetitions of groups, references to groups and extensions: what can make a pattern take very long."""

_MOST = {
    "indices_or_sections": 10_000, "num": 10_000, "num_classes": 4096, "num_labels": 1000,
    "num_thresholds": 10_000,
}  # fmt: skip
"""Numbers of which Keras makes so many objects, or so large a matrix, as soon as it reads them."""


_NUMBERS = frozenset(
    (
        "adam_beta_1", "adam_beta_2", "adam_lr_ratio", "adam_weight_decay", "alpha", "amsgrad", "beta",
        "beta_1", "beta_2", "beta_2_decay", "centered", "clip_threshold", "clipnorm", "clipvalue",
        "cycle", "decay_rate", "decay_steps", "dynamic_growth_steps", "ema_momentum",
        "ema_overwrite_frequency", "end_learning_rate", "epsilon", "epsilon_1", "epsilon_2",
        "exclude_embeddings", "first_decay_steps", "global_clipnorm", "gradient_accumulation_steps",
        "initial_accumulator_value", "initial_learning_rate", "initial_scale",
        "l1_regularization_strength", "l2_regularization_strength",
        "l2_shrinkage_regularization_strength", "learning_rate_power", "loss_scale_factor", "m_mul",
        "momentum", "muon_a", "muon_b", "muon_c", "nesterov", "ns_steps", "power", "relative_step",
        "rho", "rms_rate", "staircase", "t_mul", "use_ema", "warmup_steps", "warmup_target",
        "weight_decay",
    )
)  # fmt: skip
"""Settings of optimizers and schedules that Keras takes as they are, and computes with at the first step."""


def admitted(module: Any, name: Any, config: Any) -> bool:
    """Whether Keras' own object of this name is on the frozen list."""
    if type(module) is not str or type(name) is not str:
        return False
    if name != "function":
        return FAMILY.admits("keras.object", f"{module}:{name}")
    places = _FUNCTIONS if module == "builtins" else (module,)
    return type(config) is str and any(FAMILY.admits("keras.function", f"{at}:{config}") for at in places)


_FUNCTIONS = ("keras.activations", "keras.losses", "keras.metrics")


def check_object(fields: Mapping[str, Any]) -> None:
    """Raise ValueError unless a described object is one that Keras may make."""
    name, config = fields["class_name"], fields.get("config")
    if not set(fields) <= FIELDS - {"registered_name"} or "config" not in fields:
        raise ValueError(f"an object in a configuration has the fields {sorted(fields)!r:.200}")
    check_calls(fields)
    if name in VALUES and fields.get("module") is None:
        _check_value(name, config)
    elif not admitted(fields.get("module"), name, config):
        raise ValueError(f"{fields.get('module')}.{name!r:.80} is not among the reviewed objects of Keras")
    elif name != "function":
        if type(config) is not dict:
            raise ValueError(f"the configuration of a {name} is not a JSON object")
        for key in _LISTED:
            if type(config.get(key)) not in (list, tuple, type(None)):
                raise ValueError(
                    f"the {key} of a {name} is not a list; pass its words, not the path of a file"
                )
        for pattern in config.get("optimizer_map") or () if name == "OptimizerMap" else ():
            if len(pattern) > 200 or len(re.findall("[*+{]", pattern)) > 4 or _GREEDY.search(pattern):
                raise ValueError(
                    f"the pattern {pattern[:80]!r} could take very long to match; name the variables with "
                    "four repetitions at most, and none of a group"
                )
        for key, most in _MOST.items():
            if isinstance(config.get(key), (int, float)) and config[key] > most:
                raise ValueError(f"the {key} of a {name} is {config[key]:,}; Saver admits {most:,}")
        if fields["module"].startswith("keras.optimizers"):
            _check_numbers(name, config)


def _check_numbers(name: str, config: Mapping[str, Any]) -> None:
    for key, value in config.items():
        rate = key == "learning_rate" and not isinstance(value, dict)  # a dict is a schedule
        if (rate or key in _NUMBERS) and isinstance(value, (str, list, tuple, dict)):
            raise ValueError(f"the {key} of a {name} is {value!r:.40}; give it a number")


def check_calls(fields: Mapping[str, Any]) -> None:
    """Raise ValueError unless each call of a layer has a tensor of the model. Others would be computed at
    once."""
    calls = fields.get("inbound_nodes", ())
    if not isinstance(calls, (list, tuple)) or not all(map(_has_tensor, calls)):
        raise ValueError("a layer is called without a tensor of its model")


def _has_tensor(call: Any) -> bool:
    stack = [call]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if value.get("class_name") == "__keras_tensor__":
                return True
            stack.extend(value.values())
        elif isinstance(value, (list, tuple)):
            stack.extend(value)
    return False


def _check_value(name: str, config: Any) -> None:
    if type(config) is not dict:
        raise ValueError(f"{name} is not a JSON object")
    if name in ("__tensor__", "__numpy__", "__keras_tensor__") and config.get("dtype") not in _DTYPES:
        raise ValueError(f"{name} has the dtype {config.get('dtype')!r:.40}")
    if name == "__bytes__" and type(config.get("value")) is not str:
        raise ValueError("bytes in a configuration are not a text")
    if name == "__keras_tensor__":
        history = config.get("keras_history")
        if not _is_shape(config.get("shape")) or not isinstance(history, (list, tuple)) or len(history) != 3:
            raise ValueError("a tensor in a configuration has no shape, or no history")


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, (list, tuple)) and all(map(_is_size, shape))


def _is_size(size: Any) -> bool:
    return size is None or (type(size) is int and 0 <= size <= EXACT_INTEGER)
