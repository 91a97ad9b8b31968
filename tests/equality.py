"""What "the same bits" means, for any object: types, values, and the shape of sharing."""

from __future__ import annotations

import struct
from collections import deque
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import numpy as np


def assert_same(a: Any, b: Any, path: str = "$", seen: dict[int, Any] | None = None) -> None:
    """Fail, naming the path, unless `b` is what `a` was, to the bit."""
    seen = {} if seen is None else seen
    assert type(a) is type(b), f"{path}: {type(a)} became {type(b)}"
    if isinstance(a, ModuleType):
        assert a is b, path
        return
    if id(a) in seen:
        assert seen[id(a)][1] is b, f"{path}: was shared, is not"
        return
    if a is None or isinstance(a, (bool, int, str, bytes)):
        assert a == b, f"{path}: {a!r} became {b!r}"
    elif isinstance(a, float):
        assert struct.pack(">d", a) == struct.pack(">d", b), path
    elif isinstance(a, complex):
        assert_same([a.real, a.imag], [b.real, b.imag], path)
    elif isinstance(a, np.ndarray):
        _same_arrays(a, b, path, seen)
    elif isinstance(a, (list, tuple, deque)):
        seen[id(a)] = (a, b)
        assert len(a) == len(b), path
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}[{index}]", seen)
    elif isinstance(a, (set, frozenset)):
        assert_same(sorted(a, key=_rank), sorted(b, key=_rank), path, seen)
    elif isinstance(a, dict):
        seen[id(a)] = (a, b)
        assert len(a) == len(b), f"{path}: {sorted(map(str, a))} became {sorted(map(str, b))}"
        for (key, x), (other, y) in zip(a.items(), b.items(), strict=True):
            assert_same(key, other, f"{path}: key", seen)
            assert_same(x, y, f"{path}[{key!r}]", seen)
    elif isinstance(a, (type, np.dtype, np.ufunc)) or (callable(a) and hasattr(a, "__qualname__")):
        assert a == b, path
    elif isinstance(a, np.generic):
        assert a.dtype == b.dtype, path
        assert a.tobytes() == b.tobytes() or a != a, path
    elif isinstance(a, np.random.RandomState):
        assert_same(a.get_state(), b.get_state(), path, seen)
    elif isinstance(a, np.random.Generator):
        assert_same(a.bit_generator.state, b.bit_generator.state, path, seen)
    elif hasattr(a, "__dict__") and type(a).__eq__ is object.__eq__:
        seen[id(a)] = (a, b)
        assert_same(dict(sorted(vars(a).items())), dict(sorted(vars(b).items())), path, seen)
        if not vars(a) and hasattr(a, "__getstate__"):
            _same_states(a, b, path, seen)
    elif hasattr(a, "toarray") or hasattr(a, "equals"):
        assert repr(a) == repr(b), path
        assert (abs(a - b)).nnz == 0 if hasattr(a, "toarray") else a.equals(b), path
    elif type(a).__eq__ is object.__eq__:
        _same_states(a, b, path, seen)
    elif isinstance(a, (Decimal, datetime)):  # an ambiguous time equals none of another zone object
        assert repr(a) == repr(b), path
    else:
        assert a == b or (a != a and b != b), f"{path}: {a!r} became {b!r}"


def _rank(item: Any) -> str:
    """Orders the elements of sets by what they are; the repr of a frozenset depends on its history."""
    if isinstance(item, frozenset):
        return f"frozenset{sorted(map(_rank, item))}"
    return f"tuple{list(map(_rank, item))}" if isinstance(item, tuple) else f"{type(item)}{item!r}"


def _same_states(a: Any, b: Any, path: str, seen: dict[int, Any]) -> None:
    """Compiled objects: compare what they would pickle."""
    seen[id(a)] = (a, b)
    first, second = a.__reduce_ex__(4), b.__reduce_ex__(4)
    assert_same(list(first[1:3]), list(second[1:3]), f"{path}.__reduce__()", seen)


def _same_arrays(a: np.ndarray, b: np.ndarray, path: str, seen: dict[int, Any]) -> None:
    seen[id(a)] = (a, b)
    assert a.dtype == b.dtype, f"{path}: {a.dtype} became {b.dtype}"
    assert a.shape == b.shape, f"{path}: {a.shape} became {b.shape}"
    if a.dtype.names:
        for name in a.dtype.names:
            _same_arrays(np.asarray(a[name]), np.asarray(b[name]), f"{path}.{name}", {})
    elif a.dtype.hasobject:
        for index in np.ndindex(a.shape):
            assert_same(a[index], b[index], f"{path}{list(index)}", seen)
    elif (
        a.dtype.kind in "fc"
        and a.dtype.itemsize in (16, 32)
        and a.dtype.type in (np.longdouble, np.clongdouble)
    ):
        with np.errstate(invalid="ignore"):
            assert np.array_equal(a, b, equal_nan=True), path
        assert np.array_equal(np.signbit(a.real), np.signbit(b.real)), path
    elif a.dtype.kind == "T":
        assert a.tolist() == b.tolist(), path
    else:
        assert np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes(), f"{path}: other bits"
