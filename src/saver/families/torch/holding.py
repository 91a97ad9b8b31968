"""What tensors and random generators are now, and how they become that again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from saver.framework import Held


def held(obj: Any) -> Held | None:
    """None for what is neither a tensor nor a generator nor a data set. A data set without a state of its own
    is left alone: training reads it, and a copy of it could be too large."""
    if isinstance(obj, torch.Tensor):
        return Held(lambda: None) if nn.parameter.is_lazy(obj) or obj.is_meta else _of_tensor(obj)
    if isinstance(obj, torch.Generator):
        state = obj.get_state()
        return Held(lambda: obj.set_state(state) and None)
    if isinstance(obj, Dataset) and not hasattr(obj, "load_state_dict"):
        return Held(lambda: None)
    return None


def _of_tensor(tensor: Any) -> Held:
    """Elements are copied back into their memory, so that views of it get them, too. Sparse tensors get new
    memory whenever they change, so they get new memory here, too."""
    data = tensor.detach()
    elements = data.to("cpu", copy=True)
    wants, grad = tensor.requires_grad, tensor.grad if tensor.is_leaf else None

    def undo() -> None:
        with torch.no_grad():
            if tensor.layout is not torch.strided:
                tensor.data = elements.to(data.device, copy=True)
            else:
                data.copy_(elements)
                if _place(tensor) != _place(data):
                    tensor.data = data
        if tensor.is_leaf:
            tensor.requires_grad_(wants)
            tensor.grad = grad

    attributes = _undo_attributes(tensor)

    def all_of_it() -> None:
        undo()
        attributes()

    return Held(all_of_it, (grad, *vars(tensor).values()))


def _place(tensor: Any) -> Any:
    """Where the elements lie."""
    return tensor.dtype, tensor.device, tensor.data_ptr(), tensor.shape, tensor.stride()


def _undo_attributes(tensor: Any) -> Callable[[], None]:
    before = dict(vars(tensor))

    def undo() -> None:
        vars(tensor).clear()
        vars(tensor).update(before)

    return undo
