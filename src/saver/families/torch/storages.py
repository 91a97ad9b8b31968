"""The storages of tensors: which safetensors dtype holds which torch dtype, and which tensors share bytes."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saver.codec import Encoder
from saver.families.torch.devices import on_device
from saver.rules import Broken
from saver.tensors import TensorData
from saver.tree import Tensor as TensorRef
from saver.tree import Value

_SAME = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PAIRS = {"complex32": "F16", "complex64": "F32", "complex128": "F64"}

DTYPES: dict[str, Any] = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype) and not str(dtype).startswith(("torch.q", "torch.bits"))
}
"""The dtypes of this torch that tensors of plain bytes can have, by name."""

NAMES: dict[Any, str] = {dtype: name for name, dtype in DTYPES.items()}
CODES: dict[Any, str] = {dtype: _SAME.get(name) or _PAIRS.get(name) or "U8" for name, dtype in DTYPES.items()}
"""torch dtype → the safetensors dtype that holds it; complex numbers are pairs, the rest bytes."""

DTYPE_OF: dict[str, Any] = {code: DTYPES[name] for name, code in _SAME.items() if name in DTYPES}
"""safetensors dtype → the torch dtype that it stands for unless another is recorded."""

READABLE = frozenset(DTYPE_OF.values())
"""The dtypes that safetensors has, so that their tensors need not record a dtype."""

_OF_NUMPY = frozenset((torch.float32, torch.float64, torch.float16, torch.int32, torch.int64, torch.uint8))
"""Common dtypes that NumPy has, so that their tensors need no carrier."""

_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_LINE = 64
"""Bytes of a cache line. The offset of data within one decides how vector libraries round: the same product
of a matrix and a vector differed in its last bits in half of the cases when the matrix was moved by 4 to 36
bytes (PyTorch 2.13 with MKL). So memory keeps its offset in the line over a save and a load."""


def is_dense(shape: Any, stride: Any) -> bool:
    """Whether the elements fill one run of memory without holes or overlaps, in any order."""
    expected = 1
    for step, axis in sorted((s, n) for n, s in zip(shape, stride, strict=True) if n != 1):
        if step != expected:
            return False
        expected *= axis
    return True


def row_major(shape: Any) -> list[int]:
    """The strides of a contiguous tensor, as torch itself sets them."""
    steps = [1]
    for axis in reversed(shape[1:]):
        steps.append(steps[-1] * max(axis, 1))
    return steps[: len(shape)][::-1]


@lru_cache(1024)  # a model has tensors of few shapes, and walking along a torch.Size takes 10 µs
def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(row_major(tuple(shape)))


def tensor_data(tensor: Any) -> TensorData:
    """The elements in C order, as the pack needs them: without a copy on the CPU, in pieces elsewhere."""
    dtype, on_cpu = tensor.dtype, tensor.is_cpu
    if on_cpu and dtype in _OF_NUMPY:
        data = tensor.numpy()
        return TensorData(CODES[dtype], data.shape, data, lambda: int(tensor._version))
    items = torch.view_as_real(tensor) if dtype.is_complex else tensor
    items = items.view(_CARRIERS[items.dtype.itemsize])
    data = items.numpy() if on_cpu else on_device(items)
    return TensorData(CODES[dtype], tuple(items.shape), data, lambda: int(tensor._version))


def owned(data: NDArray[np.uint8]) -> Any:
    """A torch storage over the bytes of a mapped tensor, at the beginning of a cache line.

    Nothing is copied if the bytes begin there already, as the pack ensures for every tensor whose size is a
    multiple of 64 bytes.
    """
    if not len(data) or data.ctypes.data % _LINE:
        moved = torch.empty(len(data), dtype=torch.uint8, device="cpu")
        moved.numpy()[:] = data
        return moved.untyped_storage()
    return torch.from_numpy(data).untyped_storage()


def sizes(value: Any) -> list[int]:
    """A list of sizes from a file. Raises ValueError for anything else."""
    if (
        type(value) is not list
        or len(value) > 64
        or not all(type(n) is int and 0 <= n < 1 << 62 for n in value)
    ):
        raise Broken("4.02", f"{str(value)[:80]} are not sizes")
    return value


def look(storage: Any, dtype: Any, offset: int, shape: list[int], stride: list[int]) -> Any:
    """A tensor over a storage. Raises ValueError unless every element is within it.

    `offset` and `stride` are in items of `dtype`.
    """
    count = math.prod(shape)
    if len(shape) != len(stride) or count * dtype.itemsize >= 1 << 62:
        raise Broken("4.02", f"a tensor cannot have the shape {shape[:9]} and the strides {stride[:9]}")
    if count:
        last = offset + _reach(shape, stride)
        if (last + 1) * dtype.itemsize > storage.nbytes():
            raise Broken("4.03", f"a view reaches {(last + 1) * dtype.itemsize} bytes of {storage.nbytes()}")
    else:
        offset = 0
    tensor = torch.empty(0, dtype=dtype, device=storage.device)
    tensor.set_(storage, offset, torch.Size(shape), tuple(stride))
    if not is_sound(tensor):
        raise Broken("3.16", "a bool is neither 0 nor 1")
    return tensor


def is_sound(tensor: Any) -> bool:
    """Whether bools are stored as 0 or 1, which compiled code assumes and counts by."""
    if tensor.dtype is not torch.bool or not tensor.numel():
        return True
    bits = tensor.view(torch.uint8)
    reach = 1 + _reach(bits.shape, bits.stride())
    if bits.numel() > reach:
        bits = bits.as_strided((reach,), (1,))
    return int(bits.max()) <= 1


class Shared:
    """A storage and the tensors of one walk that share it.

    Which tensors share a storage becomes known only later. So the first one is written plainly, if it is
    dense and begins with a cache line, and is the *base* that later ones refer to; once one reaches beyond
    it, all refer to a flat tensor over the span that they use together, under the name of the first one.
    """

    def __init__(self, storage: Any, span: tuple[int, int]) -> None:
        self.storage = storage
        self.span = span
        self.base: Any = None
        self.plain = False
        self.name: str | None = None
        self.views: list[tuple[dict[str, Value], Any]] = []

    def holds(self, span: tuple[int, int], item: int) -> bool:
        """Whether items of `item` bytes over `span` are items of the base, too."""
        (low, high), (start, stop) = self.span, span
        return low <= start and stop <= high and (start - low) % item == 0

    def reach(self, span: tuple[int, int]) -> None:
        """Widen the span. It begins with a cache line, so that every view keeps its offset in one."""
        low = min(self.span[0], span[0]) // _LINE * _LINE
        self.span = low, max(self.span[1], span[1])

    def flatten(self) -> None:
        """Make the base a flat tensor of its own."""
        self.plain = False
        self.base = torch.empty(0, dtype=torch.uint8, device=self.storage.device).set_(self.storage)

    def offset(self, view: Any) -> int:
        """The offset of the view from the base, in items of the view."""
        item = view.dtype.itemsize
        return int(view.storage_offset() * item - self.span[0]) // int(item)

    def data(self) -> TensorData:
        """The span as a flat tensor: of the dtype that all views have, or bytes if they differ."""
        (dtype, *others) = {view.dtype for _, view in self.views}
        if others or dtype not in READABLE or dtype is torch.bool:  # there may be any bytes between bools
            dtype = torch.uint8
        start, stop = (at // dtype.itemsize for at in self.span)
        flat = torch.empty(0, dtype=dtype, device=self.storage.device)
        data = tensor_data(flat.set_(self.storage, start, (stop - start,), (1,)))
        return TensorData(data.dtype, data.shape, data.data)  # nothing is changed through `flat`


class Storages:
    """The storages that one walk has met, by their memory: `encoder.shared(Storages)`."""

    def __init__(self) -> None:
        self._met: dict[Any, Shared] = {}
        self.inline = False
        """Whether single numbers are stored in the tree, as the step counts of an optimizer are."""

    def add(self, obj: Any, tensor: Any, state: dict[str, Value], encoder: Encoder) -> None:
        """Record in `state` where the elements of `tensor` are stored. It is `obj` without subclass and
        grad."""
        if not is_sound(tensor):
            encoder.refuse("its bools have bytes other than 0 and 1; save `tensor.view(torch.uint8)` instead")
        if not tensor.numel():
            self._write(tensor, state, encoder)
            return
        storage = tensor.untyped_storage()
        key = storage.device, storage.data_ptr(), storage.nbytes()
        item = tensor.dtype.itemsize
        start = tensor.storage_offset() * item
        dense = tensor.is_contiguous() or is_dense(tensor.shape, tensor.stride())
        count = tensor.numel() if dense else 1 + _reach(tensor.shape, tensor.stride())
        span = start, start + item * count
        shared = self._met.get(key)
        if shared is None:
            shared = self._met[key] = Shared(storage, span)
            shared.plain = dense and start % _LINE == 0
            if shared.plain:
                shared.base = obj
                shared.views.append((state, tensor))
                shared.name = self._write(tensor, state, encoder)
                return
        elif obj is shared.base:
            self._write_base(shared, state, encoder)
            return
        elif shared.plain and shared.holds(span, item):
            shared.views.append((state, tensor))
            _refer(shared, state, tensor, encoder)
            return
        self._widen(shared, span, state, tensor, encoder)

    def _write(self, tensor: Any, state: dict[str, Value], encoder: Encoder) -> str | None:
        """Write a dense tensor under the name of its path, with its true dtype and shape."""
        dtype = tensor.dtype
        if not tensor.is_cpu:
            state["device"] = str(tensor.device)
        if tensor.stride() != _row_major(tensor.shape):
            state["stride"] = list(tensor.stride())
        if dtype not in READABLE or (self.inline and not tensor.dim()):
            state["dtype"] = NAMES[dtype]
        if self.inline and not tensor.dim():
            state["data"] = tensor_data(tensor.cpu()).data.tobytes().hex()  # type: ignore[union-attr]
            return None
        name = encoder.raw_tensor(tensor_data(tensor))
        state["data"] = name
        return name.name

    def _widen(
        self,
        shared: Shared,
        span: tuple[int, int],
        state: dict[str, Value],
        view: Any,
        encoder: Encoder,
    ) -> None:
        """Extend the base over `span`, and make every tensor of the storage a view of it."""
        shared.reach(span)
        shared.views.append((state, view))
        fresh = shared.views[-1:]
        if shared.plain or shared.base is None:
            shared.flatten()
            fresh = shared.views
        for known, tensor in fresh:
            for key in ("data", "dtype", "stride", "device"):
                known.pop(key, None)
            _refer(shared, known, tensor, encoder)
        for known, tensor in shared.views:
            known["offset"] = shared.offset(tensor)
        if shared.name is not None:
            encoder.tensors[shared.name] = shared.data()

    def _write_base(self, shared: Shared, state: dict[str, Value], encoder: Encoder) -> None:
        if shared.name is None:
            shared.name = encoder.raw_tensor(shared.data()).name
        state["data"] = TensorRef(shared.name)
        if shared.storage.device.type != "cpu":
            state["device"] = str(shared.storage.device)


def _reach(shape: Any, stride: Any) -> int:
    return sum((axis - 1) * step for axis, step in zip(shape, stride, strict=True))


def _refer(shared: Shared, state: dict[str, Value], view: Any, encoder: Encoder) -> None:
    state["base"] = encoder(shared.base)
    state["dtype"] = NAMES[view.dtype]
    state["shape"] = list(view.shape)
    state["stride"] = list(view.stride())
    state["offset"] = shared.offset(view)
