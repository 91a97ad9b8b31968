"""Asks the families in use how their libraries predict, and plain Python last."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver import registry
from saver.errors import CannotSaveError, IncompatibleError, quoted
from saver.family import Family
from saver.predicting import plain
from saver.predicting.contract import Method, Predicting, Quick, Taken
from saver.schema import Schema

NUMPY = "numpy"

_ELEMENTS = (int, float, str, list, np.generic)
"""What a list of answers by row holds; one of anything else has an output in each place."""


def _in_use() -> Iterator[tuple[str, Predicting]]:
    """What the families of imported libraries say, and what holds for all. Imports none."""
    for family in registry.families():
        if family.predicting and family.packages[0] in sys.modules:
            yield family.name, _of(family)
    yield NUMPY, plain.PREDICTING


def _of(family: Family) -> Predicting:
    found: Predicting = family.module("predicting").PREDICTING  # type: ignore[union-attr]
    return found


def taken(example: Any, where: str = "example") -> tuple[str, Taken]:
    """An example taken apart, with the name of the family that knows it. Raises CannotSaveError."""
    for name, predicting in _in_use():
        found = predicting.taken(example)
        if found is not None:
            _demand_rows(found, where)
            return name, found
    kind = f"{type(example).__module__}.{type(example).__qualname__}"
    raise CannotSaveError(
        f"{where}: rows cannot be taken from {quoted(kind)}; pass an array, a frame, a tensor, a dict of "
        "those by name, or a list of texts"
    )


def _demand_rows(found: Taken, where: str) -> None:
    for name, column in found.columns.items():
        if len(column.values) != found.rows:
            raise CannotSaveError(
                f"{where}[{name!r}]: it has {len(column.values):,} rows, and others have {found.rows:,}; "
                "the first axis must count the same rows in all of them"
            )
    if found.rows == 0:
        raise CannotSaveError(f"{where}: it has no rows; pass some that the model has seen")


def made(schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A batch in the container that the model takes. Imports its library."""
    if schema.library == NUMPY:
        return plain.PREDICTING.made(schema, arrays)
    if not registry.is_own(schema.library) or not registry.family(schema.library).predicting:
        raise IncompatibleError(
            f"the schema wants a container of {quoted(schema.library)}, which this Saver does not make; "
            "install a newer one"
        )
    return _of(registry.family(schema.library)).made(schema, arrays)


def methods(model: Any) -> Mapping[str, Method]:
    """How a model answers, by output; empty if it does not."""
    return next((found for _, each in _in_use() if (found := each.methods(model))), {})


def transform(model: Any) -> Method | None:
    """How an object changes inputs for the next step."""
    found = (each.transform(model) for _, each in _in_use())
    return next((each for each in found if each is not None), None)


def quick(model: Any) -> Quick | None:
    """How a model answers with the same bits and less around it; None if no family knows."""
    found = (each.quick(model) for _, each in _in_use())
    return next((each for each in found if each is not None), None)


def settle(model: Any) -> None:
    """Make a loaded model, which nobody else uses, ready to answer."""
    for _, predicting in _in_use():
        predicting.settle(model)


def arrays(value: Any, name: str) -> dict[str, NDArray[Any]]:
    """An answer as arrays by name. A mapping has one for each key; a tuple, one for each place. Raises
    IncompatibleError."""
    if isinstance(value, Mapping):
        several = {str(key): each for key, each in value.items() if each is not None}
        return {key: _array(each, key) for key, each in several.items()}
    if isinstance(value, (tuple, list)) and value and not isinstance(value[0], _ELEMENTS):
        return {f"{name}_{at}": _array(each, f"{name}_{at}") for at, each in enumerate(value)}
    return {name: _array(value, name)}


def _array(value: Any, name: str) -> NDArray[Any]:
    own = (value,) if type(value) is np.ndarray else (each.array(value) for _, each in _in_use())
    for found in own:
        if found is not None:
            return found.astype(object) if found.dtype.kind in "UT" else found
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise IncompatibleError(
        f"the output {name!r} is {quoted(kind)}, which has no form as an array; let a function answer "
        "with arrays, as in pipeline=mypackage.predict, see docs/predictions.md"
    )
