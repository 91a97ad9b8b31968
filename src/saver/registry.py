"""Finds plugins by name: one of Saver's own folders or files, or an installed entry point.

The only registry. The family of `geometry` is the folder `saver/families/geometry`, or an entry point named
`geometry` in the group `saver.families` of an installed distribution. Looking up whether a name exists
imports nothing.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

from saver.errors import IncompatibleError
from saver.family import Family, imported

_HERE = os.path.dirname(__file__)


@cache
def _own(kind: str) -> frozenset[str]:
    """The names of the files and folders in one of Saver's own folders."""
    names = (name.removesuffix(".py") for name in os.listdir(os.path.join(_HERE, kind)))
    return frozenset(name for name in names if name.isidentifier() and name[0] != "_")


@cache
def _entry_points(kind: str) -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.module for point in entry_points(group=f"saver.{kind}")}


def names(kind: str) -> list[str]:
    """Of all that `find` finds."""
    return sorted({*_own(kind), *_entry_points(kind)})


def find(kind: str, name: str) -> ModuleType:
    """Import and return the module that implements `name`. Raises IncompatibleError if none does."""
    if name in _own(kind):
        return import_module(f"saver.{kind}.{name}")
    module = _entry_points(kind).get(name)
    if module is None:
        raise IncompatibleError(
            f"this Saver has no {kind} for {name[:80]!r}; install the package that provides it "
            f"(an entry point {name[:80]!r} in the group 'saver.{kind}'), or a newer Saver"
        )
    return imported(module)


def own(kind: str) -> list[ModuleType]:
    """Import and return all modules of one of Saver's own folders, by name; of nobody else."""
    found = iter_modules([os.path.join(_HERE, kind)])
    return [import_module(f"saver.{kind}.{each.name}") for each in found]


@cache
def _home(root: str) -> str:
    """The name of Saver's own family that knows a package, or codecs with this root; "" if none of them
    does."""
    if root in _own("families"):
        return root
    return next((family.name for family in families() if root in (*family.packages, *family.codec_roots)), "")


def is_own(root: str) -> bool:
    """Whether one of Saver's own families knows the package, or codecs with this root."""
    return _home(root) != ""


def is_installed(root: str) -> bool:
    """Whether an installed distribution, not Saver itself, has a family with this name."""
    return not is_own(root) and root in _entry_points("families")


def known(root: str) -> bool:
    """Whether there is such a family. Does not import the families of other distributions."""
    return is_own(root) or is_installed(root)


def family(root: str) -> Family:
    """The family that knows a package, or the codecs with this root. Raises IncompatibleError if no family
    does."""
    name = _home(root) or root
    if name not in _loaded:
        _loaded[name] = find("families", name).FAMILY
    return _loaded[name]


def for_pip(module: str | None) -> str:
    """The name for pip of the library that this module or codec root belongs to; "" for those that Saver does
    not know, which are never named to pip: a file could name any package that someone has registered."""
    root = (module or "").partition(".")[0]
    if not is_own(root):
        return ""
    found = family(root)
    return found.distribution or found.packages[0]


def admits(codec: str, name: str) -> bool:
    """Whether the family of a codec, or that of the class itself, lists this class for it. Imports neither
    library."""
    package = name.partition(":")[0].partition(".")[0]
    return family(codec_root(codec)).admits(codec, name) or (
        is_own(package) and family(package).admits(codec, name)
    )


@cache
def families() -> tuple[Family, ...]:
    """Saver's own families, sorted by name."""
    return tuple(import_module(f"saver.families.{name}").FAMILY for name in sorted(_own("families")))


@cache
def _misnamed() -> dict[str, str]:
    return {recorded: home for family in families() for recorded, home in family.misnamed.items()}


def module_of(cls: type) -> str:
    """The module in which a class is found: the one that it records, unless a family knows better."""
    home = _misnamed().get(cls.__module__)
    if home is not None and getattr(sys.modules.get(home), cls.__qualname__, None) is cls:
        return home
    return cls.__module__


_loaded: dict[str, Family] = {}


def in_use(root: str) -> Family | None:
    """Like `family`, but None for an installed family that this process has not used yet, and for unknown
    roots."""
    if is_own(root):
        return family(root)
    return _loaded.get(root)


def codec_root(codec: str) -> str:
    """The root of a codec's name, by which its family is found; `list` is short for `builtins.list`."""
    root, dot, _ = codec.partition(".")
    return root if dot else "builtins"
