"""Which classes a tree may ask for, and the only import by name.

A file can name classes and functions; it can never say that they are safe. The policy is outside of the
file and has four sources: what the families declare, `trust=[...]` of the call, the `trust` list in the
user's configuration file, and `@saver.register`. `classes={"__main__.Net": Net}`, of the call or of the
configuration, allows exactly that class under that name.

- A node may ask for the classes that the family of its codec declares for that codec, by name.
- Enums, named tuples and dataclasses of the libraries, which one codec each builds for all of them, are
  trusted by name if a family lists them.
- A *reference* (a function or class held as a value) can be called later with data from the file, so only
  those that the families list are trusted: each was reviewed, is numerical and has no side effects.
- A family from another distribution is used for a file only if the user names it: `"family:NAME"`.

All of this is decided by name, before anything is imported. Files write names as `module:qualname`, so that
there is only one way to look them up.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from pkgutil import resolve_name
from types import MethodDescriptorType
from typing import Any

import msgspec

from saver import configuration, registry
from saver.allowing import allowing, unreachable
from saver.errors import CannotSaveError, IncompatibleError, NotFoundError, UntrustedError, kind_of
from saver.family import Reference, imported
from saver.tree import Node

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_NAME_LIMIT = 500

REFERENCE_CODECS = frozenset(("function", "class"))
"""Nodes of these codecs are the named function or class itself, not an instance of it."""

_registered: set[str] = set()


class Allowed(msgspec.Struct, frozen=True):
    """What somebody allows files to ask for: the names that match `patterns`; and under each name in
    `classes`, as Python code writes it, exactly the class or function given for it, or the one with the given
    name.
    """

    patterns: tuple[str, ...] = ()
    classes: Mapping[str, Any] = {}

    def covers(self, codec: str, name: str) -> bool:
        """Whether a node of this codec may ask for this name. Imports nothing."""
        return dotted(name) in self.classes or allows(codec, name, self.patterns)

    def find(self, codec: str, name: str) -> Any:
        """The class or function that an audited node asks for; the errors are those of `resolve`."""
        given = self.classes.get(dotted(name))
        if given is None:
            return resolve(name, lambda own: allows(codec, own, self.patterns))
        return _named(name, given) if isinstance(given, str) else given

    def own_name(self, name: str) -> str:
        """The name that the class which stands for `name` has itself, as far as that is known without an
        import."""
        given = self.classes.get(dotted(name), name)
        if not isinstance(given, str):
            return f"{given.__module__}:{given.__qualname__}"
        return given if ":" in given else ":".join(given.rsplit(".", 1))


class Policy(Allowed, frozen=True):
    """What the caller allows, together with what the user's configuration allows."""


def allowed(trust: Iterable[str] | Allowed) -> Policy:
    """The policy: what the caller and the user's configuration allow. A policy is returned as it is."""
    if isinstance(trust, Policy):
        return trust
    if not isinstance(trust, Allowed):
        trust = Allowed((trust,) if isinstance(trust, str) else tuple(trust))
    more, classes = configuration.read(configuration.path())
    return Policy((*trust.patterns, *more), {**classes, **trust.classes})


def class_name(cls: type) -> str:
    """The name of `cls` in files: `module:qualname`. Raises CannotSaveError unless that leads to `cls`."""
    name = own_name(cls)
    found = find(name)
    if found is not cls:
        anew = "another class of that name, as when a module is loaded anew"
        what = anew if isinstance(found, type) else kind_of(found)
        where = "leads nowhere" if found is None else f"leads to {what}"
        raise CannotSaveError(
            f"the class {dotted(name)} cannot be found again: its name {where}; define it by a class "
            "statement at the top level of a module, under its own name, and make the object again"
        )
    return name


def own_name(cls: type) -> str:
    """What `cls` says is its name, wherever it leads. Raises CannotSaveError for a local class."""
    name = f"{registry.module_of(cls)}:{cls.__qualname__}"
    if not _NAME.fullmatch(name):
        raise CannotSaveError(
            f"{name.replace(':', '.')} is defined inside a function, where a loader cannot find it; "
            "move it to the top level of a module"
        )
    return name


def find(name: str) -> Any:
    """What a name leads to in the modules that are loaded; None if nowhere."""
    module, _, qualname = name.partition(":")
    found: Any = sys.modules.get(module)
    for step in qualname.split("."):
        found = getattr(found, step, None)
    return found


def dotted(name: str) -> str:
    """A name as Python code writes it: `module.qualname`."""
    return name.replace(":", ".")


def register(cls: type) -> None:
    """Trust `cls` in this process."""
    _registered.add(own_name(cls))


def is_registered(cls: type) -> bool:
    """Whether exactly this class was registered with `@saver.register`."""
    return f"{cls.__module__}:{cls.__qualname__}" in _registered


FAMILY = "family:"
"""The prefix of a pattern that names a family."""


@cache
def references() -> Mapping[str, Reference]:
    """The functions and classes that a file may hold as values, with their reviews, from all of Saver's own
    families: their lists import no library."""
    return {name: each for family in registry.families() for name, each in family.named_references.items()}


def reference(name: str) -> Reference | None:
    """The review of a function or class that files may hold as a value; None if it was not reviewed."""
    known = references().get(name)
    if known is not None:
        return known
    family = registry.in_use(name.partition(":")[0].partition(".")[0])
    return family.named_references.get(name) if family is not None else None


