"""The dtypes of safetensors that Saver writes, and those of NumPy that they correspond to."""

from __future__ import annotations

import numpy as np

ITEM_SIZE = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""Bytes per element of every safetensors dtype that Saver writes."""

_NUMPY_NAMES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "F16": "<f2",
    "U32": "<u4", "I32": "<i4", "F32": "<f4", "U64": "<u8", "I64": "<i8", "F64": "<f8",
}  # fmt: skip
NUMPY_DTYPE = {name: np.dtype(code) for name, code in _NUMPY_NAMES.items()}
"""safetensors dtype → NumPy dtype, where NumPy has one."""

TENSOR_DTYPE = {(d.kind, d.itemsize): name for name, d in NUMPY_DTYPE.items()}
"""(NumPy kind, item size) → safetensors dtype; byte order aside."""
