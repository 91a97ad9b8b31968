"""Values in the configurations of Keras 3, as TensorFlow.js takes them, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from saver.formats.tfjs.calls import Refused, Unknown
from saver.formats.tfjs.layers import ACTIVATIONS, TRAINING
from saver.tree import EXACT_INTEGER, encodable


def admitted(name: str) -> str:
    """The name of a layer with no letters but those that TensorFlow.js admits."""
    return re.sub(r"[^-A-Za-z0-9._]", "_", name).lstrip("-._") or "layer"


def unique_path(kind: Any, used: dict[str, int]) -> str:
    """The name in the path of a layer of this class, as Keras counts them."""
    name = re.sub(r"\W+", "", str(kind))
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    name = re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name


def path_of(entry: Any, used: dict[str, int], sequential: bool) -> str:
    """The path of a layer in its model; operations and the input of a Sequential are not counted."""
    kind = entry["class_name"]
    uncounted = str(entry.get("module")).startswith("keras.src.ops") or (sequential and kind == "InputLayer")
    return "" if uncounted else f"layers/{unique_path(kind, used)}"


def is_entry(entry: Any) -> bool:
    config = entry.get("config") if type(entry) is dict else None
    return type(config) is dict and type(config.get("name")) is str and "class_name" in entry


def is_last_axis(entry: Any) -> bool:
    """Whether the axis of a layer is the last one of what it was built for."""
    built = entry.get("build_config")
    shape = built.get("input_shape") if type(built) is dict else None
    axis = entry["config"].get("axis")
    return axis == -1 or (type(shape) is list and axis == len(shape) - 1)


def inner(config: Mapping[str, Any], field: str) -> Any:
    entry: Any = config.get(field)
    if not is_entry(entry):
        raise Refused(f"its {field} is not described")
    return entry


def direction(entry: Any, backward: bool) -> Any:
    """What a recurrent layer is besides its name, if its direction is this one."""
    config = {key: value for key, value in entry["config"].items() if key not in ("name", "seed")}
    own = config.pop("go_backwards", False) == backward
    return [entry["class_name"], config] if own else None


def input_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The input of a Sequential model that was built without one."""
    shape = config.get("build_input_shape")
    if type(shape) is not list or not all(size is None or type(size) is int for size in shape):
        raise Refused("its input has no shape; call it once, or give it a keras.Input")
    made = {"name": f"{config['name']}_input", "batch_shape": shape, "dtype": "float32"}
    return {"class_name": "InputLayer", "module": "keras.layers", "config": made}


def described_input(config: Mapping[str, Any]) -> dict[str, Any]:
    """The shape and dtype of an input."""
    found = config.get("dtype")
    if config.get("sparse") or config.get("ragged") or config.get("optional"):
        raise Refused("its input is sparse, ragged or optional")
    if type(found) is not str or found == "string" or found.startswith("complex"):
        raise Refused(f"its input is {found!r:.80}")
    dtype = found if found == "bool" else "int32" if "int" in found else "float32"
    return {"batch_input_shape": plain(config.get("batch_shape"), "batch_shape"), "dtype": dtype}


def activation(value: Any) -> str:
    if type(value) is not str or value not in ACTIVATIONS:
        raise Refused(
            f"the activation {value if type(value) is str else 'of yours'} is not there, or differs"
        )
    return ACTIVATIONS[value]


def plain(value: Any, field: str) -> Any:
    """A plain value, as JSON has it."""
    if type(value) is list:
        return [plain(each, field) for each in value]
    if value is not None and type(value) not in (bool, int, float, str):
        raise Refused(f"its {field} is not a number, text or list")
    return value


def described(kind: str, config: Any, module: str = "keras.layers") -> dict[str, Any]:
    return {"class_name": kind, "module": module, "config": config}


def shape_read(shape: Any) -> list[Any]:
    sizes = shape if type(shape) is list else [-1]
    if not all(size is None or (type(size) is int and 0 <= size <= EXACT_INTEGER) for size in sizes):
        raise Unknown("its input has no shape")
    return sizes


def dtype_read(config: Mapping[str, Any]) -> str:
    found = config.get("dtype", "float32")
    if found not in ("float32", "int32", "bool") or config.get("sparse"):
        raise Unknown("its input has another dtype")
    return str(found)


def activation_read(value: Any) -> str:
    for name, other in ACTIVATIONS.items():
        if value == other:
            return name
    raise Unknown("there is no such activation")


def plain_read(value: Any) -> Any:
    if type(value) is list:
        return [plain_read(each) for each in value]
    exact = type(value) is not int or abs(value) <= EXACT_INTEGER
    text = type(value) is not str or encodable(value)
    if not exact or not text or (value is not None and type(value) not in (bool, int, float, str)):
        raise Unknown("a field is not a plain value")
    return value


def training_read(kind: str, value: Any) -> Any:
    """An initializer, regularizer or constraint; None for one that is not known: only training needs it."""
    name = value.get("class_name") if type(value) is dict else None
    config = value.get("config") if type(value) is dict else None
    if type(name) is not str or type(config) is not dict:
        return None
    for own, found in TRAINING[kind].items():
        if name in (own, found.name) and set(found.fields) >= {key for key, item in config.items() if item}:
            fields = {key: plain_read(config[key]) for key in found.fields if key in config}
            return described(own, fields, f"keras.{kind}s")
    return None
