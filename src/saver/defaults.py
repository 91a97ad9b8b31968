"""The default arguments of installed classes, read from their source: nothing is imported or run."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import PathFinder

from saver import registry

_BASES = 20
"""So many classes are looked at for one that defines `__init__`: a class could name itself as its base."""


@lru_cache(maxsize=1000)
def default_arguments(cls: str) -> dict[str, str]:
    """The default arguments of the constructor of a class `module:qualname`, by name, as Python writes them.

    Empty if the class is not of an installed library that Saver knows, or its source does not say. The
    defaults are those of the version that is installed here.
    """
    module, _, name = cls.partition(":")
    if not registry.is_own(module.partition(".")[0]):
        return {}
    source = _source(module)
    for _ in range(_BASES):
        found = _class(source, name)
        if found is None:
            return {}
        for item in found.body:
            if isinstance(item, ast.FunctionDef) and item.name == "__init__":
                return dict(_defaults(item.args))
        bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
        if not bases:
            return {}
        name = bases[-1]  # mixins come first
    return {}


@lru_cache(maxsize=30)
def _source(module: str) -> str:
    """The source of a module; "" if it cannot be found. No package on the way to it is imported."""
    top, *rest = module.split(".")
    if not all(part.isidentifier() for part in (top, *rest)):
        return ""
    spec = PathFinder.find_spec(top, sys.path)
    if spec is None or not spec.submodule_search_locations:
        return ""
    for folder in spec.submodule_search_locations:
        place = os.path.join(folder, *rest)
        for path in (f"{place}.py", os.path.join(place, "__init__.py")):
            try:
                with open(path, encoding="utf-8") as file:
                    return file.read()
            except (OSError, ValueError):
                continue
    return ""


def _class(source: str, name: str) -> ast.ClassDef | None:
    """The definition of a class at the top of a module; only its lines are parsed."""
    begin = re.search(rf"^class {re.escape(name)}\b", source, re.MULTILINE)
    if begin is None:
        return None
    end = re.compile(r"^[\w@]", re.MULTILINE).search(source, begin.end())
    try:
        (found,) = ast.parse(source[begin.start() : end.start() if end else len(source)]).body
    except (SyntaxError, ValueError, RecursionError):
        return None
    return found if isinstance(found, ast.ClassDef) else None


def _defaults(arguments: ast.arguments) -> Iterator[tuple[str, str]]:
    named = [*arguments.posonlyargs, *arguments.args]
    positional = zip(named[len(named) - len(arguments.defaults) :], arguments.defaults, strict=True)
    for argument, default in (*positional, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)):
        if isinstance(default, ast.Attribute) and default.attr == "nan":
            yield argument.arg, "nan"
        elif default is not None:
            try:
                yield argument.arg, repr(ast.literal_eval(default))
            except ValueError:  # an expression: not to be compared with
                continue
