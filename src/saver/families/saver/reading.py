"""How the tree of a training log is read."""

from __future__ import annotations

from typing import Any

from saver.reading.arrays import Array, tensor_array
from saver.reading.forms import FORMS
from saver.reading.steps import Found, Look, any_node, step
from saver.reading.texts import base64_bytes
from saver.tree import Node, Tensor


def _training_log(node: Node, look: Look) -> Found:
    """The columns by the names of the metrics, and the rows in which each has values."""
    state = node.state
    if type(state) is not dict or type(state.get("columns")) is not dict:
        return any_node(node, look)
    found = [
        (".step", _log_column(state.get("steps"), "I64", look)),
        (".time", _log_column(state.get("times"), "F64", look)),
    ]
    for key, column in state["columns"].items():
        name = step(key.removeprefix("\\"))
        if type(column) is list and len(column) == 2:
            values, rows = _log_column(column[1], "F64", look), _log_column(column[0], "I64", look)
            found += [(name, values), (f"{name}.rows", rows)]
        else:
            found.append((name, column))
    events = state.get("events")
    if type(events) is list and len(events) == len(_EVENTS):
        return [*found, *zip(_EVENTS, events, strict=True)], False
    return [*found, (".events", events)], False


_EVENTS = (".events.kind", ".events.step", ".events.time", ".events.ref")


def _log_column(value: Any, dtype: str, look: Look) -> Any:
    """A column as one array, whether it is stored as base64 text, as a tensor, or as a list of those."""
    form = FORMS[dtype]
    if type(value) is list:
        found = [_log_column(piece, dtype, look) for piece in value if type(piece) is not list]
        found = [tensor_array(piece, look.entries) if type(piece) is Tensor else piece for piece in found]
        pieces = tuple(piece for piece in found if isinstance(piece, Array) and piece.form == form)
        if len(pieces) < len(value) or len({piece.name or index for index, piece in enumerate(pieces)}) < len(
            value
        ):
            return value
        return Array(form, (sum(piece.count for piece in pieces),), pieces=pieces)
    data = base64_bytes(value)
    return (
        value if data is None or len(data) % form.size else Array(form, (len(data) // form.size,), data=data)
    )


READERS = {"saver.TrainingLog": _training_log}
