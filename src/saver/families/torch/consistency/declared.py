"""Compares weights with the sizes that a module declares: embeddings, convolutions, normalisation.

PyTorch 2.13 was not seen to crash where they differ, but kernels of other versions and devices might not
check. They can also differ in honest modules, after weights were cut or replaced by hand. So modules are
checked when they are saved as well, where the user can easily correct them. In the user's own classes the
fields may have another meaning, so those are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn.modules import batchnorm, conv, instancenorm

from saver.families.torch.consistency.fields import Fields, whole


def check_declared(module: Any) -> None:
    """Raise ValueError unless the weights of a module of torch's own classes have the declared sizes."""
    cls = type(module)
    if cls.__module__.partition(".")[0] != "torch":
        return
    for base in cls.__mro__:
        rule = _RULES.get(base)
        if rule is not None:
            rule(Fields(module))


def _embedding(fields: Fields) -> None:
    rows, width = fields.count("num_embeddings", 0), fields.count("embedding_dim", 0)
    if rows is None or width is None:
        return
    fields.shape("weight", (rows, width))
    padding = whole(fields.get("padding_idx"))
    if padding is not None and not -rows <= padding < rows:
        raise fields.wrong(f"padding_idx is {padding}, but there are {rows} rows")


def _convolution(fields: Fields) -> None:
    channels, out = fields.count("in_channels", 0), fields.count("out_channels", 0)
    groups, kernel = fields.count("groups", 1), fields.get("kernel_size")
    if channels is None or out is None or groups is None or type(kernel) is not tuple:
        return
    if channels % groups or out % groups:
        raise fields.wrong(f"{channels} and {out} channels cannot be divided into {groups} groups")
    if not all(type(size) is int for size in kernel):
        raise fields.wrong("kernel_size does not consist of whole numbers")
    first, second = (channels, out) if fields.flag("transposed") else (out, channels)
    fields.shape("weight", (first, second // groups, *kernel))
    fields.shape("bias", (out,))


def _features(fields: Fields) -> None:
    count = fields.count("num_features", 0)
    if count is not None:
        for name in ("weight", "bias", "running_mean", "running_var"):
            fields.shape(name, (count,))


def _groups(fields: Fields) -> None:
    groups, channels = fields.count("num_groups", 1), fields.count("num_channels", 0)
    if groups is None or channels is None:
        return
    if channels % groups:
        raise fields.wrong(f"{channels} channels cannot be divided into {groups} groups")
    for name in ("weight", "bias"):
        fields.shape(name, (channels,))


def _layer(fields: Fields) -> None:
    shape = fields.get("normalized_shape")
    if type(shape) is tuple and all(type(axis) is int for axis in shape):
        for name in ("weight", "bias"):
            fields.shape(name, shape)


_RULES: dict[type, Callable[[Fields], None]] = {
    **dict.fromkeys((nn.Embedding, nn.EmbeddingBag), _embedding),
    conv._ConvNd: _convolution,
    **dict.fromkeys((batchnorm._BatchNorm, instancenorm._InstanceNorm), _features),
    nn.GroupNorm: _groups,
    nn.LayerNorm: _layer,
    **({nn.RMSNorm: _layer} if hasattr(nn, "RMSNorm") else {}),
}
