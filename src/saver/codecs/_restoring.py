"""Restoring into what Python itself has: containers, objects by attributes, and whatever loads a state."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec.structs import replace

from saver import trust
from saver.codec import Decoder, codec_for
from saver.codecs._classes import slots
from saver.codecs._columns import decode_run
from saver.restoring import PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import kind, restorer_for
from saver.tree import Node, Value

_MAPPINGS = frozenset(("dict", "stdlib.OrderedDict", "stdlib.defaultdict", "stdlib.Counter", "sklearn.bunch"))
_SEQUENCES = frozenset(("list", "tuple"))


def items(value: Value, saved: Saved) -> dict[Any, Value] | None:
    """The items of a saved mapping, not decoded; None for what is none, or has keys that are objects."""
    node = saved.follow(value)
    if type(node) is not Node or node.codec not in _MAPPINGS:
        return None
    state = node.state
    if node.codec == "stdlib.OrderedDict" and type(state) is list and state[2:] == ["attributes"]:
        state = state[0]
    elif node.codec == "stdlib.defaultdict":
        state = state[1]
    if type(state) is dict:
        return state
    keys, values = state
    if type(keys) is list and any(type(key) not in (str, int, float, bool) for key in keys):
        return None
    decoder = saved.peek()
    listed = values if type(values) is list else decode_run(values, decoder)
    return dict(zip(decode_run(keys, decoder), listed, strict=True))


def elements(value: Value, saved: Saved) -> list[Value] | None:
    """The elements of a saved list or tuple, not decoded; None for anything else."""
    node = saved.follow(value)
    if type(node) is not Node or node.codec not in _SEQUENCES:
        return None
    return node.state if type(node.state) is list else list(decode_run(node.state, saved.peek()))


class StateRestorer(Restorer):
    """Whatever has `load_state_dict`: a data loader, an average of weights, a metric. It is given what `load`
    would give."""

    def accepts(self, cls: type) -> bool:
        return callable(getattr(cls, "load_state_dict", None))

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        if type(node) is not Node or node.codec not in _MAPPINGS:
            if _OBJECTS.accepts(type(target)):
                return _OBJECTS.plan(value, target, saved)
            saved.refuse(f"{told(node)} was saved, where load_state_dict needs a dict; save the state_dict()")
        saved.want(node)
        names = tuple(map(str, items(node, saved) or ()))

        def ready(decoder: Decoder) -> Callable[[], None]:
            state = decoder(node)
            return lambda: ask(where, target.load_state_dict, state)

        return Plan(PartReport(kind(target), names), ready, may_refuse=True)


def told(value: Value) -> str:
    """What messages call a saved value."""
    if isinstance(value, Node):
        return f"a {trust.dotted(value.cls or value.codec).removeprefix('stdlib.')}"
    return f"{value!r:.40}"


class DictRestorer(Restorer):
    """Dicts, emptied and filled again in the saved order. Modules and other live objects that they hold are
    restored themselves, from what was saved under the same key."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, dict)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec not in _MAPPINGS:
            saved.refuse(f"{told(node)} was saved, not a mapping; take it from `load`")
        found = items(node, saved)
        if found is None:
            return _replacing(node, target, saved)

        def fill(fresh: dict[Any, Any]) -> None:
            target.clear()
            target.update(fresh)

        return _filling(node, target, target, found, fill, saved)


class ListRestorer(Restorer):
    """Lists, filled again. Live objects that they hold are restored themselves, by their position."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, list)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        found = elements(node, saved)
        if found is None or type(node) is not Node:
            saved.refuse(f"{told(node)} was saved, not a list; take it from `load`")

        def fill(fresh: dict[int, Any]) -> None:
            target[:] = fresh.values()

        return _filling(node, target, dict(enumerate(target)), dict(enumerate(found)), fill, saved)


def _filling(
    node: Node,
    target: Any,
    here: Mapping[Any, Any],
    found: dict[Any, Value],
    fill: Callable[[dict[Any, Any]], None],
    saved: Saved,
) -> Plan:
    """The plan for a container that has `here` by key or position, and is to have what was `found`."""
    within = _Within(here, found, saved)
    rest = {key: item for key, item in found.items() if key not in within.plans}
    saved.stands_for(node, target)
    saved.want(rest)

    def ready(decoder: Decoder) -> Callable[[], None]:
        fresh = {key: decoder(item) if key in rest else here[key] for key, item in found.items()}
        fresh.update((key, here[key]) for key in within.missing)
        changes = within.ready(decoder)

        def change() -> None:
            for step in changes:
                step()
            fill(fresh)

        return change

    return Plan(within.report(kind(target), map(str, rest)), ready, may_refuse=within.may_refuse)


class _Within:
    """The live objects within a container: `plans` by key, and the keys under which nothing was saved."""

    def __init__(self, here: Mapping[Any, Any], found: Mapping[Any, Value], saved: Saved) -> None:
        live = {key: item for key, item in here.items() if is_live(item)}
        self.missing = [key for key in live if key not in found]
        self.plans: dict[Any, Plan] = {}
        for key, item in live.items():
            if key in found:
                with saved.step(str(key)):
                    self.plans[key] = saved.plan(found[key], item)
        self.may_refuse = any(plan.may_refuse for plan in self.plans.values())

    def ready(self, decoder: Decoder) -> list[Callable[[], None]]:
        """What changes them, the caller's own code first."""
        plans = sorted(self.plans.values(), key=lambda plan: not plan.may_refuse)
        return [plan.ready(decoder) for plan in plans if plan.ready is not None]

    def report(self, into: str, matched: Iterable[str]) -> PartReport:
        """One report of all, with the keys before the names."""
        parts = [(str(key), plan.report) for key, plan in self.plans.items()]

        def named(field: str) -> tuple[str, ...]:
            return tuple(f"{key}.{name}" for key, part in parts for name in getattr(part, field))

        def listed(field: str) -> tuple[Any, ...]:
            return tuple(
                replace(item, name=f"{key}.{item.name}")
                for key, part in parts
                for item in getattr(part, field)
            )

        return PartReport(
            into,
            matched=(*matched, *named("matched")),
            missing=(*map(str, self.missing), *named("missing")),
            unexpected=named("unexpected"),
            mismatched=listed("mismatched"),
            converted=listed("converted"),
            left_out=named("left_out"),
        )


