"""NumPy: arrays of every dtype, scalars, dtypes, masked arrays, random generators."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver import trust
from saver.codec import INLINE_BYTES, Codec, Decoder, Encoder
from saver.codecs._columns import encode_run, fill_run
from saver.tree import EXACT_INTEGER, TENSOR_DTYPE, Node, Tensor, Value

_FLAT_KINDS = "biufcmMSUV"
_MAX_CODE_POINT = 0x10FFFF


def encode_dtype(dtype: np.dtype[Any], encoder: Encoder) -> Value:
    """A dtype as data: its string, or for structured ones their fields."""
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
        return {"string": [strings.coerce, encoder(strings.na_object) if known else None, known]}
    if type(dtype).__module__.partition(".")[0] != "numpy" or (dtype.kind == "V" and dtype.type is not np.void):
        encoder.refuse(f"the dtype {dtype!r} is not NumPy's own; convert the array first")
    return dtype.str


def decode_dtype(spec: Any, decoder: Decoder) -> np.dtype[Any]:
    """The dtype that `encode_dtype` described."""
    if isinstance(spec, str):
        return np.dtype(spec)
    if "base" in spec:
        return np.dtype((decode_dtype(spec["base"], decoder), tuple(spec["shape"])))
    if "string" in spec:
        coerce, missing, known = spec["string"]
        strings: Callable[..., Any] = np.dtypes.StringDType
        found: np.dtype[Any] = (
            strings(coerce=coerce, na_object=decoder(missing)) if known else strings(coerce=coerce)
        )
        return found
    fields = {key: spec[key] for key in ("names", "offsets", "itemsize", "titles", "aligned") if key in spec}
    fields["formats"] = [decode_dtype(item, decoder) for item in spec["formats"]]
    for offset, part in zip(spec["offsets"], fields["formats"], strict=True):
        if not 0 <= offset <= spec["itemsize"] - part.itemsize:  # NumPy adds them in 32 bits
            raise ValueError(f"a field at {offset} of {spec['itemsize']} bytes")
    structured: Any = np.dtype
    return structured(fields)  # type: ignore[no-any-return]


def _dense(array: NDArray[Any]) -> NDArray[Any]:
    """The array with zeros wherever its dtype has padding, so that equal arrays have equal bytes."""
    if array.dtype.names is not None and _has_padding(array.dtype):
        clean = np.zeros(array.shape, array.dtype)
        for name in array.dtype.names:
            clean[name] = _dense(array[name])
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
    """x86 keeps its 80-bit long double in 16 bytes, of which 6 are whatever was there."""
    return dtype.itemsize in (16, 32) and dtype.type in (np.longdouble, np.clongdouble) and (
        np.finfo(np.longdouble).nmant == 63
    )  # fmt: skip


def _storage(array: NDArray[Any]) -> NDArray[Any]:
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
    return _as_items(_dense(array), np.dtype(np.uint8))


def _as_items(array: NDArray[Any], item: np.dtype[Any]) -> NDArray[Any]:
    """An array with one more axis: each element as the `item`s that it is made of."""
    count = array.dtype.itemsize // item.itemsize
    if count == 0:
        return np.empty((*array.shape, 0), item)
    dense = np.ascontiguousarray(array).reshape(array.shape)
    return np.ndarray((*array.shape, count), item, buffer=dense) if dense.size else np.empty((*array.shape, count), item)


class ArrayCodec(Codec):
    """Arrays. Elements that safetensors has a dtype for are tensors of that dtype.

    Others are stored as the items they consist of: complex numbers as pairs of floats, dates as int64,
    unicode as code points, the rest as bytes; the state says what they are.
    """

    name = "numpy.array"
    types = (np.ndarray, np.memmap)
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        array = np.asarray(obj)
        fortran = array.flags.f_contiguous and not array.flags.c_contiguous
        plain = (array.dtype.kind, array.dtype.itemsize) in TENSOR_DTYPE and array.dtype.isnative
        if plain and not fortran and array.nbytes > INLINE_BYTES:
            return encoder.tensor(array)
        if array.dtype.hasobject or array.dtype.kind == "T":
            return self._encode_objects(array, encoder)
        if array.dtype.itemsize == 0:
            return {"dtype": encode_dtype(array.dtype, encoder), "shape": list(array.shape), "data": ""}
        state: dict[str, Value] = {"dtype": encode_dtype(array.dtype, encoder), "shape": list(array.shape)}
        if fortran:
            array = array.T
            state.update(shape=list(array.shape), order="F")
        if array.nbytes <= INLINE_BYTES:
            state["data"] = b64encode(_dense(array).tobytes()).decode()
            return state
        return {**state, "data": encoder.tensor(_storage(array))}

    def _encode_objects(self, array: NDArray[Any], encoder: Encoder) -> Value:
        state: dict[str, Value] = {"dtype": encode_dtype(array.dtype, encoder), "shape": list(array.shape)}
        if array.dtype.names is not None:
            state["fields"] = [encoder(np.ascontiguousarray(array[name]), name) for name in array.dtype.names]
            return state
        if array.dtype.kind == "V":
            encoder.refuse("arrays of sub-arrays of objects have no data form; use a structured dtype")
        if array.flags.f_contiguous and not array.flags.c_contiguous:
            array = array.T
            state.update(shape=list(array.shape), order="F")
        items: list[Any] = array.ravel().tolist()
        if array.dtype.kind == "T":
            items = [item if isinstance(item, str) else None for item in items]
        state["items"] = encode_run(items, encoder)
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        if type(state) is Tensor:
            return _aligned(decoder.array(state))
        dtype = decode_dtype(state["dtype"], decoder)
        shape = _shape(state["shape"])
        if "fields" in state:
            return self._decode_fields(state, dtype, shape, decoder)
        if "items" in state:
            return self._decode_objects(node, dtype, shape, decoder)
        if dtype.hasobject:
            raise ValueError("bytes cannot be objects")
        order = state.get("order", "C")
        data = state["data"]
        stored: Any = bytearray(b64decode(data, validate=True)) if isinstance(data, str) else decoder.tensor(data)[2]
        if dtype.itemsize and len(stored) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{len(stored)} bytes for {shape} of {dtype}")
        if dtype.itemsize == 0:
            return np.empty(_zero_size(shape), dtype)
        array: NDArray[Any] = np.frombuffer(stored, dtype, math.prod(shape)) if len(stored) else np.empty(0, dtype)
        _check_text(array)
        array = _aligned(array)
        return array.reshape(shape).T if order == "F" else array.reshape(shape)

    def _decode_fields(
        self, state: Any, dtype: np.dtype[Any], shape: tuple[int, ...], decoder: Decoder
    ) -> NDArray[Any]:
        fields = dict(zip(dtype.names or (), map(decoder, state["fields"]), strict=True))
        held = sum(field.nbytes for field in fields.values() if isinstance(field, np.ndarray))
        if math.prod(shape) * dtype.itemsize > max(held * _PADDING_LIMIT, _PADDING_LIMIT):
            raise ValueError(f"{shape} of {dtype.itemsize} bytes each, for {held} bytes of fields")
        for name, field in fields.items():
            if not isinstance(field, np.ndarray) or field.shape[: len(shape)] != shape:
                raise ValueError(f"field {name!r} has another shape")
        array = np.zeros(shape, dtype)
        for name, field in fields.items():
            array[name] = field
        return array

    def _decode_objects(
        self, node: Node, dtype: np.dtype[Any], shape: tuple[int, ...], decoder: Decoder
    ) -> NDArray[Any]:
        state = node.state
        items = state["items"]
        count = math.prod(shape)
        if type(items) is list and len(items) != count:
            raise ValueError(f"{len(items)} items for the shape {shape}")
        if dtype.kind != "T" and dtype != np.dtype(object):
            raise ValueError(f"items of the dtype {dtype}")
        found: list[Any] = []
        if dtype.kind == "T" or type(items) is not list:
            fill_run(items, decoder, found)
            count = len(found)
        flat = np.empty(count, dtype)
        array = flat.reshape(shape)
        if dtype.kind == "T":
            missing = getattr(dtype, "na_object", None)
            found = [missing if item is None else item for item in found]
        if found:
            flat[:] = found
        else:
            decoder.keep(node, array.T if state.get("order") == "F" else array)
            target = _Items(flat)
            for index, item in enumerate(items):
                target[index] = decoder.slot(item, target, index)
        return array.T if state.get("order") == "F" else array


class _Items:
    """Sets the items of a one-dimensional object array, whatever they are: arrays, too, stay whole."""

    def __init__(self, flat: NDArray[Any]) -> None:
        self._flat = flat
        self._box = np.empty((), object)

    def __setitem__(self, index: int, item: Any) -> None:
        if isinstance(item, np.ndarray) and item.ndim == 0:
            self._box[()] = None
            self._box.fill(item)
            self._flat[index : index + 1] = self._box
        else:
            self._flat[index] = item


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """The array where NumPy would have put it: vector code may round by where the data begins.

    Tensors whose size is a multiple of 16 bytes lie so in the pack; only others are copied.
    """
    return array.copy() if array.__array_interface__["data"][0] % _NUMPY_ALIGNMENT else array


_NUMPY_ALIGNMENT = 16


def _shape(value: Any) -> tuple[int, ...]:
    if type(value) is not list or not all(type(axis) is int and axis >= 0 for axis in value):
        raise ValueError(f"{str(value)[:80]} is not a shape")
    return tuple(value)


_PADDING_LIMIT = 1 << 12
"""How many times its fields a structured element may take; a view of one field of many takes more."""

_ZERO_SIZE_LIMIT = 1 << 24


def _zero_size(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Elements without bytes need no room, but NumPy gives them one each."""
    if math.prod(shape) > _ZERO_SIZE_LIMIT:
        raise ValueError(f"the shape {shape} has too many empty elements")
    return shape


