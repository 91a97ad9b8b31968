"""What the tests of formats share: objects to write, and what is in them by name."""

from __future__ import annotations

from typing import Any

import numpy as np

ARRAYS: dict[str, Any] = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "dense/kernel:0": np.array([np.nan, np.inf, -0.0, 5e-324]),
    "a.b": np.arange(5, dtype=np.int8),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "scalar": np.array(2, np.int64),
    "empty": np.zeros((0, 3), np.float16),
    "flags": np.array([[True], [False]]),
    "unsigned": np.array([0, 2**64 - 1], np.uint64),
    "large": np.arange(300_000, dtype=np.float32),
    "ü" * 150: np.arange(3, dtype=np.uint16),
}
"""Arrays that safetensors, and so every format, can hold."""

OTHERS: dict[str, Any] = {
    "complex": np.array([1 + 2j, np.nan]),
    "pairs": np.array([1 + 2j], np.complex64),
    "text": np.array(["a", "ünf"]),
    "bytes": np.array([b"ab", b""]),
    "dates": np.array(["2026-01-01", "NaT"], "M8[D]"),
    "big": np.arange(4, dtype=">f8"),
}
"""Arrays that NumPy has, and hardly anything else."""


def same(a: Any, b: Any) -> bool:
    """Whether two arrays have the same dtype, shape and bytes."""
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def all_same(found: Any, expected: dict[str, Any]) -> bool:
    """Whether two dicts have the same arrays by the same names."""
    return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in expected)
