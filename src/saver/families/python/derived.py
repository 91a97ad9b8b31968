"""Instances of classes that a user derives from a container, a text or a number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, ClassVar

from saver import trust
from saver.codec import Codec, Decoder, Encoder, attributes_of, door, native_bases, own_dict
from saver.errors import kind_of, with_article
from saver.families.python.classes import declared
from saver.families.python.columns import encode_run, fill_run
from saver.families.python.items import encode_items, encode_keys, fill_items, fill_set
from saver.tree import Node, Value

_BASES = (dict, OrderedDict, list, set, tuple, frozenset, str, bytes, int, float)
_KINDS: dict[tuple[type, ...], type] = {
    **{(base,): base for base in _BASES},
    (OrderedDict, dict): OrderedDict,
}
"""What compiled code may be in the bases of such a class, and what the object is then."""

_PLAIN: dict[type, Any] = {
    tuple: lambda obj: tuple.__getitem__(obj, slice(None)),
    frozenset: lambda obj: frozenset(frozenset.__iter__(obj)),
    str: str.__str__,
    bytes: lambda obj: bytes.__getitem__(obj, slice(None)),
    int: int.__int__,
    float: float.__float__,
}
"""The value of an object that cannot change, by the methods of its base."""


def base_of(cls: type) -> Any:
    """The container, text or number that a user's class derives from; None if it does not, or from more than
    that."""
    found = _KINDS.get(native_bases(cls))
    return None if found is cls else found


class _Methods:
    """A container that is filled with the methods of its base, none of which its class can replace."""

    def __init__(self, obj: Any, base: Any) -> None:
        self._obj, self._base = obj, base

    def __setitem__(self, key: Any, value: Any) -> None:
        self._base.__setitem__(self._obj, key, value)

    def __len__(self) -> int:
        return self._base.__len__(self._obj)  # type: ignore[no-any-return]

    def update(self, items: Iterable[tuple[Any, Any]]) -> None:
        _put(self._obj, self._base, items)

    def append(self, item: Any) -> None:
        self._base.append(self._obj, item)

    def extend(self, items: Iterable[Any]) -> None:
        self._base.extend(self._obj, items)


def _put(obj: Any, base: Any, items: Iterable[tuple[Any, Any]]) -> None:
    """Set items one by one: `OrderedDict.update` would call the class's own `__setitem__`."""
    for key, value in items:
        base.__setitem__(obj, key, value)


def refill(target: Any, fresh: Any) -> None:
    """Make a container what another one of its class is, with its attributes; no code of the class runs."""
    base = base_of(type(target))
    base.clear(target)
    if base is list:
        list.extend(target, list.__iter__(fresh))
    elif base is set:
        set.update(target, set.__iter__(fresh))
    else:
        _put(target, base, base.items(fresh))
    data = declared(type(target))
    attributes, way = attributes_of(fresh, data)[0], door(type(target), data)
    way.clear(target)
    into = way.target(target, attributes.keys())
    for name, value in attributes.items():
        into[name] = value


class DerivedCodec(Codec):
    """Such an instance: what the base holds, and its attributes. No code of the class runs."""

    name = "derived"
    early = True
    changes: ClassVar[bool] = True
    """Whether it takes containers, which can change; a value is complete before anything refers to it."""

    def accepts(self, cls: type) -> bool:
        base = base_of(cls)
        return base is not None and (base not in _PLAIN) is self.changes

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        cls = type(obj)
        base = base_of(cls)
        if own_dict(obj) is obj:
            encoder.refuse("its items are its attributes; save dict(it), or hold a dict in an attribute")
        return [base.__name__, _content(obj, base, encoder), encoder.attributes(obj, data=declared(cls))]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        kind, content, attributes = node.state
        base = base_of(cls) if isinstance(cls, type) and self.accepts(cls) else None
        if base is None or kind != base.__name__:
            raise ValueError(f"{cls!r} is not derived from {with_article(kind)}")
        found = _made(cls, base, content, node, decoder)
        decoder.fill_attributes(found, attributes, declared(cls))
        return found


def _content(obj: Any, base: Any, encoder: Encoder) -> Value:
    if issubclass(base, dict):
        return encode_items(dict(base.items(obj)), encoder)
    if base is list:
        return encode_run(list.__getitem__(obj, slice(None)), encoder)
    if base is set:
        return encode_keys(encoder.in_order(set.__iter__(obj)), encoder)
    return encoder(_PLAIN[base](obj))


def _made(cls: type, base: Any, content: Value, node: Node, decoder: Decoder) -> Any:
    if base in _PLAIN:
        value = decoder(content)
        if type(value) is not base:
            raise ValueError(f"{kind_of(value)} is not {with_article(base.__name__)}")
        return base.__new__(cls, value)
    found = base.__new__(cls)
    decoder.keep(node, found)
    if base is list:
        fill_run(content, decoder, _Methods(found, base))  # type: ignore[arg-type]
    elif base is set:
        fill_set(content, decoder, found)
    else:
        fill_items(content, decoder, _Methods(found, base))
    return found


class DerivedValueCodec(DerivedCodec):
    """The same for tuples, frozen sets, texts and numbers."""

    name = "derived_value"
    early = False
    changes = False


CODECS: tuple[Codec, ...] = (DerivedCodec(), DerivedValueCodec())