def _check_text(array: NDArray[Any]) -> None:
    if array.dtype.kind == "U" and array.size:
        points = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if int(points.max()) > _MAX_CODE_POINT:
            raise ValueError("a string has a code point beyond Unicode")
    for name in array.dtype.names or ():
        _check_text(np.ascontiguousarray(array[name]))


class SubclassCodec(Codec):
    """`np.matrix`, `np.recarray` and `np.char.chararray`: arrays that behave differently."""

    name = "numpy.subclass"
    types = (np.matrix, np.recarray)
    names = frozenset(("numpy.char:chararray",))  # looking it up warns where NumPy is about to drop it

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        plain = obj.view(np.ndarray)
        if type(obj) is np.recarray and obj.dtype.type is np.record:
            plain = plain.view(np.dtype((np.void, obj.dtype)))
        return [type(obj).__name__, encoder(np.asarray(plain))]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, state = node.state
        array = decoder(state)
        if not isinstance(array, np.ndarray):
            raise ValueError("not an array")
        if kind == "recarray" and array.dtype.names is not None:
            return array.view(np.dtype((np.record, array.dtype)), np.recarray)
        if kind == "matrix" and array.ndim == 2:
            return array.view(np.matrix)
        if kind == "chararray" and array.dtype.kind in "SU":
            return array.view(trust.resolve("numpy.char:chararray"))
        raise ValueError(f"this array cannot be a {kind}")


