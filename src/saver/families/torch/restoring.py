"""Restores existing PyTorch tensors and random generators."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import nn

from saver.codec import Decoder
from saver.families.python.restoring import told
from saver.families.torch.storages import DTYPES, NAMES, is_dense, look, owned, row_major
from saver.families.torch.tensors import plain_bytes, plain_form, sizes
from saver.restoring import Conversion, Memory, Mismatch, Pair, PartReport, Plan, Restorer, Saved, Storage
from saver.restoring.contract import kind
from saver.restoring.reach import root_of
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

    def want(self, leaf: Leaf) -> None:
        """Announce that its elements will be read."""
        self._saved.want(leaf.node.state["data"] if leaf.plain else leaf.node)

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


def read(leaf: Leaf, decoder: Decoder) -> Any:
    """The elements, mapped; they are copied only if that is necessary."""
    state = leaf.node.state
    if leaf.plain:
        dtype, shape, raw = plain_bytes(state, decoder, False)
        aligned = raw.size and raw.ctypes.data % dtype.itemsize == 0
        storage = torch.from_numpy(raw).untyped_storage() if aligned else owned(raw)
        tensor = look(storage, dtype, 0, shape, row_major(shape))
        if state.get("neg"):
            tensor = torch._neg_view(tensor)
        if state.get("conj"):
            tensor = tensor.conj()
    else:
        tensor = decoder(leaf.node)
    if tensor.shape != leaf.shape or tensor.dtype != leaf.dtype:
        raise ValueError(f"the tensor has {tensor.dtype} and the shape {list(tensor.shape)}")
    return tensor


def fit(name: str, leaf: Leaf, target: Any) -> Mismatch | Conversion | None:
    """Why the elements cannot be copied into `target`, or how they are converted; None if neither applies."""
    if leaf.shape != tuple(target.shape):
        return Mismatch(name, leaf.shape, tuple(target.shape))
    why = _closed(target)
    if why is None and leaf.layout is not target.layout:
        why = f"saved as {leaf.layout}, here {target.layout}"
    if why is None and not torch.can_cast(leaf.dtype, target.dtype):
        why = f"{NAMES[leaf.dtype]} cannot be converted to {_dtype(target)}"
    if why is not None:
        return Mismatch(name, leaf.shape, tuple(target.shape), why)
    if leaf.dtype is not target.dtype:
        return Conversion(name, NAMES[leaf.dtype], _dtype(target))
    return None


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _closed(target: Any) -> str | None:
    """Why nothing can be copied into a tensor; None if it can."""
    if target.is_meta:
        return "it has no data; give it some with `to_empty(device=...)` first"
    if target.is_inference() and not torch.is_inference_mode_enabled():
        return "it was made in inference mode; clone it first, or restore within torch.inference_mode()"
    if hasattr(target, "device_mesh"):
        return "it is distributed over several devices; restore the module before distributing it"
    if target.layout is torch.strided and any(
        step == 0 and axis > 1 for step, axis in zip(target.stride(), target.shape, strict=True)
    ):
        return "its elements share memory, as after `expand`; clone it first"
    return None


class TensorRestorer(Restorer):
    """Tensors and parameters of the same shape: the elements are copied, converted to the target's dtype."""

    live = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, torch.Tensor)

    def plan(self, value: Value, target: Any, saved: Saved) -> Plan:
        leaves = Leaves(saved)
        leaf = leaves.find(value)
        if leaf is None:
            saved.refuse(f"{told(saved.follow(value))} was saved, not a tensor")
        found = fit("value", leaf, target)
        if isinstance(found, Mismatch):
            return Plan(PartReport(kind(target), mismatched=(found,)))
        if isinstance(found, Conversion) and saved.exact:
            return Plan(PartReport(kind(target), mismatched=(found.refused(leaf.shape),)))
        pair = pair_of(leaf, target, saved)
        if saved.exact:
            saved.want(pair.needs[0])
            saved.hold(pair.needs[1])
            saved.fills(pair)
            return Plan(PartReport(kind(target), ("value",)), pair.ready)
        leaves.want(leaf)
        saved.fills(replace(pair, stands=pair.stands and _is_bare(leaf, target)))

        def ready(decoder: Decoder) -> Callable[[], None]:
            elements = read(leaf, decoder)
            return lambda: copy(target, elements)

        converted = () if found is None else (found,)
        return Plan(PartReport(kind(target), ("value",), converted=converted), ready)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        leaf = Leaves(saved).find(node)
        pair = None if leaf is None or target.is_nested else pair_of(leaf, target, saved)
        return pair if pair and pair.stands and pair.memory and pair.memory.distinct else None


