"""Functions of TensorFlow that files may hold as values, each reviewed."""

from __future__ import annotations

from saver.family import Reference, reviewed

_SHAPES = "arithmetic on tensors whose shapes TensorFlow checks"

REFERENCES: dict[str, Reference] = {
    **reviewed(
        "tensorflow.python.ops.gen_nn_ops", "activation array", _SHAPES, "elu relu selu softplus softsign"
    ),
    **reviewed(
        "tensorflow.python.ops.nn_ops", "activation array", _SHAPES,
        "crelu_v2 gelu leaky_relu log_softmax_v2 relu6 softmax_v2",
    ),
    **reviewed("tensorflow.python.ops.nn_impl", "activation array", _SHAPES, "swish"),
    **reviewed("tensorflow.python.ops.math_ops", "activation array", _SHAPES, "abs exp log_sigmoid sigmoid"),
    **reviewed("tensorflow.python.ops.gen_math_ops", "activation array", _SHAPES, "cos sin square tanh"),
    **reviewed("tensorflow.python.ops.array_ops", "activation array", _SHAPES, "identity"),
}  # fmt: skip
