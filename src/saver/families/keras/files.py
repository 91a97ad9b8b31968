"""Configurations between Keras' own files and trees. Imports nothing of Keras, and nothing that a file names.

A tree is what a save of the model makes (`configs.py`): objects of Keras by their public names, each of them
reviewed, and the user's classes and functions as nodes, for which a load asks trust.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from saver.families.keras.audit import FIELDS, NAMES, VALUES, admitted, check_object
from saver.families.keras.plain import plain
from saver.tree import EXACT_INTEGER, Node, Value, reserved

_NAME = re.compile(r"[^\W\d]\w*")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_LIBRARIES = frozenset(("keras", "builtins", "saver"))
_CUSTOM = "Custom"
"""Keras' name for the package of what was registered without one."""

TRAINABLE = "trainable"
"""In place of the places of variables that an optimizer trains: all that are trainable."""


class Read(NamedTuple):
    """What a configuration says: its tree, how the model and models within it were compiled, by their paths,
    and what is certain of the state that files of Keras do not hold: no layer is frozen (`trainable`), none
    draws random numbers (`seedless`)."""

    config: Value
    compiled: dict[str, Value]
    trainable: bool
    seedless: bool


def read(config: Any) -> Read:
    """The trees of a configuration. Raises ValueError, which names everything that is not admitted."""
    if type(config) is not dict or type(config.get("config")) is not dict or "class_name" not in config:
        raise ValueError("its configuration does not describe a model")
    settings = {
        path: found["compile_config"] for path, found in places(config) if found.get("compile_config")
    }
    reading = _Reading()
    tree = reading.value(plain({**config, "compile_config": None}, {}))
    compiled = {path: reading.value(plain(each, {})) for path, each in sorted(settings.items())}
    if reading.wrong:
        more = f"; and {len(reading.wrong) - 20:,} more" * (len(reading.wrong) > 20)
        raise ValueError("; ".join(reading.wrong[:20]) + more)
    own = reading.users == 0
    return Read(tree, compiled, own and reading.frozen == 0, own and reading.seeds == 0)


class _Reading:
    def __init__(self) -> None:
        self.wrong = list[str]()
        self.users = self.frozen = self.seeds = 0

    def value(self, value: Any) -> Value:
        if type(value) is list:
            return [self.value(item) for item in value]
        if type(value) is dict:
            return self._object(value) if "class_name" in value else self._fields(value)
        if type(value) is int and abs(value) > EXACT_INTEGER:
            return Node("int", state=f"{value:x}")
        return value  # type: ignore[no-any-return]

    def _fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        for key in filter(reserved, fields):
            self.wrong.append(f"there is the key {key[:80]!r}")
        return {key: self.value(item) for key, item in fields.items()}

    def _object(self, found: dict[str, Any]) -> Value:
        name, module, config = found["class_name"], found.get("module"), found.get("config")
        if not set(found) <= FIELDS or "config" not in found:
            self.wrong.append(f"an object has the fields {sorted(found)!r:.200}")
            return None
        fields = {key: item for key, item in found.items() if key not in NAMES}
        self._note(module, config)
        if type(name) is not str or type(module) not in (str, type(None)):
            self.wrong.append(f"the class of an object is {name!r:.80} of {module!r:.80}")
            return None
        known = (name in VALUES and module is None) or admitted(module, name, config)
        if known or _is_ours(module, name):
            named = {"class_name": name} if module is None else {"class_name": name, "module": module}
            try:
                check_object(named | fields)
            except (ValueError, TypeError, AttributeError) as error:
                self.wrong.append(str(error))
            return named | self._fields(fields)
        self.users += name != "function"
        return self._users(module, name, found.get("registered_name"), fields)

    def _users(self, module: str | None, name: str, registered: Any, fields: dict[str, Any]) -> Value:
        codec = "class"
        if name == "function":
            codec, registered = "function", fields.pop("config")
            package, _, name = str(registered).rpartition(">")
            home = package or _CUSTOM if module == "builtins" else module
        else:
            home = "__main__" if module is None else module
        if not (_NAME.fullmatch(name) and _MODULE.fullmatch(str(home)) and _is_text(registered)):
            self.wrong.append(f"{home!r:.80} and {name!r:.80} are no names of a module and what is in it")
            return None
        node = Node(codec, cls=f"{home}:{name}")
        return {"class_name": node, "registered_name": registered} | self._fields(fields)

    def _note(self, module: Any, config: Any) -> None:
        if type(config) is dict and type(module) is str:
            self.frozen += config.get("trainable") is False
            self.seeds += "seed" in config and module != "keras.initializers"


