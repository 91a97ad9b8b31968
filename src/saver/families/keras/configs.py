"""What Keras makes layers from: its configurations, as a tree, and back.

Keras' own `safe_mode` lets a file call functions while it loads, so it decides nothing here. Every object
that a configuration names is one of the frozen list (`classes.json`), or a class of the user as a node of its
own, which the audit has seen. Keras gets a new configuration, made from what was checked; the names in it
lead only there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

import numpy as np
from keras import saving
from keras.constraints import Constraint
from keras.dtype_policies import DTypePolicy
from keras.initializers import Initializer
from keras.optimizers.schedules import LearningRateSchedule
from keras.quantizers import Quantizer
from keras.regularizers import Regularizer
from keras.src.saving.keras_saveable import KerasSaveable

from saver import trust
from saver.codec import Decoder, Encoder
from saver.errors import kind_of, with_article
from saver.families.keras.audit import FIELDS, NAMES, VALUES, admitted, check_calls, check_object
from saver.tree import EXACT_INTEGER, Node, Reference, Value, reserved

KINDS = (
    KerasSaveable,
    Constraint,
    DTypePolicy,
    Initializer,
    LearningRateSchedule,
    Quantizer,
    Regularizer,
)
"""What a class of the user in a configuration may be; or the sum of its `get_config` and `from_config`."""

_INSTEAD = {
    "Lambda": "its function has no data form; write it as a class that derives from keras.layers.Layer",
    "TFSMLayer": "it reads a folder; save that folder beside the version",
    "TorchModuleWrapper": "save the module of PyTorch instead",
    "JaxLayer": "its function has no data form; write it as a class that derives from keras.layers.Layer",
    "FlaxLayer": "its module has no data form; save the state of the Flax module instead",
    "__lambda__": "a lambda has no data form; use a function that is registered with Keras",
    "__typespec__": "a type of TensorFlow has no data form; leave it out",
}
"""Why some things are not on the list, and what to do."""


def described(config: Any, encoder: Encoder) -> Value:
    """The tree of a configuration that Keras wrote. Refuses what `Configurations` would not make again."""
    kind = type(config)
    if config is None or kind is bool:
        return config  # type: ignore[no-any-return]
    if kind is str:
        found = _registered(config)
        return config if found is None else encoder(found)
    if kind is int or kind is float:
        plain = abs(config) <= EXACT_INTEGER if kind is int else math.isfinite(config)
        return config if plain else encoder(config)
    if kind is list or kind is tuple:
        return [described(item, encoder) for item in config]
    if kind is dict:
        return _described_object(config, encoder) if "class_name" in config else _fields(config, encoder)
    if isinstance(config, np.generic):
        return described(config.item(), encoder)
    return encoder.refuse(
        f"its configuration holds {with_article(kind.__name__)}, which has no data form; see get_config"
    )


def _fields(config: Mapping[Any, Any], encoder: Encoder) -> Value:
    for key in config:
        if type(key) is not str or reserved(key):
            encoder.refuse(f"its configuration has the key {key!r}; keys are plain texts")
    return {key: described(value, encoder) for key, value in config.items()}


def _described_object(config: Any, encoder: Encoder) -> Value:
    name, module = config["class_name"], config.get("module")
    if type(name) is str and name in _INSTEAD:
        encoder.refuse(f"{name} in its configuration: {_INSTEAD[name]}")
    if not set(config) <= FIELDS or "config" not in config:
        encoder.refuse("its configuration holds a dict with the key 'class_name'; rename that key")
    fields = {key: value for key, value in config.items() if key not in NAMES}
    registered = config.get("registered_name")
    if name in VALUES or admitted(module, name, config["config"]):
        named = {"class_name": name} if module is None else {"class_name": name, "module": module}
        encoder.check(check_object, named | fields)
        return named | _fields(fields, encoder)  # type: ignore[operator]
    if name == "function":
        registered = fields.pop("config")
        found = _user_function(registered)
    else:
        found = _user_class(module, name, registered)
    if found is None:
        shown = config["config"] if name == "function" else name
        encoder.refuse(
            f"{shown!r:.80} in its configuration is neither a class or function of Keras that Saver has "
            "reviewed nor one of yours that Keras knows; decorate yours with "
            "keras.saving.register_keras_serializable()"
        )
    named = {"class_name": encoder(found), "registered_name": registered}
    return named | _fields(fields, encoder)  # type: ignore[operator]


def _scopes() -> Iterator[Mapping[str, Any]]:
    from keras.src.backend.common import global_state

    yield global_state.get_global_attribute("custom_objects_scope_dict", {})
    yield saving.get_custom_objects()


def _registered(name: Any) -> Any:
    """The object that Keras would find under this name, beside its own; None if none."""
    if type(name) is not str:
        return None
    return next((scope[name] for scope in _scopes() if name in scope), None)


def is_registered(found: Any) -> bool:
    """Whether a class or function is registered with Keras."""
    return any(found is each for scope in _scopes() for each in scope.values())


def _user_class(module: Any, name: str, registered: Any) -> type | None:
    found = _registered(registered)
    if found is None:
        found = getattr(sys.modules.get("__main__" if module is None else str(module)), name, None)
    own = isinstance(found, type) and issubclass(found, KINDS) and not is_own(found)
    return found if own else None


def _user_function(name: Any) -> Any:
    found = _registered(name)
    return found if isinstance(found, (type, FunctionType)) and not is_own(found) else None


def is_own(found: Any) -> bool:
    """Whether a class or function is one of Keras."""
    return str(found.__module__).partition(".")[0] == "keras"


class Configurations:
    """Makes configurations for Keras from trees of a file.

    `custom` are the classes and functions of the user in them, under names that only these configurations
    use.
    """

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._names: dict[int, str] = {}
        self.custom: dict[str, Any] = {}

    def of(self, tree: Value) -> Any:
        """The configuration that a tree describes. Raises ValueError for what the audit does not admit."""
        self._decoder.budget.charge(steps=1)
        if isinstance(tree, (Node, Reference)):
            found = self._decoder(tree)
            return found if type(found) in (int, float) else self._name(found)
        if isinstance(tree, list):
            return [self.of(item) for item in tree]
        if isinstance(tree, dict):
            return self._object(tree) if "class_name" in tree else self._fields(tree)
        if type(tree) is str and _registered(tree) is not None:
            raise ValueError(f"{tree!r:.80} is the name of an object that is registered with Keras")
        if tree is not None and type(tree) not in (bool, int, float, str):
            raise ValueError(f"there is {kind_of(tree)} in a configuration")
        return tree

    def _fields(self, tree: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self.of(value) for key, value in tree.items()}

    def _object(self, tree: dict[str, Any]) -> dict[str, Any]:
        name = tree["class_name"]
        if type(name) in (Node, Reference):
            return self._user_object(tree)
        check_object(tree)
        rest = {key: self.of(value) for key, value in tree.items() if key not in ("class_name", "module")}
        return {"module": tree.get("module"), "class_name": name, "registered_name": None, **rest}

    def _user_object(self, tree: dict[str, Any]) -> dict[str, Any]:
        if not set(tree) <= FIELDS - {"module"}:
            raise ValueError(f"an object in a configuration has the fields {sorted(tree)!r:.200}")
        check_calls(tree)
        found = self._decoder(tree["class_name"])
        key = self._name(found)
        if isinstance(found, FunctionType) or "config" not in tree:
            return {"module": "builtins", "class_name": "function", "config": key, "registered_name": key}
        if not issubclass(found, KINDS):
            raise ValueError(f"{found.__qualname__} is not a class that Keras makes from a configuration")
        rest = {field: self.of(value) for field, value in tree.items() if field not in NAMES}
        return {"module": "saver", "class_name": key, "registered_name": key, **rest}

    def _name(self, found: Any) -> str:
        """The name under which Keras finds a class or function of the user."""
        if not isinstance(found, (type, FunctionType)) or is_own(found):
            raise ValueError(f"{kind_of(found)} stands where a configuration has no such object")
        if any(name in trust.references() for name in trust.names_of(found)):
            raise ValueError(f"{found.__qualname__} is not a function for Keras")
        if id(found) not in self._names:
            key = self._names[id(found)] = f"saver>{len(self._names)}"
            self.custom[key] = found
        return self._names[id(found)]
