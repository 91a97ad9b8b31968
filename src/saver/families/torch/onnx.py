"""Writes modules in ONNX, with PyTorch's exporter of traced graphs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import onnx  # noqa: F401  (the exporter needs it, and says less clearly that it is missing)
import onnxscript  # noqa: F401
import torch

from saver.errors import IncompatibleError
from saver.format import Export, Loss

LIMIT = (1 << 31) - 1
"""Bytes that one message of ONNX has at most."""

_TRACE = "pkg.torch.onnx.stack_trace"
"""Where the program that defined an operator lay on this machine: of no use on another."""


def export(export: Export) -> Sequence[Loss]:
    """Write a module as it answers in evaluation mode. The first axis of every input may have any length, as
    far as the module's own code allows it; where it does not, that is a loss."""
    net, place = export.obj, export.place
    if not isinstance(net, torch.nn.Module):
        raise IncompatibleError(f"{place}: only modules have a graph; export one of those")
    if export.example is None:
        raise IncompatibleError(
            f"{place}: PyTorch writes what it sees when the module is called; pass what with, as in "
            "example=torch.zeros(1, 3, 224, 224) (--example 1x3x224x224)"
        )
    held = {id(each): each for each in (*net.parameters(), *net.buffers())}.values()
    size = sum(each.numel() * each.element_size() for each in held)
    if size > LIMIT:
        raise IncompatibleError(f"{place}: it has {size:,} bytes, more than one file of ONNX can hold")
    model = _exported(net.eval(), *_arguments(export.example))
    with open(export.out.path(""), "wb") as file:
        file.write(model.SerializeToString(deterministic=True))
    fixed = [each.name for each in model.graph.input if not _is_free(each)]
    name = f"{type(net).__module__}.{type(net).__qualname__}"
    return [
        Loss(place, f"{name}: all but what it computes in evaluation mode"),
        *(Loss(place, f"the input {each} takes the shape of the example alone") for each in fixed),
    ]


def _exported(net: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    free = [_free(each) for each in args], {name: _free(each) for name, each in named.items()}
    shapes: Any = (*free[0], *free[1].values()) if named else tuple(free[0])
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of PyTorch, about its own code
        program: Any = torch.onnx.export(
            net, args, kwargs=named, dynamo=True, dynamic_shapes=shapes, verbose=False
        )
        model = program.model_proto
    for node in (*model.graph.node, *(node for each in model.functions for node in each.node)):
        kept = [each for each in node.metadata_props if each.key != _TRACE]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model


def _arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional and named arguments, as tensors. Where every first axis has the length 1, it is made 2, as
    PyTorch takes the length 1 for part of the program."""
    args = () if isinstance(example, Mapping) else example if isinstance(example, tuple) else (example,)
    named = dict(example) if isinstance(example, Mapping) else {}
    found = tuple(map(_tensor, args)), {name: _tensor(each) for name, each in named.items()}
    tensors = [each for each in (*found[0], *found[1].values()) if isinstance(each, torch.Tensor)]
    if not all(each.ndim and each.shape[0] == 1 for each in tensors):
        return found
    return tuple(map(_twice, found[0])), {name: _twice(each) for name, each in found[1].items()}


def _twice(value: Any) -> Any:
    return torch.cat([value, value]) if isinstance(value, torch.Tensor) else value


def _tensor(value: Any) -> Any:
    """An array as a tensor on the CPU; anything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    return torch.as_tensor(value) if hasattr(value, "__array__") else value


def _free(value: Any) -> Any:
    """Which axes may have any length: the first one."""
    return {0: torch.export.Dim.AUTO} if isinstance(value, torch.Tensor) and value.ndim else None


def _is_free(given: Any) -> bool:
    axes = given.type.tensor_type.shape.dim
    return not axes or axes[0].HasField("dim_param")
