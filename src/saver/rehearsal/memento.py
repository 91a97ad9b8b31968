"""The state of live objects, held in memory and put back into them, without codecs and without saving.

A proof tests whether what is saved is all that training depends on. So what puts the objects back after it
must not be what it tests: neither Saver's codecs and restorers, nor the `load_state_dict` of an object.
"""

from __future__ import annotations

import random
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np

from saver import framework

Undo = Callable[[], None]

_OPEN = frozenset(("builtins", "collections", "types", "random", "argparse"))
"""Modules of Python whose instances are looked into; files, locks, threads and the like are left alone."""

_ATOMS = (
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, str, bytes, int, float, complex,
    type(None), np.generic, np.dtype,
)  # fmt: skip


class Memento:
    """The current state of some objects and of all objects that they reach through attributes and containers.
    Takes as much memory as their arrays and tensors."""

    def __init__(self, objects: Iterable[Any]) -> None:
        self._undo: list[Undo] = []
        self._met: dict[int, Any] = {}
        waiting = list(objects)[::-1]
        while waiting:
            obj = waiting.pop()
            if not isinstance(obj, _ATOMS) and id(obj) not in self._met:
                self._met[id(obj)] = obj  # which keeps it alive, so that its id stays its own
                waiting.extend(self._hold(obj))

    def put_back(self) -> None:
        """Restore the recorded state. The objects stay the same objects."""
        with ExitStack() as stack:  # calls each of these, even if others raise
            for undo in self._undo:
                stack.callback(undo)

    def _hold(self, obj: Any) -> list[Any]:
        """Record the state of an object. Returns the objects that it holds."""
        held = framework.held(obj)
        if held is not None:
            self._undo.append(held.undo)
            return list(held.within)
        if isinstance(obj, np.ndarray):
            return self._hold_array(obj)
        generator = _generator(obj)
        if generator is not None:
            self._undo.append(generator)
            return []
        return [*self._hold_items(obj), *self._hold_attributes(obj)]

    def _hold_array(self, array: Any) -> list[Any]:
        if array.flags.writeable:
            copy = array.copy(order="K")
            self._undo.append(lambda: np.copyto(array, copy, "no"))
        return array.ravel().tolist() if array.dtype.hasobject and array.dtype.names is None else []

    def _hold_items(self, obj: Any) -> list[Any]:
        """The items of a container, by the methods of its base: one of its own may do anything."""
        if isinstance(obj, dict):
            base = OrderedDict if isinstance(obj, OrderedDict) else dict
            items = list(base.items(obj))
            self._undo.append(lambda: _fill(obj, base, items))
            return [part for pair in items for part in pair]
        if isinstance(obj, (tuple, frozenset)):
            return list(obj)
        for kind in (list, deque, bytearray):
            if isinstance(obj, kind):
                elements = list(obj)
                self._undo.append(lambda: _refill(obj, kind, elements))  # noqa: B023
                return elements
        if isinstance(obj, set):
            members = set(obj)
            self._undo.append(lambda: _reset(obj, members))
            return list(members)
        return []

    def _hold_attributes(self, obj: Any) -> list[Any]:
        if isinstance(obj, partial):
            return [obj.func, *obj.args, *obj.keywords.values()]
        if isinstance(obj, types.MethodType):
            return [obj.__self__]
        if not _is_open(type(obj)):
            return []
        found: list[Any] = []
        own = getattr(obj, "__dict__", None)
        if type(own) is dict:
            before = dict(own)
            self._undo.append(lambda: _fill(own, dict, list(before.items())))
            found += before.values()
        for slot in _slots(type(obj)):
            try:
                value = slot.__get__(obj, type(obj))
            except AttributeError:  # never set
                self._undo.append(lambda slot=slot: _unset(slot, obj))  # type: ignore[misc]
                continue
            self._undo.append(lambda slot=slot, value=value: slot.__set__(obj, value))  # type: ignore[misc]
            found.append(value)
        return found


def _is_open(cls: type) -> bool:
    root = cls.__module__.partition(".")[0]
    return root != "saver" and (root in _OPEN or root not in sys.stdlib_module_names)


def _slots(cls: type) -> list[types.MemberDescriptorType]:
    """The slots of the classes that `class` statements made."""
    return [
        value
        for base in cls.__mro__
        if _is_open(base) and base.__module__ != "builtins" and "__slots__" in vars(base)
        for value in vars(base).values()
        if type(value) is types.MemberDescriptorType
    ]


def _generator(obj: Any) -> Undo | None:
    """The function that restores the current position of a random generator; None for other objects."""
    if isinstance(obj, np.random.Generator):
        obj = obj.bit_generator
    if isinstance(obj, np.random.BitGenerator):
        own: Any = obj
        state = own.state
        return lambda: setattr(own, "state", state)
    if isinstance(obj, np.random.RandomState):
        legacy = obj.get_state()
        return lambda: obj.set_state(legacy)
    if isinstance(obj, random.Random) and not isinstance(obj, random.SystemRandom):
        python = random.Random.getstate(obj)
        return lambda: random.Random.setstate(obj, python)
    return None


def _fill(obj: Any, base: Any, items: list[tuple[Any, Any]]) -> None:
    base.clear(obj)
    for key, value in items:
        base.__setitem__(obj, key, value)


def _refill(obj: Any, kind: Any, elements: Any) -> None:
    kind.clear(obj)
    kind.extend(obj, elements)


def _reset(obj: set[Any], members: set[Any]) -> None:
    set.clear(obj)
    set.update(obj, members)


def _unset(slot: types.MemberDescriptorType, obj: Any) -> None:
    try:
        slot.__delete__(obj)
    except AttributeError:  # still not set
        return
