"""Attention: native code divides by the number of heads."""

from __future__ import annotations

from typing import Any

from torch import nn

from saver.families.torch.consistency.fields import MISSING, Fields


def check_attention(module: Any) -> None:
    """Check `nn.MultiheadAttention`, or any other module where a transformer expects one."""
    fields = Fields(module)
    heads, width = fields.count("num_heads", 1), fields.count("embed_dim", 0)
    if heads is not None and width is not None and width % heads:
        raise fields.wrong(f"embed_dim {width} is not a multiple of num_heads {heads}")


def check_layer(module: Any) -> None:
    """Check `nn.TransformerEncoderLayer`, whose fast path reads the fields of its attention directly."""
    attention = Fields(module).get("self_attn")
    if attention is not MISSING and isinstance(attention, nn.Module):
        check_attention(attention)
