"""An overview of the package: which folder imports which, what is too long, which names are public.

python -m tests.house             prints the graph of imports, what is too long, and the public names
python -m tests.house --long      prints a new tests/house.txt, which may only get shorter
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import saver

SOURCE = Path(saver.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {
    ".".join(("saver", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in FILES
}

KNOWN = Path(__file__).with_suffix(".txt")
"""What was too long when the limits were set: on each line a name and its number of lines."""

FILE_LIMIT, FUNCTION_LIMIT = 300, 30
"""In lines; for a function without its signature and docstring."""

Graph = Mapping[str, set[str]]


# Imports


def imports_of(path: Path, top_only: bool = False) -> set[str]:
    """The absolute names of the modules that a file imports: `saver.tree`, `numpy`."""
    tree = ast.parse(path.read_text())
    found = set()
    for item in tree.body if top_only else ast.walk(tree):
        if isinstance(item, ast.Import):
            found.update(alias.name for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{path}: imports are absolute"
            module = item.module or ""
            found.update(
                name if (name := f"{module}.{alias.name}") in MODULES else module for alias in item.names
            )
    return found


def graph_of_modules() -> Graph:
    """The modules of Saver that each module imports, anywhere in its file."""
    return {name: imports_of(path) & MODULES.keys() - {name} for name, path in MODULES.items()}


def folder_of(module: str) -> str:
    """The folder or file at the top of the package that a module belongs to: `repo`, `tree`; `Saver` for
    `saver.py`."""
    name = module.removeprefix("saver").removeprefix(".").partition(".")[0]
    return {"": "__init__", "saver": "Saver"}.get(name, name)


def graph_of_folders(modules: Graph) -> Graph:
    """The same for the folders and files at the top of the package."""
    found: dict[str, set[str]] = {}
    for module, imported in modules.items():
        folder = folder_of(module)
        found.setdefault(folder, set()).update({folder_of(name) for name in imported} - {folder})
    return found


def circle(graph: Graph) -> list[str]:
    """Names of which each imports the next, and the last the first; empty if there is no such circle."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for other in sorted(graph.get(name, ())):
            if found := walk(other, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := walk(name, []))), [])


def without(graph: Graph, edges: Iterable[tuple[str, str]]) -> Graph:
    """The graph without some of its imports."""
    left = set(edges)
    return {name: {other for other in others if (name, other) not in left} for name, others in graph.items()}


def layers(graph: Graph) -> list[list[str]]:
    """The names from the bottom up: each imports only those below it. Raises ValueError on a circle."""
    height: dict[str, int] = {}
    while left := [name for name in graph if name not in height]:
        ready = [name for name in left if graph[name] <= height.keys()]
        if not ready:
            raise ValueError(f"a circle of imports: {' -> '.join(circle(graph))}")
        height |= {name: 1 + max((height[other] for other in graph[name]), default=-1) for name in ready}
    return [sorted(n for n in height if height[n] == level) for level in range(max(height.values()) + 1)]


def drawing(graph: Graph) -> Iterator[str]:
    """The graph in Mermaid, without imports that are implied by others."""
    yield "graph TD"
    for name in sorted(graph):
        follow = {far for near in graph[name] for far in reach(graph, near) if name not in reach(graph, near)}
        for other in sorted(graph[name] - follow):
            yield f"    {name} --> {other}"


def reach(graph: Graph, name: str) -> set[str]:
    """Everything that a name imports, directly or indirectly."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found


# Sizes


def long() -> dict[str, int]:
    """Files and functions over the limits, with their numbers of lines."""
    found: dict[str, int] = {}
    for path in FILES:
        name, text = path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > FILE_LIMIT:
            found[name] = lines
        for function, lines in functions(ast.parse(text)):
            if lines > FUNCTION_LIMIT:
                found[f"{name}::{function}"] = lines
    return found


def functions(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, int]]:
    """The functions of a module, including methods and nested functions, with the lines of their bodies."""
    for item in ast.iter_child_nodes(tree):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            body = item.body[1:] if ast.get_docstring(item) is not None else item.body
            if body:
                yield f"{inside}{item.name}", (item.end_lineno or 0) - body[0].lineno + 1
        name = f"{item.name}." if isinstance(item, ast.ClassDef | ast.FunctionDef) else ""
        yield from functions(item, inside + name)


def known() -> dict[str, int]:
    """What may be longer than the limits, and how long."""
    lines = (line.split() for line in KNOWN.read_text(encoding="utf-8").splitlines() if line)
    return {name: int(length) for name, length in lines}


def main() -> None:
    if "--long" in sys.argv:
        print("\n".join(f"{name} {lines}" for name, lines in sorted(long().items())))
        return
    print("Imports, from folder to folder, without those that others imply:\n")
    print("\n".join(drawing(graph_of_folders(graph_of_modules()))))
    print(f"\nFiles over {FILE_LIMIT} lines and functions over {FUNCTION_LIMIT}, the longest first:\n")
    for name, lines in sorted(long().items(), key=lambda item: -item[1]):
        print(f"    {lines:4}  {name}")
    print(f"\nPublic names: {', '.join(sorted(saver.__all__))}")


if __name__ == "__main__":
    main()