@cache
def instances() -> Mapping[str, str]:
    """The enums, named tuples and dataclasses of libraries whose instances a file may hold, and their
    codecs."""
    return {name: codec for family in registry.families() for name, codec in family.named_instances.items()}


_TOOLS = frozenset(("distutils", "f2py", "testing"))
"""Modules that build and test packages."""


def allows(codec: str, name: str, patterns: Iterable[str]) -> bool:
    """Whether the policy trusts the class that a node of this codec asks for. Does not import the library."""
    if name in _registered or instances().get(name) == codec or _matches(dotted(name), patterns):
        return True
    if codec in REFERENCE_CODECS:
        return reference(name) is not None
    root = registry.codec_root(codec)
    if not registry.known(root):
        return False
    family = registry.family(root)
    if not (family.classes or family.takes_class(codec)):  # the decoder refuses it without importing it
        package, *below = name.partition(":")[0].split(".")
        return package in family.packages and _TOOLS.isdisjoint(below)
    return registry.admits(codec, name)


def audit(nodes: Iterable[Node], trust: Iterable[str] | Allowed, where: str) -> None:
    """Raise unless the policy trusts every class, and every installed family, that `nodes` ask for. Imports
    no library, and no installed family unless the user named it.

    Raises IncompatibleError if the name of a class is malformed, and UntrustedError, which lists everything
    that is not trusted and the `trust=[...]` to pass.
    """
    policy = allowed(trust)
    refused = set[str]()
    for codec, cls in {(node.codec, node.cls): None for node in nodes}:  # most ask for the same as others
        if cls is not None and (len(cls) > _NAME_LIMIT or not _NAME.fullmatch(cls)):
            raise IncompatibleError(f"{where}: {cls[:80]!r} is not the name of a class", rule="2.19")
        root = registry.codec_root(codec)
        if registry.is_installed(root) and not _matches(FAMILY + root, policy.patterns):
            refused.add(FAMILY + root)
        elif cls is not None and not policy.covers(codec, cls):
            refused.add(dotted(cls))
    if refused:
        names = tuple(sorted(refused))
        raise UntrustedError(
            f"{where} asks for {', '.join(names)}, which the policy does not trust; nothing was imported. "
            f"If you trust the author of the file, pass {allowing(names)}",
            names,
        )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the user's patterns matches this name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _named(name: str, given: str) -> Any:
    """The class or function that the user named in place of `name`."""
    try:
        return resolve_name(given)
    except (ImportError, AttributeError, ValueError) as error:
        raise NotFoundError(
            f"classes: {given!r}, given for {dotted(name)}, is not on this machine ({error}); correct it"
        ) from error


def resolve(name: str, admits: Callable[[str], bool] = lambda own: False) -> Any:
    """The class or function called `name` (`module:qualname`), already audited.

    The only place where a name from a file becomes an object. What is found must itself have the name that
    was audited, so that `library.utils:os.system` is refused; or, as a class that moved and left an alias
    behind, a name that leads to it and that `admits` allows too. Raises NotFoundError if this machine does
    not have it, and IncompatibleError if something with another name is found.
    """
    module_name, _, qualname = name.partition(":")
    try:
        found: Any = sys.modules.get(module_name) or imported(module_name)
        for step in qualname.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise NotFoundError(
            f"the file asks for {dotted(name)}, {unreachable(name, error, registry.for_pip)}"
        ) from error
    names = names_of(found)
    if name in names or any(admits(own) and find(own) is found for own in names):
        return found
    told = f"the file asks for {dotted(name)}, but that name leads to {found!r}"
    if names and isinstance(found, type):
        told += f'; if that is the same class, moved, pass trust=["{dotted(names[0])}"] as well'
    raise IncompatibleError(told)


def names_of(thing: Any) -> tuple[str, ...]:
    """The names that a class or function may have in a file; () if it has none."""
    qualname = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if not isinstance(qualname, str) or not (isinstance(thing, type) or callable(thing)):
        return ()
    module = getattr(thing, "__module__", None)
    if isinstance(thing, type):
        return (f"{registry.module_of(thing)}:{qualname}",)
    if isinstance(thing, MethodDescriptorType):
        return (f"{registry.module_of(thing.__objclass__)}:{qualname}",)
    own = (f"{module}:{qualname}",) if isinstance(module, str) else ()
    return own + _public_homes(thing, qualname)


def _public_homes(thing: Any, qualname: str) -> tuple[str, ...]:
    """The names of a ufunc or built-in function, one for each public module that exports it, since it does
    not record its own module."""
    name = getattr(thing, "__name__", qualname)
    return tuple(
        f"{home}:{name}"
        for home in _homes()
        if home in sys.modules and getattr(sys.modules[home], name, None) is thing
    )


def is_ufunc(kind: type) -> bool:
    """Whether instances of this class are compiled functions of NumPy: ufuncs and similar ones."""
    return kind.__module__.partition(".")[0] == "numpy" and kind.__name__ in (
        "ufunc",
        "_ArrayFunctionDispatcher",
    )


@cache
def _homes() -> tuple[str, ...]:
    return tuple(home for family in registry.families() for home in family.homes)
