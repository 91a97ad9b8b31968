"""What Saver knows of one library: the contract of a family, free of the library itself.

A family is a folder in `saver/families`, or a module of any installed distribution with an entry point in the
group `saver.families`. It declares a `FAMILY`, which imports nothing. All that needs the library stands in
modules that the declaration names, each imported when it is first needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Literal, TypeAlias

import msgspec

Severity: TypeAlias = Literal["ok", "note", "warning", "problem"]
"""`ok`: the same, or no matter; `note`: good to know; `warning`: results may be wrong; `problem`: it will
not load."""


class Change(msgspec.Struct, frozen=True):
    """How much another major, minor or patch version of a library matters, and why; `exact` where it may be
    worth it to install the very version."""

    major: Severity
    minor: Severity
    patch: Severity
    meaning: str
    exact: bool = False


OTHERS = Change(
    "warning", "note", "ok", "its objects may keep state that another version reads differently: try them"
)
"""What another version means of a library that says nothing about it."""


class Reference(msgspec.Struct, frozen=True):
    """A function or class that a file may hold as a value, reviewed. `kinds` say what it may be used as (see
    `saver.uses`), `reason` why it can do no harm, whatever arguments a file fixes."""

    kinds: frozenset[str]
    reason: str


def reviewed(module: str, kinds: str, reason: str, names: str) -> dict[str, Reference]:
    """References of one module that were admitted for the same reason. `kinds` and `names` are words."""
    reference = Reference(frozenset(kinds.split()), reason)
    return {f"{module}:{name}": reference for name in names.split()}


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """A library, declared.

    `packages` are the import names whose classes the family knows, the first of them its own; `codec_roots`
    what the names of its codecs begin with, where those are others. `distribution` is what pip calls the
    library, where that is another name; `extra` the extra of Saver that brings it.

    `classes` is a JSON file beside the declaration: for each codec that takes classes by name, the names
    (`module:qualname`) of those that it builds. Only they are imported for a file, unless the user trusts
    more.

    Modules, by their full names, "" for those that the family does not have:

    - `codecs`: `CODECS`, and `RESTORERS` for restoring in place.
    - `references`: `REFERENCES`, the functions and classes that files may hold as values, by name; needs
      nothing of the library.
    - `reading`: `READERS`, `TEXTS` and others, by codec: how trees are shown and compared; needs nothing of
      the library.
    - `run`: `FRAMEWORK`, what a training run needs.
    - `facts`: `hardware()` and `generators()`, what belongs into the record of the environment.
    - `fingerprints`: `fingerprint(value, where)`, of data that a model was trained on.
    - `frames`: `frame_of(columns)`, which makes a data frame.

    `user_codecs` are codecs that take classes of the user's own alone. `homes` are public modules that export
    things which do not say where they are; `zips` what writes zip archives, as messages call it. `change` is
    what another version of the library may mean; with `version_bound`, loading warns of it.
    """

    name: str
    packages: tuple[str, ...]
    codec_roots: tuple[str, ...] = ()
    distribution: str = ""
    extra: str = ""
    classes: str = ""
    user_codecs: tuple[str, ...] = ()
    zips: tuple[str, ...] = ()
    codecs: str = ""
    references: str = ""
    reading: str = ""
    run: str = ""
    facts: str = ""
    fingerprints: str = ""
    frames: str = ""
    homes: tuple[str, ...] = ()
    change: Change = OTHERS
    version_bound: bool = False

    def module(self, what: str) -> ModuleType | None:
        """One of the modules above; None when the family does not have it."""
        name: str = getattr(self, what)
        return import_module(name) if name else None

    def takes_class(self, codec: str) -> bool:
        """Whether nodes of a codec name a class at all."""
        return codec in self.user_codecs or (self.classes != "" and codec in _classes(self.classes))

    def admits(self, codec: str, name: str) -> bool:
        """Whether a codec builds the class of this name. Imports nothing of the library."""
        return self.classes != "" and name in _classes(self.classes).get(codec, ())

    @property
    def named_references(self) -> Mapping[str, Reference]:
        """The functions and classes that files may hold as values."""
        module = self.module("references")
        found: Mapping[str, Reference] = module.REFERENCES if module is not None else {}
        return found


@cache
def _classes(place: str) -> dict[str, frozenset[str]]:
    """The names in a file `package:file`, by codec."""
    package, _, file = place.partition(":")
    (folder,) = sys.modules[package].__path__
    with open(os.path.join(folder, file), "rb") as data:
        document = msgspec.json.decode(data.read())
    return {codec: frozenset(names) for codec, names in document["codecs"].items()}