class MaskedCodec(Codec):
    name = "numpy.masked"
    types = (np.ma.MaskedArray,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        mask = np.ma.getmask(obj)
        filled = obj._fill_value
        return {
            "data": encoder(np.ma.getdata(obj), "data"),
            "mask": None if mask is np.ma.nomask else encoder(mask, "mask"),
            "fill_value": None if filled is None else encoder(np.asarray(filled), "fill_value"),
            "hard": bool(obj.hardmask),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = node.state
        data, mask, filled = (decoder(state[key]) for key in ("data", "mask", "fill_value"))
        if not isinstance(data, np.ndarray) or not (mask is None or (
            isinstance(mask, np.ndarray) and mask.shape == data.shape
        )):  # fmt: skip
            raise ValueError("the mask does not fit the data")
        found: Any = np.ma.MaskedArray(data, np.ma.nomask if mask is None else mask, hard_mask=bool(state["hard"]))
        if filled is not None:
            found.fill_value = filled[()]
        return found


class MaskedConstantCodec(Codec):
    name = "numpy.masked_constant"
    types = (type(np.ma.masked),)
    shared = False

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return np.ma.masked


class ScalarCodec(Codec):
    """NumPy scalars: numbers readable where JSON is exact, otherwise their bytes."""

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
        if dtype.hasobject or obj.nbytes > INLINE_BYTES or dtype.kind not in _FLAT_KINDS or not dtype.itemsize:
            array = np.empty((), dtype)
            array[()] = obj
            return [encode_dtype(dtype, encoder), encoder(array)]
        data = b64encode(_dense(np.asarray(obj)).tobytes()).decode()
        return [encode_dtype(dtype, encoder), data, *(["record"] if type(obj) is np.record else [])]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        spec, value = node.state[:2]
        if spec == "S":
            return np.bytes_(_exactly(bytes, decoder(value)))
        if spec == "U":
            return np.str_(_exactly(str, decoder(value)))
        dtype = decode_dtype(spec, decoder)
        if node.state[2:] == ["record"]:
            dtype = np.dtype((np.record, dtype))
        if type(value) is Node:
            array = decoder(value)
            if not isinstance(array, np.ndarray) or array.shape != () or array.dtype != dtype:
                raise ValueError("not a scalar")
            return array[()]
        if type(value) is str:
            return np.frombuffer(b64decode(value, validate=True), dtype, 1)[0]
        if type(value) not in (int, float, bool) or dtype.kind not in "biuf":
            raise ValueError(f"{value!r} is not a {dtype}")
        return dtype.type(value)


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{value!r} is not {kind.__name__}")
    return value


class DtypeCodec(Codec):
    name = "numpy.dtype"
    shared = False

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, np.dtype)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_dtype(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return decode_dtype(node.state, decoder)


_BIT_GENERATORS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64)
}
_POOL_LIMIT = 1024
_SEED_BITS = 1 << 16
"""Larger seeds are refused: NumPy takes quadratic time to cut an integer into words."""


