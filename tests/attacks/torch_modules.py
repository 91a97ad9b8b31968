"""Honest modules of every class of `torch.nn`, with most options of their constructors, and what they may be
called with: the material of `torch_crashes.py` and `test_torch_consistency.py`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel


@dataclass(frozen=True)
class Sample:
    """A module, how it is made, and what it may be called with."""

    label: str
    make: Callable[[], Any]
    inputs: Callable[[], list[Any]]

    def fresh(self) -> Any:
        torch.manual_seed(1)
        return copy.deepcopy(self.make())

    def arguments(self) -> list[Any]:
        torch.manual_seed(2)
        return self.inputs()


def _rand(*shape: int) -> Callable[[], list[Any]]:
    return lambda: [torch.rand(shape)]


def _twice(*shape: int) -> Callable[[], list[Any]]:
    return lambda: [torch.rand(shape), torch.rand(shape)]


Entry = tuple[str, tuple[Any, ...], dict[str, Any], Callable[[], list[Any]]]
_AXES = (1, 2, 3)
_SEQUENCE = _rand(3, 5, 4)


def _convolutions() -> Iterator[Entry]:
    for n in _AXES:
        image = _rand(2, 4, *[7] * n)
        yield f"Conv{n}d", (4, 6, 3), {}, image
        yield f"Conv{n}d", (4, 6, 2), {"groups": 2, "stride": 2, "padding": 1, "bias": False}, image
        yield f"Conv{n}d", (4, 4, 3), {"groups": 4, "padding": "same", "dilation": 2}, image
        yield f"Conv{n}d", (4, 6, 3), {"padding": 1, "padding_mode": "circular"}, image
        yield f"Conv{n}d", (4, 6, 1), {"padding": "valid"}, _rand(4, *[7] * n)
        yield f"ConvTranspose{n}d", (4, 6, 3), {}, image
        yield (
            f"ConvTranspose{n}d",
            (4, 6, 3),
            {"groups": 2, "stride": 2, "padding": 1, "output_padding": 1, "dilation": 2, "bias": False},
            image,
        )
    yield "Conv2d", (4, 6, (3, 2)), {"padding_mode": "reflect", "padding": (1, 0)}, _rand(2, 4, 7, 7)
    yield "Conv2d", (4, 6, (3, 2)), {"padding_mode": "replicate", "padding": "same"}, _rand(2, 4, 7, 7)


def _recurrent() -> Iterator[Entry]:
    for name in ("RNN", "LSTM", "GRU"):
        yield name, (4, 6), {}, _SEQUENCE
        yield name, (4, 6, 2), {"bidirectional": True, "batch_first": True, "dropout": 0.3}, _SEQUENCE
        yield name, (4, 6), {"bias": False}, _rand(3, 4)
        yield f"{name}Cell", (4, 6), {}, _rand(3, 4)
        yield f"{name}Cell", (4, 6), {"bias": False}, _rand(4)
    yield "LSTM", (4, 6, 2), {"proj_size": 3}, _SEQUENCE
    yield "LSTM", (4, 6), {"proj_size": 3, "bidirectional": True, "bias": False}, _SEQUENCE
    yield "RNN", (4, 6), {"nonlinearity": "relu"}, _SEQUENCE
    yield "RNNCell", (4, 6), {"nonlinearity": "relu"}, _rand(3, 4)
    yield "RNNBase", ("GRU", 4, 6), {}, _SEQUENCE
    yield "RNNCellBase", (4, 6, True, 4), {}, _rand(3, 4)


def _attention() -> Iterator[Entry]:
    batch = {"batch_first": True}

    def three(*widths: int) -> Callable[[], list[Any]]:
        return lambda: [torch.rand(3, 5, width) for width in widths]

    yield "MultiheadAttention", (4, 2), batch, three(4, 4, 4)
    yield "MultiheadAttention", (4, 2), {**batch, "bias": False}, lambda: [torch.rand(3, 5, 4)] * 3
    yield "MultiheadAttention", (4, 2), {"add_bias_kv": True, "add_zero_attn": True}, three(4, 4, 4)
    yield "MultiheadAttention", (4, 2, 0.1), {"kdim": 6, "vdim": 3}, three(4, 6, 3)
    for more in (
        {},
        {"norm_first": True, "activation": F.gelu, "bias": False},
        {"layer_norm_eps": 1e-3, "activation": "gelu"},
    ):
        yield "TransformerEncoderLayer", (4, 2, 8), {**batch, **more}, _SEQUENCE
        yield "TransformerDecoderLayer", (4, 2, 8), {**batch, **more}, _twice(3, 5, 4)
    layer = {"nhead": 2, "dim_feedforward": 8, "batch_first": True}
    yield "TransformerEncoder", (nn.TransformerEncoderLayer(4, **layer), 2), {}, _SEQUENCE
    yield (
        "TransformerEncoder",
        (nn.TransformerEncoderLayer(4, **layer), 1, nn.LayerNorm(4)),
        {"enable_nested_tensor": False},
        _SEQUENCE,
    )
    yield (
        "TransformerDecoder",
        (nn.TransformerDecoderLayer(4, **layer), 1, nn.LayerNorm(4)),
        {},
        _twice(3, 5, 4),
    )
    yield "Transformer", (4, 2, 1, 1, 8), batch, _twice(3, 5, 4)


def _tables() -> Iterator[Entry]:
    def rows() -> list[Any]:
        return [torch.tensor([[1, 2, 4], [4, 3, 2]])]

    def bags() -> list[Any]:
        return [torch.tensor([1, 2, 4, 5, 4, 3]), torch.tensor([0, 4])]

    yield "Embedding", (10, 4), {}, rows
    yield "Embedding", (10, 4), {"padding_idx": 4, "max_norm": 0.5, "scale_grad_by_freq": True}, rows
    yield "Embedding", (10, 4), {"sparse": True, "padding_idx": -1}, rows
    yield "EmbeddingBag", (10, 4), {}, rows
    yield "EmbeddingBag", (10, 4), {"mode": "sum", "padding_idx": 4, "sparse": True}, bags
    yield (
        "EmbeddingBag",
        (10, 4),
        {"mode": "sum", "include_last_offset": True},
        lambda: [torch.tensor([1, 2, 4, 5]), torch.tensor([0, 2, 4]), torch.rand(4)],
    )
    yield "EmbeddingBag", (10, 4), {"mode": "max", "max_norm": 1.0, "padding_idx": 0}, rows
    yield "EmbeddingBag", (10, 4), {"mode": "mean", "scale_grad_by_freq": True}, bags


def _norms() -> Iterator[Entry]:
    for n in _AXES:
        image = _rand(3, 4, *[5] * n)
        yield f"BatchNorm{n}d", (4,), {}, image
        yield f"BatchNorm{n}d", (4,), {"affine": False, "momentum": None}, image
        yield f"BatchNorm{n}d", (4,), {"track_running_stats": False}, image
        yield f"InstanceNorm{n}d", (4,), {}, image
        yield f"InstanceNorm{n}d", (4,), {"affine": True, "track_running_stats": True}, image
    yield "BatchNorm1d", (4,), {}, _rand(3, 4)
    yield "BatchNorm2d", (33,), {}, _rand(3, 33, 4, 4)
    yield "InstanceNorm2d", (33,), {"affine": True, "track_running_stats": True}, _rand(3, 33, 4, 4)
    yield "GroupNorm", (3, 33), {}, _rand(3, 33, 4, 4)
    yield "GroupNorm", (2, 4), {}, _rand(2, 4, 3, 3, 3)
    yield "SyncBatchNorm", (4,), {}, _rand(3, 4, 5)
    yield "GroupNorm", (2, 4), {}, _rand(3, 4, 5)
    yield "GroupNorm", (4, 4), {"affine": False}, _rand(3, 4)
    yield "LayerNorm", (4,), {}, _rand(3, 5, 4)
    yield "LayerNorm", ((5, 4),), {"bias": False}, _rand(3, 5, 4)
    yield "LayerNorm", (4,), {"elementwise_affine": False}, _rand(3, 5, 4)
    yield "RMSNorm", (4,), {}, _rand(3, 5, 4)
    yield "RMSNorm", ((5, 4),), {"eps": 1e-4, "elementwise_affine": False}, _rand(3, 5, 4)
    yield "LocalResponseNorm", (2,), {}, _rand(2, 4, 5, 5)
    yield "CrossMapLRN2d", (2,), {}, _rand(2, 4, 5, 5)


def _pools() -> Iterator[Entry]:
    for n in _AXES:
        image = _rand(2, 4, *[8] * n)
        yield f"MaxPool{n}d", (2,), {}, image
        yield f"MaxPool{n}d", (3, 2, 1), {"dilation": 1, "ceil_mode": True, "return_indices": True}, image
        yield f"MaxPool{n}d", (2, 1), {"dilation": 3}, image
        yield f"AvgPool{n}d", (2,), {}, image
        yield f"AvgPool{n}d", (3, 2, 1), {"ceil_mode": True, "count_include_pad": False}, image
        yield f"LPPool{n}d", (2.0, 2), {}, image
        yield f"LPPool{n}d", (1.0, 3), {"stride": 2, "ceil_mode": True}, image
        yield f"AdaptiveAvgPool{n}d", (3,), {}, image
        yield f"AdaptiveMaxPool{n}d", (1,), {"return_indices": True}, image
        yield f"AdaptiveMaxPool{n}d", (3,), {}, _rand(4, *[8] * n)
        pool: Any = getattr(F, f"max_pool{n}d")
        yield (
            f"MaxUnpool{n}d",
            (2,),
            {},
            lambda pool=pool, image=image: list(pool(image()[0], 2, return_indices=True)),
        )
        yield (
            f"MaxUnpool{n}d",
            (3, 2, 1),
            {},
            lambda pool=pool, n=n: list(pool(torch.rand(2, 4, *[7] * n), 3, 2, 1, return_indices=True)),
        )
    yield "AdaptiveAvgPool2d", ((None, 3),), {}, _rand(2, 4, 8, 8)
    yield "AvgPool2d", (2,), {"divisor_override": 3}, _rand(2, 4, 8, 8)
    yield "AvgPool3d", (2,), {"divisor_override": 3}, _rand(2, 4, 8, 8, 8)
    for n in (2, 3):
        image = _rand(1, 4, *[8] * n)
        samples = torch.rand(1, 4, n)
        yield f"FractionalMaxPool{n}d", (2,), {"output_size": (3,) * n, "_random_samples": samples}, image
        yield f"FractionalMaxPool{n}d", (2,), {"output_ratio": 0.5, "return_indices": True}, image


def _shapes() -> Iterator[Entry]:
    for n in _AXES:
        image = _rand(2, 4, *[5] * n)
        for kind in ("Zero", "Reflection", "Replication", "Circular"):
            yield f"{kind}Pad{n}d", (1,), {}, image
            yield f"{kind}Pad{n}d", (tuple(range(2 * n)) if n == 1 else (2, 1) * n,), {}, image
        yield f"ConstantPad{n}d", (1, 0.5), {}, image
        yield f"ConstantPad{n}d", ((2, -1) * n, 1), {}, image
    yield "PixelShuffle", (2,), {}, _rand(2, 4, 4, 4)
    yield "PixelUnshuffle", (2,), {}, _rand(2, 4, 4, 4)
    yield "ChannelShuffle", (2,), {}, _rand(2, 4, 4, 4)
    yield "Fold", ((4, 4), (2, 2)), {}, _rand(2, 8, 9)
    yield "Fold", ((4, 4), 2), {"stride": 2, "padding": 1, "dilation": 1}, _rand(2, 8, 9)
    yield "Unfold", (2,), {}, _rand(2, 4, 5, 5)
    yield "Unfold", ((2, 1),), {"stride": 2, "padding": (1, 0), "dilation": 2}, _rand(2, 4, 5, 5)
    for mode, n in (("nearest", 1), ("linear", 1), ("nearest-exact", 2), ("bilinear", 2), ("bicubic", 2),
                    ("area", 2), ("nearest", 3), ("trilinear", 3)):  # fmt: skip
        corners = True if "linear" in mode else None
        image = _rand(2, 4, *[5] * n)
        yield "Upsample", (), {"scale_factor": 2.0, "mode": mode, "align_corners": corners}, image
        yield "Upsample", (), {"size": (7,) * n, "mode": mode}, image
    yield "Upsample", (), {"scale_factor": (1.5, 2), "recompute_scale_factor": True}, _rand(2, 4, 5, 5)
    yield "UpsamplingBilinear2d", (), {"scale_factor": 2}, _rand(2, 4, 5, 5)
    yield "UpsamplingNearest2d", ((6, 7),), {}, _rand(2, 4, 5, 5)
    yield "Flatten", (), {}, _rand(2, 4, 5, 5)
    yield "Flatten", (0, -2), {}, _rand(2, 4, 5, 5)
    yield "Unflatten", (1, (2, 2)), {}, _rand(2, 4, 5)
    yield "Unflatten", (-1, torch.Size([5, 1])), {}, _rand(2, 4, 5)


def _losses() -> Iterator[Entry]:
    labels = torch.tensor([0, 2, 1])
    signs = torch.tensor([1.0, -1.0, 1.0])
    weight = torch.tensor([0.1, 0.2, 0.3, 0.4])

    def labelled() -> list[Any]:
        return [torch.rand(3, 4), labels]

    def image() -> list[Any]:
        return [torch.rand(2, 4, 3, 3), torch.ones(2, 3, 3, dtype=torch.int64)]

    def sequences() -> list[Any]:
        return [
            torch.rand(6, 2, 4).log_softmax(-1),
            torch.tensor([[1, 2, 1], [3, 1, 1]]),
            torch.tensor([6, 5]),
            torch.tensor([3, 2]),
        ]

    for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "KLDivLoss", "BCELoss", "SoftMarginLoss",
                 "HingeEmbeddingLoss", "PoissonNLLLoss", "MultiLabelSoftMarginLoss",
                 "BCEWithLogitsLoss"):  # fmt: skip
        yield name, (), {}, _twice(3, 4)
    yield "PoissonNLLLoss", (), {"log_input": False, "full": True, "reduction": "none"}, _twice(3, 4)
    yield "KLDivLoss", (), {"reduction": "batchmean", "log_target": True}, _twice(3, 4)
    yield "BCELoss", (weight,), {"reduction": "sum"}, _twice(3, 4)
    yield "BCEWithLogitsLoss", (weight,), {"pos_weight": weight * 2}, _twice(3, 4)
    yield "MultiLabelSoftMarginLoss", (weight,), {}, _twice(3, 4)
    yield "MultiMarginLoss", (), {}, labelled
    yield "MultiMarginLoss", (2, 0.5, weight), {}, labelled
    yield "MultiLabelMarginLoss", (), {}, lambda: [torch.rand(3, 4), torch.tensor([[0, 1, -1, -1]] * 3)]
    for name in ("NLLLoss", "NLLLoss2d", "CrossEntropyLoss"):
        yield name, (), {}, labelled
        yield name, (weight,), {"ignore_index": 2, "reduction": "sum"}, labelled
        yield name, (weight,), {"reduction": "none"}, image
        yield name, (), {}, lambda: [torch.rand(3, 4), torch.tensor([0, -100, 1])]
    yield "CrossEntropyLoss", (weight,), {"label_smoothing": 0.1}, _twice(3, 4)
    yield "CTCLoss", (), {}, sequences
    yield "CTCLoss", (), {"blank": 3, "reduction": "sum", "zero_infinity": True}, sequences
    yield "CosineEmbeddingLoss", (), {}, lambda: [*_twice(3, 4)(), signs]
    yield "MarginRankingLoss", (), {}, lambda: [torch.rand(3), torch.rand(3), signs]
    yield "GaussianNLLLoss", (), {}, lambda: [torch.rand(3, 4), torch.rand(3, 4), torch.rand(3, 4)]
    yield "TripletMarginLoss", (), {}, lambda: [torch.rand(3, 4), torch.rand(3, 4), torch.rand(3, 4)]
    yield (
        "TripletMarginWithDistanceLoss",
        (),
        {"distance_function": F.pairwise_distance},
        lambda: [torch.rand(3, 4), torch.rand(3, 4), torch.rand(3, 4)],
    )
    if hasattr(nn, "LinearCrossEntropyLoss"):
        yield "LinearCrossEntropyLoss", (4, 3), {}, labelled
    yield "AdaptiveLogSoftmaxWithLoss", (8, 20, [5, 10]), {}, lambda: [torch.rand(3, 8), labels * 8]
    yield (
        "AdaptiveLogSoftmaxWithLoss",
        (8, 20, [5]),
        {"div_value": 2.0, "head_bias": True},
        lambda: [torch.rand(8), torch.tensor(7)],
    )


def _others() -> Iterator[Entry]:
    rows = _rand(3, 4)
    for name in ("CELU", "ELU", "GELU", "GLU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh",
                 "LeakyReLU",
                 "LogSigmoid", "Mish", "PReLU", "RReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid",
                 "Softplus",
                 "Softshrink", "Softsign", "Tanh", "Tanhshrink", "AlphaDropout", "Dropout",
                 "FeatureAlphaDropout",
                 "Identity"):  # fmt: skip
        yield name, (), {}, rows
    yield "ELU", (), {"inplace": True}, rows
    yield "Dropout", (0.2,), {"inplace": True}, rows
    yield "GELU", ("tanh",), {}, rows
    yield "GLU", (0,), {}, _rand(4, 3)
    yield "PReLU", (4,), {}, _rand(3, 4, 5)
    yield "Threshold", (0.1, 0.2), {}, rows
    for name in ("Softmax", "LogSoftmax", "Softmin"):
        yield name, (1,), {}, rows
        yield name, (-1,), {}, _rand(4)
    yield "Softmax2d", (), {}, _rand(3, 4, 5, 5)
    for n in _AXES:
        yield f"Dropout{n}d", (), {}, _rand(3, 4, *[5] * n)
    yield "CosineSimilarity", (), {}, _twice(3, 4)
    yield "CosineSimilarity", (-1, 1e-3), {}, _twice(3, 4)
    yield "PairwiseDistance", (), {}, _twice(3, 4)
    yield "PairwiseDistance", (1.0, 1e-3, True), {}, _twice(3, 4)
    yield "Linear", (4, 3), {}, rows
    yield "Linear", (4, 3), {"bias": False}, _rand(4)
    yield "Bilinear", (4, 4, 3), {}, _twice(3, 4)
    yield "Bilinear", (4, 4, 1), {"bias": False}, _twice(3, 4)


def _containers() -> Iterator[Entry]:
    yield "Sequential", (nn.Linear(4, 4), nn.BatchNorm1d(4), nn.GELU()), {}, _rand(3, 4)
    yield "ModuleDict", ({"a": nn.Linear(2, 2), "b": nn.ReLU()},), {}, list
    yield "ModuleList", ([nn.Linear(2, 2), nn.ReLU()],), {}, list
    yield "ParameterDict", ({"a": torch.randn(2), "b": nn.Parameter(torch.randn(3))},), {}, list
    yield "ParameterList", ([torch.randn(2), nn.Parameter(torch.randn(3))],), {}, list


def _lazy(name: str, positional: tuple[Any, ...], inputs: Callable[[], list[Any]]) -> Sample:
    def make() -> Any:
        module = getattr(nn, name)(*positional)
        module(*inputs())
        return module

    return Sample(f"{name}{positional}", make, inputs)


def _lazies() -> Iterator[Sample]:
    yield _lazy("LazyLinear", (3,), _rand(3, 4))
    for n in _AXES:
        image = _rand(2, 4, *[7] * n)
        yield _lazy(f"LazyConv{n}d", (6, 3), image)
        yield _lazy(f"LazyConvTranspose{n}d", (6, 3), image)
        yield _lazy(f"LazyBatchNorm{n}d", (), image)
        yield _lazy(f"LazyInstanceNorm{n}d", (1e-5, 0.1, True, True), image)


def _sample(name: str, positional: tuple[Any, ...], named: dict[str, Any], inputs: Any) -> Sample:
    shown = [str(type(v).__name__ if isinstance(v, (torch.Tensor, nn.Module)) else v) for v in positional]
    shown += [f"{key}={getattr(v, '__name__', type(v).__name__ if isinstance(v, torch.Tensor) else v)}"
              for key, v in named.items()]  # fmt: skip
    cls = getattr(nn, name)
    return Sample(f"{name}({', '.join(shown)})", lambda: cls(*positional, **named), inputs)


_KINDS = (
    _convolutions,
    _recurrent,
    _attention,
    _tables,
    _norms,
    _pools,
    _shapes,
    _losses,
    _others,
    _containers,
)

SAMPLES: tuple[Sample, ...] = (
    *(_sample(*entry) for kind in _KINDS for entry in kind()),
    *_lazies(),
    Sample("AveragedModel", lambda: AveragedModel(nn.Linear(4, 3)), _rand(3, 4)),
)