def _class_of(leaf: Leaf) -> type:
    return nn.Parameter if leaf.origin.state.get("parameter") is True else torch.Tensor  # type: ignore[no-any-return]


def _is_bare(leaf: Leaf, target: Any) -> bool:
    """Whether the saved tensor differs from the target in nothing but its elements."""
    return "attributes" not in leaf.origin.state and target.requires_grad is leaf.wants_grad


def pair_of(leaf: Leaf, target: Any, saved: Saved) -> Pair:
    """A pair for a tensor that gets the saved elements and other state. It stands for the saved tensor if it
    becomes equal to it."""
    attributes, grad = leaf.origin.state.get("attributes", {}), leaf.wants_grad

    def ready(decoder: Decoder) -> Callable[[], None]:
        elements = read(leaf, decoder)
        fresh = decoder.attributes(type(target), attributes)

        def change() -> None:
            copy(target, elements)
            if target.requires_grad is not grad:
                target.requires_grad_(grad)
            if fresh or vars(target):
                vars(target).clear()
                vars(target).update(fresh)

        return change

    needs = [leaf.node.state["data"] if leaf.plain else leaf.node, attributes]
    alike = type(target) is _class_of(leaf) and not nn.parameter.is_lazy(target)
    stands = bool(alike and target.is_leaf and fit("value", leaf, target) is None)
    return Pair(leaf.origin, target, needs, ready, memory=_memory_of(leaf, target, saved), stands=stands)


def _memory_of(leaf: Leaf, target: Any, saved: Saved) -> Memory | None:
    """The memory of the target, compared with that of the saved tensor; None if it is not comparable."""
    own = type(target) in (torch.Tensor, nn.Parameter)
    if not own or any(layout is not torch.strided for layout in (leaf.layout, target.layout)):
        return None
    if not target.numel():
        return Memory(0, tuple(target.shape), tuple(target.stride()), target.itemsize, None)
    root, state, size = root_of(leaf.origin, saved.follow), leaf.origin.state, target.itemsize
    place = str(target.device), target.untyped_storage().data_ptr()
    plain = leaf.plain
    stride = state.get("stride", row_major(leaf.shape)) if plain else state["stride"]
    storage = Storage(
        id(root),
        place,
        target.storage_offset() * size - (0 if plain else state["offset"] * size),
        leaf.dtype is target.dtype
        and tuple(stride) == target.stride()
        and _flags(state) == _flags_of(target),
        plain and target.storage_offset() == 0,
    )
    steps = tuple(step * size for step in target.stride())
    address, shape = place[1] + target.storage_offset() * size, tuple(target.shape)
    reads = _raw_reader(leaf, target)
    return Memory(address, shape, steps, size, reads, place[0], storage)


def _flags(state: Any) -> tuple[bool, bool]:
    """Whether the elements are the conjugates, and the negatives, of the stored ones."""
    return state.get("conj") is True, state.get("neg") is True


def _flags_of(target: Any) -> tuple[bool, bool]:
    return target.is_conj(), target.is_neg()


def _raw_reader(leaf: Leaf, target: Any) -> Callable[[Decoder], Any] | None:
    """Returns the elements as an array of raw bytes; None if they are converted or not on the CPU."""
    if leaf.dtype is not target.dtype or target.device.type != "cpu":
        return None

    def reads(decoder: Decoder) -> Any:
        elements = read(leaf, decoder).detach()
        elements = elements.conj() if target.is_conj() else elements
        elements = torch._neg_view(elements) if target.is_neg() else elements
        elements = elements.resolve_conj().resolve_neg()
        raw = elements.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8).numpy()
        return raw.view(np.dtype((np.void, leaf.dtype.itemsize))).reshape(leaf.shape)

    return reads


def copy(target: Any, elements: Any) -> None:
    """Copy the elements, past autograd.

    Tensors with the same memory layout are copied by this thread alone: 1 GB in 190 tensors took 0.09 s, as
    with torch's four threads; but those took 1.6 s while other programs kept the processors busy, since each
    tensor waits for all four. Two threads of our own took 0.07 s.
    """
    if _alike(target, elements):
        _memory(target)[:] = _memory(elements)
        if not target.is_inference():
            torch.autograd.graph.increment_version(target)
        return
    with torch.no_grad():
        target.copy_(elements)


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
