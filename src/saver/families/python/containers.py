"""Restores dicts, lists, sets, deques and bytearrays, and their contents."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

import numpy as np
from msgspec.structs import replace

from saver import trust
from saver.codec import Decoder, codec_for
from saver.families.python.derived import DerivedCodec, base_of, refill
from saver.families.python.items import refused_names
from saver.families.python.keys import name, name_here, steps
from saver.families.python.restoring import elements, is_mapping, items, told
from saver.restoring import Pair, PartReport, Plan, Restorer, Saved, array_memory
from saver.restoring.contract import a_kind, kind
from saver.restoring.live import Within
from saver.tree import SCALARS, Node, Tensor, Value

_PLAIN_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
"""Mappings that do not show their items as attributes."""


class DictRestorer(Restorer):
    """Dicts, emptied and filled again in the saved order. Modules and other live objects in them are restored
    themselves, from the values saved under the same keys; other objects that fit stay, too."""

    live = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, dict)

    def within(self, target: Any) -> Iterable[tuple[Any, Any]]:
        return target.items()  # type: ignore[no-any-return]

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if _is_derived(node, target, saved):
            return _replacing(node, target, saved)
        if not is_mapping(node):
            saved.refuse(f"{told(node)} was saved, not a mapping; take it from `load`")
        found = items(node, saved)
        if found is None or _has_attributes(node, target):
            return _replacing(node, target, saved, _under_same_keys(node, target, saved))
        if type(target) not in _PLAIN_MAPPINGS:
            for why in refused_names(type(target), found):
                raise ValueError(why)

        def fill(fresh: dict[Any, Any]) -> None:
            target.clear()
            target.update(fresh)

        return _filling(node, target, target, found, fill, saved)

    def content(self, node: Node, target: Any) -> Any:
        state = node.state
        if type(target) is not dict or type(state) is not dict or not SCALARS.issuperset(
            map(type, state.values())
        ):  # fmt: skip
            return None
        plain = node.codec == "dict" and node.id is None and node.cls is None and node.version == 1
        return state if plain else None

    def fill(self, target: Any, content: Any) -> None:
        target.clear()
        target.update(content)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        if not _is_of_kind(node, target, saved):
            return None
        return _refilled(node, target, _under_same_keys(node, target, saved))


class ListRestorer(Restorer):
    """Lists, filled again. Their items are restored as in a dict, by position."""

    live = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, list)

    def within(self, target: Any) -> Iterable[tuple[Any, Any]]:
        return enumerate(target)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if _is_derived(node, target, saved):
            return _replacing(node, target, saved)
        found = elements(node, saved)
        if found is None or type(node) is not Node:
            saved.refuse(f"{told(node)} was saved, not a list; take it from `load`")

        def fill(fresh: dict[int, Any]) -> None:
            target[:] = fresh.values()

        return _filling(node, target, dict(enumerate(target)), dict(enumerate(found)), fill, saved)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        if not _is_of_kind(node, target, saved):
            return None
        state = node.state[1] if node.codec == _DERIVED else node.state
        found = state if type(state) is list else []
        return _refilled(node, target, list(zip(found, target, strict=False)))


def _has_attributes(node: Node, target: Any) -> bool:
    """Whether an ordered dict has attributes, here or as it was saved: they are a part of it."""
    saved = type(node.state) is list and node.state[2:] == ["attributes"]
    return (
        type(target) is OrderedDict and node.codec == "stdlib.OrderedDict" and (saved or bool(vars(target)))
    )


def _is_of_kind(node: Node, target: Any, saved: Saved) -> bool:
    """Whether `load` would return an object of exactly the target's class."""
    codec = codec_for(type(target))
    if codec is None or codec.name != node.codec:
        return False
    return node.codec != _DERIVED or saved.class_name(node) == trust.own_name(type(target))


_DERIVED = DerivedCodec.name


def _is_derived(node: Value, target: Any, saved: Saved) -> TypeGuard[Node]:
    """Whether it is an object of the target's own class, derived from a container, which comes back whole."""
    return type(node) is Node and node.codec == _DERIVED and _is_of_kind(node, target, saved)


