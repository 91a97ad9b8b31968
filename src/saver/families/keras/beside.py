"""What users keep in attributes of their own models and layers, which Keras does not save.

Keras saves what `get_config` returns, and variables. A list that `train_step` appends to, a counter or a
generator is in neither, and a resumed training would begin them anew. So a run saves them beside the model,
and restores them into the live one.
"""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from keras.src.backend.common.variables import Variable
from keras.src.layers.layer import Layer
from keras.src.saving.keras_saveable import KerasSaveable
from keras.src.utils.tracking import TrackedDict, TrackedList, TrackedSet

from saver.codec import Decoder, door
from saver.families.keras.walking import saveables
from saver.families.python.live_attributes import CODE, Attributes, has_data_form
from saver.families.python.restoring import items
from saver.restoring import PartReport, Plan, Saved
from saver.restoring.contract import Target, a_kind
from saver.tree import Value

_CONTAINERS = (TrackedList, TrackedDict, TrackedSet)
"""What Keras makes of lists, dicts and sets in attributes, and of those in them."""

_OF_TENSORFLOW = "_self_"
"""The attributes of what TensorFlow tracks begin so."""


def own_state(root: Any) -> dict[str, dict[str, Any]]:
    """The attributes that users' own classes have, by the paths of their layers."""
    found = {path: dict(_attributes(layer)) for path, layer in _own_layers(root)}
    state = {path: {k: v for k, v in each.items() if has_data_form(v)} for path, each in found.items()}
    return {path: each for path, each in state.items() if each}


def lost(root: Any) -> Iterator[str]:
    """The attributes that have no data form, and are no code: a resumed run does not have their values."""
    for path, layer in _own_layers(root):
        for name, item in _attributes(layer):
            if not isinstance(item, CODE) and not has_data_form(item):
                yield f"{path}/{name} ({a_kind(item)})" if path else f"{name} ({a_kind(item)})"


def _own_layers(root: Any) -> Iterator[tuple[str, Any]]:
    for path, layer in saveables(root):
        if isinstance(layer, Layer) and not _is_of_keras(type(layer)):
            yield path, layer


def _attributes(layer: Any) -> Iterator[tuple[str, Any]]:
    cls: type = type(layer)
    left_out, way = _names_of_keras(cls), door(cls)
    for name, item in vars(layer).items():
        known = name in left_out or name.startswith(_OF_TENSORFLOW)
        if not known and way.refusal(name) is None and not _is_managed(item):
            yield name, _untracked(item)


def _untracked(item: Any, made: dict[int, Any] | None = None) -> Any:
    """The same, with lists, dicts and sets where Keras has made others of them."""
    if not isinstance(item, _CONTAINERS):
        return item
    made = {} if made is None else made
    if id(item) in made:
        return made[id(item)]
    if isinstance(item, TrackedDict):
        found = made[id(item)] = {}
        found.update((key, _untracked(each, made)) for key, each in item.items())
        return found
    if isinstance(item, TrackedSet):
        return set(item)
    listed = made[id(item)] = []
    listed += [_untracked(each, made) for each in item]
    return listed


def _is_managed(item: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether Keras finds it by itself: layers, variables, and containers of those."""
    if isinstance(item, (dict, list, tuple, set)) and id(item) not in seen:
        within = item.values() if isinstance(item, dict) else item
        return any(_is_managed(each, seen | {id(item)}) for each in within)
    return isinstance(item, (KerasSaveable, Variable))


def _left_out(layer: Any, found: Mapping[str, Any]) -> frozenset[str]:
    """The attributes of a live layer that stay as they are, and those that none may be restored into."""
    cls: type = type(layer)
    here = {name for name, item in vars(layer).items() if name not in found or _is_managed(item)}
    return _names_of_keras(cls).union(here)


def _is_of_keras(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "keras"


@cache
def _reference() -> frozenset[str]:
    return frozenset(dir(Layer()))


@cache
def _names_of_keras(cls: type) -> frozenset[str]:
    """The attributes that Keras' own classes set in an object of this class, at any time."""
    own = [base for base in cls.__mro__ if _is_of_keras(base)]
    return _reference().union(*(_stored(each) for base in own for each in vars(base).values()))


def _stored(member: Any) -> set[str]:
    """The names that a method stores in attributes."""
    if isinstance(member, property):
        return _stored(member.fget) | _stored(member.fset)
    function = inspect.unwrap(member) if callable(member) else getattr(member, "__func__", None)
    code = getattr(function, "__code__", None)
    return set() if code is None else _stored_in(code)


def _stored_in(code: types.CodeType) -> set[str]:
    names = {each.argval for each in dis.get_instructions(code) if each.opname == "STORE_ATTR"}
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return names.union(*map(_stored_in, inner))


class BesideTarget(Target):
    """The live models that get what was saved beside them, by name."""

    def __init__(self, models: Mapping[str, Any]) -> None:
        self._models = models

    def plan(self, value: Value, saved: Saved) -> Plan:
        found, unexpected = self._pairs(value, saved)

        def ready(decoder: Decoder) -> Callable[[], None]:
            steps = [each.ready(decoder)[1] for _, each in found]

            def change() -> None:
                for step in steps:
                    step()

            return change

        reports = [(name, each.report()) for name, each in found]
        report = PartReport(
            "the models",
            matched=tuple(name for name, _ in reports),
            missing=tuple(f"{name}.{key}" for name, each in reports for key in each.missing),
            unexpected=(*unexpected, *(f"{n}.{key}" for n, each in reports for key in each.unexpected)),
            mismatched=tuple(item for _, each in reports for item in each.mismatched),
        )
        return Plan(report, ready, may_refuse=any(each.may_refuse for _, each in found))

    def _pairs(self, value: Value, saved: Saved) -> tuple[list[tuple[str, Attributes]], list[str]]:
        """The live layers with what they get, by name, and the names of those that are not here."""
        found: list[tuple[str, Attributes]] = []
        unexpected: list[str] = []
        for name, each in (items(value, saved) or {}).items():
            layers = dict(_own_layers(self._models[name])) if name in self._models else {}
            for path, state in (items(each, saved) or {}).items():
                attributes, layer = items(state, saved), layers.get(str(path))
                if layer is None or attributes is None:
                    unexpected.append(f"{name}/{path}")
                    continue
                left_out = _left_out(layer, attributes)
                members = Attributes(layer, attributes, saved, examined=False, left_out=left_out)
                found.append((f"{name}/{path}", members))
        return found, unexpected