def _is_text(value: Any) -> bool:
    return value is None or type(value) is str


def _is_ours(module: str | None, name: str) -> bool:
    """Whether nobody but Keras and Python may have a class in this module: it must be a reviewed one."""
    root = (module or "").partition(".")[0]
    return root in _LIBRARIES and not (root == "builtins" and name == "function")


def written(tree: Any, compiled: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The configuration of a model for a file of Keras, with how it was compiled, and what it cannot say, as
    places and sentences. Raises ValueError for a tree that no configuration is."""
    writing = _Writing()
    config = writing.value(tree)
    if type(config) is not dict or type(config.get("config")) is not dict:
        raise ValueError("the configuration is not that of a model")
    here = dict(places(config))
    for number, (path, settings) in enumerate(compiled.items(), 1):
        if path in here:
            here[path]["compile_config"] = writing.value(settings, number * _SHARED)
        else:
            writing.lost.append((path, "how it was compiled, which Keras' file has no place for"))
    return config, writing.lost


_SHARED = 1_000_000
"""What is shared is numbered in each configuration; numbers of several must differ."""


class _Writing:
    def __init__(self) -> None:
        self.lost = list[tuple[str, str]]()

    def value(self, value: Any, shared: int = 0) -> Any:
        if type(value) is list:
            return [self.value(item, shared) for item in value]
        if type(value) is Node:
            return self._node(value)
        if type(value) is not dict:
            return value
        rest = {key: self.value(item, shared) for key, item in value.items() if key not in NAMES}
        if type(rest.get("shared_object_id")) is int:
            rest["shared_object_id"] += shared
        if "class_name" not in value:
            return rest
        name = value["class_name"]
        if type(name) is Node:
            return self._users(name, value.get("registered_name")) | rest
        named = {"module": value["module"]} if "module" in value else {}
        return named | {"class_name": name, "registered_name": None} | rest

    def _node(self, node: Node) -> Any:
        if node.codec == "int":
            return int(node.state, 16)
        if node.codec == "float":
            return struct.unpack(">d", bytes.fromhex(node.state))[0]
        return self._users(node, None)

    def _users(self, node: Node, registered: Any) -> dict[str, Any]:
        module, _, name = (node.cls or "").partition(":")
        if node.codec not in ("class", "function") or not name:
            raise ValueError(f"there is a {node.codec!r:.80} in the configuration")
        if type(registered) is not str:
            registered = f"{_CUSTOM}>{name}"
            self.lost.append((name, f"the name under which Keras knows it; {registered} is written"))
        if node.codec == "function":
            return {"module": "builtins", "class_name": "function", "config": registered,
                    "registered_name": "function"}  # fmt: skip
        return {"module": module, "class_name": name.rpartition(".")[2], "registered_name": registered}


def places(config: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The layers that a configuration describes, as far as the structural paths that Keras gives them follow
    from it: those of models, of models within them, and of wrappers."""
    stack = [(path, config)]
    while stack:
        path, found = stack.pop()
        if type(found) is not dict or type(found.get("config")) is not dict:
            continue
        yield path, found
        inner, used = found["config"], dict[str, int]()
        for layer in inner["layers"] if type(inner.get("layers")) is list else ():
            name = layer.get("class_name") if type(layer) is dict else None
            if type(name) is str and not str(layer.get("module")).startswith("keras.src.ops."):
                short = snake_case(name)
                used[short] = number = used.get(short, -1) + 1
                at = f"layers/{short}_{number}" if number else f"layers/{short}"
                stack.append((f"{path}/{at}" if path else at, layer))
        if "layer" in inner and found.get("class_name") != "Bidirectional":
            stack.append((f"{path}/layer" if path else "layer", inner["layer"]))


def snake_case(name: str) -> str:
    """The name of a class as Keras has it in paths."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
