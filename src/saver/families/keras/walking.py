"""The layers of a model by their structural paths, as Keras' own files name them.

A path is made of attributes and classes (`layers/dense_1`), not of names that Keras counts up in each
process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from keras.src.losses.loss import Loss
from keras.src.metrics.metric import Metric
from keras.src.optimizers.base_optimizer import BaseOptimizer
from keras.src.saving.keras_saveable import KerasSaveable
from keras.src.saving.saving_lib import _walk_saveable
from keras.src.utils import naming

OTHERS = (BaseOptimizer, Metric, Loss)
"""What a model holds beside layers; the optimizer is saved by itself."""

_DEPTH = 200


def saveables(root: Any, others: bool = False) -> Iterator[tuple[str, Any]]:
    """Every layer once, with its path, a layer before those in it: its load may make them; and the `OTHERS`
    that layers hold, without what is in those."""
    for path, found in _below(root, "", set(), 0):
        if others or not isinstance(found, OTHERS):
            yield path, found


def _below(saveable: Any, path: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(saveable, OTHERS):
        yield path, saveable
        return
    if id(saveable) in seen:
        return
    if depth > _DEPTH:
        raise ValueError("layers are nested too deep")
    seen.add(id(saveable))
    yield path, saveable
    for name, child in _walk_saveable(saveable):
        at = f"{path}/{name}" if path else name
        if isinstance(child, KerasSaveable):
            yield from _below(child, at, seen, depth + 1)
        elif isinstance(child, (list, dict, tuple)):
            yield from _within(child, at, seen, set(), depth + 1)


def _within(
    container: Any, path: str, seen: set[int], containers: set[int], depth: int
) -> Iterator[tuple[str, Any]]:
    if id(container) in containers or depth > _DEPTH:
        return
    containers.add(id(container))
    used: dict[str, int] = {}
    items: Iterable[Any] = container.values() if isinstance(container, dict) else container
    for item in list(items):
        if isinstance(item, KerasSaveable):
            name = _unique(naming.to_snake_case(type(item).__name__), used)
            yield from _below(item, f"{path}/{name}", seen, depth + 1)
        elif isinstance(item, (list, dict, tuple)):
            yield from _within(item, f"{path}/{_unique('container', used)}", seen, containers, depth + 1)


def _unique(name: str, used: dict[str, int]) -> str:
    used[name] = used.get(name, -1) + 1
    return f"{name}_{used[name]}" if used[name] else name
