"""JAX arrays, by the names of their dtypes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from saver.codec import Codec, Decoder, Encoder, added, private
from saver.tensors import TensorData
from saver.tree import Node, Value

_CODES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "float16": "F16",
    "bfloat16": "BF16", "uint32": "U32", "int32": "I32", "float32": "F32", "uint64": "U64",
    "int64": "I64", "float64": "F64",
}  # fmt: skip


class ArrayCodec(Codec):
    """Arrays. They are saved whole and loaded onto the default device."""

    name = "jax.Array"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, jax.Array)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *private(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        name = str(obj.dtype)
        if name not in _CODES:
            encoder.refuse(f"a JAX array of {name} has no data form; convert it first")
        if obj.weak_type:
            encoder.refuse("a weakly typed JAX array has no data form; give it a dtype with astype")
        if obj.is_deleted() or not obj.is_fully_addressable:
            encoder.refuse("the elements of the JAX array are not all in this process; save a copy of it")
        return {
            "dtype": name,
            "data": encoder.raw_tensor(TensorData(_CODES[name], obj.shape, np.asarray(obj))),
        }

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name = node.state["dtype"]
        info = decoder.info(node.state["data"])
        if type(name) is not str or _CODES.get(name) != info.dtype:
            raise ValueError(f"{info.dtype} does not hold {str(name)[:40]!r}")
        dtype = jnp.dtype(name)
        if jax.dtypes.canonicalize_dtype(dtype) != dtype:
            raise ValueError(f"JAX has no {name} here; first call jax.config.update('jax_enable_x64', True)")
        raw = decoder.look(node.state["data"])
        if name == "bool" and raw.size and raw.max() > 1:
            raise ValueError("a boolean is neither 0 nor 1")
        decoder.budget.charge(raw.nbytes)
        return jnp.array(raw.view(dtype).reshape(info.shape), copy=True)


CODECS: tuple[Codec, ...] = (ArrayCodec(),)
