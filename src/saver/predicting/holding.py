"""Golden inputs are held against what the version says of them, before a model makes anything of them: a few
bytes of a tree may stand for more rows than fit into memory."""

from __future__ import annotations

import math
from typing import Any

from saver.errors import IncompatibleError

BYTES = 4 << 20
"""About so many bytes of inputs are kept at most: a small version stays one file. One row is kept anyway."""


def demand_held(inputs: Any, rows: int, recorded: int, where: str) -> None:
    """Raise IncompatibleError unless `inputs`, or all that they have by name, are so many rows, and not many
    more values than bytes were `recorded`. Makes no array of them."""
    total, limit = 0, max(BYTES, recorded)
    for each in inputs.values() if type(inputs) is dict else [inputs]:
        there, values = _extent(each)
        if there != rows:
            raise IncompatibleError(
                f"{where}: its golden inputs are not the {rows:,} rows that it speaks of; the file is not "
                "one that Saver writes: get it again from where it was saved"
            )
        total += values
    if total > limit:
        raise IncompatibleError(
            f"{where}: its golden inputs are {total:,} values, and no more than {limit:,} were recorded; the "
            "file is not one that Saver writes: get it again from where it was saved"
        )


def _extent(each: Any) -> tuple[int, int]:
    """How many rows and values something has; of a sparse matrix, the values that it holds. No rows for what
    is neither a list of texts nor has a shape."""
    if type(each) is list:
        return (len(each), len(each)) if all(type(text) is str for text in each) else (-1, 0)
    shape = getattr(each, "shape", None)
    if not isinstance(shape, tuple) or not shape or not all(isinstance(axis, int) for axis in shape):
        return -1, 0
    held = getattr(each, "nnz", None)
    return shape[0], held if isinstance(held, int) else math.prod(shape)
