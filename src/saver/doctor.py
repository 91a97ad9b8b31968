"""Differences between the environment that made a version and this one, and what they may mean.

The record comes from a file, so it is not trusted: it is text to show and to compare. No name in it is
imported, and no package that Saver does not know is recommended.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

import msgspec

from saver import environment, registry
from saver.allowing import MAIN
from saver.family import OTHERS, Change, Severity
from saver.git import Git

TEXT_LIMIT = 200


class Finding(msgspec.Struct, frozen=True):
    """A recorded value, the value here, and what the difference may mean; empty if it means nothing."""

    severity: Severity
    topic: str
    recorded: str
    here: str
    meaning: str = ""


class NeedsPackages(Protocol):
    """A part: the names of its `classes`, as Python code writes them, and the `packages` that they come
    from, by import name."""

    @property
    def packages(self) -> Iterable[str]: ...

    @property
    def classes(self) -> Iterable[str]: ...


def diagnose(
    recorded: Mapping[str, Any],
    parts: Mapping[str, NeedsPackages],
    now: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Compare the recorded environment of a version with that of this process, or with `now`, by topic.

    `parts` are those to be loaded. Both environments have the form that `saver.environment.describe` makes;
    one of another form never makes this fail.
    """
    needed: dict[str, list[str]] = {}
    for part, needs in parts.items():
        for package in needs.packages:
            needed.setdefault(package, []).append(part)
    here = environment_here(needed) if now is None else now
    return [
        *_python(recorded, here),
        *_packages(recorded, here, needed, {name for needs in parts.values() for name in needs.classes}),
        *_machine(recorded, here),
        *_gpu(recorded, here),
        *_git(_table(recorded, "git"), _table(here, "git")),
        *_random(_table(recorded, "random"), _table(here, "random")),
    ]


