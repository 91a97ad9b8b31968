"""NumPy dtypes as data, and the plain memory behind arrays of any dtype."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.codec import Decoder, Encoder, listed, special
from saver.errors import kind_of
from saver.families.numpy import forms
from saver.rules import Broken
from saver.tensors import TENSOR_DTYPE
from saver.tree import Value

_UNIT = r"\[(?:[1-9][0-9]{0,8})?(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\]"
_DTYPE = re.compile(rf"[<>|][biufcmMSUVO][0-9]{{0,10}}(?:{_UNIT})?")
"""The form of `dtype.str`."""


_ML_DTYPES = frozenset((
    "bfloat16", "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn", "float8_e3m4", "float8_e4m3",
    "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    "float8_e8m0fnu", "int1", "int2", "int4", "uint1", "uint2", "uint4",
))  # fmt: skip
"""The dtypes that the package ml_dtypes adds to NumPy, for JAX and others: each element takes whole bytes."""

_METADATA = "the dtype {} has metadata, which has no data form; use numpy.dtype({!r}), and keep it elsewhere"


def encode_dtype(dtype: np.dtype[Any], encoder: Encoder) -> Value:
    """A dtype as data: its string, or the fields of a structured one."""
    if dtype.metadata:
        encoder.refuse(_METADATA.format(dtype, dtype.str))
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": encode_dtype(base, encoder), "shape": list(shape)}
    if dtype.fields is not None:
        names = dtype.names or ()
        fields: Any = dtype.fields
        titles = [fields[name][2] if len(fields[name]) > 2 else None for name in names]
        spec: dict[str, Value] = {
            "names": list(names),
            "formats": [encode_dtype(dtype.fields[name][0], encoder) for name in names],
            "offsets": [dtype.fields[name][1] for name in names],
            "itemsize": dtype.itemsize,
        }
        if any(titles):
            spec["titles"] = titles
        return {**spec, "aligned": True} if dtype.isalignedstruct else spec
    if dtype.kind == "T":
        strings: Any = dtype
        known = hasattr(strings, "na_object")
        encoder.check(_missing, strings.na_object if known else None)
        return {"string": [strings.coerce, encoder(strings.na_object) if known else None, known]}
    if dtype.type.__module__ == "ml_dtypes" and dtype.name in _ML_DTYPES:
        return {"ml_dtypes": dtype.name}
    if type(dtype).__module__.partition(".")[0] != "numpy" or (
        dtype.kind == "V" and dtype.type is not np.void
    ):
        encoder.refuse(f"the dtype {dtype!r} is not NumPy's own; convert the array first")
    return dtype.str


def decode_dtype(spec: Any, decoder: Decoder) -> np.dtype[Any]:
    """The dtype that `encode_dtype` described."""
    if isinstance(spec, str):
        return _dtype_called(spec)
    if type(spec) is dict and len(spec) == 1 and "ml_dtypes" in spec:
        return _other_dtype(spec["ml_dtypes"])
    if type(spec) is dict and spec.keys() == {"base", "shape"}:
        base, sizes = decode_dtype(spec["base"], decoder), forms.shape(spec["shape"], "3.10")
        array = np.dtype((base, sizes))
        if array.subdtype != (base, sizes):
            raise Broken("3.10", "a sub-array has axes, and elements that are not sub-arrays")
        return array
    if type(spec) is dict and len(spec) == 1 and "string" in spec:
        coerce, missing, known = listed(spec["string"], 3)
        if type(coerce) is not bool or type(known) is not bool:
            raise Broken("3.10", "whether a string is converted is true or false")
        strings: Callable[..., Any] = np.dtypes.StringDType
        found: np.dtype[Any] = (
            strings(coerce=coerce, na_object=_missing(decoder(missing))) if known else strings(coerce=coerce)
        )
        return found
    forms.structure(spec)
    fields = {key: spec[key] for key in ("names", "offsets", "itemsize", "titles", "aligned") if key in spec}
    fields["formats"] = [decode_dtype(item, decoder) for item in spec["formats"]]
    for offset, part in zip(spec["offsets"], fields["formats"], strict=True):
        if not 0 <= offset <= spec["itemsize"] - part.itemsize:  # NumPy adds them in 32 bits
            raise Broken("3.11", f"a field at byte {offset} does not fit into {spec['itemsize']} bytes")
    structured: Any = np.dtype
    return structured(fields)  # type: ignore[no-any-return]


@lru_cache(256)
def _dtype_called(text: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(text):  # NumPy evaluates some strings: those with commas and parentheses
        raise Broken("3.10", f"{text[:40]!r} is not the string of a dtype")
    try:
        found = np.dtype(text)
    except (TypeError, ValueError) as error:
        raise Broken("3.10", f"{text[:40]!r} is not the string of a dtype here: {error}") from None
    if found.str != text:
        raise Broken("3.10", f"{text[:40]!r} is not how NumPy writes the dtype {found.str}")
    return found


def _other_dtype(name: Any) -> np.dtype[Any]:
    if name not in _ML_DTYPES:
        raise Broken("3.10", f"{name!s:.40} is not a dtype of ml_dtypes")
    import ml_dtypes

    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found


def _missing(value: Any) -> Any:
    """The value that stands for a missing string: None, nan, a string or an object other than a container."""
    if isinstance(value, (tuple, list, dict, set, frozenset)):
        raise ValueError(f"{kind_of(value)} cannot stand for a missing string")
    return value


def refused_field(dtype: np.dtype[Any]) -> str | None:
    """Why records of this dtype cannot be saved; None if they can. Records show their fields as attributes,
    so the rule for names of attributes applies to fields."""
    if dtype.subdtype is not None:
        return refused_field(dtype.subdtype[0])
    for name in dtype.fields or ():  # titles are among them
        if special(str(name)):
            return f"a field is called {name!r}, which Python and libraries look up by themselves; rename it"
        why = refused_field(dtype.fields[name][0]) if dtype.fields is not None else None
        if why is not None:
            return why
    return None


def dense(array: NDArray[Any]) -> NDArray[Any]:
    """The array with zeros wherever its dtype has padding, so that equal arrays have equal bytes."""
    if array.dtype.names is not None and _has_padding(array.dtype):
        clean = np.zeros(array.shape, array.dtype)
        for name in array.dtype.names:
            clean[name] = dense(array[name])
        return clean
    if array.dtype.kind in "fc" and _long_double_padding(array.dtype):
        clean = np.array(array, order="C", copy=True, ndmin=1)
        halves = clean.view(np.uint8).reshape(-1, 16)
        halves[:, 10:] = 0
        return clean.reshape(array.shape)
    return array


def _has_padding(dtype: np.dtype[Any]) -> bool:
    if dtype.subdtype is not None:
        return _has_padding(dtype.subdtype[0])
    if dtype.fields is None:
        return dtype.kind in "fc" and _long_double_padding(dtype)
    parts = [dtype.fields[name][0] for name in dtype.names or ()]
    return sum(part.itemsize for part in parts) != dtype.itemsize or any(map(_has_padding, parts))


def _long_double_padding(dtype: np.dtype[Any]) -> bool:
    """Whether 6 of 16 bytes are padding with arbitrary content, as in the 80-bit long double of x86."""
    return dtype.itemsize in (16, 32) and dtype.type in (np.longdouble, np.clongdouble) and (
        np.finfo(np.longdouble).nmant == 63
    )  # fmt: skip


def storage(array: NDArray[Any]) -> NDArray[Any]:
    """The same bytes as an array of a dtype that safetensors has; without a copy if possible."""
    dtype = array.dtype
    if (dtype.kind, dtype.itemsize) in TENSOR_DTYPE and dtype.isnative:
        return array
    if dtype.isnative and dtype.kind in "mM":
        return array.view(np.int64)
    if dtype.isnative and dtype.kind == "c" and dtype.itemsize in (8, 16):
        part = np.float32 if dtype.itemsize == 8 else np.float64
        return _as_items(array, np.dtype(part))
    if dtype.isnative and dtype.kind == "U" and dtype.itemsize:
        return _as_items(array, np.dtype(np.uint32))
    return _as_items(dense(array), np.dtype(np.uint8))


def _as_items(array: NDArray[Any], item: np.dtype[Any]) -> NDArray[Any]:
    """An array with one more axis: each element as the items of dtype `item` that it consists of."""
    count = array.dtype.itemsize // item.itemsize
    if count == 0:
        return np.empty((*array.shape, 0), item)
    dense = np.ascontiguousarray(array).reshape(array.shape)
    return (
        np.ndarray((*array.shape, count), item, buffer=dense)
        if dense.size
        else np.empty((*array.shape, count), item)
    )
