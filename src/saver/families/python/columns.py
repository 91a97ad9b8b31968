"""Long runs of items of one type as one tensor: a vocabulary of a million words is two tensors, not JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from saver.codec import Decoder, Encoder
from saver.rules import Broken
from saver.tree import Value

LONG = 64
"""Shorter runs are smaller and more readable as JSON."""

PLAIN = frozenset((str, int, float, bool, type(None)))
"""The classes of values that are themselves in a tree."""


def encode_run(items: Sequence[Any], encoder: Encoder, *step: str) -> Value:
    """The values of a sequence: a column if they are all floats, ints or strings, otherwise a JSON array."""
    column = _column(items, encoder, step)
    if column is not None:
        return column
    return [encoder.slot(item, *step, index) for index, item in enumerate(items)]


def encode_whole_run(items: Sequence[Any], encoder: Encoder, *step: str) -> Value:
    """The same for what `decode_run` reads: none of the values can be filled in later."""
    column = _column(items, encoder, step)
    if column is not None:
        return column
    return [encoder(item, *step, index) for index, item in enumerate(items)]


def _column(items: Sequence[Any], encoder: Encoder, step: tuple[str, ...]) -> Value:
    if len(items) < LONG:
        return None
    kinds = set(map(type, items))
    if kinds == {float}:
        return {"float": encoder.tensor(np.array(items, np.float64), *step)}
    if kinds == {bool}:
        return {"bool": encoder.tensor(np.array(items, np.bool_), *step)}
    if kinds == {int} and min(items) >= -(2**63) and max(items) < 2**63:
        return {"int": encoder.tensor(np.array(items, np.int64), *step)}
    if kinds == {str}:
        texts = [text.encode("utf-8", "surrogatepass") for text in items]
        return {
            "str": encoder.tensor(np.frombuffer(b"".join(texts), np.uint8), *step),
            "ends": encoder.tensor(np.array(list(accumulate(map(len, texts))), np.int64), *step, "ends"),
        }
    return None


def decode_column(state: Any, decoder: Decoder) -> list[Any]:
    """The Python values of a column."""
    if type(state) is not dict or not state:
        raise Broken("3.06" if type(state) is dict else "3.01", "it is neither a list nor a column")
    kind = "str" if "str" in state else next(iter(state))
    if state.keys() != ({"str", "ends"} if kind == "str" else {kind}) or kind not in _DTYPES:
        raise Broken("3.06", "it is not a column")
    if kind == "str":
        data = decoder.array(state["str"], "U8", 1, "3.06").tobytes()
        ends = decoder.array(state["ends"], "I64", 1, "3.06").tolist()
        if (ends[-1] if ends else 0) != len(data) or any(b < a for a, b in pairwise([0, *ends])):
            raise Broken("3.07", "the ends of strings do not fit their bytes")
        try:
            return [data[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise([0, *ends])]
        except UnicodeDecodeError as error:
            raise Broken("3.05", str(error)) from None
    return decoder.array(state[kind], _DTYPES[kind], 1, "3.06").tolist()  # type: ignore[no-any-return]


_DTYPES = {"float": "F64", "bool": "BOOL", "int": "I64", "str": "U8"}
"""The kinds of columns, and the dtypes of their values."""


def fill_run(state: Any, decoder: Decoder, target: list[Any]) -> None:
    """Append the decoded values to `target`, which objects in a cycle may already refer to."""
    if type(state) is not list:
        target.extend(decode_column(state, decoder))
        return
    decoder.extend(target, state)


def decode_run(state: Any, decoder: Decoder) -> Iterable[Any]:
    """The decoded values, for an object that must be complete before anything can refer to it."""
    if type(state) is not list:
        return decode_column(state, decoder)
    return [value if type(value) in PLAIN else decoder(value) for value in state]


def held_items(state: Any) -> Mapping[Any, Value] | None:
    """The items that `encode_items` encoded, not decoded; None unless all keys are plain values and no two of
    them are equal."""
    if type(state) is dict:
        return state
    if type(state) is not list or len(state) != 2 or not all(type(run) is list for run in state):
        return None
    keys, values = state
    plain = len(keys) == len(values) and all(type(key) in PLAIN for key in keys)
    found = dict(zip(keys, values, strict=True)) if plain else {}
    return found if len(found) == len(keys) and plain else None
