"""Saved tensors whose elements are copied elsewhere, described before any of them is read."""

from __future__ import annotations

from itertools import count
from typing import Any

import msgspec
import torch

from saver.codec import Decoder
from saver.families.torch.distributed import distributed_like, is_distributed, local_box
from saver.families.torch.storages import DTYPES, look, owned, row_major, sizes
from saver.families.torch.tensors import plain_bytes, plain_form
from saver.restoring import Saved
from saver.tensors import Box
from saver.tree import Node, Tensor, Value

_CODEC = "torch.Tensor"
_LEFT_OUT = frozenset(("parameter", "requires_grad", "attributes"))
"""The state of a saved tensor that does not matter when its elements are copied into another."""

_numbers = count()


class Leaf(msgspec.Struct, frozen=True):
    """A saved tensor whose elements will be copied elsewhere, described before any of them is read.

    `origin` is its node as it was saved, `node` the same without the state that does not matter for that."""

    node: Node
    origin: Node
    dtype: Any
    shape: tuple[int, ...]
    layout: Any

    @property
    def plain(self) -> bool:
        """Whether it is stored by itself: neither as a view of another tensor nor sparse."""
        return "data" in self.node.state

    @property
    def wants_grad(self) -> bool:
        """Whether the saved tensor required gradients."""
        state = self.origin.state
        return state.get("requires_grad", state.get("parameter") is True) is True


class Leaves:
    """The saved tensors of one plan. Their Python attributes are neither trusted nor decoded."""

    def __init__(self, saved: Saved) -> None:
        self._saved = saved
        self._bare: dict[int, Node] = {}

    def find(self, value: Value) -> Leaf | None:
        """`value` as a saved tensor; None if it is something else."""
        node = self._saved.follow(value)
        if type(node) is Node and node.codec == "numpy.array" and not self._saved.exact:
            node = self._as_tensor(node)
        if type(node) is not Node or node.codec != _CODEC:
            return None
        state = node.state
        dtype: Any
        layout = torch.strided
        if "layout" in state:
            values = self.find(state["values"])
            if values is None:
                raise ValueError("the values of a sparse tensor are missing")
            dtype, shape, layout = values.dtype, sizes(state["shape"]), getattr(torch, state["layout"])
        elif "base" in state:
            dtype, shape = DTYPES[state["dtype"]], sizes(state["shape"])
        elif isinstance(state["data"], str):
            dtype, shape = DTYPES[state["dtype"]], []
        else:
            entry = self._saved.entry(state["data"])
            dtype, shape = plain_form(state, entry.dtype, entry.shape)
        return Leaf(self._stripped(node), node, dtype, tuple(shape), layout)

    def _as_tensor(self, node: Node) -> Node:
        """The node of a tensor with the elements of a saved array, if they are in a tensor of the file:
        weights in a safetensors file are arrays, unless it says that they are for PyTorch."""
        if type(node.state) is not Tensor:
            return node
        known = self._bare.get(id(node))
        if known is None:
            known = self._bare[id(node)] = Node(_CODEC, version=1, id=f"array {next(_numbers)}")
            known.state = {"data": node.state}
        return known

    def want(self, leaf: Leaf, target: Any = None) -> None:
        """Announce that its elements will be read, for a target: of a distributed one, `read` reads the box
        of this process alone."""
        if not reads_box(leaf, target):
            self._saved.want(leaf.node.state["data"] if leaf.plain else leaf.node)
        for ref, box in boxes_of(leaf, target):
            self._saved.want_box(ref, box)

    def hash(self, leaf: Leaf) -> tuple[Any, str]:
        """dtype and BLAKE3 of a plain leaf, or the elements themselves if they are stored in the tree."""
        data = leaf.node.state["data"]
        return leaf.dtype, data if isinstance(data, str) else self._saved.entry(data).hash

    def _stripped(self, node: Node) -> Node:
        """The node, and the tensors that it consists of, with only the state that concerns elements."""
        found = self._bare.get(id(node))
        if found is None:
            found = self._bare[id(node)] = Node(_CODEC, version=node.version, id=f"bare {next(_numbers)}")
            found.state = {key: self._inner(item) for key, item in node.state.items() if key not in _LEFT_OUT}
        return found

    def _inner(self, item: Value) -> Value:
        inner = self._saved.follow(item)
        return self._stripped(inner) if type(inner) is Node and inner.codec == _CODEC else item


def reads_box(leaf: Leaf, target: Any) -> bool:
    """Whether a box of the tensor is enough for this target."""
    return leaf.plain and is_distributed(target) and not isinstance(leaf.node.state["data"], str)


def boxes_of(leaf: Leaf, target: Any) -> list[tuple[Any, Box]]:
    """The box that `read` reads of the stored tensor for a distributed target; none for others, or if there
    is nothing in it."""
    if not reads_box(leaf, target):
        return []
    box = local_box(target)
    return [(leaf.node.state["data"], _stored(leaf, box))] if all(box.sizes) else []


def read(leaf: Leaf, decoder: Decoder, target: Any = None) -> Any:
    """The elements, mapped; they are copied only if that is necessary. For a distributed target of the same
    shape, a tensor that is distributed alike."""
    if is_distributed(target):
        box = local_box(target)
        local = _read_box(leaf, box, decoder) if reads_box(leaf, target) else read(leaf, decoder)[box.slices]
        return distributed_like(target, local)
    state = leaf.node.state
    if leaf.plain:
        dtype, shape, raw = plain_bytes(state, decoder, False)
        aligned = raw.size and raw.ctypes.data % dtype.itemsize == 0
        storage = torch.from_numpy(raw).untyped_storage() if aligned else owned(raw)
        tensor = _turned(look(storage, dtype, 0, shape, row_major(shape)), state)
    else:
        tensor = decoder(leaf.node)
    if tensor.shape != leaf.shape or tensor.dtype != leaf.dtype:
        raise ValueError(f"the tensor has {tensor.dtype} and the shape {list(tensor.shape)}")
    return tensor


def _turned(tensor: Any, state: Any) -> Any:
    """The tensor whose negative or conjugate is stored, if it is one."""
    if state.get("neg"):
        tensor = torch._neg_view(tensor)
    return tensor.conj() if state.get("conj") else tensor


def _read_box(leaf: Leaf, box: Box, decoder: Decoder) -> Any:
    """A box of a plain leaf; no more than the blocks that it cuts is read."""
    if not all(box.sizes):
        return torch.empty(box.sizes, dtype=leaf.dtype, device="cpu")
    raw = decoder.look(leaf.node.state["data"], _stored(leaf, box))
    tensor = look(owned(raw), leaf.dtype, 0, list(box.sizes), row_major(box.sizes))
    return _turned(tensor, leaf.node.state)


def _stored(leaf: Leaf, box: Box) -> Box:
    """The box of what is stored: complex numbers are stored as pairs."""
    return Box((*box.offsets, 0), (*box.sizes, 2)) if leaf.dtype.is_complex else box