def environment_here(packages: Iterable[str]) -> dict[str, Any]:
    """The environment of this process in the form of a recorded one; `modules` lists those of the packages,
    by import name, that are present without a version, `folder` those of them that only a script of the
    current folder finds. None of them is imported for that."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    names = [name for name in packages if name.isidentifier() and name != MAIN]
    found = environment.describe(names, {}, Git())
    unversioned = [name for name in names if name not in found["packages"]]
    modules = [name for name in unversioned if name in sys.modules or find_spec(name)]
    here = [name for name in {*unversioned} - {*modules} if PathFinder.find_spec(name, [os.getcwd()])]
    return found | {"modules": [*modules, *here], "folder": here}


_PYTHON = Change(
    "warning", "note", "ok", "the file does not depend on it; your own code and some methods of `random` may"
)


def _python(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    then, now = _text(recorded, "python"), _text(here, "python")
    if then:
        yield _version(_PYTHON, "python", then, now)
    then, now = _text(recorded, "implementation"), _text(here, "implementation")
    if then and then != now:
        yield Finding("note", "implementation", then, now, "packages with C code may behave differently")


def _packages(
    recorded: Mapping[str, Any], here: Mapping[str, Any], needed: Mapping[str, list[str]], classes: set[str]
) -> Iterator[Finding]:
    then, now = _table(recorded, "packages"), _table(here, "packages")
    present = {*now, *_listed(here, "modules")}
    for package in sorted({*needed, *(then.keys() & now.keys() & {"numpy"})}):
        name = environment.distribution(package)
        old, new = _text(then, package), _text(now, package)
        if package == MAIN:
            yield Finding("note", package, "a script", "", _MAIN_MEANS.format(_of(needed[package])))
        elif package in sys.stdlib_module_names or package == "saver":
            continue
        elif package in _listed(here, "folder"):
            yield Finding("note", name, old or "no version", "in this folder", _FOLDER_MEANS)
        elif package not in present:
            yield Finding("problem", name, old, "missing", _missing(package, old, needed[package]))
        else:
            yield _with_what_breaks(_version(_change_of(package), name, old, new), package, classes)
    yield from _saver(_text(then, "saver"), _text(now, "saver"))


def _with_what_breaks(found: Finding, package: str, classes: set[str]) -> Finding:
    """The finding about a package, with what is known not to work under the version here, class by class."""
    if not registry.is_own(package):
        return found
    broken = registry.family(package).broken(classes, found.recorded, found.here)
    meaning = "; ".join(filter(None, (*broken, found.meaning)))
    return msgspec.structs.replace(found, severity="warning", meaning=meaning) if broken else found


_MAIN_MEANS = "classes of {} were defined in a script or a notebook: import them from where they are now"


_FOLDER_MEANS = (
    "scripts of this folder find it; others need its folder in PYTHONPATH, or the package installed"
)


def _change_of(package: str) -> Change:
    """What another version of a package may mean: from its family, or the general rule."""
    return registry.family(package).change if registry.is_own(package) else OTHERS


def _missing(package: str, version: str, parts: list[str]) -> str:
    """What to do about a missing package. Only one that Saver knows is passed to pip: a file could name any
    package that someone has registered."""
    if not registry.is_own(package):
        return f"{_of(parts)} cannot load; Saver does not know it: install it only if you know its author"
    name = environment.distribution(package)
    exact = f"=={version}" if _VERSION.fullmatch(version) else ""
    return f"{_of(parts)} cannot load: pip install {name}{exact}"


def _of(parts: list[str]) -> str:
    return ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")


def _version(rule: Change, name: str, old: str, new: str) -> Finding:
    changed = _change(old, new)
    severity: Severity = "ok" if changed == "none" else getattr(rule, changed)
    meaning = "" if severity == "ok" else rule.meaning
    if rule.exact and severity == "warning" and _VERSION.fullmatch(old):
        meaning += f", or pip install {name}=={old}"
    return Finding(severity, name, old or "no version", new or "no version", meaning)


def _saver(old: str, new: str) -> Iterator[Finding]:
    """Old files can always be read; a newer Saver may have written one that this one must refuse."""
    before, after = _numbers(old), _numbers(new)
    if before and after and before > after:
        meaning = "a newer Saver wrote it; this one names what it does not know, and refuses it: update Saver"
        yield Finding("note", "saver-ml", old, new, meaning)
    elif old:
        yield Finding("ok", "saver-ml", old, new)


_VERSION = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6}){0,3}(?:(?:a|b|rc|\.post|\.dev)[0-9]{1,4})?")


def _numbers(version: str) -> tuple[int, ...]:
    """Major, minor and patch, as far as the version has them."""
    found = re.match(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?(?:\.([0-9]{1,6}))?", version)
    return tuple(int(number) for number in found.groups("0")) if found else ()


def _change(old: str, new: str) -> Literal["none", "major", "minor", "patch"]:
    """The first number in which two versions differ; minor if that is unknown."""
    if old == new:
        return "none"
    before, after = _numbers(old), _numbers(new)
    if not before or not after:
        return "minor"
    if before[0] != after[0]:
        return "major"
    return "minor" if before[1] != after[1] else "patch"


_SUMS = "the saved bits are the same; sums that it computes may differ in the last place"


def _machine(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    keys = ("platform", "machine", "byteorder")
    then, now = (
        " ".join(_text(side, key).partition("-")[0] for key in keys if _text(recorded, key))
        for side in (recorded, here)
    )
    if then:
        yield _compared("machine", then, now, _SUMS)
    old, new = (set(_text(side, "vector").split()) for side in (recorded, here))
    if old and old != new:
        lost, gained = (" ".join(sorted(words)) or "-" for words in (old - new, new - old))
        yield Finding("note", "vector instructions", lost, gained, _SUMS)
    if _text(recorded, "cpu"):
        then, now = (f"{_text(side, 'cpu')} x {_text(side, 'cpus')}" for side in (recorded, here))
        meaning = "libraries may use other routines and split sums in another way: last bits may differ"
        yield _compared("processors", then, now, meaning)


def _compared(topic: str, then: str, now: str, meaning: str) -> Finding:
    return Finding("ok", topic, then, now) if then == now else Finding("note", topic, then, now, meaning)


def _gpu(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    if not _text(recorded, "gpu"):
        return
    then, now = (
        f"{_text(side, 'gpu')} x {_text(side, 'gpus')}, CUDA {_text(side, 'cuda')}"
        for side in (recorded, here)
    )
    if _text(here, "gpu"):
        yield _compared("gpu", then, now, "the saved bits are the same; kernels may round differently")
    else:
        meaning = "without a GPU, tensors that were on one are loaded on the CPU; last bits may differ"
        yield Finding("note", "gpu", then, "none in use", meaning)


def _git(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    then, now = _text(recorded, "commit"), _text(here, "commit")
    if not then:
        return
    meanings = []
    if then != now and _COMMIT.fullmatch(then):
        meanings.append(f"the code that made it: git checkout {then[:12]}")
    if recorded.get("dirty") is True:
        meanings.append("it was made with uncommitted changes, which the commit does not contain")
    if then == now and here.get("dirty") is True:
        meanings.append("the code here has uncommitted changes")
    severity: Severity = "note" if meanings or then != now else "ok"
    yield Finding(severity, "git", _commit(recorded), _commit(here), "; ".join(meanings))


_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def _commit(state: Mapping[str, Any]) -> str:
    commit = _text(state, "commit")[:12]
    return f"{commit} + changes" if commit and state.get("dirty") is True else commit or "no repository"


def _random(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> Iterator[Finding]:
    generators = _table(recorded, "generators")
    seeds = {**_table(recorded, "given"), **_table(recorded, "seeds")}
    found = [f"{name} = {_text(seeds, name)}" for name in seeds]
    found += [
        f"{name} = {_text(generators, name)[5:]}"
        for name in generators
        if name != "hash" and _text(generators, name).startswith("seed ")
    ]
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        yield Finding("ok", "seeds", (", ".join(found[:5]) + more)[:TEXT_LIMIT], "")
    elif recorded:
        meaning = "no seed was recorded: training again may give another model"
        yield Finding("note", "seeds", "none", "", meaning)
    old, new = (_text(_table(side, "generators"), "hash") for side in (recorded, here))
    if old != new:
        meaning = (
            "sets of strings have another order: if that matters, set PYTHONHASHSEED to the recorded seed"
        )
        yield Finding("note", "PYTHONHASHSEED", _seed(old), _seed(new), meaning)


def _seed(text: str) -> str:
    return text.removeprefix("seed ") or "not set"


def _table(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, Mapping) else {}


def _listed(value: Mapping[str, Any], name: str) -> list[str]:
    return found if isinstance(found := value.get(name), list) else []


def _text(value: Mapping[str, Any], name: str) -> str:
    """A scalar as text; "" for any other value."""
    found = value.get(name)
    if isinstance(found, int) and found.bit_length() > TEXT_LIMIT:  # Python refuses to write the largest
        return "a huge number"
    return str(found)[:TEXT_LIMIT] if isinstance(found, (str, int, float)) else ""
