"""What does not fit a schema, by row and column."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.errors import BadInputError, quoted

if TYPE_CHECKING:
    from saver.schema.fields import Field

LIMIT = 20
"""Problems that an error lists."""


class Problem(msgspec.Struct, frozen=True):
    """A value that does not fit: its row and its column, what was wanted, and what came. `row` is None if it
    is about the whole column; a column of an array with two axes is `input[2]`."""

    row: int | None
    column: str
    wanted: str
    came: str

    def text(self) -> str:
        row = "" if self.row is None else f"row {self.row:,}, "
        return f"{row}column {quoted(self.column)}: wanted {self.wanted}, {self.came} came"


class Wrong(Exception):
    """Problems of one field."""

    def __init__(self, problems: Iterator[Problem]) -> None:
        self.problems = problems


def refuse(problems: list[Problem]) -> BadInputError:
    """The error that lists them."""
    shown = "; ".join(problem.text() for problem in problems[:5])
    more = f"; and {len(problems) - 5:,} more" if len(problems) > 5 else ""
    return BadInputError(f"the input does not fit the schema: {shown}{more}", tuple(problems[:LIMIT]))


def each_bad(
    field: Field, array: NDArray[Any] | None, bad: NDArray[np.bool_], wanted: str
) -> Iterator[Problem]:
    for place in np.argwhere(bad):
        row, *inner = (int(at) for at in place)
        column = field.name + "".join(f"[{at}]" for at in inner)
        came = "a missing value" if array is None else came_as(array[tuple(place)])
        yield Problem(row, column, wanted, came)


def wrong_field(field: Field, row: int | None, wanted: str, came: str) -> Wrong:
    return Wrong(iter([Problem(row, field.name, wanted, came)]))


def came_as(value: Any) -> str:
    if value is None:
        return "a missing value"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)} values"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {quoted(value, 40)}"
    if isinstance(value, int) and value.bit_length() > 200:  # whose digits would take long to write
        return f"an integer of {value.bit_length()} bits"
    return f"{value!s:.40}"
