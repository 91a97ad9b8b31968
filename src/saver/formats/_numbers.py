"""Numbers as texts that read back to the same bits, and the bytes that trees hold, as such texts."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from typing import Any

import numpy as np

from saver.reading.forms import form_of_numpy
from saver.tensors import NUMPY_DTYPE, Bytes

_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_KEY = "$numbers"
_OF_TORCH = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
}  # fmt: skip
"""Dtypes as the trees of tensors name them, whose bytes are in hexadecimal."""


def texts_of(raw: Bytes, dtype: str) -> list[str]:
    """Each number of a safetensors dtype as a text: as in JSON, but for `nan`, `inf`, `-inf` and `nan:7fc1`,
    a nan with bits of its own."""
    if dtype == "BOOL":
        return ["true" if each else "false" for each in raw.tolist()]
    if dtype.startswith("F8"):
        return list(map(str, raw.tolist()))
    if dtype == "BF16":  # the upper half of a float32
        raw = (raw.view("<u2").astype("<u4") << 16).view(np.uint8)
    array = raw.view(NUMPY_DTYPE["F32" if dtype == "BF16" else dtype])
    if array.dtype.kind != "f":
        return list(map(str, array.tolist()))
    bits = raw.view(f"<u{array.itemsize}").tolist()
    usual = int(np.array(np.nan, array.dtype).view(f"<u{array.itemsize}"))
    return [_float(each, code, usual) for each, code in zip(array, bits, strict=True)]


def _float(value: Any, bits: int, usual: int) -> str:
    if np.isnan(value):
        return "nan" if bits == usual else f"nan:{bits:x}"
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    plain = not value or 1e-4 <= abs(float(value)) < 1e16
    text = (
        np.format_float_positional(value, trim="0") if plain else np.format_float_scientific(value, trim="-")
    )
    with np.errstate(over="ignore"):
        return text if type(value)(float(text)) == value else repr(float(value))  # it was rounded twice


def bytes_of(numbers: list[Any], dtype: str) -> bytes:
    """The bytes of numbers of a safetensors dtype, as JSON or as texts. Raises ValueError or OverflowError
    for what is not one of its numbers."""
    if dtype.startswith("F8"):
        return np.array(numbers, "u1").tobytes()
    if dtype == "BF16":
        return np.frombuffer(_floats(numbers, np.dtype("<f4")), "<u2")[1::2].tobytes()
    found = NUMPY_DTYPE[dtype]
    return _floats(numbers, found) if found.kind == "f" else np.array(numbers, found).tobytes()


def _floats(numbers: list[Any], dtype: np.dtype[Any]) -> bytes:
    texts = {at: item for at, item in enumerate(numbers) if type(item) is str}
    with np.errstate(over="ignore"):
        plain = [0.0 if type(item) is str else float(item) for item in numbers]
        array = np.array(plain, "<f8").astype(dtype)
    bits = array.view(f"<u{dtype.itemsize}")
    for at, text in texts.items():
        if text in _WORDS:
            array[at] = _WORDS[text]
        elif text.startswith("nan:"):
            bits[at] = int(text.removeprefix("nan:"), 16)
        else:
            raise ValueError(f"{text[:40]!r} is not a number")
    return array.tobytes()


def readable(tree: Any) -> Any:
    """Decoded JSON of a tree, with the numbers of small arrays as texts."""
    if type(tree) is list:
        return [readable(item) for item in tree]
    if type(tree) is not dict:
        return tree
    found = {key: readable(item) for key, item in tree.items()}
    dtype = _dtype_of(tree)
    if dtype and type(tree.get("data")) is str:
        try:
            text = " ".join(texts_of(np.frombuffer(_decoded(tree), np.uint8), dtype))
            found["data"] = {_KEY: text}
            if as_it_was(found)["data"] == tree["data"]:
                return found
        except ValueError:
            pass  # no Saver wrote this; it is written as it is
        found["data"] = tree["data"]
    return found


def as_it_was(tree: Any) -> Any:
    """What `readable` was given. Raises ValueError or OverflowError for texts that are not numbers."""
    if type(tree) is list:
        return [as_it_was(item) for item in tree]
    if type(tree) is not dict:
        return tree
    data, dtype = tree.get("data"), _dtype_of(tree)
    found = {key: as_it_was(item) for key, item in tree.items()}
    if dtype and type(data) is dict and data.keys() == {_KEY} and type(data[_KEY]) is str:
        raw = bytes_of([_number(text, dtype) for text in data[_KEY].split()], dtype)
        of_torch = tree["dtype"] in _OF_TORCH
        found["data"] = raw.hex() if of_torch else b64encode(raw).decode()
    return found


def _number(text: str, dtype: str) -> Any:
    if dtype == "BOOL":
        if text not in ("true", "false"):
            raise ValueError(f"{text[:40]!r} is neither true nor false")
        return text == "true"
    if "n" in text:
        return text
    return float(text) if dtype in ("BF16", "F16", "F32", "F64") else int(text)


def _dtype_of(tree: dict[str, Any]) -> str:
    """The safetensors dtype of the bytes that a state holds; "" if it holds none, or others."""
    dtype = tree.get("dtype")
    if type(dtype) is not str:
        return ""
    form = form_of_numpy(dtype)
    return _OF_TORCH.get(dtype, form.name if form is not None and form.name in NUMPY_DTYPE else "")


def _decoded(tree: dict[str, Any]) -> bytes:
    if tree["dtype"] in _OF_TORCH:
        return bytes.fromhex(tree["data"])
    return b64decode(tree["data"], validate=True)
