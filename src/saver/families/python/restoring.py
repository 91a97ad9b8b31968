"""Restores objects by their attributes, and anything that loads a state; reads saved containers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, TypeGuard

from saver import trust
from saver.codec import Decoder, Encoder, attributes_of, codec_for, door
from saver.errors import CannotSaveError
from saver.families.python.classes import declared
from saver.families.python.columns import decode_run
from saver.families.python.live_attributes import Attributes
from saver.reading.dispatch import said
from saver.restoring import Pair, PartReport, Plan, Restorer, Saved, ask
from saver.restoring.contract import a_kind, kind, restorer_for
from saver.tree import Node, Reference, Tensor, Value, walk


def is_mapping(value: Value) -> TypeGuard[Node]:
    """Whether the value is a saved mapping whose items can be read one by one."""
    return type(value) is Node and bool(said(value.codec, "MAPPINGS"))


_SEQUENCES = frozenset(("list", "tuple"))


def items(value: Value, saved: Saved) -> dict[Any, Value] | None:
    """The items of a saved mapping, not decoded; None for other values, and if keys are objects."""
    node = saved.follow(value)
    if not is_mapping(node):
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


def differing(state: Mapping[str, Value], here: Mapping[str, Any], saved: Saved) -> Iterator[str]:
    """The names of saved attributes that are not the same here, as far as that shows without reading tensors:
    what a transfer does not take."""
    for name, value in state.items():
        if name not in here or not _is_alike(value, here[name], saved):
            yield name


def _is_alike(value: Value, here: Any, saved: Saved) -> bool:
    if type(value) not in (Node, Reference):
        return type(value) is type(here) and repr(value) == repr(here)
    try:
        tree = Encoder().part("here", here)
    except CannotSaveError:
        return False
    nodes = {item.id: item for item in walk(tree) if type(item) is Node}

    def follow(item: Value) -> Value:
        return nodes[item.id] if type(item) is Reference else item

    return _equal(value, tree, saved.follow, follow)


_COMPARED = 10_000
"""So much of an attribute is compared; beyond that, it counts as another one."""


def _equal(
    one: Value,
    other: Value,
    follow: Callable[[Value], Value],
    follow_other: Callable[[Value], Value],
) -> bool:
    """Whether two trees describe equal objects. Tensors, which have not been read, count as different."""
    waiting = [(one, other)]
    for _ in range(_COMPARED):
        if not waiting:
            return True
        one, other = waiting.pop()
        one, other = follow(one), follow_other(other)
        if type(one) is not type(other) or type(one) is Tensor:
            return False
        if type(one) is Node and type(other) is Node:
            if (one.codec, one.cls, one.version) != (other.codec, other.cls, other.version):
                return False
            waiting.append((one.state, other.state))
        elif type(one) is dict and type(other) is dict:
            if one.keys() != other.keys():
                return False
            waiting += [(item, other[key]) for key, item in one.items()]
        elif type(one) is list and type(other) is list:
            if len(one) != len(other):
                return False
            waiting += zip(one, other, strict=True)
        elif repr(one) != repr(other):
            return False
    return False


class StateRestorer(Restorer):
    """Anything with `load_state_dict`: a data loader, an average of weights, a metric. That is called with
    the dict that `load` would return."""

    def accepts(self, cls: type) -> bool:
        return callable(getattr(cls, "load_state_dict", None))

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, where = saved.follow(value), saved.where
        if not is_mapping(node):
            if _OBJECTS.accepts(type(target)):
                return _OBJECTS.plan(value, target, saved)
            saved.refuse(f"{told(node)} was saved, where load_state_dict needs a dict; save the state_dict()")
        saved.want(node)
        names = tuple(map(str, items(node, saved) or ()))

        def ready(decoder: Decoder) -> Callable[[], None]:
            state = decoder(node)
            self.check(state)
            return lambda: ask(where, target.load_state_dict, state)

        return Plan(PartReport(kind(target), names), ready, may_refuse=True)

    def check(self, state: Any) -> None:
        """Raise ValueError for a state that the target hands on to native code unseen."""


def told(value: Value) -> str:
    """The name of a saved value in messages."""
    if isinstance(value, Node):
        return f"a {trust.dotted(value.cls or value.codec).removeprefix('stdlib.')}"
    return f"{value!r:.40}"


class ObjectRestorer(Restorer):
    """Dataclasses and instances of registered classes. Their attributes become those that were saved, if the
    saved object has the same class. It needs no trust, since the target already has that class."""

    live = False
    codecs: frozenset[str] = frozenset(("object", "dataclass"))
    looks: ClassVar[bool] = False
    """Whether `check` examines the attributes, which then must be the saved values themselves."""

    def accepts(self, cls: type) -> bool:
        codec = codec_for(cls)
        return codec is not None and codec.name in self.codecs

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node, cls = saved.follow(value), type(target)
        if type(node) is not Node or not self._is_of_class(node, cls, saved):
            saved.refuse(f"{told(node)} was saved, not {a_kind(target)}; take it from `load`")
        frozen = self.refusal(target)
        if frozen is not None:
            saved.refuse(frozen)
        saved.stands_for(node, target)
        if saved.exact:
            return self._becoming(node, target, saved)
        (saved.want if self.looks else saved.hold)(node.state)
        return Plan(PartReport(kind(target), tuple(node.state)), self._ready(node, target))

    def refusal(self, target: Any) -> str | None:
        if not _is_frozen(type(target)):
            return None
        return f"{a_kind(target)} is frozen and cannot be restored in place; take it from `load`"

    def within(self, target: Any) -> Iterable[tuple[Any, Any]]:
        found = attributes_of(target, declared(type(target)))[0].items()
        return [each for each in found if _is_live(each[1])] if self.looks else found

    def replaced(self, target: Any) -> Iterable[tuple[Any, Any]]:
        found = attributes_of(target, declared(type(target)))[0].items()
        return [each for each in found if not _is_live(each[1])] if self.looks else ()

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        cls = type(target)
        if not self._is_of_class(node, cls, saved) or _is_frozen(cls):
            return None
        return Pair(node, target, node.state, self._ready(node, target))

    def _is_of_class(self, node: Node, cls: type, saved: Saved) -> bool:
        return node.codec in self.codecs and saved.class_name(node) == trust.own_name(cls)

    def _ready(self, node: Node, target: Any) -> Callable[[Decoder], Callable[[], None]]:
        def ready(decoder: Decoder) -> Callable[[], None]:
            fresh = decoder.attributes(type(target), node.state, declared(type(target)))
            self.check(target, fresh)
            return lambda: _replace_attributes(target, fresh)

        return ready

    def _becoming(self, node: Node, target: Any, saved: Saved) -> Plan:
        """The plan for an object that becomes exactly what was saved, as do live objects that it holds."""
        if not saved.becomes(node, target):
            saved.refuse("one object was saved where two are here, or two where one is here")
        data = declared(type(target))
        attributes = Attributes(target, node.state, saved, examined=self.looks, data=data)

        def ready(decoder: Decoder) -> Callable[[], None]:
            fresh, change = attributes.ready(decoder)
            self.check(target, fresh)
            return change

        return Plan(attributes.report(kind(target), node.state), ready, attributes.may_refuse)

    def check(self, target: Any, fresh: dict[str, Any]) -> None:
        """Raise ValueError for attributes that do not fit together."""


def _is_live(value: Any) -> bool:
    """Whether it is restored itself, rather than replaced, where it is an attribute."""
    restorer = restorer_for(type(value))
    return restorer is not None and restorer.live


def _is_frozen(cls: type) -> bool:
    return bool(getattr(getattr(cls, "__dataclass_params__", None), "frozen", False))


def _replace_attributes(target: Any, fresh: dict[str, Any]) -> None:
    """Set the attributes without calling `__setattr__` of the class, as loading does."""
    cls = type(target)
    way = door(cls, declared(cls))
    way.clear(target)
    into = way.target(target, fresh.keys())
    for name, value in fresh.items():
        into[name] = value


_OBJECTS = ObjectRestorer()
