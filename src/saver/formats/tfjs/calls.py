"""How the layers of a model are connected, in the form of Keras 3 and in that of Keras 2."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from saver.formats.tfjs.layers import MODELS, OPERATIONS, STATEFUL


class Refused(Exception):
    """Something that TensorFlow.js does not have."""


class Unknown(Exception):
    """Something that is not known of Keras."""


_INPUTS = ("inputs", "sequence", "sequences")
"""What layers call their inputs."""


class Calls:
    """The calls of the layers of one model, in the form of Keras 2. `names` are those that the layers get
    there; `masks` compute masks that TensorFlow.js passes on itself."""

    def __init__(self, names: Mapping[str, str], layers: Sequence[Any], masks: Collection[str]) -> None:
        self._names, self._masks = names, masks
        self._kinds = {each["config"]["name"]: class_of(each) for each in layers if is_model(each)}

    def of(self, entry: Any) -> list[list[Any]]:
        """The calls of a layer: for each, the tensors that it gets."""
        calls = calls_of(entry)
        if str(entry.get("module")).startswith("keras.src.ops"):
            for call in calls:
                _check_operation(call)
        return [self._call(entry, call) for call in calls]

    def end(self, history: Any) -> list[Any]:
        """An input or output of the model. Keras 3 counts its calls of functional models as Keras 2 does."""
        name, number, place = self.tensor(history)
        return [name, number - (self._kinds.get(history[0], "Sequential") != "Sequential"), place]

    def tensor(self, history: Any) -> list[Any]:
        """A tensor: the layer, the number of its call, and the number of the output. In Keras 2, the first
        call of a model within is the one that made it."""
        if not is_tensor(history) or history[0] not in self._names:
            raise Refused("it refers to a tensor that is not one of the model")
        return [self._names[history[0]], history[1] + (history[0] in self._kinds), history[2]]

    def _call(self, entry: Any, call: Any) -> list[Any]:
        found, more = list(_tensors(call["args"])), list[Any]()
        for key, value in call["kwargs"].items():
            given = list(_tensors(value)) if histories(value) else []
            if key == "mask" and given and all(is_tensor(each) and each[0] in self._masks for each in given):
                continue
            if key in _INPUTS and given and not found:
                found = given
            elif key == "initial_state" and given and class_of(entry) in STATEFUL:
                more = given
            elif not _is_nothing(value):
                raise Refused(f"it is called with {key}, which TensorFlow.js does not do")
        return [[*self.tensor(each), {}] for each in [*found, *more]]


class CallsRead:
    """The calls of the layers of a model, in the form of Keras 3."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self._layers = {each["config"]["name"]: each for each in layers}

    def of(self, entry: Any) -> list[Any]:
        calls = entry.get("inbound_nodes", [])
        if type(calls) is not list or not all(type(call) is list and call for call in calls):
            raise Unknown("its calls are not lists of tensors")
        return [] if entry["class_name"] == "InputLayer" else [self._call(entry, call) for call in calls]

    def _call(self, entry: Any, call: list[Any]) -> dict[str, Any]:
        found = []
        for each in call:
            options = each[3] if type(each) is list and len(each) == 4 else {}
            if type(each) is not list or type(options) is not dict or any(options.values()):
                raise Unknown("it is called with more than tensors")
            history = self._history(each[:3])
            config = {"shape": [], "dtype": "float32", "keras_history": history}
            found.append({"class_name": "__keras_tensor__", "config": config})
        if len(found) == 1:
            return {"args": found, "kwargs": {}}
        if entry["class_name"] in STATEFUL:
            return {"args": found[:1], "kwargs": {"initial_state": found[1:]}}
        return {"args": [found], "kwargs": {}}

    def _history(self, history: Any) -> list[Any]:
        layer = self._layers.get(history[0]) if is_tensor(history) else None
        if layer is None or history[1] < (layer["class_name"] in MODELS):
            raise Unknown("it refers to a tensor that is not there")
        return [history[0], history[1] - (layer["class_name"] in MODELS), history[2]]

    def _end(self, history: Any) -> list[Any]:
        name, number, place = self._history(history)
        functional = self._layers[name]["class_name"] in MODELS - {"Sequential"}  # counted as in Keras 2
        return [name, number + functional, place]

    def tensors(self, found: Any) -> Any:
        """Inputs or outputs of the model: one, or a list."""
        if type(found) is not list or not found:
            raise Unknown("it has no inputs or outputs")
        tensors = [self._end(each) for each in ([found] if is_tensor(found) else found)]
        return tensors[0] if len(tensors) == 1 else tensors


