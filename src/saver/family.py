"""The contract of a family: what Saver knows about one library. Does not import the library.

A family is a folder in `saver/families`, or a module of any installed distribution with an entry point in the
group `saver.families`. It declares a `FAMILY`, which does not import the library. Code that needs the
library is in modules that the declaration names; each is imported on first use.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, TypeAlias

import msgspec

Severity: TypeAlias = Literal["ok", "note", "warning", "problem"]
"""`ok`: no difference, or one that does not matter; `note`: good to know; `warning`: results may be wrong;
`problem`: it will not load."""


_NUMBERS = re.compile(r"[0-9]{1,6}")


class Change(msgspec.Struct, frozen=True):
    """How much another major, minor or patch version of a library matters, and why; `exact` if it may be
    worth installing exactly the recorded version."""

    major: Severity
    minor: Severity
    patch: Severity
    meaning: str
    exact: bool = False


OTHERS = Change(
    "warning", "note", "ok", "its objects may keep state that another version reads differently: try them"
)
"""What another version means for a library whose family does not say."""


class Break(msgspec.Struct, frozen=True):
    """What was seen not to work between versions of a library: `what` becomes of instances of these classes
    (their bare names), saved under one of the versions `saved` and used under one of `under`, and why.

    Versions are major and minor numbers: the first and the last ones.
    """

    classes: frozenset[str]
    saved: tuple[tuple[int, ...], tuple[int, ...]]
    under: tuple[tuple[int, ...], tuple[int, ...]]
    why: str
    what: str

    def concerns(self, then: tuple[int, ...], now: tuple[int, ...]) -> bool:
        """Whether it holds between these versions."""
        return self.saved[0] <= then <= self.saved[1] and self.under[0] <= now <= self.under[1]


def seen(classes: str, saved: str, under: str, why: str, what: str = "will not predict") -> Break:
    """A break. Classes are separated by spaces; versions are written as `1.6..1.8`, `1.8..` or `..1.5`."""
    return Break(frozenset(classes.split()), _versions(saved), _versions(under), why, what)


def _versions(text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, last = (tuple(map(int, _NUMBERS.findall(end))) for end in text.split(".."))
    return first, last or (sys.maxsize,)


class Reference(msgspec.Struct, frozen=True):
    """A reviewed function or class that a file may hold as a value. `kinds` says what it may be used as
    (see `saver.uses`), `reason` why it is harmless whatever arguments a file chooses."""

    kinds: frozenset[str]
    reason: str


def reviewed(module: str, kinds: str, reason: str, names: str) -> dict[str, Reference]:
    """References of one module that were admitted for the same reason. `kinds` and `names` are separated by
    spaces."""
    reference = Reference(frozenset(kinds.split()), reason)
    return {f"{module}:{name}": reference for name in names.split()}


def instances(codec: str, module: str, names: str) -> dict[str, str]:
    """Enums, named tuples or dataclasses of one module, by `codec`. `names` are separated by spaces."""
    return {f"{module}:{name}": codec for name in names.split()}


def imported(module: str) -> ModuleType:
    """Import a module. Raises ImportError for any error: a library that is damaged, or lacks a library of the
    system, may raise what it likes."""
    found = _imported.get(module)
    if found is not None and sys.modules.get(module) is found:
        return found
    try:
        found = _imported[module] = import_module(module)
        return found
    except ImportError:
        raise
    except Exception as error:
        raise ImportError(f"{type(error).__name__}: {error}", name=module) from error


_imported: dict[str, ModuleType] = {}
"""Modules that were imported whole: asking Python again takes 3 µs, which restores do for each object."""


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """The declaration of a library.

    `packages` are the import names whose classes the family knows, its own first; `codec_roots` are the
    prefixes of its codecs' names, if they differ. `distribution` is the library's name for pip, if it
    differs; `extra` is the extra of Saver that installs it.

    `classes` is a JSON file beside the declaration: for each codec that takes classes by name, the names
    (`module:qualname`) of the classes that it builds. A file can import only those, unless the user trusts
    more. The codec may be that of another family, from whose classes they derive. `data` are names of lists,
    dicts and other containers of those classes that instances replace by their own; `anew` those of
    attributes, and of functions as hooks (`module:qualname`), that the library makes again when it needs
    them.

    Modules, by their full names; "" if the family does not have one:

    - `codecs`: `CODECS`, and `RESTORERS` for restoring in place.
    - `checks`: `CHECKS` and `CLAIMS`, by class (`module:qualname`): functions of an instance of that class,
      or of one that derives from it, which its codec calls in `check` and in `claim`. `CALLABLES`, likewise:
      functions that return which kinds of function (see `saver.uses`) each attribute of it may hold.
    - `references`: `REFERENCES`, the functions and classes that files may hold as values, by name; and
      `INSTANCES`, its enums, named tuples and dataclasses whose instances they may hold, with their codecs;
      does not import the library.
    - `reading`: `READERS`, `TEXTS` and others, by codec: how trees are shown and compared; does not import
      the library.
    - `pickles`: how objects of the library lie in pickles (see `saver.pickled`); does not import the library.
    - `files`: how the library's own files hold its objects, and `older`: how those of other versions did;
      they do not import the library.
    - `run`: `FRAMEWORK`, what a training run needs.
    - `facts`: `hardware()` and `generators()`, what goes into the record of the environment.
    - `fingerprints`: `fingerprint(value, where)`, of data that a model was trained on.
    - `frames`: `frame_of(columns)`, which makes a data frame.
    - `predicting`: `PREDICTING`, how models of the library answer, and what of it they take (see
      `saver.predicting.contract`).

    `exports` are the formats of other tools that its objects are written in while they are live, and for each
    the module whose `export` does it (see `saver.format.WritesObjects`).

    `user_codecs` are codecs that take only the user's own classes. `homes` are public modules that export
    objects which do not record their module; `misnamed` are compiled modules whose classes record another
    module than theirs: the recorded name, and the one that leads to them. `zips` is the function that writes
    zip archives, as messages name it. `change` says what another version of the library may mean; with
    `version_bound`, loading warns about it; `breaks` are what is known of it in particular. `instead` has,
    for classes without a data form and their subclasses, by name (`re.Pattern`), the sentence that says what
    to save instead.
    """

    name: str
    packages: tuple[str, ...]
    codec_roots: tuple[str, ...] = ()
    distribution: str = ""
    extra: str = ""
    classes: str = ""
    data: frozenset[str] = frozenset()
    anew: frozenset[str] = frozenset()
    user_codecs: tuple[str, ...] = ()
    zips: tuple[str, ...] = ()
    codecs: str = ""
    checks: str = ""
    references: str = ""
    reading: str = ""
    pickles: str = ""
    files: str = ""
    older: str = ""
    run: str = ""
    facts: str = ""
    fingerprints: str = ""
    frames: str = ""
    predicting: str = ""
    exports: Mapping[str, str] = {}
    homes: tuple[str, ...] = ()
    misnamed: Mapping[str, str] = {}
    change: Change = OTHERS
    version_bound: bool = False
    breaks: tuple[Break, ...] = ()
    instead: Mapping[str, str] = {}

    def module(self, what: str) -> ModuleType | None:
        """One of the modules above; None if the family does not have it."""
        name: str = getattr(self, what)
        return imported(name) if name else None

    def exporter(self, format: str) -> Callable[[Any], Any]:
        """The function that writes objects of the library in one of the formats of `exports`."""
        found: Callable[[Any], Any] = imported(self.exports[format]).export
        return found

    def takes_class(self, codec: str) -> bool:
        """Whether nodes of this codec name a class at all."""
        return codec in self.user_codecs or (self.classes != "" and codec in _classes(self.classes))

    def admits(self, codec: str, name: str) -> bool:
        """Whether a codec builds the class with this name. Does not import the library."""
        return self.classes != "" and name in _classes(self.classes).get(codec, ())

    def lists(self, name: str) -> bool:
        """Whether any codec builds the class with this name."""
        return self.classes != "" and any(name in names for names in _classes(self.classes).values())

    def listed(self, codec: str) -> frozenset[str]:
        """The classes that it lists for a codec."""
        return _classes(self.classes).get(codec, frozenset()) if self.classes else frozenset()

    def broken(self, classes: Iterable[str], then: str, now: str) -> list[str]:
        """What will not work of these classes (by their full names), saved under one version and used under
        the other: a sentence for each."""
        old, new = (tuple(map(int, _NUMBERS.findall(version)[:2])) for version in (then, now))
        names = sorted({re.split("[.:]", name)[-1] for name in classes if name.startswith(self.packages)})
        return [
            f"{name} of {then} {each.what} under {now}: {each.why}"
            for name in names
            for each in self.breaks
            if name in each.classes and len(old) == len(new) == 2 and each.concerns(old, new)
        ]

    @property
    def named_references(self) -> Mapping[str, Reference]:
        """The functions and classes that files may hold as values."""
        module = self.module("references")
        found: Mapping[str, Reference] = module.REFERENCES if module is not None else {}
        return found

    @property
    def named_instances(self) -> Mapping[str, str]:
        """The enums, named tuples and dataclasses whose instances files may hold, with their codecs."""
        found: Mapping[str, str] = getattr(self.module("references"), "INSTANCES", {})
        return found


@cache
def _classes(place: str) -> dict[str, frozenset[str]]:
    """The names in a file `package:file`, by codec."""
    package, _, file = place.partition(":")
    (folder,) = sys.modules[package].__path__
    with open(os.path.join(folder, file), "rb") as data:
        document = msgspec.json.decode(data.read())
    return {codec: frozenset(names) for codec, names in document["codecs"].items()}
