"""Recurrent networks: oneDNN and cuDNN read weights by the declared sizes, without checking the real ones."""

from __future__ import annotations

from typing import Any

import torch

from saver.families.torch.consistency.fields import MISSING, Fields, shown

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}
_MODES = {"LSTM": ("LSTM",), "GRU": ("GRU",), "RNN": ("RNN_TANH", "RNN_RELU")}


def check_network(module: Any, kind: str) -> None:
    """Check `nn.RNN`, `nn.LSTM` and `nn.GRU`: every weight must have the shape that the sizes imply."""
    fields = Fields(module)
    mode = fields.get("mode")
    if mode is not MISSING and not (type(mode) is str and mode in _MODES[kind]):
        raise fields.wrong(f"its mode is {shown(mode)}")
    hidden, width = fields.count("hidden_size", 1), fields.count("input_size", 0)
    layers, projected = fields.count("num_layers", 1), fields.count("proj_size", 0)
    names = fields.get("_flat_weights_names")
    if names is MISSING or hidden is None or width is None or layers is None:
        return
    if type(names) is not list or not all(type(name) is str for name in names):
        raise fields.wrong("_flat_weights_names is not a list of names")
    shapes = _shapes(fields, _GATES[_MODES[kind][0]], hidden, width, projected or 0)
    _check_weights(fields, names, layers, shapes)


Shapes = tuple[list[tuple[int, ...]], list[tuple[int, ...]], int]


def _shapes(fields: Fields, gates: int, hidden: int, width: int, projected: int) -> Shapes:
    """The shapes of one direction of the first layer, of a later layer, and the number of directions."""
    if projected >= hidden or (projected and gates != _GATES["LSTM"]):
        raise fields.wrong(f"proj_size is {projected}, but hidden_size is {hidden}")
    for name in ("bias", "bidirectional"):
        if type(fields.get(name)) is not bool and fields.get(name) is not MISSING:
            raise fields.wrong(f"{name} is {shown(fields.get(name))}, not a bool")
    directions = 2 if fields.flag("bidirectional") else 1
    out, rows = projected or hidden, gates * hidden
    rest: list[tuple[int, ...]] = [(rows, out)]
    if fields.flag("bias"):
        rest += [(rows,), (rows,)]
    if projected:
        rest.append((projected, hidden))
    return [(rows, width), *rest], [(rows, out * directions), *rest], directions


def _check_weights(fields: Fields, names: list[str], layers: int, shapes: Shapes) -> None:
    first, later, directions = shapes
    expected = layers * directions * len(first)
    if len(names) != expected:
        raise fields.wrong(f"it lists {len(names)} weights, not {expected}")
    kinds = set()
    for at, name in enumerate(names):
        layer, weight = divmod(at, len(first))
        fields.shape(name, (first if layer < directions else later)[weight])
        kinds |= {(t.dtype, t.layout) for t in fields.every(name) if isinstance(t, torch.Tensor)}
    if len({dtype for dtype, _ in kinds}) > 1:
        raise fields.wrong(f"its weights are of {' and '.join(sorted(str(dtype) for dtype, _ in kinds))}")
    if any(layout is not torch.strided for _, layout in kinds):
        raise fields.wrong("a weight is sparse")
