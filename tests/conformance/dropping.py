"""Saver without one of its rules: every statement that raises for it is taken out of the live code."""

from __future__ import annotations

import ast
import importlib
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import saver

SOURCE = Path(saver.__file__).parent


class _Without(ast.NodeTransformer):
    """Takes out what raises for a rule; where its number stands otherwise, it is another one."""

    def __init__(self, rule: str) -> None:
        self.rule = rule

    def visit_Raise(self, node: ast.Raise) -> Any:
        if any(isinstance(each, ast.Constant) and each.value == self.rule for each in ast.walk(node)):
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Constant(self, node: ast.Constant) -> Any:
        return ast.copy_location(ast.Constant("0.00"), node) if node.value == self.rule else node


@cache
def texts() -> dict[Path, str]:
    """The source of every module but the table of rules itself."""
    return {path: path.read_text() for path in SOURCE.rglob("*.py") if path.name != "rules.py"}


def modules_of(rule: str) -> list[Path]:
    """The modules that name a rule."""
    return [path for path, text in texts().items() if f'"{rule}"' in text]


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield each
            yield from _codes(each)


def _functions(found: Any, module: str) -> Iterator[types.FunctionType]:
    for each in list(vars(found).values()):
        each = getattr(each, "__func__", None) or getattr(each, "fget", None) or getattr(each, "func", each)
        each = getattr(each, "__wrapped__", each)
        if isinstance(each, types.FunctionType) and each.__module__ == module:
            yield each
        elif isinstance(each, type) and each.__module__ == module:
            yield from _functions(each, module)


@contextmanager
def without(rule: str) -> Iterator[None]:
    """Saver as if it did not know a rule."""
    before: list[tuple[types.FunctionType, types.CodeType]] = []
    for path in modules_of(rule):
        tree = ast.fix_missing_locations(_Without(rule).visit(ast.parse(texts()[path])))
        new = {each.co_qualname: each for each in _codes(compile(tree, str(path), "exec"))}
        name = ".".join(("saver", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        for function in _functions(importlib.import_module(name), name):
            code = new.get(function.__code__.co_qualname)
            if code is not None and code.co_freevars == function.__code__.co_freevars:
                before.append((function, function.__code__))
                function.__code__ = code
    try:
        yield
    finally:
        for function, code in before:
            function.__code__ = code


__all__ = ["modules_of", "without"]
