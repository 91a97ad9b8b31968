"""Sparse tensors of PyTorch: their values and their indices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from saver.codec import Decoder, Encoder
from saver.families.torch.storages import sizes
from saver.rules import Broken
from saver.tree import Value

_COMPRESSED = {
    "sparse_csr": (torch.sparse_csr, "crow_indices", "col_indices"),
    "sparse_csc": (torch.sparse_csc, "ccol_indices", "row_indices"),
    "sparse_bsr": (torch.sparse_bsr, "crow_indices", "col_indices"),
    "sparse_bsc": (torch.sparse_bsc, "ccol_indices", "row_indices"),
}


def encode_sparse(tensor: Any, state: dict[str, Value], encoder: Encoder) -> None:
    """Add layout, shape, indices and values to the state of a tensor."""
    layout = str(tensor.layout).removeprefix("torch.")
    state["layout"] = layout
    state["shape"] = list(tensor.shape)
    if layout == "sparse_coo":
        state["coalesced"] = tensor.is_coalesced()
        state["indices"] = encoder(tensor._indices(), "indices")
        state["values"] = encoder(tensor._values(), "values")
        return
    _, compressed, other = _COMPRESSED[layout]
    for name in (compressed, other):  # copies, as they are when loaded: nothing else shares them
        state[name] = encoder.own(getattr(tensor, name)().clone(), name)
    state["values"] = encoder(tensor.values(), "values")


def decode_sparse(state: Any, decoder: Decoder) -> Any:
    """Build a sparse tensor with the constructors, which check every index."""
    layout, shape = state["layout"], sizes(state["shape"])
    if layout == "sparse_coo":
        indices, values = tensors_of(decoder, (state["indices"], state["values"]))
        indices = _owned(indices, decoder)
        decoder.budget.charge(2 * (values.numel() * values.itemsize + indices.numel() * indices.itemsize))
        coalesced = state["coalesced"] is True
        return _checked(
            torch.sparse_coo_tensor, indices, values, shape, device=values.device, is_coalesced=coalesced
        )
    kind, compressed, other = _COMPRESSED[layout]
    *indices, values = tensors_of(decoder, (state[compressed], state[other], state["values"]))
    parts = (*(_owned(tensor, decoder) for tensor in indices), values)
    decoder.budget.charge(2 * sum(tensor.numel() * tensor.itemsize for tensor in parts))
    return _checked(torch.sparse_compressed_tensor, *parts, shape, layout=kind, device=parts[-1].device)


def _checked(make: Any, *parts: Any, **options: Any) -> Any:
    try:
        return make(*parts, **options, check_invariants=True)
    except RuntimeError as error:
        raise Broken("4.04", str(error)) from error


def _owned(indices: Any, decoder: Decoder) -> Any:
    """A copy of indices: they are checked once, and another tensor over the same bytes could change them
    afterwards."""
    decoder.budget.charge(indices.numel() * indices.itemsize)
    return indices.clone()


def tensors_of(decoder: Decoder, values: Iterable[Value]) -> list[Any]:
    """The tensors that a state consists of. Raises ValueError for anything else."""
    found = [decoder(value) for value in values]
    if not all(isinstance(tensor, torch.Tensor) for tensor in found):
        raise Broken("4.04", "a sparse tensor must consist of tensors")
    return found
