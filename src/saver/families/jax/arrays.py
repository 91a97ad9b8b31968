"""JAX arrays, by the names of their dtypes, and typed random keys."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, private
from saver.errors import IncompatibleError
from saver.families.jax.boxes import boxes_here, numbers_of_keys
from saver.tensors import ShardedData, TensorData
from saver.tree import Node, Tensor, Value

_SAME = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
_PAIRS = {"complex64": "F32", "complex128": "F64"}
_BYTES = (
    "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e8m0fnu",
)  # fmt: skip
_BITS = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4, "bool": 1}
"""The bits in use of dtypes of which each element takes a byte."""

CODES: dict[str, str] = {**dict.fromkeys((*_BYTES, *_BITS), "U8"), **_SAME, **_PAIRS}
"""dtype → the safetensors dtype that holds it. Complex numbers are pairs, those that safetensors lacks
bytes."""

_WEAK = {"int": 0, "float": 0.0, "complex": 0j}
"""The numbers of Python from which arrays take a weak type, by the names of the dtypes without the bits."""

KEYS = {"threefry2x32": 2, "rbg": 4, "unsafe_rbg": 4}
"""The kinds of random keys that JAX has itself, and of how many numbers each key consists."""


def is_key(array: Any) -> bool:
    """Whether the elements are random keys."""
    return bool(jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key))


def _weak_number(name: str) -> Any:
    """The number of Python whose weak type this dtype can be; None if there is none."""
    kind = name.rstrip("0123456789")
    return _WEAK.get(kind) if name[len(kind) :] in ("32", "64", "128") else None


class ArrayCodec(Codec):
    """Arrays, wherever their pieces are; those with pieces in other processes are saved by all of them
    together. They are loaded onto the default device, or the one that the caller of `load` names. Random keys
    as the numbers that they consist of.
    """

    name = "jax.Array"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, (jax.Array, jax.core.Tracer))

    def unsaved(self, obj: Any) -> Iterable[str]:
        return () if isinstance(obj, jax.core.Tracer) else added(obj, "addressable_shards", *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if isinstance(obj, jax.core.Tracer):
            encoder.refuse("a traced value has no elements yet; save outside of jit, grad and vmap")
        if obj.is_deleted():
            encoder.refuse("the JAX array was deleted or donated; save what the function returned instead")
        return self._encode_keys(obj, encoder) if is_key(obj) else self._encode_numbers(obj, encoder)

    def _encode_keys(self, obj: Any, encoder: Encoder) -> Value:
        kind = jax.random.key_impl(obj)
        if type(kind) is not str or kind not in KEYS:
            encoder.refuse(
                f"random keys of the kind {kind!s:.60} have no data form; save jax.random.key_data(it), and "
                "wrap_key_data makes them again"
            )
        return {"data": _stored(numbers_of_keys(obj), "uint32", encoder), "keys": kind}

    def _encode_numbers(self, obj: Any, encoder: Encoder) -> Value:
        name = str(obj.dtype)
        if name not in CODES:
            encoder.refuse(f"a JAX array of {name} has no data form; convert it first")
        state: dict[str, Value] = {"data": _stored(obj, name, encoder), "dtype": name}
        if obj.weak_type:
            if _weak_number(name) is None:
                encoder.refuse(f"a weakly typed array of {name} has no data form; use astype({name!r})")
            state["weak"] = True
        return state

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        info, wanted = decoder.info(state["data"]), _device(decoder)
        if "keys" in state:
            kind, shape = state["keys"], info.shape
            if type(kind) is not str or kind not in KEYS or info.dtype != "U32":
                raise ValueError(f"{info.dtype} does not hold random keys of the kind {kind!s:.40}")
            if shape[-1:] != (KEYS[kind],):
                raise ValueError(f"random keys of the kind {kind} are not {list(shape)} numbers")
            numbers = decoder.look(state["data"]).view(np.uint32).reshape(shape)
            return jax.random.wrap_key_data(_array(numbers, wanted, decoder), impl=kind)
        name, weak = state["dtype"], state.get("weak", False)
        if type(name) is not str or CODES.get(name) != info.dtype:
            raise ValueError(f"{info.dtype} does not hold {name!s:.40}")
        check_precision(name, decoder)
        numbers = numbers_of(name, info.shape, decoder.look(state["data"]))
        if weak is False:
            return _array(numbers, wanted, decoder)
        if weak is not True or _weak_number(name) is None:
            raise ValueError(f"an array of {name} has no weak type {weak!s:.40}")
        return _weak(numbers, name, wanted, decoder)


def saved_form(node: Any, saved: Any) -> tuple[str, tuple[int, ...]] | None:
    """The dtype and the shape of a saved array, without its elements; None for anything else. Of random
    keys, the kind and the shape without the numbers of each. `saved` is a `saver.restoring.Saved`."""
    if type(node) is not Node or node.codec != ArrayCodec.name:
        return None
    state: Any = node.state
    shape = tuple(saved.entry(state["data"]).shape)
    if "keys" in state:
        return state["keys"], shape[:-1]
    return state["dtype"], shape[:-1] if state["dtype"] in _PAIRS else shape


def form_of(array: Any) -> tuple[str, tuple[int, ...]]:
    """The same of an array that is here."""
    return (jax.random.key_impl(array) if is_key(array) else str(array.dtype)), array.shape


def _stored(array: Any, name: str, encoder: Encoder) -> Tensor:
    """The tensor for these elements: whole, or the boxes of them that this process has."""
    pair = (2,) if name in _PAIRS else ()

    def data(numbers: np.ndarray[Any, Any]) -> TensorData:
        shape = (*numbers.shape, *pair)
        if pair:
            numbers = numbers.reshape(*numbers.shape, 1).view(numbers.real.dtype)
        return TensorData(CODES[name], shape, numbers.view(np.uint8) if CODES[name] == "U8" else numbers)

    here = boxes_here(array)
    if array.size == 0:
        return encoder.raw_tensor(data(np.empty(array.shape, array.dtype)))
    if here and array.is_fully_replicated:
        return encoder.raw_tensor(data(next(iter(here.values()))))
    if not array.is_fully_addressable:
        cut = {(*box.offsets, *(0 for _ in pair)): data(each) for box, each in here.items()}
        return encoder.boxes(ShardedData(CODES[name], (*array.shape, *pair), cut))
    found = np.empty(array.shape, array.dtype)  # and no copy of a scattered array is left in the array
    for box, each in here.items():
        found[box.slices] = each
    return encoder.raw_tensor(data(found))


def check_precision(name: str, decoder: Decoder) -> None:
    """Raise IncompatibleError where JAX would make 32 bits of 64 in silence."""
    dtype = jnp.dtype(name)
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise IncompatibleError(
            f"{decoder.where}: an array of {name} was saved, and this process would make it one of "
            f'{jax.dtypes.canonicalize_dtype(dtype)}; first call jax.config.update("jax_enable_x64", True)'
        )


def numbers_of(name: str, shape: tuple[int, ...], raw: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The elements of this dtype, after checking that each is one."""
    if name in _BITS and raw.size and int(raw.max()) >= 1 << _BITS[name]:
        raise ValueError(f"{int(raw.max())} is not a byte of {name}")
    if name in _PAIRS:
        if shape[-1:] != (2,):
            raise ValueError(f"complex numbers are pairs, and there are {list(shape)} numbers")
        shape = shape[:-1]
    found: np.ndarray[Any, Any] = raw.view(jnp.dtype(name)).reshape(shape)
    return found


