"""How tensors lie in files of `torch.save`: a storage outside of the pickle, and how to look at it."""

from __future__ import annotations

import math
from typing import Any

from saver.codec import Encoder
from saver.pickled import Call, Global, NotReadError, Pairs, Pickled, Storage, attributes_of, sequence
from saver.tensors import ITEM_SIZE, TensorData
from saver.tree import EXACT_INTEGER, Value

_TYPES = {
    "Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool", "Untyped": "uint8",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip
"""What storages are called, before `Storage`."""

_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PAIRS = {"complex32": "F16", "complex64": "F32", "complex128": "F64"}
_BYTES = ("float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu")
"""Dtypes of one byte that safetensors lacks."""


def code_of(dtype: str) -> str:
    """The dtype of safetensors in which the numbers are stored."""
    code = _CODES.get(dtype) or _PAIRS.get(dtype) or ("U8" if dtype in _BYTES else None)
    if code is None:
        raise NotReadError(f"a tensor of {dtype[:40]} has no data form")
    return code


def item_size(dtype: str) -> int:
    """In bytes."""
    return ITEM_SIZE[code_of(dtype)] * (2 if dtype in _PAIRS else 1)


def dtype_of(kind: Global) -> str:
    """The dtype of a storage, by the name of its class."""
    name = kind.name.removesuffix("Storage")
    if kind.module.partition(".")[0] != "torch" or name not in _TYPES or name == kind.name:
        raise NotReadError(f"{kind} is not a storage that has a data form")
    return _TYPES[name]


def integers(value: Any) -> list[int]:
    """A shape or strides: a tuple, or a call of `torch.Size`."""
    if type(value) is Call and value.function == Global("torch", "Size") and len(value.args) == 1:
        value = value.args[0]
    found = sequence(value, "a shape")
    if len(found) > 64 or not all(type(axis) is int and 0 <= axis <= EXACT_INTEGER for axis in found):
        raise NotReadError("a shape does not consist of sizes")
    return found


class TensorPickled(Pickled):
    """Tensors. One that is alone on its storage and lies in order is written as it is; others look at a flat
    tensor over all of their storage."""

    name = "torch.Tensor"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if len(obj.args) < 4:
            raise NotReadError("a tensor does not say where in its storage it lies")
        storage, offset, size, stride = obj.args[:4]
        dtype, metadata = self._kind(obj, storage)
        state: dict[str, Value] = {}
        if obj.args[4:5] == (True,):
            state["requires_grad"] = True
        for flag in ("conj", "neg"):
            if metadata.get(flag) is True:
                state[flag] = True
        shape, steps = integers(size), integers(stride)
        if type(offset) is not int or not 0 <= offset <= EXACT_INTEGER or len(shape) != len(steps):
            raise NotReadError("a tensor does not say where in its storage it lies")
        self._place(storage, dtype, offset, shape, steps, state, encoder)
        attributes = attributes_of(obj)
        if attributes:
            state["attributes"] = encoder.fields(attributes)
        return state

    def _kind(self, call: Call, storage: Any) -> tuple[str, dict[str, Any]]:
        """The dtype, and the flags."""
        if type(storage) is not Storage:
            raise NotReadError("a tensor has no storage")
        third = call.function.name == "_rebuild_tensor_v3"
        named = call.args[6] if third and len(call.args) > 6 else None
        more = call.args[7 if third else 6 :]
        flags = dict(more[0].items) if more and type(more[0]) is Pairs else {}
        return named.name if type(named) is Global else dtype_of(storage.kind), flags

    def _place(
        self, storage: Storage, dtype: str, offset: int, shape: list[int], steps: list[int],
        state: dict[str, Value], encoder: Encoder,
    ) -> None:  # fmt: skip
        count, size = math.prod(shape), item_size(dtype)
        data = octets(storage)
        reach = 1 + sum((axis - 1) * step for axis, step in zip(shape, steps, strict=True)) if count else 0
        if (offset + reach) * size > data.size and count:
            raise NotReadError(f"a tensor reaches beyond the {data.size:,} bytes of its storage")
        if not count or (len(storage.calls) < 2 and steps == row_major(shape)):
            start = offset * size if count else 0
            _write(data[start : start + count * size], dtype, shape, storage.device, state, encoder)
            return
        state["base"] = encoder(base_of(storage))
        state |= {"dtype": dtype, "shape": [*shape], "stride": [*steps], "offset": offset}


def _write(
    data: Any, dtype: str, shape: list[int], device: str, state: dict[str, Value], encoder: Encoder
) -> None:
    if dtype not in _CODES:
        state["dtype"] = dtype
    if device != "cpu":
        state["device"] = device
    if dtype == "bool" and data.size and data.max() > 1:
        raise NotReadError("its bools have bytes other than 0 and 1")
    stored = (*shape, 2) if dtype in _PAIRS else (*shape,)
    state["data"] = encoder.raw_tensor(TensorData(code_of(dtype), stored, data))


def octets(storage: Storage) -> Any:
    """The bytes of a storage, which is what all of its tensors look at."""
    if storage.data is None:
        raise NotReadError(f"the storage {storage.key[:40]!r} is not in the file")
    return storage.data


def row_major(shape: list[int]) -> list[int]:
    """The strides of a tensor that lies in order."""
    steps = [1]
    for axis in reversed(shape[1:]):
        steps.append(steps[-1] * max(axis, 1))
    return steps[: len(shape)][::-1]


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
        if dtype == "bool" or dtype not in _CODES or data.size % item_size(dtype):
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