def _is_seed(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_seed, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iu"
    return value is None or (isinstance(value, (int, np.integer)) and int(value).bit_length() <= _SEED_BITS)


class SeedSequenceCodec(Codec):
    name = "numpy.SeedSequence"
    types = (np.random.SeedSequence,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if not (_is_seed(obj.entropy) and _is_seed(obj.spawn_key)):
            encoder.refuse(f"a seed that is not made of integers of up to {_SEED_BITS} bits; use a smaller one")
        return {name: encoder(value) for name, value in obj.state.items()}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state = {name: decoder(value) for name, value in node.state.items()}
        if not 4 <= state["pool_size"] <= _POOL_LIMIT:
            raise ValueError(f"a pool of {state['pool_size']} words")
        if not (_is_seed(state["entropy"]) and _is_seed(state["spawn_key"])):
            raise ValueError("the seeds are not integers of a size that can be mixed in time")
        return np.random.SeedSequence(**state)


class BitGeneratorCodec(Codec):
    """Bit generators, continuing the same sequence, and spawning the same children."""

    name = "numpy.BitGenerator"
    types = tuple(_BIT_GENERATORS.values())

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        seeds = obj.seed_seq
        if not (seeds is None or type(seeds) is np.random.SeedSequence):
            encoder.refuse(f"a bit generator seeded by a {type(seeds).__name__}; seed it with a SeedSequence")
        return [type(obj).__name__, encoder(obj.state, "state"), encoder(seeds, "seed_seq")]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, state_node, seeds_node = node.state
        state, seeds = decoder(state_node), decoder(seeds_node)
        if not (seeds is None or isinstance(seeds, np.random.SeedSequence)):
            raise ValueError("the seeds are not a SeedSequence")
        position = state["state"]["pos"] if kind == "MT19937" else state.get("buffer_pos", 0)
        if type(position) is not int or not 0 <= position <= (624 if kind == "MT19937" else 4):
            raise ValueError(f"position {position!r} in the buffer of a {kind}")
        found = _BIT_GENERATORS[kind](0 if seeds is None else seeds)
        if seeds is None and kind == "MT19937":
            found._legacy_seeding(0)  # as RandomState(seed) does: no SeedSequence to spawn from
        found.state = state
        return found


class GeneratorCodec(Codec):
    name = "numpy.Generator"
    types = (np.random.Generator,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder(obj.bit_generator, "bit_generator")

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return np.random.Generator(_bits(decoder(node.state)))


class RandomStateCodec(Codec):
    """The legacy generator; besides its bits it remembers every second normal number."""

    name = "numpy.RandomState"
    types = (np.random.RandomState,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = obj.get_state(legacy=False)
        bits = encoder(obj._bit_generator, "bit_generator")
        return [bits, state["has_gauss"], encoder(state["gauss"])]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        bits_node, has_gauss, gauss = node.state
        bits = _bits(decoder(bits_node))
        found = np.random.RandomState(bits)
        state: Any = dict(bits.state, has_gauss=has_gauss, gauss=decoder(gauss))
        found.set_state(state)
        return found


def _bits(value: Any) -> Any:
    if type(value) not in BitGeneratorCodec.types:
        raise ValueError("not a bit generator")
    return value


CODECS: tuple[Codec, ...] = (
    ArrayCodec(), ScalarCodec(), MaskedCodec(), MaskedConstantCodec(), SubclassCodec(), DtypeCodec(),
    SeedSequenceCodec(), BitGeneratorCodec(), GeneratorCodec(), RandomStateCodec(),
)  # fmt: skip
