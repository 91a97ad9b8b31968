"""A model of TensorFlow.js, in the form of Keras 2, as the tree that Saver has of a model of Keras 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from saver.formats.tfjs.calls import CallsRead, Unknown
from saver.formats.tfjs.layers import (
    IGNORED,
    LAYERS,
    MODELS,
    RECURRENT,
    kind_of,
)
from saver.formats.tfjs.values import (
    activation_read,
    described,
    dtype_read,
    plain_read,
    shape_read,
    training_read,
    unique_path,
)
from saver.formats.tfjs.writing import DEPTH
from saver.tensors import TensorInfo
from saver.tree import Node, Tensor, encodable


def model_of(topology: Mapping[str, Any], weights: Mapping[str, TensorInfo]) -> Node:
    """The tree of the model. Raises Unknown unless every layer and every weight is known."""
    entry = topology.get("model_config", topology)
    reading = _Reading(weights)
    if not _is_entry(entry) or entry["class_name"] not in MODELS:
        raise Unknown("it is not a model")
    config = reading.model(entry, _At("", "", True), 0)
    if reading.left:
        raise Unknown("there are weights of no layer")
    state: dict[str, Any] = {
        "config": config,
        "compiled": {},
        "variables": reading.variables,
        "adapters": {},
        "generators": reading.generators,
        "vocabularies": {},
        "frozen": reading.frozen,
        "optimizers": {},
    }
    return Node("keras.layer", state=state)


class _At(NamedTuple):
    """Where a layer is: the path of its variables, and what the names of its weights begin with."""

    path: str
    scope: str
    trainable: bool


class _Reading:
    def __init__(self, weights: Mapping[str, TensorInfo]) -> None:
        self.variables: dict[str, dict[str, Tensor]] = {}
        self.generators: dict[str, list[list[int]]] = {}
        self.frozen: list[str] = []
        self.left = dict[str, Tensor]()
        for name, info in weights.items():
            *outer, last = name.split("/")
            short = "/".join([*outer[:-1], last])  # Keras 2 names cells: lstm/lstm_cell/kernel
            in_cell = len(outer) > 1 and outer[-1].endswith("_cell")
            self.left[short if in_cell else name] = Tensor(info.name)
        if len(self.left) < len(weights):
            raise Unknown("weights have the same names")

    def model(self, entry: Any, at: _At, depth: int) -> dict[str, Any]:
        """A model, in the form of Keras 3."""
        config, layers = entry["config"], entry["config"].get("layers")
        if type(layers) is not list or not layers or not all(map(_is_entry, layers)) or depth > DEPTH:
            raise Unknown("its layers are not those of a model")
        sequential = entry["class_name"] == "Sequential"
        self._freeze(at)
        if sequential and layers[0]["class_name"] != "InputLayer":
            layers = [_input_of(layers[0], 0), *layers]
        found = self._layers(layers, at, sequential, depth)
        if sequential:
            return described("Sequential", {"name": config["name"], "layers": found}, "keras")
        calls = CallsRead(layers)
        for each, made in zip(layers, found, strict=True):
            made |= {"name": each["config"]["name"], "inbound_nodes": calls.of(each)}
        ends = {key: calls.tensors(config.get(key)) for key in ("input_layers", "output_layers")}
        made = {"name": config["name"], "trainable": True, "layers": found, **ends}
        return described("Functional", made, "keras.src.models.functional")

    def _layers(self, layers: list[Any], at: _At, sequential: bool, depth: int) -> list[dict[str, Any]]:
        """The layers of a model. Keras counts those of a class for their paths, but not the input of a
        Sequential model."""
        if len({each["config"]["name"] for each in layers}) < len(layers):
            raise Unknown("layers have the same name")
        found, used = list[dict[str, Any]](), dict[str, int]()
        for each in layers:
            counted = not (sequential and each["class_name"] == "InputLayer")
            path = f"layers/{unique_path(_class_of(each), used)}" if counted else ""
            inside = _At(_joined(at.path, path), f"{each['config']['name']}/", at.trainable)
            found.append(self._layer(each, inside, depth))
        return found

    def _freeze(self, at: _At) -> None:
        if not at.trainable:
            self.frozen.append(at.path)

    def _layer(self, entry: Any, at: _At, depth: int) -> dict[str, Any]:
        kind, config = entry["class_name"], entry["config"]
        if kind in MODELS:
            return self.model(entry, at, depth + 1)
        if kind == "InputLayer":
            shape = shape_read(config.get("batch_input_shape"))
            return described(
                kind, {"name": config["name"], "batch_shape": shape, "dtype": dtype_read(config)}
            )
        trainable = config.get("trainable", True)
        if type(trainable) is not bool:
            raise Unknown("trainable is not true or false")
        at = at._replace(trainable=at.trainable and trainable)
        self._freeze(at)
        made: dict[str, Any] = {"name": config["name"], "dtype": "float32"}
        if not trainable or kind != "SpatialDropout1D":  # which Keras makes without it
            made["trainable"] = trainable
        if kind == "Bidirectional":
            made |= self._bidirectional(config, at)
        elif kind == "TimeDistributed":
            inner = _inner(config)
            if inner["class_name"] not in LAYERS and inner["class_name"] not in MODELS:
                raise Unknown("it has a layer that is not known")
            made["layer"] = self._layer(inner, at._replace(path=f"{at.path}/layer"), depth + 1)
        elif kind in LAYERS:
            made |= self._plain(kind, config, at)
        else:
            raise Unknown("there is no such layer")
        return described(kind, made)

    def _plain(self, kind: str, config: Mapping[str, Any], at: _At) -> dict[str, Any]:
        layer = LAYERS[kind]
        named = {layer.renamed.get(field, field): field for field in layer.fields}
        made: dict[str, Any] = {field: values[0] for field, values in layer.only.items()}
        for key, value in config.items():
            field = named.get(key, key)
            if field in layer.only and value not in layer.only[field]:
                raise Unknown("a field has another value")
            if kind_of(field):
                found = training_read(kind_of(field), value)
                made |= {} if found is None else {field: found}
            elif field in ("activation", "recurrent_activation"):
                made[field] = activation_read(value)
            elif field in layer.fields:
                made[field] = plain_read(value)
            elif not (field in IGNORED or field in layer.only or value is None or value is False):
                raise Unknown("there is no such field")
        if "recurrent_activation" in layer.fields and "recurrent_activation" not in made:
            raise Unknown("its activation is that of an old TensorFlow.js")
        inner = _joined(at.path, layer.inner)
        if layer.inner:
            self._freeze(at._replace(path=inner))
        own = [f"{at.scope}{name}" for name in layer.names(made)]
        if not self.left.keys() >= {*own}:
            raise Unknown("it has no weights")
        if own:
            self.variables[inner] = {str(number): self.left.pop(name) for number, name in enumerate(own)}
        if layer.draws(made):
            self.generators[inner] = [[len(self.generators), 0]]
        return made

    def _bidirectional(self, config: Mapping[str, Any], at: _At) -> dict[str, Any]:
        inner = _inner(config)
        kind, own = inner["class_name"], inner["config"]
        if kind not in RECURRENT or config.get("merge_mode", "concat") not in (*_MERGED, None):
            raise Unknown("it has a layer that is not recurrent")
        backward = type(own.get("go_backwards")) is bool and own["go_backwards"]
        made: dict[str, Any] = {"merge_mode": config.get("merge_mode", "concat")}
        for way, field in (("forward", "layer"), ("backward", "backward_layer")):
            name = own["name"].removeprefix("forward_")
            scopes = {f"{at.scope}{way}_{each}/" for each in (name, own["name"])}
            scope = next((each for each in scopes if f"{each}kernel" in self.left), "")
            inside = _At(f"{at.path}/{way}_layer", scope, at.trainable)
            self._freeze(inside)
            found = self._plain(kind, own, inside) | {"go_backwards": backward != (way == "backward")}
            trained = {"name": f"{way}_{name}", "trainable": at.trainable, "dtype": "float32"}
            made[field] = described(kind, trained | found)
        return made


_MERGED = ("concat", "sum", "ave", "mul")


def _joined(path: str, more: str) -> str:
    return f"{path}/{more}" if path and more else path or more


def _is_name(name: Any) -> bool:
    return type(name) is str and bool(name) and "/" not in name and encodable(name)


def _is_entry(entry: Any) -> bool:
    config = entry.get("config") if type(entry) is dict else None
    return type(config) is dict and _is_name(config.get("name")) and type(entry.get("class_name")) is str


def _class_of(entry: Any) -> str:
    return "Functional" if entry["class_name"] == "Model" else str(entry["class_name"])


def _inner(config: Mapping[str, Any]) -> Any:
    entry: Any = config.get("layer")
    if not _is_entry(entry):
        raise Unknown("its layer is not described")
    return entry


def _input_of(entry: Any, depth: int) -> dict[str, Any]:
    """The input of a Sequential model, which its first layer describes."""
    config = entry["config"]
    if entry["class_name"] in MODELS:
        layers = config.get("layers")
        if type(layers) is not list or not layers or not _is_entry(layers[0]) or depth > DEPTH:
            raise Unknown("its input has no shape")
        return _input_of(layers[0], depth + 1)
    made = {"batch_input_shape": config.get("batch_input_shape"), "dtype": config.get("dtype", "float32")}
    return {"class_name": "InputLayer", "config": {"name": f"{config['name']}_input", **made}}
