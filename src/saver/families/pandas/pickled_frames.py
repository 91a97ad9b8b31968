"""How frames, series and indexes lie in pickles: with the block managers of all versions since 0.20."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import Encoder
from saver.families.numpy.pickles import array_of
from saver.families.pandas.pickled_arrays import arguments_of, block_of, integers, rows_of, values_of
from saver.families.pandas.pickled_parts import bare, class_of, held
from saver.pickled import Call, Global, NotReadError, Pairs, Pickled, Repeats, fields_of, sequence
from saver.tree import Value

_FREQUENT = ("DatetimeIndex", "TimedeltaIndex")
_STATE = frozenset(("_mgr", "_data", "_typ", "_metadata", "attrs", "_attrs", "_flags", "name", "_name"))


class IndexPickled(Pickled):
    """Every index with one level."""

    name = "pandas.Index"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own, kind = arguments_of(obj), class_of(obj)
        values = values_of(obj)
        state: dict[str, Value] = {
            "values": encoder(values, "values"), "name": encoder(own.get("name"), "name"),
        }  # fmt: skip
        if kind in _FREQUENT:
            freq = held(values).get("_freq", own.get("freq"))
            freq = own.get("freq") if freq is None else freq
            if freq is not None:
                state["freq"] = encoder(freq, "freq")
        return state


class RangeIndexPickled(Pickled):
    """Start, stop and step."""

    name = "pandas.RangeIndex"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = arguments_of(obj)
        limits = [own.get(name) for name in ("start", "stop", "step")]
        if not all(type(limit) is int for limit in limits):
            raise NotReadError("a range does not consist of three numbers")
        return [*map(encoder, limits), encoder(own.get("name"), "name")]


class MultiIndexPickled(Pickled):
    """Levels, and a code for every row in each of them; before 0.24, codes were called labels."""

    name = "pandas.MultiIndex"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = arguments_of(obj)
        parts = [
            sequence(part, f"the {name} of an index")
            for name, part in (
                ("levels", own.get("levels")), ("codes", own.get("codes", own.get("labels"))),
                ("names", own.get("names")),
            )
        ]  # fmt: skip
        levels, codes, names = parts
        encoder.shared(Repeats).charge(own.get("levels"), len(levels))
        if not len(levels) == len(codes) == len(names):
            raise NotReadError(f"an index has {len(levels)} levels, {len(codes)} codes, {len(names)} names")
        order = own.get("sortorder")
        if not (order is None or type(order) is int):
            raise NotReadError("the sort order of an index is not a number")
        return {
            "levels": [encoder(level, "levels", at) for at, level in enumerate(levels)],
            "codes": [encoder.own(integers(array), "codes", at) for at, array in enumerate(codes)],
            "names": [encoder(name, "names", at) for at, name in enumerate(names)],
            "sortorder": order,
        }


class PartPickled(Pickled):
    """The parts of frames, series and sparse arrays: they have no form outside of those."""

    name = "pandas.DataFrame"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        raise NotReadError(f"a {bare(obj.function).lstrip('_')} lies outside of a frame or array")


def _managed(call: Call, encoder: Encoder) -> tuple[dict[str, Any], list[Any], list[tuple[Any, Any]]]:
    """The attributes of a frame or series, its axes, and its blocks: values, and their places."""
    own = held(call)
    foreign = own.keys() - _STATE
    if foreign:
        raise NotReadError(f"a {call.function.name} has an attribute {min(foreign)[:80]!r} of its own")
    manager: Any = own.get("_mgr", own.get("_data"))
    if class_of(manager) not in ("BlockManager", "SingleBlockManager"):
        raise NotReadError(f"a {call.function.name} has no blocks")
    if manager.args:
        blocks, axes = (*manager.args, None)[:2]
        encoder.shared(Repeats).charge(blocks, len(blocks) if type(blocks) in (list, tuple) else 1)
        blocks = blocks if type(blocks) in (list, tuple) else [blocks]
        return own, sequence(axes, "the axes of a frame"), [*map(_block, blocks)]
    state = sequence(manager.state, "the state of a frame")
    kept = fields_of(state[3], "the state of a frame").get("0.14.1") if len(state) == 4 else None
    parts = fields_of(kept, "the state of a frame")
    listed = sequence(parts.get("blocks"), "the blocks of a frame")
    encoder.shared(Repeats).charge(parts.get("blocks"), len(listed))
    found = [fields_of(block, "a block") for block in listed]
    pairs = [(block.get("values"), block.get("mgr_locs")) for block in found]
    return own, sequence(parts.get("axes"), "the axes of a frame"), pairs


def _block(call: Any) -> tuple[Any, Any]:
    if type(call) is not Call or bare(call.function) not in ("_unpickle_block", "new_block"):
        raise NotReadError("a block of a frame is missing")
    named = fields_of(call.kwargs, "the arguments of a block") if call.kwargs is not None else {}
    values, placement, *_ = (*call.args, named.get("values"), named.get("placement"))
    return values, placement


def _places(value: Any, width: int) -> NDArray[Any]:
    """The positions of the columns of a block."""
    if type(value) is Call and value.function == Global("builtins", "slice"):
        limits = value.args
        if not all(type(limit) is int for limit in limits) or len(limits) != 3 or limits[2] == 0:
            raise NotReadError("the places of a block are not a range")
        spread = range(*limits)
        if len(spread) != width:
            raise NotReadError(f"a block of {width} columns has places for {len(spread):,}")
        return np.arange(limits[0], limits[1], limits[2], dtype=np.int64)
    array = array_of(value)
    if array.dtype.kind not in "iu" or array.shape != (width,):
        raise NotReadError(f"a block of {width} columns has places for {array.shape}")
    return array.astype(np.int64)


def _columns(blocks: list[tuple[Any, Any]], encoder: Encoder) -> Iterator[tuple[Any, NDArray[Any]]]:
    """The columns by dtype, as a frame is saved: values, and their positions."""
    heights = set()
    for values, placement in blocks:
        width, height, rows = rows_of(values, encoder)
        places = _places(placement, width)
        heights.add(height)
        if len(heights - {None}) > 1:
            raise NotReadError("the blocks of a frame have different numbers of rows")
        if rows is not None:
            for at, row in enumerate(rows):
                yield row, places[at : at + 1]
        elif width:
            yield block_of(values), places


def _extras(own: dict[str, Any], encoder: Encoder) -> dict[str, Value]:
    found: dict[str, Value] = {}
    attributes = own.get("attrs", own.get("_attrs"))
    if type(attributes) is Pairs and attributes.items:
        found["attrs"] = encoder(attributes, "attrs")
    flags = own.get("_flags")
    if flags is not None and fields_of(flags, "the flags").get("allows_duplicate_labels") is False:
        found["allows_duplicate_labels"] = False
    return found


class FramePickled(Pickled):
    """Frames: blocks of columns of one dtype, and the position of each column in the frame."""

    name = "pandas.DataFrame"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own, axes, blocks = _managed(obj, encoder)
        if len(axes) != 2:
            raise NotReadError(f"a frame has {len(axes)} axes")
        found = sorted(_columns(blocks, encoder), key=lambda block: int(block[1][0]))
        used = np.sort(np.concatenate([np.empty(0, np.int64), *(places for _, places in found)]))
        if not np.array_equal(used, np.arange(len(used))):
            raise NotReadError(f"the blocks of a frame do not fill each of {len(used):,} columns once")
        return {
            "blocks": [
                [encoder(values, "blocks", number), encoder(places, "places", number)]
                for number, (values, places) in enumerate(found)
            ],
            "index": encoder(axes[1], "index"),
            "columns": encoder(axes[0], "columns"),
            **_extras(own, encoder),
        }


class SeriesPickled(Pickled):
    """Values, index, name, attributes and flags."""

    name = "pandas.Series"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own, axes, blocks = _managed(obj, encoder)
        if len(axes) != 1 or len(blocks) != 1:
            raise NotReadError(f"a series has {len(axes)} axes and {len(blocks)} blocks")
        return {
            "values": encoder(values_of(blocks[0][0]), "values"),
            "index": encoder(axes[0], "index"),
            "name": encoder(own.get("_name", own.get("name")), "name"),
            **_extras(own, encoder),
        }


_INDEX, _PART = IndexPickled(), PartPickled()
_PLAIN = (
    "Index", "Int64Index", "UInt64Index", "Float64Index", "DatetimeIndex", "TimedeltaIndex", "PeriodIndex",
    "IntervalIndex", "CategoricalIndex",
)  # fmt: skip
INDEXES: dict[str, Pickled] = {
    **dict.fromkeys(_PLAIN, _INDEX), "RangeIndex": RangeIndexPickled(), "MultiIndex": MultiIndexPickled(),
}  # fmt: skip
FRAMES: dict[str, Pickled] = {"DataFrame": FramePickled(), "Series": SeriesPickled()}
PARTS: dict[str, Pickled] = dict.fromkeys(
    ("BlockManager", "SingleBlockManager", "_unpickle_block", "new_block", "IntIndex", "BlockIndex"), _PART
)
"""Each by the bare name of the class."""
