"""The events of a training log: four columns of values, each written as a list or as a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from saver.codec import Decoder
from saver.training_log.content import Event
from saver.tree import SCALARS

MOST = 100_000
"""A log with more events than this is not read: no training saves as often."""

TYPES = (str, int, float, str)
DTYPES = {"float": "F64", "int": "I64"}


def events(state: Any, decoder: Decoder) -> Sequence[Event]:
    """The events. Raises ValueError, TypeError or KeyError for a state that no Saver wrote."""
    columns = [_values(column, decoder) for column in state]
    if any(len(column) > MOST for column in columns):
        raise ValueError(f"it has more than {MOST:,} events")
    found = [Event(*fields) for fields in zip(*columns, strict=True)]
    if len(columns) != len(TYPES) or any(tuple(map(type, event)) != TYPES for event in found):
        raise ValueError("an event does not consist of a str, an int, a float and a str")
    return found


def _values(column: Any, decoder: Decoder) -> list[Any]:
    if type(column) is list:
        return [value if type(value) in SCALARS else decoder(value) for value in column[: MOST + 1]]
    (kind,) = column.keys() - {"ends"}
    if kind in DTYPES:
        return list(decoder.array(column[kind], DTYPES[kind], 1).tolist())
    data = decoder.array(column["str"], "U8", 1).tobytes()
    ends = [0, *decoder.array(column["ends"], "I64", 1)[: MOST + 1].tolist()]
    if any(not 0 <= start <= end <= len(data) for start, end in pairwise(ends)):
        raise ValueError("the ends of strings do not fit their bytes")
    return [data[start:end].decode("utf-8", "backslashreplace") for start, end in pairwise(ends)]
