"""Checks that the sizes, counts and weights of a module agree, where native code relies on that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules import conv, padding, pooling
from torch.nn.modules.batchnorm import _NormBase

from saver.families.torch.consistency import attention, geometry, norms, recurrent
from saver.families.torch.consistency.declared import check_declared

__all__ = ["check", "check_declared"]

Rule = Callable[[Any], None]

_RULES: dict[type, Rule] = {
    nn.RNN: partial(recurrent.check_network, kind="RNN"),
    nn.LSTM: partial(recurrent.check_network, kind="LSTM"),
    nn.GRU: partial(recurrent.check_network, kind="GRU"),
    nn.MultiheadAttention: attention.check_attention,
    nn.TransformerEncoderLayer: attention.check_layer,
    conv._ConvNd: geometry.check_convolution,
    **dict.fromkeys((_NormBase, nn.GroupNorm), norms.check_norm),
    **dict.fromkeys((nn.FractionalMaxPool2d, nn.FractionalMaxPool3d), geometry.check_kernel),
    **dict.fromkeys(
        (
            pooling._MaxPoolNd, pooling._MaxUnpoolNd, pooling._AvgPoolNd, pooling._LPPoolNd,
            pooling._AdaptiveAvgPoolNd, pooling._AdaptiveMaxPoolNd, padding._CircularPadNd,
            padding._ConstantPadNd, padding._ReflectionPadNd, padding._ReplicationPadNd, nn.Fold, nn.Unfold,
            nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle,
        ),
        geometry.check_steps,
    ),
}  # fmt: skip


def check(module: Any) -> None:
    """Raise ValueError for a module that could make native code read or write outside its tensors. There are
    rules only for classes whose native code relies on their fields; a missing field breaks none of them."""
    check_declared(module)
    for cls in type(module).__mro__:
        rule = _RULES.get(cls)
        if rule is not None:
            rule(module)
