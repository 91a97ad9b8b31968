"""How tensors lie in files of `torch.save`: a storage outside of the pickle, and how to look at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from saver.codec import Encoder
from saver.families.torch.pickled_storages import (
    CODES,
    PAIRS,
    Seen,
    code_of,
    dtype_of,
    integers,
    item_size,
    octets,
    row_major,
    seen,
)
from saver.pickled import Call, Global, NotReadError, Pairs, Pickled, Storage, attributes_of, sequence
from saver.tensors import ShardedData, TensorData
from saver.tree import Value


class TensorPickled(Pickled):
    """Tensors. One that is alone on its storage and lies in order is written as it is; others look at a flat
    tensor over all of their storage."""

    name = "torch.Tensor"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        found = seen(obj)
        state: dict[str, Value] = {}
        if obj.args[4:5] == (True,):
            state["requires_grad"] = True
        state |= dict.fromkeys(found.flags, True)
        self._place(found, state, encoder)
        attributes = attributes_of(obj)
        if attributes:
            state["attributes"] = encoder.fields(attributes)
        return state

    def _place(self, found: Seen, state: dict[str, Value], encoder: Encoder) -> None:
        storage, dtype, shape = found.storage, found.dtype, found.shape
        count, size, data = math.prod(shape), item_size(dtype), octets(storage)
        if not count or (len(storage.calls) < 2 and found.steps == row_major(shape)):
            start = found.offset * size if count else 0
            _write(data[start : start + count * size], dtype, shape, storage.device, state, encoder)
            return
        state["base"] = encoder(base_of(storage))
        state |= {"dtype": dtype, "shape": [*shape], "stride": [*found.steps], "offset": found.offset}


def _write(
    data: Any, dtype: str, shape: list[int], device: str, state: dict[str, Value], encoder: Encoder
) -> None:
    if dtype not in CODES:
        state["dtype"] = dtype
    if device != "cpu":
        state["device"] = device
    _check_bools(dtype, data)
    state["data"] = encoder.raw_tensor(TensorData(code_of(dtype), _stored(dtype, shape, 2), data))


class ChunksPickled(Pickled):
    """Tensors that lie in several boxes."""

    name = "torch.Tensor"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        code, dtype = code_of(obj.dtype), obj.dtype
        shards = {}
        for offsets, (shape, data) in obj.boxes.items():
            _check_bools(dtype, data)
            at, stored = _stored(dtype, offsets, 0), _stored(dtype, shape, 2)
            shards[at] = TensorData(code, stored, data)
        state: dict[str, Value] = {} if dtype in CODES else {"dtype": dtype}
        state["data"] = encoder.raw_tensor(ShardedData(code, _stored(dtype, obj.shape, 2), shards))
        return state


def _stored(dtype: str, axes: Sequence[int], last: int) -> tuple[int, ...]:
    """Sizes or offsets as they are stored: a complex number is two."""
    return (*axes, last) if dtype in PAIRS else (*axes,)


def _check_bools(dtype: str, data: Any) -> None:
    """Raise NotReadError for bools that are not ones."""
    if dtype == "bool" and data.size and data.max() > 1:
        raise NotReadError("its bools have bytes other than 0 and 1")


def base_of(storage: Storage) -> Call:
    """The flat tensor over a storage, the same each time."""
    known = next((call for call in storage.calls if call.function == _BASE), None)
    if known is None:
        known = Call(_BASE, (storage,))
        storage.calls.append(known)
    return known


_BASE = Global("torch.UntypedStorage", "base")


class BasePickled(Pickled):
    """The flat tensor over a storage."""

    name = "torch.Tensor"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        (storage,) = obj.args
        dtype, data = dtype_of(storage.kind), octets(storage)
        if dtype == "bool" or dtype not in CODES or data.size % item_size(dtype):
            dtype = "uint8"
        state: dict[str, Value] = {}
        _write(data, dtype, [data.size // item_size(dtype)], storage.device, state, encoder)
        return state


class ParameterPickled(Pickled):
    """Parameters: a tensor, whether it is trained, and attributes."""

    name = "torch.Tensor"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        inner = obj.args[0] if len(obj.args) > 2 else None
        if type(inner) is not Call or inner.function.name not in ("_rebuild_tensor_v2", "_rebuild_tensor_v3"):
            raise NotReadError("a parameter is not made of a tensor")
        found = TensorPickled().encode(inner, encoder)
        state: dict[str, Value] = {"parameter": True, **found}  # type: ignore[dict-item]
        state.pop("requires_grad", None)
        if obj.args[1] is not True:
            state["requires_grad"] = False
        more = obj.args[3] if len(obj.args) > 3 else None
        if obj.function.name.endswith("_with_state") and type(more) is Pairs and more.items:
            state["attributes"] = encoder.fields(attributes_of(Call(_BASE, state=more, has_state=True)))
        return state


class SparsePickled(Pickled):
    """Sparse tensors: a layout, indices, values and a shape."""

    name = "torch.Tensor"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        layout, data = (*obj.args, None, None)[:2]
        named = layout.args[0] if type(layout) is Call and layout.args else str(layout)
        kind = str(named).removeprefix("torch.")
        parts = sequence(data, "the parts of a sparse tensor")
        if kind == "sparse_coo" and len(parts) in (3, 4):
            return {
                "layout": kind, "shape": [*integers(parts[2])], "coalesced": parts[3:] == [True],
                "indices": encoder(parts[0], "indices"), "values": encoder(parts[1], "values"),
            }  # fmt: skip
        names = _COMPRESSED.get(kind)
        if names is None or len(parts) != 4:
            raise NotReadError(f"a tensor of the layout {kind[:40]} has no data form")
        return {
            "layout": kind, "shape": [*integers(parts[3])], names[0]: encoder.own(parts[0], names[0]),
            names[1]: encoder.own(parts[1], names[1]), "values": encoder(parts[2], "values"),
        }  # fmt: skip


_COMPRESSED = {
    "sparse_csr": ("crow_indices", "col_indices"), "sparse_csc": ("ccol_indices", "row_indices"),
    "sparse_bsr": ("crow_indices", "col_indices"), "sparse_bsc": ("ccol_indices", "row_indices"),
}  # fmt: skip


class TypedPickled(Pickled):
    """Tensors with attributes: how they are made again, their class, and the attributes."""

    name = "torch.Tensor"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        make, kind, args, state = (*obj.args, None, None, None, None)[:4]
        plain = type(kind) is Global and kind in (_TENSOR, _PARAMETER)
        if type(make) is not Global or make.module != "torch._utils" or type(args) is not tuple or not plain:
            raise NotReadError(f"{kind}, a subclass of Tensor, has no data form")
        inner = Call(make, args, state=state, has_state=state is not None)
        if make.name.startswith("_rebuild_tensor_v"):
            for arg in args:
                if type(arg) is Storage:
                    arg.calls.append(inner)
            return TensorPickled().encode(inner, encoder)
        if make.name.startswith("_rebuild_parameter"):
            return ParameterPickled().encode(inner, encoder)
        raise NotReadError(f"{make} does not make a tensor that has a data form")


_TENSOR, _PARAMETER = Global("torch", "Tensor"), Global("torch.nn.parameter", "Parameter")


class StoragePickled(Pickled):
    """A storage as a value."""

    name = "torch.UntypedStorage"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(base_of(obj))


_PLAIN = TensorPickled()
READERS: dict[str, Pickled] = {
    "torch._utils:_rebuild_tensor": _PLAIN,
    "torch._utils:_rebuild_tensor_v2": _PLAIN,
    "torch._utils:_rebuild_tensor_v3": _PLAIN,
    "torch._utils:_rebuild_parameter": ParameterPickled(),
    "torch._utils:_rebuild_parameter_with_state": ParameterPickled(),
    "torch._utils:_rebuild_sparse_tensor": SparsePickled(),
    "torch._tensor:_rebuild_from_type_v2": TypedPickled(),
    "torch.UntypedStorage:base": BasePickled(),
}
