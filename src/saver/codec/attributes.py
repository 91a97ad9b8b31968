"""The only door to the attributes of objects that a file describes.

Python and the libraries look up methods on the instance first: anything that a file could put under the
name of a method would run in its place. So an attribute may have a name only if the class leaves it free.
"""

from __future__ import annotations

import types
from collections.abc import KeysView, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

from saver import registry
from saver.errors import kind_of
from saver.tree import encodable, reserved

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_CONTAINERS = (tuple, list, dict, set, frozenset)
_HEAP = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: set for classes made by a `class` statement."""

_MRO = type.__dict__["__mro__"].__get__
_DICT = type.__dict__["__dict__"].__get__
"""Reads `__dict__` of a class in a way that no metaclass can override."""

NONE: frozenset[str] = frozenset()


def special(name: str) -> bool:
    """Whether Python and libraries look up this name by themselves, such as `__array__`, `__reduce_ex__`."""
    return name[:2] == "__" and (name[-2:] == "__" or reserved(name))


class Door:
    """Which names the attributes of a class's instances may have, and where each is stored.

    `data` are names that the class declares as data though it has a value for them, as a dataclass does. A
    property of such a name reads the dict, and nothing in the dict can replace it.
    """

    def __init__(self, cls: type, data: frozenset[str] = NONE) -> None:
        self._cls = cls
        self._data = data
        self._known: dict[str, str | types.MemberDescriptorType | None] = {}
        self._dict = _dict_descriptor(cls)
        self._slots = slots_of(cls)
        self.free: set[str] = set()
        """Names that were looked up and go into the dict of an instance: a fast path for most attributes."""

    def refusal(self, name: str) -> str | None:
        """Why an attribute cannot have this name; None if it can."""
        found = self._look(name)
        return found if type(found) is str else None

    def _look(self, name: str) -> str | types.MemberDescriptorType | None:
        """Why the name is refused, or its slot, or None if it goes into the dict."""
        try:
            return self._known[name]
        except KeyError:
            found = self._known[name] = self._judge(name)
            if found is None:
                self.free.add(name)
            return found

    def _judge(self, name: str) -> str | types.MemberDescriptorType | None:
        if special(name) or reserved(name):
            return f"an attribute cannot be called {name!r}, which Python and libraries look up by themselves"
        if not encodable(name):
            return f"an attribute cannot be called {name!r}, which is not valid Unicode"
        for base in _MRO(self._cls):
            if name in _DICT(base):
                return self._taken(name, base, _DICT(base)[name])
        if self._dict is None:
            return f"{self._cls.__qualname__} has neither a slot nor a `__dict__` for an attribute {name!r}"
        return None

    def _taken(self, name: str, base: type, value: Any) -> str | types.MemberDescriptorType | None:
        """The same for a name that `base`, a class of the MRO, has a value for."""
        if type(value) is types.MemberDescriptorType and base.__flags__ & _HEAP:
            return value
        is_data = (
            type(value) in _PLAIN
            or (name in self._data and (type(value) is property or not _is_descriptor(value)))
            or (type(value) in _CONTAINERS and _is_open(base, name))
        )
        if is_data:
            return None
        return f"{base.__qualname__} has {_kind(value)} called {name!r}, which an attribute cannot replace"

    def target(self, obj: Any, names: KeysView[str]) -> Any:
        """Where attributes of these names go: the dict of `obj`, or an object that sets them by item.
        Raises ValueError for a name that is refused."""
        if names <= self.free and self._dict is not None:
            return self._dict.__get__(obj, self._cls)
        slotted = dict[str, types.MemberDescriptorType]()
        for name in names:
            found = self._look(name)
            if type(found) is str:
                raise ValueError(found)
            if found is not None:
                slotted[name] = found  # type: ignore[assignment]
        own = None if self._dict is None else self._dict.__get__(obj, self._cls)
        return _Slotted(obj, own, slotted) if slotted or own is None else own

    def clear(self, obj: Any) -> None:
        """Remove all attributes that could be set."""
        if self._dict is not None:
            self._dict.__get__(obj, self._cls).clear()
        for name in self._slots:
            slot = self._look(name)
            if type(slot) is types.MemberDescriptorType:
                with suppress(AttributeError):  # never set
                    slot.__delete__(obj)


class _Slotted:
    """Sets attributes by item, each through its own slot or in the dict."""

    def __init__(
        self, obj: Any, own: dict[str, Any] | None, slots: Mapping[str, types.MemberDescriptorType]
    ) -> None:
        self._obj = obj
        self._own = own
        self._slots = slots

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self._slots:
            self._slots[name].__set__(self._obj, value)
        else:
            assert self._own is not None
            self._own[name] = value


_doors: dict[tuple[type, frozenset[str]], Door] = {}


def door(cls: type, data: frozenset[str] = NONE) -> Door:
    """The door of a class."""
    found = _doors.get((cls, data))
    if found is None:
        found = _doors[cls, data] = Door(cls, data)
    return found


def _dict_descriptor(cls: type) -> types.GetSetDescriptorType | types.MemberDescriptorType | None:
    """The descriptor of an instance's dict, even if the class defines another `__dict__`."""
    for base in _MRO(cls):
        found = _DICT(base).get("__dict__")
        if type(found) in (types.GetSetDescriptorType, types.MemberDescriptorType):
            return found  # type: ignore[no-any-return]
    return None


