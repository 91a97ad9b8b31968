"""Normalisation: a loop over channels reads one item after another, whatever the strides are."""

from __future__ import annotations

from typing import Any

import torch

from saver.families.torch.consistency.fields import Fields

_READ = ("weight", "bias", "running_mean", "running_var")


def check_norm(module: Any) -> None:
    """Raise ValueError unless every tensor has as many items in its storage as in its shape."""
    fields = Fields(module)
    for name in _READ:
        for tensor in fields.every(name):
            if isinstance(tensor, torch.Tensor) and not _lies_whole(tensor):
                raise fields.wrong(f"{name} repeats items that its storage holds once")


def _lies_whole(tensor: Any) -> bool:
    """Whether all memory that a loop from the first item on would read belongs to the tensor."""
    if tensor.layout is not torch.strided:
        return True
    end = (tensor.storage_offset() + tensor.numel()) * tensor.dtype.itemsize
    return bool(tensor.is_contiguous() or end <= tensor.untyped_storage().nbytes())
