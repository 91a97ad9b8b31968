"""Configurations of Keras 2, and of HDF5 files, as Keras 3 writes them. Imports nothing of Keras.

They name classes without their modules, and say which tensors a layer was called with in lists. What Keras 3
no longer takes is left out where it says what is so anyway.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from saver.families.keras import FAMILY
from saver.families.keras.audit import VALUES, admitted

_FUNCTIONAL = "keras.src.models.functional"
_PREFERRED = (
    "keras.layers", "keras", _FUNCTIONAL, "keras.initializers", "keras.regularizers", "keras.constraints",
    "keras.optimizers.schedules",
)  # fmt: skip
_KINDS = {"optimizer": "keras.optimizers", "loss": "keras.losses", "metrics": "keras.metrics",
          "weighted_metrics": "keras.metrics"}  # fmt: skip
"""Where the classes are that the settings of a compiled model name."""

_MODELS = ("Functional", "Model", "Sequential")
_GONE = frozenset(
    (
        "batch_input_shape", "time_major", "softmax_robust_masking", "query_shape", "key_shape",
        "value_shape", "fused", "renorm", "virtual_batch_size",
    )
)  # fmt: skip
"""Settings of layers that Keras 3 does not have; those that would change results are refused."""

_OPERATIONS = {
    "__operators__.add": "Add", "math.add": "Add", "math.multiply": "Multiply", "math.subtract": "Subtract",
    "math.truediv": "TrueDivide", "math.divide": "TrueDivide",
}  # fmt: skip
"""Functions of TensorFlow of two values that Keras 2 made layers of, as operations of Keras."""

_UNKNOWN = frozenset(("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"))
"""Other layers of Keras 2 that call what a file names."""

_ONE_KERNEL = frozenset(("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"))

_AROUND = frozenset(("keras_version", "backend", "class_name", "module", "config"))
_GONE_OPTIMIZER = frozenset(("jit_compile", "is_legacy_optimizer", "decay"))
_OPS = "keras.src.ops."
_REGISTERED = re.compile(r"[^\W\d]\w*>[^\W\d]\w*")


def is_older(version: str) -> bool:
    """Whether a version is one before Keras 3."""
    return version[:2] in ("1.", "2.")


def modern(config: Any, kind: str = "") -> Any:
    """A configuration as Keras 3 writes it. `kind` is the setting of a compiled model that it belongs to."""
    if type(config) is list:
        return [modern(item, kind) for item in config]
    if type(config) is str and _REGISTERED.fullmatch(config) and (kind in _KINDS or kind == "activation"):
        return {"module": "builtins", "class_name": "function", "config": config}
    if type(config) is not dict:
        return config
    if "class_name" not in config:
        return {key: modern(item, kind or _kind(key)) for key, item in config.items()}
    name, module, own = config["class_name"], config.get("module"), config.get("config")
    if name in ("__tuple__", "TensorShape") and type(config.get("items")) is list:
        return modern(config["items"], kind)
    if name == "Policy" and type(own) is dict:
        return own.get("name")
    if type(name) is not str or type(own) is not dict or (name in VALUES and module is None):
        return config
    if name == "MeanMetricWrapper" and type(own.get("fn")) is str:
        return own["name"] if own.get("name") in ("accuracy", "acc", "crossentropy", "ce") else own["fn"]
    return _object(config, name, own, kind)


def _object(config: dict[str, Any], name: str, own: dict[str, Any], kind: str) -> dict[str, Any]:
    """An object with these settings."""
    module = config.get("module")
    if name == "TFOpLambda" and own.get("function") in _OPERATIONS:
        operation = {"module": "keras.src.ops.numpy", "class_name": _OPERATIONS[own["function"]]}
        kept = {key: item for key, item in config.items() if key in ("name", "inbound_nodes")}
        return {**operation, "config": {"name": own.get("name")}, **kept}
    if not admitted(module, name, own):
        short = name.removeprefix("Custom>") if kind == "optimizer" else name
        home = _home(short, kind, operation="inbound_nodes" in config and "trainable" not in own)
        if home is not None:
            module, name = home
        elif name in _UNKNOWN:
            module = "keras.layers"
        elif module is None:
            package, _, name = name.rpartition(">")
            module, config = package or "Custom", {"registered_name": config["class_name"], **config}
    left = _AROUND | {"build_config"} if admitted(module, name, own) else _AROUND
    rest = {key: modern(item) for key, item in config.items() if key not in left}
    found = {"module": module, "class_name": name, "config": _settings(name, own, kind), **rest}
    if "inbound_nodes" in config and type(config["inbound_nodes"]) is list:
        found["inbound_nodes"] = config["inbound_nodes"]  # the model around it knows the names in them
    return found


def _kind(key: str) -> str:
    return "activation" if key.endswith("activation") else key if key in _KINDS else ""


@cache
def _modules() -> dict[str, list[str]]:
    """Of each class, the modules in which it is reviewed."""
    found: dict[str, list[str]] = {}
    for each in sorted(FAMILY.listed("keras.object")):
        module, _, name = each.partition(":")
        found.setdefault(name, []).append(module)
    return found


def _home(name: str, kind: str, operation: bool) -> tuple[str, str] | None:
    """The module of a class, and its name today; None if Keras has no such class that was reviewed. Some
    operations are called as layers are."""
    if name == "Model":
        return _FUNCTIONAL, "Functional"
    if kind == "optimizer":
        name = {each.lower(): each for each, at in _modules().items() if _KINDS[kind] in at}.get(
            name.lower(), name
        )
    homes = _modules().get(name, [])
    if operation and (found := [each for each in homes if each.startswith(_OPS)]):
        return found[0], name
    return next(((each, name) for each in (_KINDS.get(kind), *_PREFERRED, *homes) if each in homes), None)


def _settings(name: str, own: dict[str, Any], kind: str) -> dict[str, Any]:
    """The settings of an object."""
    if kind == "optimizer":
        return {key: modern(item) for key, item in own.items() if key not in _GONE_OPTIMIZER}
    if kind == "loss":
        found = {key: item for key, item in own.items() if key != "fn"}
        return found | ({"reduction": "sum_over_batch_size"} if own.get("reduction") == "auto" else {})
    for key in ("time_major", "renorm"):
        if own.get(key):
            raise ValueError(f"a {name} has {key}=True, which Keras 3 cannot do")
    found = {key: modern(item, _kind(key)) for key, item in own.items() if key not in _GONE}
    if found.get("name", "") is None:
        del found["name"]
    shape = own.get("batch_input_shape")
    if name == "InputLayer" and shape is not None:
        found["batch_shape"] = modern(shape)
    if name.startswith(
        ("DepthwiseConv", "SeparableConv")
    ):  # which have one group, and kernels by other names
        found = {key: item for key, item in found.items() if key not in _ONE_KERNEL}
    if name == "BatchNormalization" and type(found.get("axis")) is list and len(found["axis"]) == 1:
        (found["axis"],) = found["axis"]
    if name in _MODELS and type(found.get("layers")) is list:
        _connect(found, own["layers"])
    return found


def _connect(found: dict[str, Any], own: list[Any]) -> None:
    """Say anew what the layers of a model were called with; `own` are their settings as they were."""
    layers = [each for each in found["layers"] if type(each) is dict]
    operations = {each.get("name") for each in layers if str(each.get("module")).startswith(_OPS)}
    shift = {each.get("name"): _begins_at(each) for each in layers}
    for layer in layers:
        if type(layer.get("inbound_nodes")) is list:
            operation = layer.get("name") in operations
            layer["inbound_nodes"] = [_call(node, shift, operation) for node in layer["inbound_nodes"]]
    if "output_layers" in found:
        found["output_layers"] = _shifted(found["output_layers"], shift)
    _begin(layers, found["layers"], own)


def _begins_at(layer: dict[str, Any]) -> int:
    """The number of the first call of a layer: a model within a model was called by itself before."""
    inner = layer["config"].get("layers") if type(layer.get("config")) is dict else None
    first = inner[0] if type(inner) is list and inner else None
    return int(
        layer.get("class_name") in _MODELS and type(first) is dict and first.get("class_name") == "InputLayer"
    )


def _begin(layers: list[dict[str, Any]], made: list[Any], own: list[Any]) -> None:
    """Give a Sequential an input as its first layer, if its first layer said what that is."""
    first = own[0].get("config") if own and type(own[0]) is dict else None
    shape = first.get("batch_input_shape") if type(first) is dict else None
    if shape is not None and layers[0].get("class_name") != "InputLayer":
        config = {"batch_shape": modern(shape), "name": f"{layers[0]['config'].get('name')}_input"}
        made.insert(0, {"module": "keras.layers", "class_name": "InputLayer", "config": config})


def _call(node: Any, shift: dict[Any, int], operation: bool) -> Any:
    """A call of a layer, or of an operation of two values: what it was called with."""
    if type(node) is not list or not node:
        return node if type(node) is dict else {"args": [], "kwargs": {}}
    tensors = [node] if type(node[0]) is str else node
    made = [_tensor(each, shift) for each in tensors]
    last = tensors[-1]
    kwargs = last[3] if type(last) is list and len(last) > 3 and type(last[3]) is dict else {}
    found = {key: _within(item, shift) for key, item in kwargs.items()}
    if operation:
        return {"args": [*made, *([found["y"]] if "y" in found else [])], "kwargs": {}}
    return {"args": [made[0] if len(made) == 1 else made], "kwargs": found}


def _within(value: Any, shift: dict[Any, int]) -> Any:
    if _is_tensor(value, shift):
        return _tensor(value, shift)
    return [_within(item, shift) for item in value] if type(value) is list else value


def _is_tensor(value: Any, shift: dict[Any, int]) -> bool:
    return (
        type(value) is list
        and len(value) in (3, 4)
        and type(value[0]) is str
        and value[0] in shift
        and type(value[1]) is type(value[2]) is int
    )


def _tensor(value: Any, shift: dict[Any, int]) -> dict[str, Any]:
    if not _is_tensor(value, shift):
        raise ValueError(f"a layer is called with {value!r:.80}, which is not a tensor of its model")
    history = [value[0], value[1] - shift[value[0]], value[2]]
    config = {"shape": [], "dtype": "float32", "keras_history": history}
    return {"class_name": "__keras_tensor__", "config": config}


def _shifted(value: Any, shift: dict[Any, int]) -> Any:
    if _is_tensor(value, shift):
        return [value[0], value[1] - shift[value[0]], value[2]]
    if type(value) is dict:
        return {key: _shifted(item, shift) for key, item in value.items()}
    return [_shifted(item, shift) for item in value] if type(value) is list else value


def with_rate(variables: list[Any], optimizer: Any, make: Callable[[float], Any]) -> list[Any]:
    """The variables of an optimizer of Keras 2, with its rate, which Keras 3 has among them."""
    usual = 0.01 if optimizer["class_name"] == "SGD" else 0.001
    rate = optimizer["config"].get("learning_rate", usual)
    return [*variables[:1], make(rate), *variables[1:]] if type(rate) is float else variables


def settings(training: Any) -> dict[str, Any] | None:
    """How a model was compiled, of the `training_config` of an HDF5 file; None if it does not say."""
    optimizer = training.get("optimizer_config") if type(training) is dict else None
    if type(optimizer) is str:
        optimizer = {"class_name": optimizer, "config": {}}
    if type(optimizer) is not dict:
        return None
    optimizer = modern(optimizer, "optimizer")
    found = {key: modern(training.get(key), _kind(key)) for key in ("loss", "metrics", "weighted_metrics")}
    return {"optimizer": optimizer, "loss_weights": training.get("loss_weights"), **found}
