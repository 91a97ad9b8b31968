"""Saver's own objects that are parts of versions."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder
from saver.families.python.columns import decode_run, encode_run
from saver.families.python.restoring import told
from saver.restoring import PartReport, Plan, Restorer, Saved
from saver.restoring.contract import kind
from saver.tensors import NUMPY_DTYPE
from saver.training_log import Column, Content, Event, TrainingLog
from saver.tree import Node, Tensor, Value, reserved

LARGEST, SMALLEST = 1 << 16, 1 << 10
"""The rows of a piece, at most and at least. A log grows at its end, so all pieces but the last few are in
the store already."""


class TrainingLogCodec(Codec):
    """Arrays of steps and times, one for each metric, and the events by column. Arrays are cut into pieces.

    `columns` are `[rows, values]` by name, in order; `rows` is the number of the first row if the others
    follow without a gap, otherwise an array of row numbers. A name that cannot be a key, or begins with a
    backslash, gets one more backslash before it. `events` are the runs of kinds, steps, times and refs.
    """

    name = "saver.TrainingLog"
    types = (TrainingLog,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        steps, times, columns, events = obj.content()
        return {
            "steps": _array(steps, encoder, "step"),
            "times": _array(times, encoder, "time"),
            "columns": {
                f"\\{name}" if reserved(name) or name[0] == "\\" else name: [
                    rows if isinstance(rows, int) else _array(rows, encoder, name, "rows"),
                    _array(values, encoder, name),
                ]
                for name, (rows, values) in columns.items()
            },
            "events": [
                encode_run([event[at] for event in events], encoder, "events", field)
                for at, field in enumerate(Event._fields)
            ],
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state, met = node.state, set[str]()
        columns = {
            name.removeprefix("\\"): Column(
                rows if type(rows) is int else _read(rows, "I64", decoder, met),
                _read(values, "F64", decoder, met),
            )
            for name, (rows, values) in state["columns"].items()
        }
        steps, times = (_read(state[name], kind, decoder, met) for name, kind in _OF_ALL_ROWS)
        return TrainingLog.of(Content(steps, times, columns, _events(state["events"], decoder)))


_OF_ALL_ROWS = (("steps", "I64"), ("times", "F64"))


def _events(state: Any, decoder: Decoder) -> Sequence[Event]:
    kinds, steps, times, refs = (decode_run(run, decoder) for run in state)
    events = [Event(*fields) for fields in zip(kinds, steps, times, refs, strict=True)]
    for event in events:
        if tuple(map(type, event)) != (str, int, float, str):
            raise ValueError("an event does not consist of a str, an int, a float and a str")
    return events


def cuts(count: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of `count` rows begin and end: as many of size `LARGEST` as possible, then of half of
    it, a quarter …, and the rest. While rows are added, each is moved to a new piece seven times at most.
    """
    at, size = 0, LARGEST
    while at < count:
        while size > SMALLEST and at + size > count:
            size //= 2
        yield at, min(at + size, count)
        at += size


def _array(array: NDArray[Any], encoder: Encoder, *steps: str) -> Value:
    """A column: a piece, or a list of them."""
    pieces = [_piece(array[start:end], encoder, *steps) for start, end in cuts(len(array))]
    return pieces[0] if len(pieces) == 1 else pieces or ""


def _piece(array: NDArray[Any], encoder: Encoder, *steps: str) -> Value:
    """A piece as base64 text if it is short, otherwise as a tensor."""
    if array.nbytes <= INLINE_BYTES:
        return b64encode(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()).decode()
    return encoder.tensor(array, *steps)


def _read(value: Any, dtype: str, decoder: Decoder, met: set[str]) -> NDArray[Any]:
    """A column. `met` are the tensors that were copied: a file that names one twice would take memory
    without having the bytes."""
    if isinstance(value, list):
        names = [piece.name for piece in value if isinstance(piece, Tensor)]
        if len({*names} | met) < len(names) + len(met) or any(isinstance(piece, list) for piece in value):
            raise ValueError("the pieces of a column do not form one array")
        met.update(names)
        return np.concatenate([_read(piece, dtype, decoder, met) for piece in value])
    if isinstance(value, str):
        return np.frombuffer(b64decode(value, validate=True), NUMPY_DTYPE[dtype])
    return decoder.array(value, dtype, 1)


class TrainingLogRestorer(Restorer):
    """A log, whose content becomes the saved one; new rows are appended to that."""

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, TrainingLog)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        node = saved.follow(value)
        if type(node) is not Node or node.codec != TrainingLogCodec.name:
            saved.refuse(f"{told(node)} was saved, not a TrainingLog; take it from `load`")
        saved.want(node)

        def ready(decoder: Decoder) -> Callable[[], None]:
            found = decoder(node)
            return lambda: target.replace(found)

        return Plan(PartReport(kind(target), ("value",)), ready)


CODECS: tuple[Codec, ...] = (TrainingLogCodec(),)

RESTORERS: tuple[Restorer, ...] = (TrainingLogRestorer(),)
