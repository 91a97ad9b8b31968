"""PyTorch tensors: every dtype and layout, views that share a storage, parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder, added, private
from saver.errors import IncompatibleError
from saver.families.torch.distributed import encode_distributed, is_distributed
from saver.families.torch.sparse import decode_sparse, encode_sparse, tensors_of
from saver.families.torch.storages import (
    CODES,
    DTYPE_OF,
    DTYPES,
    Storages,
    is_dense,
    look,
    owned,
    row_major,
    sizes,
)  # fmt: skip
from saver.rules import Broken
from saver.tree import Node, Value

_ACCELERATORS = frozenset(("cuda", "xpu", "mps"))


def is_here(device: Any) -> bool:
    """Whether this machine has the device."""
    if device.type == "cpu":
        return not device.index
    module: Any = getattr(torch, device.type) if device.type in _ACCELERATORS else None
    return module is not None and module.is_available() and (device.index or 0) < module.device_count()


def placed(tensor: Any, saved: Any, decoder: Decoder) -> Any:
    """A tensor on the device that the caller chose, or that it was saved from. Raises IncompatibleError if
    this machine does not have that device."""
    if type(saved) is not str:
        raise ValueError(f"{saved!r} is not the name of a device")
    wanted = decoder.device
    if wanted.name is None and saved == "cpu":
        return tensor
    if wanted.name is None:
        device = torch.device(saved)
    else:
        try:
            device = torch.device(wanted.name)
        except RuntimeError:
            raise IncompatibleError(
                f"device={wanted.name!r}: PyTorch has no kind of device of that name; pass device='cpu'"
            ) from None
    if is_here(device) or wanted.or_cpu:
        return tensor.to(device) if is_here(device) else tensor
    if wanted.name is None:
        raise IncompatibleError(
            f"{decoder.where}: a tensor was saved from the device {saved!r}, which this machine lacks; "
            "pass device='cpu'"
        )
    raise IncompatibleError(
        f"device={wanted.name!r}: this machine does not have that device; pass device='cpu'"
    )


class TensorCodec(Codec):
    """Tensors and parameters.

    A dense tensor at the beginning of its storage is a tensor of the pack, with its true dtype and shape;
    others are views of it, or of a flat tensor over the part of the storage that is in use; only that part
    is written. Strides come back as they were. Complex numbers are stored as pairs, the dtypes that
    safetensors lacks as bytes.

    Like `torch.save`, this keeps `requires_grad` and attributes, and leaves out `.grad`; a tensor in the
    middle of a graph comes back as a leaf. It goes to the device that the caller of `load` chose, or to that
    which it was saved from. Of a distributed tensor, each process saves its box.
    """

    name = "torch.Tensor"
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, torch.Tensor)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        why = _no_data_form(obj)
        if why:
            encoder.refuse(why)
        kind = type(obj)
        parameter = kind is not torch.Tensor and isinstance(obj, torch.nn.Parameter)
        state: dict[str, Value] = {}
        if parameter:
            state["parameter"] = True
        if obj.requires_grad is not parameter:
            state["requires_grad"] = obj.requires_grad
        plain = obj.detach()
        if kind not in _PLAIN and is_distributed(obj):
            encode_distributed(obj, plain, state, encoder)
            return state
        if plain.layout is not torch.strided:
            encode_sparse(plain, state, encoder)
        else:
            if plain.is_conj():
                state["conj"] = True
                plain = plain.conj()
            if plain.is_neg():
                state["neg"] = True
                plain = torch._neg_view(plain)
            encoder.shared(Storages).add(obj, plain, state, encoder)
        if obj.__dict__:
            state["attributes"] = encoder.attributes(obj)
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        if "layout" in state:
            tensor = decode_sparse(state, decoder)
        elif "base" in state:
            tensor = _decode_view(state, decoder)
        else:
            tensor = _decode_plain(state, decoder)
        if state.get("neg"):
            tensor = torch._neg_view(tensor)
        if state.get("conj"):
            tensor = tensor.conj()
        parameter = state.get("parameter") is True
        grad = state.get("requires_grad", parameter) is True
        if parameter:
            tensor = torch.nn.Parameter(tensor, grad)
        elif grad:
            tensor.requires_grad_()
        decoder.keep(node, tensor)
        if "attributes" in state:
            decoder.fill_attributes(tensor, state["attributes"])
        return tensor


_PLAIN = frozenset((torch.Tensor, torch.nn.Parameter))


def _no_data_form(tensor: Any) -> str | None:
    """Why a tensor cannot be saved, and what to do instead; None if it can."""
    plain = type(tensor) in _PLAIN
    if not plain and torch.nn.parameter.is_lazy(tensor):
        return "an uninitialized parameter has no data yet; run one batch through the module first"
    if tensor.is_nested:
        return "a nested tensor has no data form; save the list `tensor.unbind()`"
    if tensor.is_quantized:
        return (
            "a quantized tensor has no data form; save `tensor.dequantize()`, or its `int_repr()` and scales"
        )
    if not plain and not is_distributed(tensor):
        name = f"{type(tensor).__module__}.{type(tensor).__qualname__}"
        return f"{name}, a subclass of Tensor, has no data form; save a plain tensor made from it"
    if tensor.is_meta:
        return "a tensor on the device 'meta' has no data; give it some with `to_empty` and load its values"
    if tensor.layout is torch._mkldnn:
        return "a tensor in the layout of oneDNN has no data form; save `tensor.to_dense()`"
    if tensor.dtype not in CODES:
        return f"a tensor of {tensor.dtype} has no data form; convert it first"
    if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
        return "a hook of a tensor has no data form; remove it, save, and register it again"
    return None


def plain_bytes(state: Any, decoder: Decoder, keep: bool) -> tuple[Any, list[int], NDArray[np.uint8]]:
    """dtype, shape, and the elements in C order, of a tensor that is written plainly. `keep` says that the
    bytes become those of a tensor, and are not only copied elsewhere."""
    data, shape = state["data"], list[int]()
    if isinstance(data, str):
        dtype = DTYPES[state["dtype"]]
        raw: NDArray[np.uint8] = np.frombuffer(bytearray.fromhex(data), np.uint8)
    else:
        info, raw = decoder.info(data), decoder.tensor(data) if keep else decoder.look(data)
        dtype, shape = plain_form(state, info.dtype, info.shape)
    if raw.size != math.prod(shape) * dtype.itemsize:
        raise Broken("4.02", f"there are {raw.size} bytes for the shape {shape} of {dtype}")
    return dtype, shape, raw


def plain_form(state: Any, code: str, stored: Iterable[int]) -> tuple[Any, list[int]]:
    """dtype and shape of a tensor that is written plainly, from those that safetensors has."""
    dtype = DTYPES[state["dtype"]] if "dtype" in state else DTYPE_OF[code]
    shape = list(stored)
    if CODES[dtype] != code or (dtype.is_complex and shape[-1:] != [2]):
        raise Broken("4.02", f"{code}{shape} does not hold {dtype}")
    if dtype.is_complex:
        shape.pop()
    return dtype, shape


def _decode_plain(state: Any, decoder: Decoder) -> Any:
    dtype, shape, raw = plain_bytes(state, decoder, True)
    stride = row_major(shape)
    if "stride" in state:
        stride = sizes(state["stride"])
        raw = _reordered(raw, dtype, shape, stride)
    tensor = look(owned(raw), dtype, 0, shape, stride)
    if "device" not in state and isinstance(state["data"], str):
        return tensor  # a step counter of an optimizer, on the CPU even if the parameters are not
    return placed(tensor, state.get("device", "cpu"), decoder)


def _reordered(raw: NDArray[np.uint8], dtype: Any, shape: list[int], stride: list[int]) -> NDArray[np.uint8]:
    """The bytes of elements in C order, rearranged to dense strides."""
    if len(stride) != len(shape) or not (math.prod(shape) == 0 or is_dense(shape, stride)):
        raise Broken("4.02", f"the strides {stride} of {shape} are not dense")
    order = sorted(range(len(shape)), key=lambda axis: -stride[axis] if shape[axis] != 1 else 0)
    items = raw.view(np.dtype((np.void, dtype.itemsize))).reshape(shape).transpose(order)
    return np.ascontiguousarray(items).reshape(-1).view(np.uint8)


def _decode_view(state: Any, decoder: Decoder) -> Any:
    base = decoder(state["base"])
    if not isinstance(base, torch.Tensor) or base.layout is not torch.strided:
        raise Broken("4.03", "the base of a view is not a tensor")
    dtype = DTYPES[state["dtype"]]
    (offset,) = sizes([state["offset"]])
    if dtype is torch.bool:  # all elements are checked
        decoder.budget.charge(base.untyped_storage().nbytes())
    return look(base.untyped_storage(), dtype, offset, sizes(state["shape"]), sizes(state["stride"]))


class StorageCodec(Codec):
    """`UntypedStorage`, shared with the tensors over it."""

    name = "torch.UntypedStorage"
    types = (torch.UntypedStorage,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "dtype", *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        flat = torch.empty(0, dtype=torch.uint8, device=obj.device)
        return encoder(flat.set_(obj))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        (tensor,) = tensors_of(decoder, (node.state,))
        return tensor.untyped_storage()
