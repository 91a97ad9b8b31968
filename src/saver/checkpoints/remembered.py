"""What the code of a run's objects remembers outside of them, which no version has: closures, defaults,
globals and attributes of classes that it changes, and objects whose methods it holds.

It shows in the source of functions, so the run can warn when it is made. What compiled code changes, what
functions change that are called by other names, and code without a source cannot be seen.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from functools import partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from saver.checkpoints.changes import Change, source_of
from saver.codec import own_dict, special
from saver.restoring.contract import a_kind

_PLAIN = (str, bytes, int, float, complex, type(None), ModuleType, BuiltinFunctionType)
_MUTABLE = (MutableSequence, MutableMapping, MutableSet, bytearray)
_STATES = ("state_dict", "getstate", "get_state", "bit_generator", "__next__")
"""What objects have that go on from where they are."""

_OWN = str(Path(__file__).parents[1])
_LIBRARIES = (_OWN, *{sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_MOST = 200_000
"""So many objects are looked at."""


def remembered(objects: Mapping[str, Any]) -> tuple[str, ...]:
    """What the code in these objects remembers elsewhere, each with the place of the code."""
    walk = _Walk(objects)
    found = dict[str, None]()
    for path, code in walk.code:
        found.update(dict.fromkeys(f"{path} ({why})" for why in _of_code(code, walk, None, set())))
    for path, obj in walk.instances:
        for why in _of_class(obj, walk):
            found.setdefault(f"{path} ({why})")
    return tuple(found)


class _Walk:
    """What objects consist of: the code in them, and everything that is saved with them."""

    def __init__(self, objects: Mapping[str, Any]) -> None:
        self.known: dict[int, Any] = {}
        self.code: list[tuple[str, Any]] = []
        self.instances: list[tuple[str, Any]] = []
        """The first object of each class of the user."""

        classes, waiting = set[type](), list(objects.items())[::-1]
        while waiting and len(self.known) < _MOST:
            path, obj = waiting.pop()
            if isinstance(obj, _PLAIN) or id(obj) in self.known:
                continue
            if _is_code(obj):
                self.code.append((path, obj))
                continue
            self.known[id(obj)] = obj
            cls = type(obj)
            if cls not in classes and _is_users(cls):
                classes.add(cls)
                self.instances.append((path, obj))
            waiting += [] if isinstance(obj, type) else list(self._within(path, obj))[::-1]

    def _within(self, path: str, obj: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(obj, dict):
            yield from ((f"{path}.{key}", item) for key, item in obj.items())
        elif isinstance(obj, (list, tuple, set, frozenset)):
            yield from ((f"{path}[{number}]", item) for number, item in enumerate(obj))
        for name, item in own_dict(obj).items():
            if special(str(name)):  # such as `__wrapped__`, which compiled modules have
                continue
            if isinstance(item, dict) and "hook" in name:
                self.code += [(f"{path}.{name}", hook) for hook in item.values()]
            elif isinstance(item, dict) and _shows(obj, name, item):
                yield from ((f"{path}.{key}", inner) for key, inner in item.items())
            else:
                yield f"{path}.{name}", item


def _shows(obj: Any, name: str, items: dict[Any, Any]) -> bool:
    """Whether the items of a private dict are attributes of its object, as the modules in a module are."""
    if name[:1] != "_" or not items or not hasattr(type(obj), "__getattr__"):
        return False
    free = all(type(key) is str and not hasattr(type(obj), key) for key in items)
    return free and all(getattr(obj, key, items) is item for key, item in items.items())


def _is_code(obj: Any) -> bool:
    return isinstance(obj, (FunctionType, MethodType, partial))


def _is_users(cls: type) -> bool:
    """Whether a class is not a library's, whose code is taken to remember nothing that matters."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    built_in = cls.__module__.partition(".")[0] in sys.builtin_module_names
    return not built_in and (file is None or not file.startswith(_LIBRARIES))


def _is_of_library(code: CodeType) -> bool:
    return code.co_filename.startswith((*_LIBRARIES, "<frozen"))


def _of_class(obj: Any, walk: _Walk) -> Iterator[str]:
    for cls in filter(_is_users, type(obj).__mro__):
        for item in vars(cls).values():
            function = getattr(item, "__func__", item)
            if isinstance(item, property):
                function = item.fget
            if isinstance(function, FunctionType):
                yield from _of_code(function, walk, obj, set())


