"""How array entries are laid out in bytes, and which numbers they stand for. Needs no framework."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver.tensors import ITEM_SIZE, NUMPY_DTYPE


class Form(msgspec.Struct, frozen=True):
    """How one entry of an array is laid out in `size` bytes.

    `name` is shown to people: a safetensors dtype where there is one. An entry is `count` numbers (two for
    complex ones) of the kind `number`: a NumPy dtype, or one of `bf16`, `f8_e4m3`, `f8_e5m2`. Where
    `number` is empty, entries are compared as bytes only: text, dates, records and anything else.
    """

    name: str
    size: int
    number: str = ""
    count: int = 1

    @property
    def is_real(self) -> bool:
        """Whether the numbers are floats, which have infinities and nan."""
        return self.number in _FLOATS or self.number[1:2] == "f"


_FLOATS = frozenset(("bf16", "f8_e4m3", "f8_e5m2"))
_NUMBERS = {"BF16": "bf16", "F8_E4M3": "f8_e4m3", "F8_E5M2": "f8_e5m2", "BOOL": "|u1"}

FORMS = {
    dtype: Form(dtype, size, _NUMBERS.get(dtype) or NUMPY_DTYPE[dtype].str)
    for dtype, size in ITEM_SIZE.items()
}
"""safetensors dtype → the form of its entries."""

STRINGS = Form("str", 0)
"""Strings one after another; another tensor holds where each ends."""

TEXT = Form("text", 1)
"""One long string, in UTF-8."""

_OF_NUMPY = {dtype.str: FORMS[name] for name, dtype in NUMPY_DTYPE.items()}
_UNIT = r"\[(?:[1-9]\d{0,8})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]"
_DTYPE = re.compile(rf"([<>|])([biufcmMSUV])([1-9]\d{{0,8}})({_UNIT})?")


def form_of_numpy(dtype: Any) -> Form | None:
    """The form of a dtype as trees spell it, such as `<f8`; None for dtypes that are not read here."""
    if type(dtype) is not str:
        return None
    known = _OF_NUMPY.get(dtype)
    if known is not None:
        return known
    match = _DTYPE.fullmatch(dtype)
    if match is None or (match[2] in "mM") != (match[4] is not None):
        return None
    order, kind, size = match[1], match[2], int(match[3])
    if kind == "U":
        return Form(dtype, 4 * size)
    if kind == "c" and size in (8, 16):
        return Form(f"complex{8 * size}", size, f"{order}f{size // 2}", 2)
    if kind in "iuf" and size in (2, 4, 8):
        return Form(dtype, size, dtype)
    if kind in "mM" and size != 8:
        return None
    return Form(dtype, size) if kind not in "biufc" or _numpy_has(dtype) else None


def _numpy_has(dtype: str) -> bool:
    try:
        np.dtype(dtype)
    except TypeError:
        return False
    return True


def numbers(raw: NDArray[np.uint8], form: Form) -> NDArray[Any]:
    """The numbers that flat bytes of this form stand for: floats as float64, integers as they are."""
    with np.errstate(invalid="ignore"):  # a cast of signaling nan would warn
        if form.number == "bf16":
            return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        if form.number in _FLOATS:
            return _eight_bits(form.number)[raw]
        found: NDArray[Any] = raw.view(form.number)
        return found.astype(np.float64) if found.dtype.kind == "f" else found


@cache
def _eight_bits(number: str) -> NDArray[np.float64]:
    """The values of all 256 floats of 8 bits (Micikevicius et al., FP8 Formats for Deep Learning, 2022)."""
    codes = np.arange(256, dtype=np.uint16)
    if number == "f8_e5m2":  # the upper half of an IEEE binary16
        return (codes << 8).view(np.float16).astype(np.float64)
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    normal = np.ldexp(1 + mantissa / 8, exponent.astype(np.int64) - 7)
    size = np.where(exponent == 0, np.ldexp(mantissa / 8, -6), normal)
    size[(codes & 127) == 127] = np.nan  # the only one: E4M3 has no infinities
    return np.where(codes >= 128, -size, size)


def values(raw: NDArray[np.uint8], form: Form) -> list[Any] | None:
    """The entries in flat bytes as Python values, for small numbers of them; None if the form is not
    readable."""
    if form.number:
        found = numbers(raw, form)
        if form.count == 2:
            pairs = found.reshape(-1, 2).tolist()
            return [complex(real, imaginary) for real, imaginary in pairs]
        return [bool(item) for item in found.tolist()] if form.name == "BOOL" else list(found.tolist())
    if form == TEXT:
        return [raw.tobytes().decode("utf-8", "backslashreplace")]
    kind = form.name[1:2] if form.name[0] in "<>|" else ""
    if kind and kind in ("m", "M"):
        return list(map(str, raw.view(form.name)))
    if kind == "U":
        order = "utf-32-be" if form.name[0] == ">" else "utf-32-le"
        return [_text(bytes(item), form.size, order) for item in raw.reshape(-1, form.size)]
    if kind == "S":
        return [bytes(item).rstrip(b"\0") for item in raw.reshape(-1, form.size)]
    return None


def _text(item: bytes, size: int, encoding: str) -> str:
    return item.decode(encoding, "replace").rstrip("\0")
