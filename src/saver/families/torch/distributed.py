"""Tensors that several processes hold together (DTensor), and modules of such (FSDP2)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from saver.codec import Encoder
from saver.families.torch.storages import CODES, NAMES, READABLE, tensor_data
from saver.tensors import Box, ShardedData, TensorData
from saver.tree import Value

_FSDP = "torch.distributed.fsdp."
_OF_FSDP = frozenset(("_is_fsdp_managed_module", "_fsdp_use_orig_params"))
_STATE_OF_FSDP = "__composable_api_state_key"


def plain_class(cls: type) -> type:
    """The class that a module had before `fully_shard` gave it one of its own, derived from that."""
    if f"{cls.__module__}.".startswith(_FSDP) and len(cls.__bases__) == 2:
        return cls.__bases__[1]
    return cls


def fields_of_fsdp(module: Any) -> frozenset[str]:
    """The fields of a module that `fully_shard` keeps in it."""
    if "_is_fsdp_managed_module" not in vars(module):
        return frozenset()
    return _OF_FSDP.union(name for name in vars(module) if name.startswith(_STATE_OF_FSDP))


def comes_with_a_mesh(hook: Any) -> bool:
    """Whether `fully_shard` or `parallelize_module` registered a hook; they do so again."""
    return str(getattr(hook, "__module__", "")).startswith("torch.distributed.")


def shard_again(module: Any) -> None:
    """Let a module give up the whole parameters that it gathered for its last forward pass."""
    if plain_class(type(module)) is not type(module):
        module.reshard()


def is_distributed(tensor: Any) -> bool:
    """Whether this is a DTensor. Nothing is imported to find out: without the module, there is none."""
    return hasattr(tensor, "device_mesh") and hasattr(tensor, "placements")


def attributes_of(tensor: Any) -> dict[str, Any]:
    """What others put into a tensor; of a distributed one, without what torch puts there."""
    return {name: value for name, value in vars(tensor).items() if name != "_is_param"}


def replace_attributes(tensor: Any, fresh: dict[str, Any]) -> None:
    """Give a tensor these attributes in the place of others."""
    for name in attributes_of(tensor):
        del vars(tensor)[name]
    vars(tensor).update(fresh)


_Key: TypeAlias = tuple[Any, ...]

_boxes: dict[_Key, Box] = {}
"""The boxes of this process, by shape, mesh, place in it, and placements: a model has many tensors that are
alike, and torch takes 0.1 ms for each. At most `BOXES`."""

BOXES = 10_000


def local_box(tensor: Any) -> Box:
    """The box of a distributed tensor that this process holds. Raises ValueError if it holds no box of it, as
    when the sum over processes is still to be made."""
    mesh, placements = tensor.device_mesh, tuple(tensor.placements)
    key = tuple(tensor.shape), tuple(mesh.shape), _place(mesh), placements
    box = _boxes.get(key)
    if box is None:
        box = _found_box(tensor)
        if len(_boxes) >= BOXES:
            _boxes.clear()
        _boxes[key] = box
    shape = local_of(tensor).shape
    if box.sizes != tuple(shape):
        raise ValueError(f"this process holds {list(shape)}, not the box {box}")
    return box


def _place(mesh: Any) -> _Key | None:
    """Where this process is in a mesh; None if it is not in it."""
    place = mesh.get_coordinate()
    return None if place is None else tuple(place)


def _found_box(tensor: Any) -> Box:
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    why = holds_no_box(tensor)
    if why is not None:
        raise ValueError(why)
    sizes, offsets = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return Box(tuple(map(int, offsets)), tuple(map(int, sizes)))


def holds_no_box(tensor: Any) -> str | None:
    """Why what this process holds of a distributed tensor is not a box of it; None if it is one. Exchanges
    nothing."""
    if any(placement.is_partial() for placement in tensor.placements):
        what = "terms of a sum, not pieces of the tensor"
    elif any(_pieces(each) > 1 for each in tensor.placements) and not _in_one_piece(tensor):
        what = "pieces that are scattered over the tensor"
    else:
        return None
    return f"the processes hold {what}; redistribute it to Replicate() or Shard() first"


def _pieces(placement: Any) -> int:
    """Into how many pieces a placement cuts the tensor before it gives each process a part of each."""
    return int(getattr(placement, "split_factor", 1))


def _in_one_piece(tensor: Any) -> bool:
    """Whether what this process holds has no gaps along any axis."""
    place, mesh = _place(tensor.device_mesh) or (), tensor.device_mesh
    held = [*map(np.arange, tensor.shape)]
    for number, (at, placement) in enumerate(zip(place, tensor.placements, strict=False)):
        axis = getattr(placement, "dim", None)
        if axis is not None:
            pieces = _chunks(held[axis], _pieces(placement))
            held[axis] = np.concatenate([_chunks(piece, mesh.size(number))[at] for piece in pieces])
    return all(not each.size or each[-1] - each[0] == each.size - 1 for each in held)


def _chunks(held: NDArray[np.intp], count: int) -> list[NDArray[np.intp]]:
    """As torch cuts: all pieces but the last ones are of one size."""
    size = -(-held.size // count)
    return [held[at * size : (at + 1) * size] for at in range(count)]


def local_of(tensor: Any) -> Any:
    """What this process holds of a distributed tensor: the very memory, past autograd."""
    with torch.no_grad():
        return tensor.to_local()


def encode_distributed(obj: Any, tensor: Any, state: dict[str, Value], encoder: Encoder) -> None:
    """Record in `state` what a plain tensor of the same elements would be; the box of this process is saved
    here, the others by theirs. `tensor` is `obj` without its grad."""
    own = attributes_of(obj)
    if own:
        state["attributes"] = encoder.fields(own)
    try:
        box = local_box(tensor)
    except ValueError as error:
        encoder.refuse(str(error))
    local = local_of(tensor).detach()
    if local.dtype not in CODES or local.layout is not torch.strided:
        encoder.refuse(f"a distributed tensor of {local.dtype} and {local.layout} has no data form")
    local = local.resolve_conj().resolve_neg().contiguous()
    if local.device.type != "cpu":
        state["device"] = local.device.type
    if local.dtype not in READABLE:
        state["dtype"] = NAMES[local.dtype]
    data, more = tensor_data(local), (2,) if local.dtype.is_complex else ()
    shape = (*map(int, tensor.shape), *more)
    if box.sizes == tuple(tensor.shape) or not tensor.numel():
        state["data"] = encoder.raw_tensor(TensorData(data.dtype, shape, data.data))
        return
    shards = {(*box.offsets, *(0 for _ in more)): data} if local.numel() else {}
    state["data"] = encoder.boxes(ShardedData(data.dtype, shape, shards))


def distributed_like(tensor: Any, local: Any) -> Any:
    """A tensor distributed as `tensor` is, of which this process has these elements. Exchanges nothing."""
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        local.to(tensor.device), tensor.device_mesh, tensor.placements, run_check=False,
        shape=tensor.shape, stride=tensor.stride(),
    )  # fmt: skip
