"""Nodes of every codec that has a reader, with states of every form: what is shown or compared of them is no
reason for another error than Saver's. No library is needed to read them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from forge import File, forged, node

import saver
from saver import registry

pytestmark = pytest.mark.filterwarnings("ignore")


def readers() -> list[str]:
    """The codecs whose nodes a family reads in its own way."""
    modules = (registry.family(family.name).module("reading") for family in registry.families())
    return sorted({name for module in modules for name in getattr(module, "READERS", {})})


KEYS = (
    "data", "dtype", "shape", "items", "base", "state", "columns", "index", "values", "attributes",
    "parameters", "model", "config", "offset", "strides", "order", "categories", "codes", "batch", "ends",
    "letters", "content",
)  # fmt: skip


def states(tensor: Any) -> list[Any]:
    """Plain values, lists, and dicts in which one value or another is of a kind that nobody expects."""
    values: list[Any] = [
        None, 1, -1, 1.5, True, "x", "<f8", "float32", [], {}, [[]], {"a": []}, tensor,
        node("list", []), node("list", [node("tuple", [])]), node("dict", {"a": 1}), {"$ref": 99},
    ]  # fmt: skip
    found = [*values, *([value] * length for value, length in product(values, (1, 2, 3, 5)))]
    honest = {"data": tensor, "dtype": "float32", "shape": [2]}
    for key, value in product(KEYS, values):
        found += [{key: value}, {**honest, key: value}, {"data": tensor, key: value}]
    return found


@pytest.mark.parametrize("codec", readers())
def test_whatever_a_state_is_it_is_shown_and_compared(codec: str, tmp_path: Path) -> None:
    file: File = forged(tmp_path, {"a": 1})
    tensor = file.tensor("model/x", "F32", bytes(8), [2])
    items = [node("list", [1]) | {"id": 99}, *(node(codec, state) for state in states(tensor))]
    whole = tmp_path / "honest.saver"
    for at in range(0, len(items), 40):
        file.manifest["parts"]["a"]["tree"] = node("list", items[:1] + items[at : at + 40])
        path = file.write(tmp_path / "forged.saver")
        looks: list[Callable[[Path], Any]] = [
            lambda path: str(saver.describe(path)),
            lambda path: str(saver.diff(whole, path)),
            lambda path: str(saver.diff(path, whole)),
        ]
        for look in looks:
            with suppress(saver.IncompatibleError):
                look(path)