def _is_open(cls: type, name: str) -> bool:
    """Whether instances may have a container of their own in the place of that of this class: users' classes
    do so; those of the libraries where their family says it."""
    root = cls.__module__.partition(".")[0]
    return not registry.is_own(root) or name in registry.family(root).data


def _is_descriptor(value: Any) -> bool:
    """Whether a value in a class is a descriptor. Functions do not count: a dataclass may have one as the
    default of a field."""
    names = {name for base in _MRO(type(value)) for name in _DICT(base)}
    return "__set__" in names or ("__get__" in names and type(value) is not types.FunctionType)


def _kind(value: Any) -> str:
    if isinstance(value, (types.FunctionType, classmethod, staticmethod)):
        return "a method"
    if isinstance(value, property):
        return "a property"
    if isinstance(value, type):
        return "a class"
    return kind_of(value)


def attributes_of(
    obj: Any, data: frozenset[str] = NONE, left_out: frozenset[str] = NONE
) -> tuple[dict[str, Any], str | None]:
    """The attributes of an instance, in slots and in its dict, as they are saved; and, if one of them
    cannot be saved, why.

    Leaves out what the class creates again by itself: the values of cached properties, and its own methods.
    """
    way, found = door(type(obj), data), dict[str, Any]()
    own = {} if way._dict is None else way._dict.__get__(obj, type(obj))
    if left_out:
        own = {name: value for name, value in own.items() if name not in left_out}
    if not way._slots and own.keys() <= way.free:
        return own, None
    for name in way._slots:
        slot = way._look(name)
        if type(slot) is types.MemberDescriptorType:
            try:
                found[name] = slot.__get__(obj, type(obj))
            except AttributeError:  # never set
                continue
    for name, value in own.items():
        why = way.refusal(name) if type(name) is str else f"an attribute is called {name!r}; use a plain name"
        if why is not None:
            if _made_anew(obj, name, value):
                continue
            return found, why
        found[name] = value
    return found, None


def native_bases(cls: type) -> tuple[type, ...]:
    """The classes in the MRO that were made in C, whose state is not in attributes, except `object`."""
    if cls not in _natives:
        _natives[cls] = tuple(base for base in _MRO(cls) if base is not object and _is_native(base))
    return _natives[cls]


def native_base(cls: type) -> type | None:
    """The first of them; None if there is none."""
    return next(iter(native_bases(cls)), None)


_natives: dict[type, tuple[type, ...]] = {}

_NATIVE = (types.MethodDescriptorType, types.WrapperDescriptorType, types.GetSetDescriptorType)
"""What compiled code puts into its classes, also into those on the heap, as `re.Pattern` is."""


def _is_native(cls: type) -> bool:
    """Whether compiled code made the class, rather than a `class` statement."""
    return not cls.__flags__ & _HEAP or any(
        type(value) in _NATIVE and value.__objclass__ is cls and name not in ("__dict__", "__weakref__")
        for name, value in _DICT(cls).items()
    )


def own_dict(obj: Any) -> dict[str, Any]:
    """What is in the dict of an instance; empty if it has none."""
    found = door(type(obj))._dict
    return {} if found is None else found.__get__(obj, type(obj))


def _made_anew(obj: Any, name: str, value: Any) -> bool:
    held = next((_DICT(base)[name] for base in _MRO(type(obj)) if name in _DICT(base)), None)
    if isinstance(held, cached_property):
        return True
    return type(value) is types.MethodType and value.__self__ is obj and value.__func__ is held


def slots_of(cls: type) -> tuple[str, ...]:
    """The names of all slots of a class, mangled as code outside the class writes them."""
    return tuple(
        name
        for base in _MRO(cls)
        if base.__flags__ & _HEAP
        for name, value in _DICT(base).items()
        if type(value) is types.MemberDescriptorType
    )
