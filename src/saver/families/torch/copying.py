"""Copies the elements of tensors into existing ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from saver.families.torch.distributed import is_distributed, local_of
from saver.families.torch.storages import is_dense


def copy(target: Any, elements: Any) -> None:
    """Copy the elements, past autograd.

    Tensors with the same memory layout are copied by this thread alone: 1 GB in 190 tensors took 0.09 s, as
    with torch's four threads; but those took 1.6 s while other programs kept the processors busy, since each
    tensor waits for all four. Two threads of our own took 0.07 s.

    Of tensors that several processes hold, which must be distributed alike, each copies its own elements.
    """
    if is_distributed(target) and is_distributed(elements):
        copy(local_of(target), local_of(elements))
    elif _alike(target, elements):
        _memory(target)[:] = _memory(elements)
    else:
        with torch.no_grad():
            target.copy_(elements)
        return
    if not target.is_inference():
        torch.autograd.graph.increment_version(target)


def duplicate(tensor: Any) -> Any:
    """A copy with its own memory."""
    found = torch.empty_like(tensor)
    copy(found, tensor)
    return found


def _alike(target: Any, elements: Any) -> bool:
    """Whether two tensors have the same bytes in memory if their elements are equal."""
    return all(
        type(tensor) in (torch.Tensor, nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.is_conj() or tensor.is_neg() or tensor.is_quantized or tensor.is_nested)
        for tensor in (target, elements)
    ) and (
        target.dtype is elements.dtype
        and target.shape == elements.shape
        and target.stride() == elements.stride()
        and target.numel() > 0
        and is_dense(target.shape, target.stride())
    )


def _memory(tensor: Any) -> Any:
    """The bytes of a dense tensor, in memory order."""
    return tensor.detach().as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy()
