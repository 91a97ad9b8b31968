"""The forms in which a file may describe arrays and dtypes. Each check raises ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver.rules import Broken
from saver.tensors import TENSOR_DTYPE, TensorInfo
from saver.tree import Tensor


def array(state: Any) -> str:
    """Which of `data`, `items` and `fields` an array has."""
    if type(state) is not dict or "dtype" not in state or "shape" not in state:
        raise Broken("3.17", "an array has a dtype and a shape")
    kind = "data" if "data" in state else "items" if "items" in state else "fields"
    if kind not in state or len(state) != 3 + ("order" in state and kind != "fields"):
        raise Broken("3.17", f"an array has not the fields {', '.join(state)[:80]}")
    held = state[kind]
    wrong = type(held) is not list and (kind == "fields" or type(held) is not dict)
    if (type(held) is not str and type(held) is not Tensor) if kind == "data" else wrong:
        raise Broken("3.17", f"the {kind} of an array are not such")
    return kind


def shape(value: Any, rule: str = "3.17") -> tuple[int, ...]:
    """The sizes of axes."""
    if type(value) is list:
        for axis in value:
            if type(axis) is not int or axis < 0:
                break
        else:
            return tuple(value)
    raise Broken(rule, f"{str(value)[:80]} is not a shape")


def stored_as(info: TensorInfo, dtype: np.dtype[Any], sizes: tuple[int, ...]) -> None:
    """Check that the elements of an array are a tensor as a save makes it (`dtypes.storage`)."""
    size = dtype.itemsize
    if dtype.isnative and (dtype.kind, size) in TENSOR_DTYPE:
        wanted: tuple[str, tuple[int, ...]] = TENSOR_DTYPE[dtype.kind, size], sizes
    elif dtype.isnative and dtype.kind in "mM":
        wanted = "I64", sizes
    elif dtype.isnative and dtype.kind == "c" and size in (8, 16):
        wanted = ("F32" if size == 8 else "F64"), (*sizes, 2)
    elif dtype.isnative and dtype.kind == "U":
        wanted = "U32", (*sizes, size // 4)
    else:
        wanted = "U8", (*sizes, size)
    if (info.dtype, info.shape) != wanted:
        found = f"{info.dtype}{list(info.shape)}"
        raise Broken("3.15", f"the elements are {found}, not {wanted[0]}{list(wanted[1])}")


_KEYS = {"names", "formats", "offsets", "itemsize"}


def structure(spec: Any) -> None:
    """Check the description of a structure, but for its formats."""
    if type(spec) is not dict or not spec.keys() >= _KEYS or not spec.keys() <= _KEYS | {"titles", "aligned"}:
        raise Broken("3.10", "it is not the description of a dtype")
    names, titles = spec["names"], spec.get("titles", [])
    lists = [names, spec["formats"], spec["offsets"], *([titles] if "titles" in spec else [])]
    if not all(type(each) is list and len(each) == len(names) for each in lists):
        raise Broken("3.10", "the fields of a structure are lists of one length")
    texts, size = [*names, *(title for title in titles if title is not None)], spec["itemsize"]
    if not all(type(text) is str for text in texts) or len({*texts}) != len(texts):
        raise Broken("3.10", "the names in a structure are different strings")
    if not all(type(each) is int and abs(each) < 2**53 for each in (*spec["offsets"], size)) or size < 0:
        raise Broken("3.10", "the offsets in a structure, and its size, are integers")
    if spec.get("aligned", True) is not True or size >= 2**31:
        raise Broken("3.10", "a structure is aligned or does not say so, and has less than 2 GiB")
