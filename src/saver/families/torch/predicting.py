"""Modules answer in eval mode, without gradients; tensors go in and come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saver.errors import IncompatibleError
from saver.predicting.contract import Column, Method, Predicting, Taken
from saver.schema import Field, Schema


class _Torch(Predicting):
    def taken(self, example: Any) -> Taken | None:
        if isinstance(example, torch.Tensor) and example.ndim:
            column = _column(example)
            return Taken("array", {"input": column}, len(example), lambda at: _rows(example, at))
        if isinstance(example, Mapping) and example and all(
            isinstance(name, str) and isinstance(each, torch.Tensor) and each.ndim
            for name, each in example.items()
        ):  # fmt: skip
            columns = {name: _column(each) for name, each in example.items()}
            rows = len(next(iter(example.values())))
            return Taken(
                "arrays", columns, rows, lambda at: {name: _rows(each, at) for name, each in example.items()}
            )
        return None

    def made(self, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Any:
        found = {field.name: _tensor(field, arrays[field.name]) for field in schema.inputs}
        return found if schema.container == "arrays" else next(iter(found.values()))

    def array(self, value: Any) -> NDArray[Any] | None:
        return _array(value) if isinstance(value, torch.Tensor) else None

    def methods(self, model: Any) -> Mapping[str, Method]:
        if not isinstance(model, torch.nn.Module) or callable(getattr(type(model), "predict", None)):
            return {}
        return {"output": lambda inputs: _answer(model, inputs)}

    def transform(self, model: Any) -> Method | None:
        return (lambda inputs: _answer(model, inputs)) if isinstance(model, torch.nn.Module) else None

    def settle(self, model: Any) -> None:
        if isinstance(model, torch.nn.Module):
            type(model).eval(model)


def _rows(tensor: Any, rows: NDArray[Any]) -> Any:
    return tensor.detach()[torch.from_numpy(rows).to(tensor.device)]


def _column(tensor: Any) -> Column:
    return Column(_array(tensor), str(tensor.dtype).removeprefix("torch."))


def _array(tensor: Any) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    plain = plain.to_dense() if plain.layout != torch.strided else plain
    plain = plain.float() if plain.dtype == torch.bfloat16 else plain
    return np.asarray(plain.resolve_conj().resolve_neg().numpy())


def _tensor(field: Field, values: NDArray[Any]) -> Any:
    if values.dtype == object:
        raise IncompatibleError(f"the field {field.name!r} has missing values, which no tensor holds")
    dtype = getattr(torch, field.dtype, None)
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)


def _answer(model: Any, inputs: Any) -> Any:
    first = next(iter(type(model).parameters(model)), None)
    device = first.device if first is not None else torch.device("cpu")
    with _at_rest(model), torch.no_grad():
        if isinstance(inputs, Mapping):
            found = model(**{name: _on(each, device) for name, each in inputs.items()})
        else:
            found = model(_on(inputs, device))
    if isinstance(found, Mapping):  # what transformers answer holds caches beside tensors
        return {str(name): each for name, each in found.items() if isinstance(each, torch.Tensor)}
    return found


def _on(value: Any, device: Any) -> Any:
    found = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
    return found.to(device) if isinstance(found, torch.Tensor) else found


@contextmanager
def _at_rest(model: Any) -> Iterator[None]:
    """The module in eval mode. Each of its modules is in its own mode again afterwards."""
    trains = [module for module in type(model).modules(model) if module.training]
    try:
        for module in trains:
            module.training = False
        yield
    finally:
        for module in trains:
            module.training = True


PREDICTING = _Torch()
