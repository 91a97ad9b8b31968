"""The configuration of a Keras 3 model as TensorFlow.js takes it: in the form of Keras 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from saver.errors import IncompatibleError
from saver.format import Loss
from saver.formats._arrays import Named
from saver.formats.tfjs.calls import Calls, Refused, class_of, flat, is_model
from saver.formats.tfjs.layers import (
    IGNORED,
    LAYERS,
    OPERATIONS,
    RECURRENT,
    TRAINING,
    kind_of,
)
from saver.formats.tfjs.masks import computed, misled
from saver.formats.tfjs.values import (
    activation,
    admitted,
    described_input,
    direction,
    inner,
    input_of,
    is_entry,
    is_last_axis,
    path_of,
    plain,
)
from saver.formats.tfjs.weights import Weight

DEPTH = 50
"""How deep models may lie within models."""

_OF_OBJECTS = (
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString",
    "valueOf",
)  # fmt: skip
"""Names that every object of JavaScript has, which TensorFlow.js would mistake for layers."""


class Here(NamedTuple):
    """Where a layer is: its place for people, and the path of its variables."""

    place: str
    path: str

    def below(self, name: str, path: str) -> Here:
        return Here(f"{self.place}.{name}", f"{self.path}/{path}".lstrip("/"))


class Topology:
    """Turns the configuration of a model into that of TensorFlow.js, and finds the weights of its layers.

    `arrays` are the variables, by the paths of their layers and by their names there; those that were not
    found in the end are in `left`.
    """

    def __init__(self, arrays: Mapping[str, Mapping[str, Named]], where: str) -> None:
        self.weights: list[Weight] = []
        self.losses: list[Loss] = []
        self.left = set(arrays)
        self._arrays, self._where = arrays, where
        self._taken = dict.fromkeys(_OF_OBJECTS, 0)
        self._masking: set[str] = set()
        self._shared: dict[int, str] = {}
        self._refused: list[str] = []

    def of(self, config: Any, part: str) -> dict[str, Any]:
        """The topology. Raises IncompatibleError, which lists all that TensorFlow.js does not have."""
        here, found = Here(f"$.{part}", ""), None
        try:
            if not is_model(config) or not is_entry(config):
                raise Refused("this is not a Sequential or Functional model")
            found = self._model(config, config["config"]["name"], here, 0)
        except Refused as error:
            self._refused.insert(0, f"{here.place}: {error}")
        if found is not None and self.left and not self._refused:
            self._refused.append(f"{here.place}: no layer there has the variables of {sorted(self.left)[:4]}")
        if found is None or self._refused:
            raise IncompatibleError(
                f"{self._where}: TensorFlow.js has no such model; nothing was written; change these, or "
                f"write another format: {'; '.join(self._refused)}"
            )
        return found

    def _model(self, entry: Any, name: str, here: Here, depth: int) -> dict[str, Any]:
        """A model under this name."""
        config, layers = entry["config"], entry["config"].get("layers")
        if type(layers) is not list or not all(map(is_entry, layers)) or depth > DEPTH:
            raise Refused("its layers are not those of a model, or nested too deeply")
        sequential = entry["class_name"] == "Sequential"
        if sequential and (not layers or layers[0]["class_name"] != "InputLayer"):
            layers = [input_of(config), *layers]
        masks = {} if sequential else computed(layers)
        kept = [each for each in layers if each["config"]["name"] not in masks]
        names = {each["config"]["name"]: self._named(each["config"]["name"], here) for each in kept}
        places, used = list[Here](), dict[str, int]()
        for each in kept:
            places.append(here.below(each["config"]["name"], path_of(each, used, sequential)))
        found = [
            self._entry(each, names[each["config"]["name"]], at, depth)
            for each, at in zip(kept, places, strict=True)
        ]
        within = [own for own, given in names.items() if given in self._masking]
        wrong, masked = misled(layers, sequential, within)
        self._refused += [f"{here.place}.{each}: {why}" for each, why in wrong.items()]
        if sequential:
            self._masking |= masked & {layers[-1]["config"]["name"]} and {name}
            return {"class_name": "Sequential", "config": {"name": name, "layers": found}}
        calls = Calls(names, kept, masks)
        for each, made, at in zip(kept, found, places, strict=True):
            with _Refusing(self._refused, at.place):
                made |= {"name": names[each["config"]["name"]], "inbound_nodes": calls.of(each)}
        ends = self._ends(config, calls, here)
        if masked & {each[0] for each in flat(config["output_layers"])}:
            self._masking.add(name)
        return {"class_name": "Model", "config": {"name": name, "layers": found, **ends}}

    def _ends(self, config: Any, calls: Calls, here: Here) -> dict[str, Any]:
        """The inputs and outputs of a functional model."""
        given = {key: config.get(key) for key in ("input_layers", "output_layers")}
        if any(type(each) is dict for each in given.values()):
            self.losses.append(
                Loss(here.place, "the names of its inputs and outputs: they are lists, by name")
            )
        return {key: [calls.end(each) for each in flat(several)] for key, several in given.items()}

    def _named(self, name: str, here: Here) -> str:
        """A name that no other layer of the whole has, as TensorFlow.js admits it."""
        plain = found = admitted(name)
        while found in self._taken:
            self._taken[plain] += 1
            found = f"{plain}_{self._taken[plain]}"
        self._taken[found] = 0
        if found != name:
            self.losses.append(Loss(f"{here.place}.{name}", f"its name is written as {found!r}"))
        return found

    def _entry(self, entry: Any, name: str, here: Here, depth: int) -> dict[str, Any]:
        """A layer of a model; what is wrong with it is noted."""
        with _Refusing(self._refused, here.place):
            return self._layer(entry, name, f"{name}/", here, depth)
        return {}

    def _layer(self, entry: Any, name: str, scope: str, here: Here, depth: int) -> dict[str, Any]:
        """A layer under this name, whose weights have names that begin with `scope`."""
        kind, module, config = class_of(entry), entry.get("module"), entry["config"]
        here = self._first(entry, here)
        if is_model(entry):
            return self._model(entry, name, here, depth + 1)
        if module == "keras.src.ops.numpy" and kind in OPERATIONS:
            return {"class_name": kind, "config": {"name": name}}
        if module != "keras.layers":
            raise Refused(f"there is no {kind} in TensorFlow.js")
        if kind == "InputLayer":
            return {"class_name": kind, "config": {"name": name, **described_input(config)}}
        made: dict[str, Any] = {
            "name": name,
            "trainable": config.get("trainable", True),
            "dtype": self._dtype(config, here),
        }
        if kind == "Bidirectional":
            made |= self._bidirectional(config, name, here, depth)
        elif kind == "TimeDistributed":
            each = inner(config, "layer")
            if not is_model(each) and class_of(each) not in LAYERS:
                raise Refused(f"its layer is {class_of(each)}")
            own = self._named(each["config"]["name"], here) if is_model(each) else each["config"]["name"]
            made["layer"] = self._layer(each, own, scope, here.below(own, "layer"), depth + 1)
        elif kind == "BatchNormalization" and not is_last_axis(entry):
            raise Refused("its axis is not the last one")
        elif kind in LAYERS:
            made |= self._plain(kind, config, scope, here)
        else:
            raise Refused(f"there is no {kind} in TensorFlow.js")
        return {"class_name": kind, "config": made}

    def _first(self, entry: Any, here: Here) -> Here:
        """Where the variables of a layer are that several places share: at the first one."""
        shared = entry.get("shared_object_id")
        path = here.path if type(shared) is not int else self._shared.setdefault(shared, here.path)
        if path != here.path:
            self.losses.append(Loss(here.place, "it is a layer of its own, with copies of the weights"))
        return Here(here.place, path)

    def _plain(self, kind: str, config: Mapping[str, Any], scope: str, here: Here) -> dict[str, Any]:
        layer, made = LAYERS[kind], dict[str, Any]()
        for field, value in config.items():
            of_training = kind_of(field)
            if field in layer.only and value not in layer.only[field]:
                raise Refused(f"the {field} of {kind} is {value!r:.40}, not {layer.only[field][0]!r}")
            if of_training:
                made[field] = self._training(of_training, value, here)
            elif field in ("activation", "recurrent_activation"):
                made[field] = activation(value)
            elif field in layer.fields:
                made[layer.renamed.get(field, field)] = plain(value, field)
            elif not (field in IGNORED or field in layer.only or value is None or value is False):
                raise Refused(f"{kind} has no {field} there, which is {value!r:.40}")
        path = f"{here.path}/{layer.inner}" if layer.inner else here.path
        self._weigh(layer.names(config), scope, path, here)
        return made

    def _weigh(self, names: Sequence[str], scope: str, path: str, here: Here) -> None:
        arrays = self._arrays.get(path, {})
        if sorted(arrays) != sorted(map(str, range(len(names)))):
            raise Refused(
                f"it has {len(arrays)} variables, and should have {len(names)}: build it, or do not share it"
            )
        self.left.discard(path)
        for number, name in enumerate(names):
            each = arrays[str(number)]
            if each.array.form.name == "F64":
                self.losses.append(Loss(each.place, "float64 is written as float32"))
            self.weights.append(Weight(f"{scope}{name}", each))

    def _bidirectional(self, config: Any, name: str, here: Here, depth: int) -> dict[str, Any]:
        forward, backward = inner(config, "layer"), inner(config, "backward_layer")
        if class_of(forward) not in RECURRENT or direction(forward, False) != direction(backward, True):
            raise Refused("its layers are not a recurrent one and the same one backward")
        own = admitted(forward["config"]["name"].removeprefix("forward_"))
        found, *_ = [
            self._layer(each, own, f"{name}/{way}_{own}/", here.below(way, f"{way}_layer"), depth + 1)
            for way, each in (("forward", forward), ("backward", backward))
        ]
        return {"layer": found, "merge_mode": plain(config.get("merge_mode"), "merge_mode")}

    def _dtype(self, config: Mapping[str, Any], here: Here) -> str:
        """All layers compute in float32 there."""
        found: Any = config.get("dtype")
        if type(found) is dict and found.get("class_name") in ("DTypePolicy", "FloatDTypePolicy"):
            found = found.get("config")
        name = found.get("name") if type(found) is dict else found
        if type(name) is not str or name.removeprefix("mixed_") not in ("float32", *_FLOATS):
            raise Refused(f"its dtype is {name!r:.80}, not float32")
        if name != "float32":
            self.losses.append(Loss(here.place, f"it computes in float32, not in {name}"))
        return "float32"

    def _training(self, kind: str, config: Any, here: Here) -> Any:
        """An initializer, regularizer or constraint, which a trained model does not need."""
        if config is None:
            return None
        name = config.get("class_name") if type(config) is dict else None
        found = TRAINING[kind].get(str(name))
        own = config.get("config") if type(config) is dict else None
        fields: dict[str, Any] = own if type(own) is dict else {}
        if found is None or any(type(fields.get(each)) is dict for each in found.fields):
            self.losses.append(Loss(here.place, f"the {kind} {name if type(name) is str else 'of yours'}"))
            return None
        kept = {each: plain(fields[each], each) for each in found.fields if each in fields}
        defaults = {"l1": 0.0, "l2": 0.0} if found.name == "L1L2" else {}
        return {"class_name": found.name, "config": defaults | kept}


_FLOATS = ("float16", "bfloat16", "float64")


class _Refusing:
    """Notes what is refused within, and goes on."""

    def __init__(self, noted: list[str], place: str) -> None:
        self._noted, self._place = noted, place

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> bool:
        if isinstance(error, Refused):
            self._noted.append(f"{self._place}: {error}")
        return isinstance(error, Refused)
