"""Restores existing PyTorch tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import nn

from saver.codec import Decoder
from saver.families.python.restoring import told
from saver.families.torch.copying import copy
from saver.families.torch.distributed import holds_no_box, is_distributed, local_of, replace_attributes
from saver.families.torch.leaves import Leaf, Leaves, boxes_of, read, reads_box
from saver.families.torch.storages import NAMES, row_major
from saver.restoring import Conversion, Memory, Mismatch, Pair, PartReport, Plan, Restorer, Saved, Storage
from saver.restoring.contract import kind
from saver.restoring.reach import root_of
from saver.tree import Node, Value


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
    if is_distributed(target) and (why := holds_no_box(target)) is not None:
        return why
    if (
        target.numel()
        and target.layout is torch.strided
        and any(step == 0 and axis > 1 for step, axis in zip(target.stride(), target.shape, strict=True))
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
        leaves.want(leaf, target)
        saved.fills(replace(pair, stands=pair.stands and _is_bare(leaf, target)))

        def ready(decoder: Decoder) -> Callable[[], None]:
            elements = read(leaf, decoder, target)
            return lambda: copy(target, elements)

        converted = () if found is None else (found,)
        return Plan(PartReport(kind(target), ("value",), converted=converted), ready)

    def pair(self, node: Node, target: Any, saved: Saved) -> Pair | None:
        leaf = Leaves(saved).find(node)
        if leaf is not None and is_distributed(target) and (why := holds_no_box(target)) is not None:
            saved.refuse(f"a distributed tensor of the shape {list(target.shape)} here: {why}")
        pair = None if leaf is None or target.is_nested else pair_of(leaf, target, saved)
        return pair if pair and pair.stands and pair.memory and pair.memory.distinct else None


def _is_of(leaf: Leaf, target: Any) -> bool:
    """Whether the target is of the class that was saved; or distributed, which is how it is held here."""
    parameter = leaf.origin.state.get("parameter") is True
    if is_distributed(target):
        return isinstance(target, nn.Parameter) is parameter
    return type(target) is (nn.Parameter if parameter else torch.Tensor)


def _is_bare(leaf: Leaf, target: Any) -> bool:
    """Whether the saved tensor differs from the target in nothing but its elements."""
    return "attributes" not in leaf.origin.state and target.requires_grad is leaf.wants_grad


def pair_of(leaf: Leaf, target: Any, saved: Saved) -> Pair:
    """A pair for a tensor that gets the saved elements and other state. It stands for the saved tensor if it
    becomes equal to it."""
    attributes, grad = leaf.origin.state.get("attributes", {}), leaf.wants_grad

    def ready(decoder: Decoder) -> Callable[[], None]:
        elements = read(leaf, decoder, target)
        fresh = decoder.attributes(type(target), attributes)

        def change() -> None:
            copy(target, elements)
            if target.requires_grad is not grad:
                target.requires_grad_(grad)
            replace_attributes(target, fresh)

        return change

    data = leaf.node.state["data"] if leaf.plain else leaf.node
    needs = [None if reads_box(leaf, target) else data, attributes]
    alike = _is_of(leaf, target) and not nn.parameter.is_lazy(target)
    stands = bool(alike and target.is_leaf and fit("value", leaf, target) is None)
    memory, boxes = _memory_of(leaf, target, saved), boxes_of(leaf, target)
    return Pair(leaf.origin, target, needs, ready, memory=memory, stands=stands, boxes=boxes)


def _memory_of(leaf: Leaf, target: Any, saved: Saved) -> Memory | None:
    """The memory of the target, compared with that of the saved tensor; None if it is not comparable."""
    if is_distributed(target):
        return _memory_of_box(target)
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


def _memory_of_box(target: Any) -> Memory:
    """The memory of what this process holds of a distributed tensor."""
    local = local_of(target)
    steps = tuple(step * local.itemsize for step in local.stride())
    address = local.data_ptr() if local.numel() else 0
    return Memory(address, tuple(local.shape), steps, local.itemsize, None, str(local.device))


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
