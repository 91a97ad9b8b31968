"""Hashes of tensors: those of NumPy arrays with the same elements."""

from __future__ import annotations

from typing import Any

import torch

from saver.errors import CannotSaveError, kind_of
from saver.fingerprint.arrays import absorb, blocks, new_hasher


def fingerprint(value: Any, where: str) -> dict[str, Any] | None:
    """The fingerprint of a tensor; None for anything else. Raises CannotSaveError for a dataset or loader,
    which yields data only while it is iterated."""
    if isinstance(value, torch.Tensor):
        return {"kind": "array", **_tensor(value, where)}
    if any(cls.__module__.startswith("torch.utils.data") for cls in type(value).__mro__):
        raise CannotSaveError(
            f"{where}: {kind_of(value)} yields data only when iterated; pass the arrays or the paths "
            "behind it"
        )
    return None


def _tensor(tensor: Any, where: str) -> dict[str, Any]:
    """The fingerprint of a torch tensor on any device: that of a NumPy array with the same elements."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        raise CannotSaveError(
            f"{where}: a torch tensor that is sparse, nested, quantized or without data has no fingerprint; "
            "pass the dense tensors that it consists of, each under its own name"
        )
    tensor = tensor.detach()
    size = tensor.numel() * tensor.element_size()
    hasher = new_hasher(size)
    whole = tensor.device.type == "cpu" and not tensor.is_conj() and not tensor.is_neg()
    for block in (tensor,) if whole else blocks(tensor, tensor.element_size()):
        here = block.resolve_conj().resolve_neg().cpu()
        real = torch.view_as_real(here) if here.is_complex() else here
        # As integers of their size, since NumPy lacks some of the dtypes.
        absorb(real.view(getattr(torch, _INTEGERS[real.element_size()])).numpy(), hasher)
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "bytes": size,
        "hash": hasher.hexdigest(),
    }


_INTEGERS = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}
