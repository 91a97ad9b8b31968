"""Saver's own objects that are parts of versions."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder
from saver.codecs._columns import decode_run, encode_run
from saver.codecs._restoring import told
from saver.restoring import PartReport, Plan, Restorer, Saved
from saver.restoring.contract import kind
from saver.training_log import Column, Content, Event, TrainingLog
from saver.tree import NUMPY_DTYPE, Node, Value, reserved


class TrainingLogCodec(Codec):
    """Arrays of steps and times, one for each metric, and the events by column.

    `columns` are `[rows, values]` by name, in order; `rows` is the number of the first row where the others
    follow without a gap, otherwise an array of them. A name that may be no key, or begins with a backslash,
    has one more of those before it. `events` are the runs of kinds, steps, times and refs.
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
        state = node.state
        columns = {
            name.removeprefix("\\"): Column(
                rows if type(rows) is int else _read(rows, "I64", decoder), _read(values, "F64", decoder)
            )
            for name, (rows, values) in state["columns"].items()
        }
        steps, times = _read(state["steps"], "I64", decoder), _read(state["times"], "F64", decoder)
        return TrainingLog.of(Content(steps, times, columns, _events(state["events"], decoder)))


def _events(state: Any, decoder: Decoder) -> Sequence[Event]:
    kinds, steps, times, refs = (decode_run(run, decoder) for run in state)
    events = [Event(*fields) for fields in zip(kinds, steps, times, refs, strict=True)]
    for event in events:
        if tuple(map(type, event)) != (str, int, float, str):
            raise ValueError("an event is none that a log can hold")
    return events


def _array(array: NDArray[Any], encoder: Encoder, *steps: str) -> Value:
    """A column as base64 text when it is short, as a tensor otherwise."""
    if array.nbytes <= INLINE_BYTES:
        return b64encode(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()).decode()
    return encoder.tensor(array, *steps)


def _read(value: Any, dtype: str, decoder: Decoder) -> NDArray[Any]:
    if isinstance(value, str):
        return np.frombuffer(b64decode(value, validate=True), NUMPY_DTYPE[dtype])
    return decoder.array(value, dtype, 1)


class TrainingLogRestorer(Restorer):
    """A log, which then holds what was saved and is appended to from there."""

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