_PLAIN = (str, int, float, bytes, tuple, type(None))


def is_live(target: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether an object within a container is restored, not replaced; so are containers that hold one."""
    if isinstance(target, _PLAIN) or id(target) in seen:
        return False
    if isinstance(target, (dict, list)) and not hasattr(target, "load_state_dict"):
        within = target.values() if isinstance(target, dict) else target
        return any(is_live(item, seen | {id(target)}) for item in within)
    restorer = restorer_for(type(target))
    return restorer is not None and restorer.live


def _replacing(node: Node, target: Any, saved: Saved) -> Plan:
    """The plan for a container whose contents are decoded whole."""
    saved.want(node)

    def ready(decoder: Decoder) -> Callable[[], None]:
        fresh = decoder(node)

        def change() -> None:
            target.clear()
            (target.extend if isinstance(target, (deque, bytearray)) else target.update)(fresh)

        return change

    return Plan(PartReport(kind(target), ("value",)), ready)


class ContainerRestorer(Restorer):
    """Sets, deques and bytearrays, emptied and filled again."""

    live = False

    _CODECS = (
        (set, ("set", "frozenset")),
        (deque, ("stdlib.deque", "list", "tuple")),
        (bytearray, ("bytearray", "bytes")),
    )

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, (set, deque, bytearray))

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        codecs = next(codecs for cls, codecs in self._CODECS if isinstance(target, cls))
        if type(node) is not Node or node.codec not in codecs:
            saved.refuse(f"{told(node)} was saved, which cannot fill a {kind(target)}; take it from `load`")
        return _replacing(node, target, saved)


class RandomRestorer(Restorer):
    """`random.Random`, which goes on where the saved one was."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, random.Random)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        if type(node) is not Node or node.codec != "stdlib.Random":
            saved.refuse(f"{told(node)} was saved, not a random.Random")
        saved.want(node)

        def ready(decoder: Decoder) -> Callable[[], None]:
            state = decoder(node).getstate()
            return lambda: ask(where, target.setstate, state)

        return Plan(PartReport(kind(target), ("value",)), ready)


class ObjectRestorer(Restorer):
    """Objects that are their attributes: dataclasses and registered classes. Their attributes become those
    that were saved; of the same class only, which needs no trust, as the target brings it along."""

    live = False
    codecs: frozenset[str] = frozenset(("object", "dataclass"))

    def accepts(self, cls: type) -> bool:
        codec = codec_for(cls)
        return codec is not None and codec.name in self.codecs

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, cls = saved.follow(value), type(target)
        if type(node) is not Node or node.codec not in self.codecs or node.cls != trust.class_name(cls):
            saved.refuse(f"{told(node)} was saved, not a {kind(target)}; take it from `load`")
        if getattr(getattr(cls, "__dataclass_params__", None), "frozen", False):
            saved.refuse(f"a {kind(target)} is frozen and cannot be restored in place; take it from `load`")
        saved.stands_for(node, target)
        saved.want(node.state)

        def ready(decoder: Decoder) -> Callable[[], None]:
            fresh: dict[str, Any] = {}
            decoder.fill(node.state, fresh)
            self.check(target, fresh)
            return lambda: _replace_attributes(target, fresh)

        return Plan(PartReport(kind(target), tuple(node.state)), ready)

    def check(self, target: Any, fresh: dict[str, Any]) -> None:
        """Raise ValueError for attributes that an object of the target's class cannot have."""
        known = {name for cls in type(target).__mro__ for name in slots(cls)}
        if not hasattr(target, "__dict__") and not fresh.keys() <= known:
            raise ValueError(f"{kind(target)} has no room for {min(fresh.keys() - known)!r}")


def _replace_attributes(target: Any, fresh: dict[str, Any]) -> None:
    """Past `__setattr__` of the class, as when it is loaded."""
    known = {name for cls in type(target).__mro__ for name in slots(cls)}
    own = getattr(target, "__dict__", {})
    own.clear()
    own.update((name, value) for name, value in fresh.items() if name not in known)
    for name in known - {"__dict__", "__weakref__"}:
        if name in fresh:
            object.__setattr__(target, name, fresh[name])
        elif hasattr(target, name):
            object.__delattr__(target, name)


_OBJECTS = ObjectRestorer()
