"""pandas: frames, series and indexes; their arrays and scalars are in the files beside this one.

A frame is stored as pandas holds it: columns of one NumPy dtype are stored together, so that a thousand
columns of numbers are one tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from saver.codec import Codec, Decoder, Encoder, is_array, special
from saver.families.pandas.arrays import ARRAYS, check_codes, ndarray
from saver.families.pandas.base import PandasCodec
from saver.families.pandas.dtypes import UNITS
from saver.families.pandas.scalars import SCALARS
from saver.families.python.items import hashable
from saver.rules import Broken
from saver.tree import Node, Value

_UNITS = [(unit, 1) for unit in UNITS]
_FREQUENT = (pd.DatetimeIndex, pd.TimedeltaIndex)


def _values(value: Any, what: str) -> Any:
    """A column of values: a NumPy array that pandas can hold, or an extension array."""
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return value
    if is_array(value) and value.ndim == 1 and _can_hold(value.dtype):
        return value
    raise Broken("4.09", f"the values of {what} are not a column")


def _can_hold(dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "mM":
        return np.datetime_data(dtype) in _UNITS and dtype.isnative
    return dtype.kind in "biufcO"


def _name(value: Value, decoder: Decoder) -> Any:
    """The name of a series or an index, which pandas hashes."""
    return hashable([decoder(value)], decoder)[0]


class IndexCodec(PandasCodec):
    """Every index with one level; its kind follows from its values."""

    name = "pandas.Index"
    types = (
        pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.IntervalIndex, pd.CategoricalIndex,
    )  # fmt: skip

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state: dict[str, Value] = {
            "values": encoder(obj._values, "values"),
            "name": encoder(obj.name, "name"),
        }
        if isinstance(obj, _FREQUENT) and obj.freq is not None:
            state["freq"] = encoder(obj.freq, "freq")
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        values = _values(decoder(state["values"]), "an index")
        if is_array(values) and values.dtype == object:  # labels are hashed
            hashable(values.tolist(), decoder)
        found: Any = pd.Index(
            values, dtype=values.dtype, name=_name(state["name"], decoder), copy=False, tupleize_cols=False
        )
        if "freq" in state:
            frequency = decoder(state["freq"])
            if not isinstance(found, _FREQUENT) or not isinstance(frequency, pd.offsets.BaseOffset):
                raise ValueError("only dates and durations have a frequency")
            found.freq = frequency
        return found


class RangeIndexCodec(PandasCodec):
    """Start, stop and step."""

    name = "pandas.RangeIndex"
    types = (pd.RangeIndex,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return [
            *(encoder(getattr(obj, name)) for name in ("start", "stop", "step")),
            encoder(obj.name, "name"),
        ]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        start, stop, step = map(decoder, node.state[:3])
        name = _name(node.state[3], decoder)
        return pd.RangeIndex(start, stop, step, name=name)


class MultiIndexCodec(PandasCodec):
    """Levels, and a code for every row in each of them."""

    name = "pandas.MultiIndex"
    types = (pd.MultiIndex,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return {
            "levels": [encoder(level, "levels", i) for i, level in enumerate(obj.levels)],
            "codes": [encoder.own(np.asarray(codes), "codes", i) for i, codes in enumerate(obj.codes)],
            "names": [encoder(name, "names", i) for i, name in enumerate(obj.names)],
            "sortorder": obj.sortorder,
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        levels, names = [*map(decoder, state["levels"])], [_name(name, decoder) for name in state["names"]]
        codes = [*map(decoder.own, state["codes"])]
        if not all(isinstance(level, pd.Index) for level in levels):
            raise ValueError("levels must be indexes")
        for array in codes:
            decoder.budget.charge(ndarray(array, "i", "codes").nbytes, 100)
        for array, level in zip(codes, levels, strict=True):
            check_codes(array, len(level))
        return pd.MultiIndex(levels, codes, sortorder=state["sortorder"], names=names, verify_integrity=True)


def _encode_extras(obj: Any, encoder: Encoder) -> dict[str, Value]:
    extras: dict[str, Value] = {}
    if obj.attrs:
        extras["attrs"] = encoder(obj.attrs, "attrs")
    if not obj.flags.allows_duplicate_labels:
        extras["allows_duplicate_labels"] = False
    return extras


def _decode_extras(state: Any, obj: Any, decoder: Decoder) -> None:
    if "attrs" in state:
        attributes = decoder(state["attrs"])
        if type(attributes) is not dict:
            raise ValueError("attrs must be a dict")
        object.__setattr__(obj, "_attrs", attributes)  # pandas itself would copy it, maybe unfinished
    if state.get("allows_duplicate_labels") is False:
        obj.flags.allows_duplicate_labels = False


def _refuse(why: str) -> NoReturn:
    raise Broken("4.10", why)


def _check_labels(labels: Any, what: str, refuse: Callable[[str], NoReturn]) -> int:
    """Refuse labels that Python and NumPy look up by themselves, since pandas shows labels as attributes: a
    column `__array_interface__` would be a pointer. Returns how many steps that took."""
    if isinstance(labels, pd.MultiIndex):
        return sum(_check_labels(level, what, refuse) for level in labels.levels)
    if isinstance(labels, pd.CategoricalIndex):
        return _check_labels(labels.categories, what, refuse)
    if labels.dtype != object and not isinstance(labels.dtype, (pd.StringDtype, pd.ArrowDtype)):
        return 1
    for label in labels:
        if type(label) is str and special(label):
            refuse(f"a {what} is called {label!r}, which Python and NumPy look up by themselves; rename it")
    return len(labels) // 8


def _index(value: Any) -> Any:
    if not isinstance(value, pd.Index):
        raise Broken("4.09", "an index is missing")
    return value


class SeriesCodec(PandasCodec):
    """Values, index, name, attributes and flags."""

    name = "pandas.Series"
    types = (pd.Series,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        _check_labels(obj.index, "row", encoder.refuse)
        return {
            "values": encoder(obj._values, "values"),
            "index": encoder(obj.index, "index"),
            "name": encoder(obj.name, "name"),
            **_encode_extras(obj, encoder),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        values, index = _values(decoder(state["values"]), "a series"), _index(decoder(state["index"]))
        if len(values) != len(index):
            raise Broken("4.09", f"there are {len(values)} values for an index of {len(index)}")
        decoder.budget.charge(steps=_check_labels(index, "row", _refuse))
        found = pd.Series(
            values, index=index, dtype=values.dtype, name=_name(state["name"], decoder), copy=False
        )
        _decode_extras(state, found, decoder)
        return found


class FrameCodec(PandasCodec):
    """Frames: blocks of columns of one dtype, and the position of each column in the frame."""

    name = "pandas.DataFrame"
    types = (pd.DataFrame,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        _check_labels(obj.columns, "column", encoder.refuse)
        return {
            "blocks": [
                [encoder(values, "blocks", number), encoder(places, "places", number)]
                for number, (values, places) in enumerate(sorted(_blocks(obj), key=_first_place))
            ],
            "index": encoder(obj.index, "index"),
            "columns": encoder(obj.columns, "columns"),
            **_encode_extras(obj, encoder),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        index, columns = _index(decoder(state["index"])), _index(decoder(state["columns"]))
        decoder.budget.charge(steps=_check_labels(columns, "column", _refuse))
        blocks = [(decoder(values), decoder(places)) for values, places in state["blocks"]]
        for values, places in blocks:
            ndarray(places, "i", "places")
            _check_block(values, len(places), len(index))
        used = np.sort(np.concatenate([np.empty(0, np.int64), *(places for _, places in blocks)]))
        if not np.array_equal(used, np.arange(len(used))) or len(used) != len(columns):
            raise Broken("4.09", f"the blocks do not fill each of {len(columns)} columns exactly once")
        found = _frame(blocks, index, columns)
        _decode_extras(state, found, decoder)
        return found


def _blocks(frame: Any) -> Iterator[tuple[Any, Any]]:
    """The columns of a frame by dtype, without copies: values (columns by rows), and their positions.

    Each column of objects or of an extension type is a block of its own.
    """
    for block in frame._mgr.blocks:
        values, places = block.values, np.asarray(block.mgr_locs.as_array, np.int64)
        if not len(places):
            continue
        if is_array(values) and values.dtype.kind != "O":
            yield values, places
        elif values.ndim == 2 and values.dtype.kind in "mM" and isinstance(values.dtype, np.dtype):
            yield values._ndarray, places  # dates and durations without a time zone
        elif values.ndim == 2:
            for row in range(len(places)):
                yield values[row], places[row : row + 1]
        else:
            yield values, places


def _first_place(block: tuple[Any, Any]) -> int:
    return int(block[1][0])


def _check_block(values: Any, width: int, height: int) -> None:
    if is_array(values) and values.ndim == 2 and _can_hold(values.dtype):
        shape = values.shape
    else:
        shape = (1, len(_values(values, "a frame")))
    if shape != (width, height):
        raise Broken("4.09", f"a block has {shape[0]} columns and {shape[1]} rows, not {width} and {height}")


def _frame(blocks: list[tuple[Any, Any]], index: Any, columns: Any) -> Any:
    """A frame made of blocks that were checked."""
    try:
        from pandas.api.internals import create_dataframe_from_blocks
    except ImportError:
        data = {place: row for values, places in blocks for row, place in _rows(values, places)}
        found = pd.DataFrame({place: data[place] for place in sorted(data)}, index=index, copy=False)
        found.columns = columns
        return found
    whole = [
        (values.reshape(1, -1) if is_array(values) and values.ndim == 1 else values, places)
        for values, places in blocks
    ]
    return create_dataframe_from_blocks(whole, index=index, columns=columns)


def _rows(values: Any, places: Any) -> Iterator[tuple[Any, int]]:
    rows = values if values.ndim == 2 else [values]
    for row, place in zip(rows, places.tolist(), strict=True):
        yield pd.Series(row, dtype=row.dtype, copy=False).array, place


CODECS: tuple[Codec, ...] = (
    FrameCodec(), SeriesCodec(), IndexCodec(), RangeIndexCodec(), MultiIndexCodec(), *ARRAYS, *SCALARS,
)  # fmt: skip
