"""Functions and dtypes of JAX as values: those that layers hold, each reviewed, by their public names.

Most functions of JAX are no functions of Python but compiled objects, which record private modules. So a file
holds the name under which JAX exports one, and only what this table has is ever looked up.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

from saver.codec import Codec, Decoder, Encoder
from saver.codec.ways import way_out
from saver.families.jax.arrays import CODES
from saver.tree import Node, Value

_ACTIVATIONS = """
    celu elu glu hard_sigmoid hard_silu hard_swish hard_tanh identity leaky_relu log1mexp log_sigmoid
    log_softmax logmeanexp mish relu relu6 selu sigmoid silu soft_sign softplus sparse_plus
    sparse_sigmoid squareplus standardize swish tanh
"""
"""Activations: arithmetic for each element, or along an axis."""

_ELEMENTS = """
    abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
    atan2 atanh cbrt ceil conj cos cosh divide exp exp2 expm1 float_power floor fmax fmin hypot imag
    isfinite isnan log log10 log1p log2 logaddexp logical_not logistic maximum minimum mod multiply
    negative positive power real reciprocal rint sign sin sinc sinh sqrt square subtract tan tanh trunc
"""
"""Arithmetic for each element of one or two arrays."""

_LAX = "abs acos asin atan cbrt ceil cos cosh erf erfc erf_inv exp exp2 expm1 floor log log1p logistic neg \
round rsqrt sign sin sinh sqrt square tan tanh"
"""The same without the promotion of dtypes."""


@cache
def _named() -> dict[str, Any]:
    """What may be held, by name; those that this version lacks are left out."""
    places = {"jax.nn": (jax.nn, _ACTIVATIONS), "jax.numpy": (jnp, _ELEMENTS), "jax.lax": (jax.lax, _LAX)}
    found = {
        f"{place}.{name}": getattr(module, name)
        for place, (module, names) in places.items()
        for name in names.split()
        if type(getattr(module, name, None)) in _KINDS
    }
    dtypes = (name if name != "bool" else "bool_" for name in CODES)
    return found | {f"jax.numpy.{name}": getattr(jnp, name) for name in dtypes if hasattr(jnp, name)}


@cache
def _names() -> dict[int, str]:
    """The first name of each, by its id."""
    return {id(value): name for name, value in reversed(_named().items())}


_KINDS = (type(jax.jit(abs)), jax.custom_jvp, jnp.ufunc)


class NamedCodec(Codec):
    """These functions, and the dtypes that JAX exports as `jax.numpy.float32`."""

    name = "jax.named"
    shared = False

    def accepts(self, cls: type) -> bool:
        return cls in _KINDS or cls is type(jnp.float32)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        found = _names().get(id(obj))
        if found is None:
            told = getattr(obj, "__name__", None) or type(obj).__name__
            encoder.refuse(f"{told!r:.80} of JAX, a compiled function, has no data form; {way_out(obj)}")
        return found

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name = node.state
        if type(name) is not str or name not in _named():
            raise ValueError(f"JAX {jax.__version__} has no reviewed function {name!s:.60}")
        return _named()[name]