def is_tensor(history: Any) -> bool:
    """Whether this names a tensor of a model."""
    return (
        type(history) is list
        and len(history) == 3
        and type(history[0]) is str
        and all(type(number) is int and 0 <= number < 1 << 31 for number in history[1:])
    )


def flat(tensors: Any) -> Iterator[Any]:
    """The tensors of inputs or outputs, which may be in lists and dicts, in the order that Keras gives
    them."""
    if type(tensors) is dict:
        tensors = [tensors[key] for key in sorted(tensors)]
    elif is_tensor(tensors) or type(tensors) is not list:
        yield tensors
        return
    for each in tensors:
        yield from flat(each)


def class_of(entry: Any) -> str:
    """The class of a layer, for people too; that of a user is a node."""
    found = entry["class_name"]
    return found if type(found) is str else f"{getattr(found, 'cls', None) or 'class of yours'}"


def is_model(entry: Any) -> bool:
    """Whether a configuration is that of a model, as Keras itself has it."""
    module = str(entry.get("module")) if type(entry) is dict else ""
    own = module == "keras" or module.startswith("keras.src.models.")
    return own and str(entry.get("class_name")) in MODELS and type(entry.get("config")) is dict


def calls_of(entry: Any) -> list[Any]:
    """The calls of a layer, in the form of Keras 3. Raises Refused if they have another one."""
    calls = entry.get("inbound_nodes", [])
    if type(calls) is not list or not all(map(_is_call, calls)):
        raise Refused("its calls are not described")
    return calls


def histories(value: Any) -> list[Any]:
    """The tensors in an argument, among other values."""
    if type(value) is dict and value.get("class_name") == "__keras_tensor__":
        return [each for each in _tensors(value) if is_tensor(each)]
    if type(value) in (list, dict):
        items = value.values() if type(value) is dict else value
        return [history for each in items for history in histories(each)]
    return []


def _is_nothing(value: Any) -> bool:
    """Whether an argument is None or False, or holds nothing else."""
    return value is None or value is False or (type(value) is list and all(map(_is_nothing, value)))


def _is_call(call: Any) -> bool:
    return type(call) is dict and type(call.get("args")) is list and type(call.get("kwargs")) is dict


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors in an argument. Raises Refused for other values: they are constants."""
    if type(value) is list:
        for each in value:
            yield from _tensors(each)
    elif type(value) is dict and value.get("class_name") == "__keras_tensor__":
        config = value.get("config")
        yield config.get("keras_history") if type(config) is dict else None
    elif type(value) is dict and "class_name" not in value:
        yield from _tensors([value[key] for key in sorted(value)])
    elif value is not None and value is not False:
        raise Refused("it is called with a constant, which TensorFlow.js does not do")


def _check_operation(call: Any) -> None:
    """Raise Refused unless an operation gets two tensors of one shape, which a layer takes as well."""
    shapes = [each["config"].get("shape") for each in call["args"] if type(each) is dict and "config" in each]
    if len(call["args"]) != 2 or len(shapes) != 2 or shapes[0] != shapes[1] or call["kwargs"]:
        raise Refused(
            f"{', '.join(sorted(OPERATIONS))} are written for two tensors of one shape; use a layer instead"
        )