def _of_code(code: Any, walk: _Walk, owner: Any, seen: set[int]) -> Iterator[str]:
    """What a function, method, partial or hook remembers; `owner` is an object of which it is a method."""
    if id(code) in seen or id(code) in walk.known:
        return
    seen.add(id(code))
    if isinstance(code, partial):
        yield from _of_code(code.func, walk, owner, seen)
        for item in (*code.args, *code.keywords.values()):
            yield from _of_held(item, "an argument:", walk, seen)
    elif isinstance(code, MethodType):
        yield from _of_held(code.__self__, "its method of", walk, seen)
        yield from _of_code(code.__func__, walk, code.__self__, seen)
    elif isinstance(code, FunctionType):
        yield from _of_code(vars(code).get("__wrapped__"), walk, owner, seen)
        yield from _of_cells(code, walk, owner, seen)
        if not _is_of_library(code.__code__):
            yield from _of_changes(code, walk, owner, seen)
    elif code is not None:
        yield from _of_held(code, "a hook:", walk, seen)


def _of_held(item: Any, what: str, walk: _Walk, seen: set[int]) -> Iterator[str]:
    """What an object remembers that code holds, unless it is saved itself."""
    if _is_code(item):
        yield from _of_code(item, walk, None, seen)
    elif id(item) not in walk.known and not isinstance(item, (*_PLAIN, type)) and _has_state(item):
        yield f"{what} {a_kind(item)}"


def _has_state(item: Any) -> bool:
    return any(hasattr(type(item), name) for name in _STATES) or (
        _is_users(type(item)) and bool(own_dict(item))
    )


def _of_cells(function: FunctionType, walk: _Walk, owner: Any, seen: set[int]) -> Iterator[str]:
    source = source_of(function.__code__)
    library = _is_of_library(function.__code__)
    changed = {change.path[0] for change in source.changes}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            item = cell.cell_contents
        except ValueError:  # not yet set
            continue
        if id(item) in walk.known or isinstance(item, type):
            continue
        if _is_code(item):
            yield from _of_code(item, walk, owner, seen)
        elif name in changed and not library:
            yield f"its closure changes {name!r}"
        elif not isinstance(item, (*_PLAIN, type)) and name in source.called and _has_state(item):
            yield f"its closure holds {name!r}: {a_kind(item)}"


def _of_changes(function: FunctionType, walk: _Walk, owner: Any, seen: set[int]) -> Iterator[str]:
    code, source = function.__code__, source_of(function.__code__)
    first = code.co_varnames[0] if code.co_argcount else None
    defaults = _defaults(function)
    for change in source.changes:
        root = change.path[0]
        if root in code.co_freevars:
            continue
        if root == first and owner is not None:
            yield from _of_self(change, owner)
        elif root in source.own:
            if isinstance(defaults.get(root), _MUTABLE) and not change.assigned:
                yield f"it changes its default {root!r}"
        else:
            yield from _of_global(change, function, walk)
    for name in source.called - source.own - {*code.co_freevars}:
        called = function.__globals__.get(name)
        if isinstance(called, FunctionType) and not _is_of_library(called.__code__):
            yield from _of_code(called, walk, None, seen)


def _defaults(function: FunctionType) -> dict[str, Any]:
    names, values = (
        function.__code__.co_varnames[: function.__code__.co_argcount],
        function.__defaults__ or (),
    )
    return dict(zip(names[len(names) - len(values) :], values, strict=True)) | (function.__kwdefaults__ or {})


def _of_self(change: Change, owner: Any) -> Iterator[str]:
    """What a method changes in the class of its object."""
    cls, path = owner if isinstance(owner, type) else type(owner), change.path[1:]
    of_class = isinstance(owner, type) or path[:1] == ("__class__",)
    path = path[1:] if path[:1] == ("__class__",) else path
    if not path or (not of_class and (path[0] in own_dict(owner) or change.assigned)):
        return
    held = getattr(cls, path[0], None)
    if (of_class and change.assigned) or (isinstance(held, _MUTABLE) and not change.assigned):
        yield f"it changes {cls.__qualname__}.{path[0]}, an attribute of the class"


def _of_global(change: Change, function: FunctionType, walk: _Walk) -> Iterator[str]:
    path, scope = change.path, function.__globals__
    if path[0] not in scope:
        return
    if change.assigned and len(path) == 1:
        yield f"it changes the global {path[0]!r}"
        return
    holder = path[:-1] if change.assigned else path
    item: Any = scope[holder[0]]
    for name in holder[1:]:
        item = getattr(item, name, None)
    if id(item) in walk.known or item is None:
        return
    users = isinstance(item, type) and _is_users(item)
    if users or (not isinstance(item, (type, ModuleType)) and not _is_named_method(item, change)):
        yield f"it changes the global {'.'.join(path)!r}"


def _is_named_method(item: Any, change: Change) -> bool:
    """Whether a method only has the name of one that changes its object, on a tuple or a function."""
    return not change.assigned and isinstance(item, (*_PLAIN, tuple, frozenset, FunctionType))
