"""NumPy: arrays of every dtype, scalars, dtypes, masked arrays, random generators."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import numpy as np

from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder, is_array, listed, nothing, octets
from saver.errors import kind_of
from saver.families.numpy import checks
from saver.families.numpy.arrays import (
    ArrayCodec,
    MaskedCodec,
    SubclassCodec,
)
from saver.families.numpy.dtypes import decode_dtype, dense, encode_dtype, refused_field
from saver.families.numpy.polynomials import Poly1dCodec, SeriesCodec
from saver.families.numpy.random import (
    BitGeneratorCodec,
    GeneratorCodec,
    RandomStateCodec,
    SeedSequenceCodec,
)
from saver.families.numpy.restoring import ArrayRestorer, GeneratorRestorer
from saver.restoring import Restorer
from saver.rules import Broken
from saver.tree import EXACT_INTEGER, Node, Value

_FLAT_KINDS = "biufcmMSUV"


class ScalarCodec(Codec):
    """NumPy scalars: readable numbers where JSON is exact, otherwise their bytes."""

    name = "numpy.scalar"
    shared = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, np.generic) and cls.__module__.partition(".")[0] == "numpy"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        dtype = obj.dtype
        if dtype.kind == "b" or (dtype.kind in "iu" and dtype.isnative and abs(int(obj)) <= EXACT_INTEGER):
            return [dtype.str, obj.item()]
        if dtype.kind == "f" and dtype.itemsize <= 8 and dtype.isnative and np.isfinite(obj):
            return [dtype.str, float(obj)]
        if dtype.kind in "SU":
            return [dtype.kind, encoder(bytes(obj) if dtype.kind == "S" else str(obj))]
        if (
            dtype.hasobject
            or obj.nbytes > INLINE_BYTES
            or dtype.kind not in _FLAT_KINDS
            or not dtype.itemsize
        ):
            array = np.empty((), dtype)
            array[()] = obj
            return [encode_dtype(dtype, encoder), encoder(array)]
        why = refused_field(dtype) if type(obj) is np.record else None
        if why is not None:
            encoder.refuse(why)
        data = b64encode(dense(np.asarray(obj)).tobytes()).decode()
        return [encode_dtype(dtype, encoder), data, *(["record"] if type(obj) is np.record else [])]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        spec, value, *more = listed(node.state, 2, 3)
        if more and (more != ["record"] or spec in ("S", "U")):
            raise ValueError("a scalar has two items, and a record a third, which says so")
        if spec == "S":
            return np.bytes_(_exactly(bytes, decoder(value)))
        if spec == "U":
            return np.str_(_exactly(str, decoder(value)))
        dtype = decode_dtype(spec, decoder)
        if more:
            why = refused_field(dtype) if dtype.kind == "V" else "a record is a structure"
            if why is not None:
                raise ValueError(why)
            dtype = np.dtype((np.record, dtype))
        if type(value) is Node:
            array = decoder(value)
            if not is_array(array) or array.shape != () or array.dtype != dtype:
                raise ValueError("the content is not a scalar")
            return array[()]
        if type(value) is str:
            data = octets(value)
            if len(data) != dtype.itemsize:
                raise Broken("3.12", f"there are {len(data)} bytes for a {dtype}")
            found = np.frombuffer(data, dtype, 1)
            checks.text(found, decoder.budget.charge)
            return found[0]
        wanted = {"b": bool, "i": int, "u": int, "f": float}.get(dtype.kind)
        if type(value) is not wanted or not dtype.isnative:
            raise ValueError(f"{value!r} is not a {dtype}")
        return dtype.type(value)


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{kind_of(value)} is not {kind.__name__}")
    return value


class MaskedConstantCodec(Codec):
    """The single value `np.ma.masked`."""

    name = "numpy.masked_constant"
    types = (type(np.ma.masked),)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        nothing(node.state)
        return np.ma.masked


class DtypeCodec(Codec):
    """Dtypes as values."""

    name = "numpy.dtype"
    shared = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, np.dtype)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_dtype(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return decode_dtype(node.state, decoder)


CODECS: tuple[Codec, ...] = (
    ArrayCodec(), ScalarCodec(), MaskedCodec(), MaskedConstantCodec(), SubclassCodec(), DtypeCodec(),
    SeedSequenceCodec(), BitGeneratorCodec(), GeneratorCodec(), RandomStateCodec(), SeriesCodec(),
    Poly1dCodec(),
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (ArrayRestorer(), GeneratorRestorer())