def _device(decoder: Decoder) -> Any:
    """The device that the caller chose; None for JAX's default."""
    wanted = decoder.device
    if wanted.name is None:
        return None
    platform, _, index = wanted.name.partition(":")
    try:
        return jax.local_devices(backend=platform)[int(index or 0)]
    except (RuntimeError, IndexError):
        if wanted.or_cpu:
            return None
        raise IncompatibleError(
            f"device={wanted.name!r}: JAX does not have that device here; pass device='cpu'"
        ) from None


def _array(numbers: np.ndarray[Any, Any], wanted: Any, decoder: Decoder) -> Any:
    """The array with these elements, in memory of its own."""
    decoder.budget.charge(numbers.nbytes)
    return jnp.array(numbers, copy=True, device=wanted)


def _weak(numbers: np.ndarray[Any, Any], name: str, wanted: Any, decoder: Decoder) -> Any:
    """The same, of the weak type that a number of Python has."""
    decoder.budget.charge(3 * numbers.nbytes)
    place = nullcontext() if wanted is None else jax.default_device(wanted)
    with jax.enable_x64(name in ("int64", "float64", "complex128")), place:
        blank = jnp.broadcast_to(jnp.asarray(_weak_number(name)), numbers.shape)
        found = blank.at[...].set(jnp.array(numbers, copy=True))
    if str(found.dtype) != name or not found.weak_type:
        raise ValueError(f"JAX {jax.__version__} makes no weakly typed array of {name}")
    return found if wanted is None else jax.device_put(found, wanted)
