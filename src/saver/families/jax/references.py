"""Functions of JAX, written in Python, that files may hold as values, each reviewed."""

from __future__ import annotations

from saver.family import Reference, reviewed

_SHAPES = "arithmetic on arrays whose shapes JAX checks"

REFERENCES: dict[str, Reference] = {
    **reviewed("jax._src.nn.functions", "activation array", _SHAPES, "gelu softmax silu"),
    **reviewed(
        "jax._src.nn.functions", "internal", "attention, of arrays whose shapes JAX checks",
        "dot_product_attention",
    ),
    **reviewed("jax._src.ops.special", "array", _SHAPES, "logsumexp"),
    **reviewed("jax._src.lax.lax", "internal", _SHAPES, "dot_general"),
    **reviewed("jax._src.lax.convolution", "internal", _SHAPES, "conv_general_dilated"),
    **reviewed("jax.lax", "combining", "arithmetic for each element of two arrays", "add max min mul"),
    **reviewed("jax.numpy", "array", _SHAPES, "max mean min sum"),
    **reviewed("jax.numpy", "internal", _SHAPES, "einsum"),
    **reviewed(
        "jax.nn.initializers", "internal", "makes an array of a shape that the caller gives", "ones zeros"
    ),
}  # fmt: skip
