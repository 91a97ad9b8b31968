"""The layers of Keras 3 that TensorFlow.js has, with their fields, and what it calls their weights.

A layer, field or value that is not listed is not the same in TensorFlow.js 4, or does not exist there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """A layer that both have. `fields` are kept, under the names that `renamed` gives in TensorFlow.js.

    Of the fields in `only`, TensorFlow.js knows these values alone; it takes the first one if there is none.
    `weights` are in the order in which Keras saves them, at the path `inner` in the layer. `seeded` is the
    field that is positive if the layer draws random numbers; "always" if it always does, in `inner`.
    """

    fields: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    only: Mapping[str, Sequence[Any]] = {}
    renamed: Mapping[str, str] = {}
    inner: str = ""
    seeded: str = ""

    def names(self, config: Mapping[str, Any]) -> list[str]:
        """The weights that a layer of this configuration has."""
        return [name for name in self.weights if config.get(_WITH.get(name, ""), True)]

    def draws(self, config: Mapping[str, Any]) -> bool:
        """Whether a layer of this configuration has a random generator."""
        return self.seeded == "always" or bool(self.seeded and config.get(self.seeded))


_WITH = {"bias": "use_bias", "gamma": "scale", "beta": "center"}
"""The field that says whether there is a weight."""

IGNORED = frozenset(
    (
        "name", "trainable", "dtype", "seed", "renorm_momentum", "zero_output_for_mask",  # of Keras
        "batch_input_shape", "input_dtype", "implementation", "rank", "input_length", "time_major", "fused",
    )
)  # fmt: skip
"""Fields that say nothing of the result, or are read elsewhere."""

_SAME = ("valid", "same")
_IMAGE = ("strides", "padding", "data_format")
_CONV = ("filters", "kernel_size", *_IMAGE, "dilation_rate", "activation", "use_bias")
_UNGROUPED = {"groups": (1,), "padding": _SAME}
_TRANSPOSED = {"output_padding": (None,), "padding": _SAME, "dilation_rate": (1, [1, 1], [1, 1, 1])}
_KERNEL = ("kernel", "bias")
_POOL = ("pool_size", *_IMAGE)
_WHOLE = {"keepdims": (False,)}
_RNN = (
    "return_sequences", "return_state", "go_backwards", "stateful", "unroll", "units", "activation",
    "use_bias", "dropout", "recurrent_dropout",
)  # fmt: skip
_STEPS = ("kernel", "recurrent_kernel", "bias")

LAYERS: dict[str, Layer] = {
    "Activation": Layer(("activation",)),
    "Add": Layer(),
    "AlphaDropout": Layer(("rate", "noise_shape"), seeded="rate"),
    "Average": Layer(),
    "AveragePooling1D": Layer(_POOL, only={"data_format": ("channels_last",)}),
    "AveragePooling2D": Layer(_POOL),
    "AveragePooling3D": Layer(_POOL),
    "BatchNormalization": Layer(
        ("axis", "momentum", "epsilon", "center", "scale"),
        ("gamma", "beta", "moving_mean", "moving_variance"),
    ),
    "Concatenate": Layer(("axis",)),
    "Conv1D": Layer(_CONV, _KERNEL, {**_UNGROUPED, "data_format": ("channels_last",)}),
    "Conv2D": Layer(_CONV, _KERNEL, _UNGROUPED),
    "Conv2DTranspose": Layer(_CONV, _KERNEL, _TRANSPOSED),
    "Conv3D": Layer(_CONV, _KERNEL, _UNGROUPED),
    "Conv3DTranspose": Layer(_CONV, _KERNEL, _TRANSPOSED),
    "ConvLSTM2D": Layer(
        (*(set(_RNN) - {"units"}), *_CONV, "recurrent_activation", "unit_forget_bias"),
        _STEPS, inner="cell", seeded="always",
    ),
    "Cropping2D": Layer(("cropping", "data_format")),
    "Dense": Layer(("units", "activation", "use_bias"), _KERNEL),
    "DepthwiseConv2D": Layer(
        ("kernel_size", *_IMAGE, "dilation_rate", "activation", "use_bias", "depth_multiplier"),
        ("depthwise_kernel", "bias"),
    ),
    "Dot": Layer(("axes", "normalize")),
    "Dropout": Layer(("rate", "noise_shape"), seeded="rate"),
    "ELU": Layer(("alpha",), only={"alpha": (1,)}),
    "Embedding": Layer(("input_dim", "output_dim", "mask_zero"), ("embeddings",)),
    "Flatten": Layer(("data_format",)),
    "GRU": Layer(
        (*_RNN, "recurrent_activation", "reset_after"), _STEPS, {"reset_after": (False,)}, inner="cell",
        seeded="always",
    ),
    "GaussianDropout": Layer(("rate",), seeded="rate"),
    "GaussianNoise": Layer(("stddev",), seeded="stddev"),
    "GlobalAveragePooling1D": Layer(only={**_WHOLE, "data_format": ("channels_last",)}),
    "GlobalAveragePooling2D": Layer(("data_format",), only=_WHOLE),
    "GlobalMaxPooling1D": Layer(only={**_WHOLE, "data_format": ("channels_last",)}),
    "GlobalMaxPooling2D": Layer(("data_format",), only=_WHOLE),
    "LSTM": Layer(
        (*_RNN, "recurrent_activation", "unit_forget_bias"), _STEPS, inner="cell", seeded="always"
    ),
    "LayerNormalization": Layer(
        ("axis", "epsilon", "center", "scale"), ("gamma", "beta"), {"rms_scaling": (False,)}
    ),
    "LeakyReLU": Layer(("negative_slope",), renamed={"negative_slope": "alpha"}),
    "Masking": Layer(("mask_value",)),
    "MaxPooling1D": Layer(_POOL, only={"data_format": ("channels_last",)}),
    "MaxPooling2D": Layer(_POOL),
    "MaxPooling3D": Layer(_POOL),
    "Maximum": Layer(),
    "Minimum": Layer(),
    "Multiply": Layer(),
    "PReLU": Layer(("shared_axes",), ("alpha",)),
    "Permute": Layer(("dims",)),
    "ReLU": Layer(("max_value",), only={"negative_slope": (0,), "threshold": (0,)}),
    "RepeatVector": Layer(("n",)),
    "Rescaling": Layer(("scale", "offset")),
    "Reshape": Layer(("target_shape",)),
    "SeparableConv2D": Layer(
        (*_CONV, "depth_multiplier"), ("depthwise_kernel", "pointwise_kernel", "bias"), {"padding": _SAME}
    ),
    "SimpleRNN": Layer(_RNN, _STEPS, inner="cell", seeded="always"),
    "Softmax": Layer(("axis",), only={"axis": (-1,)}),
    "SpatialDropout1D": Layer(("rate",), seeded="rate"),
    "UpSampling2D": Layer(("size", "data_format", "interpolation"), only={"interpolation": ("nearest",)}),
    "ZeroPadding2D": Layer(("padding", "data_format")),
}  # fmt: skip

RECURRENT = frozenset(("GRU", "LSTM", "SimpleRNN"))
"""What Bidirectional takes."""

STATEFUL = RECURRENT | {"Bidirectional", "ConvLSTM2D"}
"""Layers whose first state may be given; TensorFlow.js takes it as further inputs."""

MERGES = frozenset(("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply"))
"""Layers of several inputs."""

STOPS = (
    frozenset(
        (
            "ConvLSTM2D",
            "ELU",
            "GlobalAveragePooling1D",
            "LeakyReLU",
            "Rescaling",
            "Softmax",
            "TimeDistributed",
        )
    )
    | MERGES
)
"""Layers that do something else with a mask than they do in Keras."""

PASSES = RECURRENT | {
    "Activation", "AlphaDropout", "BatchNormalization", "Dense", "Dropout", "GaussianDropout",
    "GaussianNoise", "LayerNormalization", "Masking", "PReLU", "ReLU", "SpatialDropout1D",
}  # fmt: skip
"""Layers that pass a mask on; recurrent ones if they return sequences."""

OPERATIONS = frozenset(("Add", "Maximum", "Minimum", "Multiply"))
"""Operations of Keras, such as that of `a + b`, that a layer of the same name does as well, if their inputs
are tensors of one shape."""

MODELS = frozenset(("Functional", "Model", "Sequential"))

ACTIVATIONS = {
    name: name
    for name in (
        "elu", "gelu", "linear", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "softmax",
        "softplus", "softsign", "tanh",
    )
} | {"silu": "swish"}  # fmt: skip
"""What TensorFlow.js calls the activations of Keras. Its `hard_sigmoid` is another function."""


class Training(NamedTuple):
    """An object that matters to training alone, and its fields."""

    name: str
    fields: tuple[str, ...]


TRAINING: dict[str, dict[str, Training]] = {
    "initializer": {
        "Constant": Training("Constant", ("value",)),
        "GlorotNormal": Training("GlorotNormal", ("seed",)),
        "GlorotUniform": Training("GlorotUniform", ("seed",)),
        "HeNormal": Training("HeNormal", ("seed",)),
        "HeUniform": Training("HeUniform", ("seed",)),
        "LecunNormal": Training("LeCunNormal", ("seed",)),
        "LecunUniform": Training("LeCunUniform", ("seed",)),
        "Ones": Training("Ones", ()),
        "Orthogonal": Training("Orthogonal", ("gain", "seed")),
        "RandomNormal": Training("RandomNormal", ("mean", "stddev", "seed")),
        "RandomUniform": Training("RandomUniform", ("minval", "maxval", "seed")),
        "TruncatedNormal": Training("TruncatedNormal", ("mean", "stddev", "seed")),
        "VarianceScaling": Training("VarianceScaling", ("scale", "mode", "distribution", "seed")),
        "Zeros": Training("Zeros", ()),
    },
    "regularizer": {
        "L1": Training("L1L2", ("l1",)),
        "L2": Training("L1L2", ("l2",)),
        "L1L2": Training("L1L2", ("l1", "l2")),
    },
    "constraint": {
        "MaxNorm": Training("MaxNorm", ("max_value", "axis")),
        "MinMaxNorm": Training("MinMaxNorm", ("min_value", "max_value", "rate", "axis")),
        "NonNeg": Training("NonNeg", ()),
        "UnitNorm": Training("UnitNorm", ("axis",)),
    },
}
"""By the last word of the field in which they are."""


def kind_of(field: str) -> str:
    """The kind of object in a field that matters to training alone; "" for any other field."""
    last = field.rpartition("_")[2]
    return last if last in TRAINING else ""
