"""The page about the architecture is true: what it names is there, and its arrows are imports."""

from __future__ import annotations

import re
from pathlib import Path

from house import SOURCE, folder_of, graph_of_modules

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

TO_COME: set[str] = set()
"""Paths that the page names and that are still being written. In the end there are none."""


UPWARD: set[tuple[str, str]] = set()
"""Imports against the drawing that are still being removed. In the end there are none."""


def diagram() -> str:
    (found,) = re.findall(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def layers() -> dict[str, list[str]]:
    """What each box of the drawing holds, by its name in the drawing."""
    boxes = re.findall(r'^    (\w+)\["<b>[^<]+</b><br>([^"]+)"\]$', diagram(), re.MULTILINE)
    return {name: re.findall(r"\w+(?:\.py|/)", text) for name, text in boxes}


def named() -> set[str]:
    """Every path on the page: in the drawing, and between backticks."""
    quoted = re.findall(r"`([\w/.-]+(?:\.py|\.md|/))(?:::\w+)?`", PAGE)
    return {*quoted, *(path for paths in layers().values() for path in paths)}


def place(path: str) -> Path:
    outside = path.startswith(("src/", "tests/", "docs/"))
    return (ROOT if outside else SOURCE) / path


def test_every_path_that_the_page_names_is_there() -> None:
    missing = {path for path in named() if not place(path).exists()}
    assert missing == TO_COME
    assert all(place(path).is_dir() == path.endswith("/") for path in named() - TO_COME)


def test_every_function_that_the_page_names_is_there() -> None:
    found = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)
    assert len(found) >= 3
    for path, function in found:
        assert re.search(rf"^def {function}\(", place(path).read_text(encoding="utf-8"), re.MULTILINE), (
            function
        )


def test_the_arrows_point_down() -> None:
    """No module imports one of a box that no arrow leads to from its own."""
    arrows = re.findall(r"^    (\w+) --> (\w+)$", diagram(), re.MULTILINE)
    below: dict[str, set[str]] = {name: {name} for name in layers()}
    for upper, lower in reversed(arrows):
        below[upper] |= below[lower]
    box = {path.split(".")[0].rstrip("/"): name for name, paths in layers().items() for path in paths}
    upward = {
        (folder_of(module), folder_of(other))
        for module, imported in graph_of_modules().items()
        for other in imported
        if (upper := box.get(folder_of(module).lower())) and (lower := box.get(folder_of(other).lower()))
        if lower not in below[upper]
    }
    assert upward == UPWARD
