"""Functions and classes of Flax that files may hold as values, each reviewed."""

from __future__ import annotations

from saver.family import Reference, instances, reviewed

_KIND = "a kind of variable, to choose variables by; it holds what it is given"

REFERENCES: dict[str, Reference] = {
    **reviewed("flax.nnx.nn.dtypes", "internal", "converts arrays to one dtype", "promote_dtype"),
    **reviewed(
        "flax.nnx.nn.attention", "internal", "attention, of arrays whose shapes JAX checks",
        "dot_product_attention",
    ),
    **reviewed(
        "flax.nnx.variablelib", "type", _KIND, "BatchStat Cache Intermediate Param Perturbation Variable"
    ),
    **reviewed("flax.nnx.rnglib", "type", _KIND, "RngCount RngKey RngState"),
    **reviewed("flax.nnx.transforms.iteration", "type", "a mark for an axis, which holds nothing", "Carry"),
    **reviewed("flax.nnx.nn.lora", "type", _KIND, "LoRAParam"),
}  # fmt: skip

INSTANCES: dict[str, str] = {
    **instances("dataclass", "flax.nnx.filterlib", "OfType PathContains WithTag"),
    **instances("dataclass", "flax.training.dynamic_scale", "DynamicScale"),
    **instances("dataclass", "flax.core.meta", "Partitioned"),
}
"""What chooses variables, and what is held among them."""
