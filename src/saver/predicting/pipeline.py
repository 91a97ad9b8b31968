"""How parts make a prediction: which of them answer, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from numpy.typing import NDArray

from saver.errors import CannotSaveError, IncompatibleError, quoted
from saver.predicting import libraries
from saver.predicting.contract import Method

Answer = Callable[..., dict[str, NDArray[Any]]]
"""Takes a batch in the container of the model, and the names of the outputs that are wanted (none: all)."""

STEPS = 64
"""Steps of a pipeline."""

Refusal = type[CannotSaveError] | type[IncompatibleError]

WAY_OUT = (
    'pass pipeline="scaler | model" with the names of parts, or a function of your own module; see '
    "docs/predictions.md"
)


def found_in(parts: Mapping[str, Any]) -> str:
    """The pipeline of parts of which only one predicts: its name. Raises CannotSaveError."""
    able = [name for name, part in parts.items() if libraries.methods(part)]
    if len(parts) == 1 and not able and _prepares(*parts.values()):
        return next(iter(parts))  # it answers with what it transforms
    if len(able) == 1 and not any(_prepares(part) for name, part in parts.items() if name != able[0]):
        return able[0]
    if len(able) == 1:
        raise CannotSaveError(f"example: other parts may belong before {able[0]!r}; {WAY_OUT}")
    listed = ", ".join(map(repr, able or parts))
    what = f"of the parts {listed}, several predict" if able else f"none of the parts {listed} predicts"
    raise CannotSaveError(f"example: {what}; {WAY_OUT}")


def _prepares(part: Any) -> bool:
    return libraries.transform(part) is not None


def steps_of(
    pipeline: str, parts: Mapping[str, Any], where: str, error: Refusal = CannotSaveError
) -> list[str]:
    """The names of the parts in a pipeline. Raises `error`."""
    names = [name.strip() for name in pipeline.split("|")]
    if len(names) > STEPS:
        raise error(f"{where}: a pipeline has at most {STEPS} steps, and this one {len(names):,}")
    for name in names:
        if name not in parts:
            there = ", ".join(list(parts)[:20])
            raise error(f"{where}: there is no part {quoted(name)}; there are {there}")
    return names


def answering(
    pipeline: Any, parts: Mapping[str, Any], where: str, error: Refusal = CannotSaveError
) -> Answer:
    """The function that answers a batch, by a pipeline: names of parts, or a function of the parts and a
    batch. Raises `error`, which depends on whether this is a save or a load."""
    if callable(pipeline):
        return lambda batch, only=(): _only(libraries.arrays(pipeline(parts, batch), "output"), only)
    *before, last = steps_of(pipeline, parts, where, error)
    prepared = [_prepared(parts[name], name, where, error) for name in before]
    methods = libraries.methods(parts[last])
    transform = None if methods else libraries.transform(parts[last])
    if transform is not None:
        methods = {"transformed": transform}
    if not methods:
        raise error(f"{where}: the part {last!r} does not predict; {WAY_OUT}")
    return lambda batch, only=(): _answered(prepared, methods, batch, only)


def quickly(pipeline: Any, parts: Mapping[str, Any], where: str) -> Answer | None:
    """The same function with less around it, where the family of a part knows how; None if none does. Whether
    its answers are the same remains to be seen."""
    if callable(pipeline):
        return None
    names = steps_of(pipeline, parts, where, IncompatibleError)
    quick = {name: libraries.quick(parts[name]) for name in names}
    *before, last = names
    prepared = [
        (each.transform if (each := quick[name]) is not None else None)
        or _prepared(parts[name], name, where, IncompatibleError)
        for name in before
    ]
    methods = dict(libraries.methods(parts[last]))
    if not methods or not any(quick.values()):
        return None
    if (found := quick[last]) is not None:
        methods |= {name: each for name, each in found.methods.items() if name in methods}
    return lambda batch, only=(): _answered(prepared, methods, batch, only)


def _prepared(part: Any, name: str, where: str, error: Refusal) -> Method:
    found = libraries.transform(part)
    if found is None:
        raise error(f"{where}: the part {name!r} does not transform inputs; {WAY_OUT}")
    return found


def _answered(
    prepared: list[Method], methods: Mapping[str, Method], batch: Any, only: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    for step in prepared:
        batch = step(batch)
    found: dict[str, NDArray[Any]] = {}
    known = {name: method for name, method in methods.items() if name in only} or methods
    for left, (name, method) in zip(range(len(known))[::-1], known.items(), strict=True):
        given = deepcopy(batch) if left else batch  # some models work where their input is
        found |= libraries.arrays(method(given), name)
    return _only(found, only)


def _only(found: dict[str, NDArray[Any]], only: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    return {name: found[name] for name in only} if only else found