def _under_same_keys(node: Node, target: Mapping[Any, Any], saved: Saved) -> list[tuple[Value, Any]]:
    """The saved objects, each with the target's one under the same key. Keys that are objects are the same
    if they would be saved in the same way, so that nothing needs to be read or trusted."""
    state = node.state[1] if node.codec == _DERIVED else node.state
    if node.codec == "stdlib.OrderedDict" and type(state) is list and state[2:] == ["attributes"]:
        state = state[0]
    elif node.codec == "stdlib.defaultdict":
        state = state[1]
    if type(state) is dict:
        return [(v, target[key]) for key, v in state.items() if type(v) not in SCALARS and key in target]
    keys, values = state
    if type(keys) is not list or type(values) is not list:
        return []
    plain = all(type(key) in SCALARS for key in keys)
    here = target if plain else {name_here(key): item for key, item in target.items()}
    names = keys if plain else [name(key, saved.follow, steps()) for key in keys]
    pairs = zip(names, values, strict=True)
    return [(item, here[key]) for key, item in pairs if type(item) not in SCALARS and key in here]


def _filling(
    node: Node,
    target: Any,
    here: Mapping[Any, Any],
    found: dict[Any, Value],
    fill: Callable[[dict[Any, Any]], None],
    saved: Saved,
) -> Plan:
    """The plan for a container that has the items `here` by key or position, and will have those `found`."""
    within = Within(here, found, saved)
    rest = {key: item for key, item in found.items() if key not in within.plans}
    saved.stands_for(node, target)
    saved.hold(list(rest.values()))
    for key, item in rest.items():
        if key in here:
            saved.stay(item, here[key])

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


def _replacing(node: Node, target: Any, saved: Saved, within: Iterable[tuple[Value, Any]] = ()) -> Plan:
    """The plan for a container whose contents are decoded whole."""
    pair = _refilled(node, target, ())
    saved.hold(pair.needs)
    for item, there in within:
        saved.stay(item, there)
    if _is_of_kind(node, target, saved):
        saved.fills(pair)
    return Plan(PartReport(kind(target), ("value",)), pair.ready)


def _refilled(node: Node, target: Any, within: Sequence[tuple[Value, Any]]) -> Pair:
    """A container that is emptied and filled with the saved items, which may include itself."""
    content = Node(node.codec, node.cls, node.version, None, node.state)
    return Pair(node, target, content, partial(_to_refill, target, content), within)


def _to_refill(target: Any, content: Node, decoder: Decoder) -> Callable[[], None]:
    """Decodes the items, and returns the function that fills the target with them. Raises ValueError for
    those that are refused as items or attributes of a live container of another class."""
    fresh = decoder(content)
    if type(fresh) is type(target) and base_of(type(target)) is not None:
        return partial(refill, target, fresh)
    names: list[Any] = []
    if isinstance(target, dict) and type(target) not in _PLAIN_MAPPINGS:
        names += fresh
    if isinstance(target, OrderedDict) and isinstance(fresh, OrderedDict):
        names += vars(fresh)
    for why in refused_names(type(target), names) if names else ():
        raise ValueError(why)
    return partial(_refill, target, fresh)


def _refill(target: Any, fresh: Any) -> None:
    if isinstance(target, (list, bytearray)):
        target[:] = fresh
        return
    target.clear()
    (target.extend if isinstance(target, deque) else target.update)(fresh)
    if isinstance(target, defaultdict) and isinstance(fresh, defaultdict):
        target.default_factory = fresh.default_factory
    if isinstance(target, OrderedDict) and isinstance(fresh, OrderedDict):
        vars(target).clear()
        vars(target).update(vars(fresh))


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
        if _is_derived(node, target, saved):
            return _replacing(node, target, saved)
        codecs = next(codecs for cls, codecs in self._CODECS if isinstance(target, cls))
        if type(node) is not Node or node.codec not in codecs:
            saved.refuse(f"{told(node)} was saved, which cannot fill {a_kind(target)}; take it from `load`")
        return _replacing(node, target, saved)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        if not _is_of_kind(node, target, saved):
            return None
        if isinstance(target, bytearray):
            return _paired_bytes(node, target, saved)
        if isinstance(target, deque) and target.maxlen != node.state[0]:
            return None
        return _refilled(node, target, ())


def _paired_bytes(node: Node, target: bytearray, saved: Saved) -> Pair | None:
    """A bytearray whose memory arrays share cannot change its size, and must get the bytes that they get."""
    pair = _refilled(node, target, ())
    if not target:
        return pair
    data = node.state
    size = saved.entry(data).length if type(data) is Tensor else len(b64decode(data, validate=True))
    if size != len(target):
        return pair if _can_grow(target) else None

    def elements_of(decoder: Decoder) -> Any:
        return np.frombuffer(decoder(pair.needs), np.uint8)

    return replace(pair, memory=array_memory(np.frombuffer(target, np.uint8), elements_of))


def _can_grow(target: bytearray) -> bool:
    """Whether it can be resized: no other object shares its memory."""
    try:
        target.append(0)
    except BufferError:
        return False
    target.pop()
    return True
