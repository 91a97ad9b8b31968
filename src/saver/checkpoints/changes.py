"""What a function changes that is not its own, as its source says: `COUNTS[key] += 1`, `seen.append(x)`."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

_MUTATORS = frozenset((
    "add", "append", "appendleft", "clear", "discard", "extend", "fill", "insert", "pop", "popitem",
    "popleft", "put", "remove", "reverse", "rotate", "setdefault", "sort", "subtract", "update",
))  # fmt: skip
"""Methods that change their object, as those do that end in one underscore, such as `add_` of tensors."""


class Change(NamedTuple):
    """A place that code changes: `path` is `("self", "seen")` for `self.seen.append(x)`, and for
    `self.seen = x` with `assigned`."""

    path: tuple[str, ...]
    assigned: bool


class Source(NamedTuple):
    """What the source of a function says: what it changes, the names that are its own, and those of the
    objects that it calls, or calls something with."""

    changes: tuple[Change, ...]
    own: frozenset[str]
    called: frozenset[str]


NOTHING = Source((), frozenset(), frozenset())


@lru_cache(4096)
def source_of(code: CodeType) -> Source:
    """The source of a function or lambda, with the functions in it; nothing if it cannot be found."""
    found = [node for node in _functions(code.co_filename) if _first_line(node) == code.co_firstlineno]
    lambdas = code.co_name == "<lambda>"
    nodes = [node for node in found if isinstance(node, ast.Lambda) is lambdas]
    parts = [_read(node) for node in nodes]  # several lambdas on one line count as one
    if not parts:
        return NOTHING
    return Source(
        tuple(change for part in parts for change in part.changes),
        frozenset.union(*(part.own for part in parts)),
        frozenset.union(*(part.called for part in parts)),
    )


@lru_cache(64)
def _functions(file: str) -> tuple[Any, ...]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return tuple(node for node in ast.walk(tree) if isinstance(node, kinds))


def _first_line(node: Any) -> int:
    decorators = getattr(node, "decorator_list", ())
    return int(min([node.lineno, *(each.lineno for each in decorators)]))


def _read(function: ast.AST) -> Source:
    nodes = list(ast.walk(function))
    elsewhere = {
        name for node in nodes if isinstance(node, (ast.Global, ast.Nonlocal)) for name in node.names
    }
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    changes = [each for node in nodes for each in _changes(node, elsewhere)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    used = [
        part for call in calls for part in (call.func, *call.args, *(each.value for each in call.keywords))
    ]
    called = {path[0] for part in used if (path := _path(part))}
    return Source(tuple(changes), frozenset((bound | arguments) - elsewhere), frozenset(called))


def _changes(node: ast.AST, elsewhere: set[str]) -> Iterator[Change]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node.id in elsewhere:
        yield Change((node.id,), assigned=True)
    elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        yield from _change(node, assigned=True)
    elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        yield from _change(node.value)
    elif isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and _changes_its_object(called.attr):
            yield from _change(called.value)
        elif isinstance(called, ast.Name) and called.id == "next" and node.args:
            yield from _change(node.args[0])


def _changes_its_object(method: str) -> bool:
    return method in _MUTATORS or (method[-1:] == "_" and method[-2:] != "__")


def _change(node: ast.AST, *, assigned: bool = False) -> Iterator[Change]:
    path = _path(node)
    if path is not None:
        yield Change(path, assigned)


def _path(node: ast.AST) -> tuple[str, ...] | None:
    """The names that lead to an object, or to that which holds it; `type(x)` is `x.__class__`."""
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Subscript):
        return _path(node.value)
    if isinstance(node, ast.Attribute):
        path = _path(node.value)
        return None if path is None else (*path, node.attr)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "type"
        and node.args
    ):
        path = _path(node.args[0])
        return None if path is None else (*path, "__class__")
    return None
