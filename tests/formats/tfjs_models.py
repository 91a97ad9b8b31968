"""Models that TensorFlow.js can hold, one for each of its layers and each way to connect them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Built = tuple[Any, list[NDArray[Any]]]
"""A model, and inputs for it."""


def models(keras: Any) -> dict[str, Callable[[], Built]]:
    """How each is made, by its name."""
    found = {f"{name} {number}": made for name, several in _layers(keras).items()
             for number, made in enumerate(several)}  # fmt: skip
    return found | {made.__name__: lambda made=made: made(keras) for made in WHOLE}


def shaken(model: Any) -> Any:
    """The same model with other weights, so that none is as it was made; variances stay positive."""
    random = np.random.default_rng(7)
    model.set_weights(
        [random.uniform(0.1, 0.9, each.shape).astype(each.dtype) for each in model.get_weights()]
    )
    return model


def numbers(*shape: int) -> NDArray[Any]:
    """Inputs of this shape, some of them negative."""
    return np.random.default_rng(len(shape)).normal(size=shape).astype("f4")


def _layers(keras: Any) -> dict[str, list[Callable[[], Built]]]:
    L = keras.layers
    image, volume, steps, row = (2, 6, 5, 3), (2, 4, 5, 4, 2), (2, 6, 3), (2, 4)

    def of(shape: tuple[int, ...], *made: Callable[[], Any]) -> list[Callable[[], Built]]:
        def built(one: Callable[[], Any]) -> Built:
            return shaken(keras.Sequential([keras.Input(shape[1:]), one()])), [numbers(*shape)]

        return [lambda one=one: built(one) for one in made]

    def merged(layer: Callable[[], Any]) -> Callable[[], Built]:
        def built() -> Built:
            a, b = keras.Input((4, 3)), keras.Input((4, 3))
            return keras.Model([a, b], layer()([a, b])), [numbers(2, 4, 3), numbers(2, 4, 3) - 1]

        return built

    modes = ("concat", "sum", "ave", "mul")
    activations = ["elu", "gelu", "linear", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
                   "softmax", "softplus", "softsign", "tanh"]  # fmt: skip
    recurrent = [dict[str, Any](), {"return_sequences": True}, {"go_backwards": True, "use_bias": False},
                 {"activation": "relu", "dropout": 0.1}]  # fmt: skip
    return {
        "Activation": of(row, *[lambda name=name: L.Activation(name) for name in activations]),
        "Add": [merged(L.Add)],
        "AlphaDropout": of(row, lambda: L.AlphaDropout(0.5)),
        "Average": [merged(L.Average)],
        "AveragePooling1D": of(
            steps, lambda: L.AveragePooling1D(2), lambda: L.AveragePooling1D(3, 1, "same")
        ),
        "AveragePooling2D": of(
            image, lambda: L.AveragePooling2D(2), lambda: L.AveragePooling2D(3, (1, 2), "same")
        ),
        "AveragePooling3D": of(
            volume, lambda: L.AveragePooling3D(2), lambda: L.AveragePooling3D(2, padding="same")
        ),
        "BatchNormalization": of(
            row, L.BatchNormalization, lambda: L.BatchNormalization(scale=False, epsilon=0.1)
        )
        + of(image, lambda: L.BatchNormalization(center=False), lambda: L.BatchNormalization(3)),
        "Bidirectional": of(
            steps,
            *[lambda mode=mode: L.Bidirectional(L.LSTM(2), merge_mode=mode) for mode in modes],
            lambda: L.Bidirectional(L.GRU(2, reset_after=False, return_sequences=True), name="both"),
            lambda: L.Bidirectional(L.SimpleRNN(2), name="both_ways"),
        ),
        "Concatenate": [merged(L.Concatenate), merged(lambda: L.Concatenate(1))],
        "Conv1D": of(
            steps,
            lambda: L.Conv1D(2, 3),
            lambda: L.Conv1D(4, 2, 2, "same", activation="relu"),
            lambda: L.Conv1D(2, 2, dilation_rate=2, use_bias=False),
        ),
        "Conv2D": of(
            image,
            lambda: L.Conv2D(2, 3),
            lambda: L.Conv2D(4, (2, 3), 2, "same", activation="elu"),
            lambda: L.Conv2D(2, 2, dilation_rate=(2, 1), use_bias=False),
        ),
        "Conv2DTranspose": of(
            image,
            lambda: L.Conv2DTranspose(2, 3),
            lambda: L.Conv2DTranspose(4, 3, 2, "same", activation="relu"),
        ),
        "Conv3D": of(
            volume, lambda: L.Conv3D(2, 2), lambda: L.Conv3D(3, (2, 3, 2), 2, "same", use_bias=False)
        ),
        "Conv3DTranspose": of(
            volume, lambda: L.Conv3DTranspose(2, 2), lambda: L.Conv3DTranspose(3, 2, 2, "same")
        ),
        "ConvLSTM2D": of(
            (2, 3, *image[1:]),
            lambda: L.ConvLSTM2D(2, 3),
            lambda: L.ConvLSTM2D(2, 2, padding="same", return_sequences=True),
        ),
        "Cropping2D": of(image, L.Cropping2D, lambda: L.Cropping2D(((1, 2), (0, 1)))),
        "Dense": of(row, lambda: L.Dense(3), lambda: L.Dense(2, "softmax", use_bias=False))
        + of(
            steps,
            lambda: L.Dense(
                3,
                "relu",
                kernel_regularizer="l2",
                bias_constraint="non_neg",
                kernel_initializer=keras.initializers.HeNormal(seed=3),
            ),
        ),
        "DepthwiseConv2D": of(
            image,
            lambda: L.DepthwiseConv2D(3),
            lambda: L.DepthwiseConv2D(2, 2, "same", 3, activation="tanh", use_bias=False),
        ),
        "Dot": [merged(lambda: L.Dot(2)), merged(lambda: L.Dot((2, 2), normalize=True))],
        "Dropout": of(
            steps, lambda: L.Dropout(0.5), lambda: L.Dropout(0.0), lambda: L.Dropout(0.2, (None, 1, 3))
        ),
        "ELU": of(row, L.ELU),
        "Flatten": of(image, L.Flatten, lambda: L.Flatten("channels_first")),
        "GRU": of(steps, *[lambda more=more: L.GRU(2, reset_after=False, **more) for more in recurrent]),
        "GaussianDropout": of(row, lambda: L.GaussianDropout(0.3)),
        "GaussianNoise": of(row, lambda: L.GaussianNoise(0.3)),
        "GlobalAveragePooling1D": of(steps, L.GlobalAveragePooling1D),
        "GlobalAveragePooling2D": of(
            image, L.GlobalAveragePooling2D, lambda: L.GlobalAveragePooling2D("channels_first")
        ),
        "GlobalMaxPooling1D": of(steps, L.GlobalMaxPooling1D),
        "GlobalMaxPooling2D": of(image, L.GlobalMaxPooling2D),
        "LSTM": of(steps, *[lambda more=more: L.LSTM(2, **more) for more in recurrent]),
        "LayerNormalization": of(
            steps, L.LayerNormalization, lambda: L.LayerNormalization(epsilon=0.1, center=False)
        )
        + of(steps, lambda: L.LayerNormalization([1, 2])),
        "LeakyReLU": of(row, L.LeakyReLU, lambda: L.LeakyReLU(negative_slope=0.1)),
        "MaxPooling1D": of(steps, L.MaxPooling1D, lambda: L.MaxPooling1D(3, 2, "same")),
        "MaxPooling2D": of(image, L.MaxPooling2D, lambda: L.MaxPooling2D((3, 2), 1, "same")),
        "MaxPooling3D": of(volume, L.MaxPooling3D),
        "Maximum": [merged(L.Maximum)],
        "Minimum": [merged(L.Minimum)],
        "Multiply": [merged(L.Multiply)],
        "PReLU": of(row, L.PReLU) + of(image, lambda: L.PReLU(shared_axes=[1, 2])),
        "Permute": of(image, lambda: L.Permute((3, 1, 2))),
        "ReLU": of(row, L.ReLU, lambda: L.ReLU(0.5)),
        "RepeatVector": of(row, lambda: L.RepeatVector(3)),
        "Rescaling": of(image, lambda: L.Rescaling(0.5, 2.0)),
        "Reshape": of(image, lambda: L.Reshape((5, 18)), lambda: L.Reshape((-1, 2))),
        "SeparableConv2D": of(
            image,
            lambda: L.SeparableConv2D(2, 3),
            lambda: L.SeparableConv2D(4, 2, padding="same", depth_multiplier=2, use_bias=False),
        ),
        "SimpleRNN": of(steps, *[lambda more=more: L.SimpleRNN(2, **more) for more in recurrent]),
        "Softmax": of(steps, L.Softmax),
        "SpatialDropout1D": of(steps, lambda: L.SpatialDropout1D(0.5)),
        "TimeDistributed": of(steps, lambda: L.TimeDistributed(L.Dense(2, "relu"))),
        "UpSampling2D": of(image, L.UpSampling2D, lambda: L.UpSampling2D((3, 2))),
        "ZeroPadding2D": of(image, L.ZeroPadding2D, lambda: L.ZeroPadding2D(((1, 0), (2, 1)))),
    }


def called_without_an_input(keras: Any) -> Built:
    model = keras.Sequential(
        [keras.layers.Dense(3, "relu"), keras.layers.Dropout(0.2), keras.layers.Dense(2)]
    )
    model(numbers(2, 4))
    return shaken(model), [numbers(2, 4)]


def convolutions(keras: Any) -> Built:
    L = keras.layers
    layers = [L.Conv2D(4, 3, padding="same"), L.BatchNormalization(), L.ReLU(), L.MaxPooling2D(), L.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Rescaling(1 / 255), *layers, L.Dense(5, "softmax")])
    return shaken(model), [numbers(2, 8, 8, 3) * 100]


def words(keras: Any) -> Built:
    L = keras.layers
    words = keras.Input((6,), dtype="int32", name="words")
    inner = L.LSTM(4, return_sequences=True)(L.Embedding(20, 5)(words))
    model = keras.Model(words, L.Dense(1, "sigmoid")(L.GlobalMaxPooling1D()(inner)))
    return shaken(model), [np.arange(12, dtype="i4").reshape(2, 6)]


def masked_words(keras: Any) -> Built:
    L = keras.layers
    words = keras.Input((6,), dtype="int32")
    inner = L.GRU(3, reset_after=False, return_sequences=True)(L.Embedding(20, 5, mask_zero=True)(words))
    model = keras.Model(words, L.LSTM(4)(inner))
    return shaken(model), [np.array([[3, 4, 0, 0, 0, 0], [5, 6, 7, 8, 9, 1]], "i4")]


def masked_deeply(keras: Any) -> Built:
    L = keras.layers
    words = keras.Input((5,), dtype="int32")
    x = L.Dense(4, "relu")(L.Dropout(0.1)(L.Embedding(20, 3, mask_zero=True)(words)))
    x = L.LSTM(3, return_sequences=True)(L.LayerNormalization()(x))
    steps = keras.Input((5, 3))
    y = L.SimpleRNN(2)(L.Masking(2.0)(steps))
    both = L.Bidirectional(L.LSTM(3))(x)
    given = numbers(2, 5, 3)
    given[1, 2:] = 2
    ids = np.array([[3, 4, 5, 0, 0], [6, 7, 8, 9, 1]], "i4")
    return shaken(keras.Model([words, steps], L.Concatenate()([both, y, L.GRU(2, reset_after=False)(x)]))), [
        ids,
        given,
    ]


def masked_within(keras: Any) -> Built:
    L = keras.layers
    inner = keras.Sequential([keras.Input((5, 3)), L.Masking(), L.Dense(4), L.LSTM(3)])
    x = keras.Input((5, 3))
    steps = numbers(2, 5, 3)
    steps[0, 3:] = 0
    return shaken(keras.Model(x, L.Dense(2)(inner(x)))), [steps]


def masked_steps(keras: Any) -> Built:
    L = keras.layers
    model = keras.Sequential([keras.Input((5, 3)), L.Masking(), L.SimpleRNN(4), L.Dense(2)])
    steps = numbers(2, 5, 3)
    steps[0, 2:] = 0
    return shaken(model), [steps]


def residual(keras: Any) -> Built:
    x = keras.Input((4,))
    y = keras.layers.Dense(4, "relu", name="first")(x)
    y = x + y
    z = keras.ops.maximum(y, keras.layers.Dense(4)(y))
    return shaken(keras.Model(x, keras.layers.Dense(2)(z * y))), [numbers(3, 4)]


def several_inputs_and_outputs(keras: Any) -> Built:
    L = keras.layers
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    joined = L.Concatenate()([L.Dense(3)(a), b])
    outputs = {"z": L.Dense(2, name="left")(joined), "y": L.Dense(1, name="right")(joined)}
    return shaken(keras.Model({"b": b, "a": a}, outputs)), [numbers(2, 4), numbers(2, 3)]


def shared_layers(keras: Any) -> Built:
    shared = keras.layers.Dense(4, "tanh")
    a, b = keras.Input((4,)), keras.Input((4,))
    return shaken(keras.Model([a, b], keras.layers.Add()([shared(shared(a)), shared(b)]))), [
        numbers(2, 4),
        numbers(2, 4) + 1,
    ]


def models_within_models(keras: Any) -> Built:
    L = keras.layers
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    pair = keras.Model([a, b], [L.Dense(3, name="dense")(L.Add()([a, b])), L.Multiply()([a, b])])
    tail = keras.Sequential(
        [keras.Input((3,)), L.Dense(4, name="dense"), L.Dense(4, name="end")], name="tail"
    )
    x = keras.Input((4,))
    one, two = pair([x, L.Dense(4, name="dense")(x)])
    again, _ = pair([two, tail(one)])
    return shaken(keras.Model(x, [tail(again), one])), [numbers(2, 4)]


def a_model_in_a_sequential(keras: Any) -> Built:
    L = keras.layers
    inner = keras.Sequential([keras.Input((6,)), L.Dense(4), L.BatchNormalization()])
    return shaken(keras.Sequential([inner, keras.Sequential([L.Dense(3)]), L.Dense(2)])), [numbers(2, 6)]


def first_states(keras: Any) -> Built:
    L = keras.layers
    x, y = keras.Input((5, 3)), keras.Input((4, 3))
    _, h, c = L.LSTM(4, return_state=True)(x)
    decoded = L.LSTM(4, return_sequences=True)(y, initial_state=[h, c])
    one, state = L.GRU(4, return_state=True, reset_after=False)(x, initial_state=h)
    return shaken(keras.Model([x, y], [decoded, L.SimpleRNN(4)(y, initial_state=state), one])), [
        numbers(2, 5, 3), numbers(2, 4, 3),
    ]  # fmt: skip


def a_model_at_each_step(keras: Any) -> Built:
    L = keras.layers
    inner = keras.Sequential([keras.Input((3,)), L.Dense(4, "relu"), L.Dense(2)])
    return shaken(keras.Sequential([keras.Input((5, 3)), L.TimeDistributed(inner), L.LSTM(2)])), [
        numbers(2, 5, 3)
    ]


def odd_names(keras: Any) -> Built:
    names = ("constructor", "ünï cödé", "_hidden", "toString", "my_layer", "0", "a b")
    layers = [keras.layers.Dense(3, name=name) for name in names]
    x = y = keras.Input((3,), name="in put")
    for layer in layers:
        y = layer(y)
    return shaken(keras.Model(x, y)), [numbers(2, 3)]


def frozen_layers(keras: Any) -> Built:
    L = keras.layers
    inner = keras.Sequential([keras.Input((4,)), L.Dense(4), L.BatchNormalization()])
    inner.trainable = False
    rnn = L.LSTM(3, trainable=False)
    return shaken(keras.Sequential([keras.Input((5, 4)), rnn, L.Dense(4), inner])), [numbers(2, 5, 4)]


def halves(keras: Any) -> Built:
    policy = keras.DTypePolicy("mixed_float16")
    return shaken(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype=policy)])), [numbers(2, 4)]


def no_weights(keras: Any) -> Built:
    return keras.Sequential([keras.Input((4,)), keras.layers.Activation("relu")]), [numbers(2, 4)]


def large(keras: Any) -> Built:
    layers = [keras.layers.Dense(1500), keras.layers.Dense(1200), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((40,)), *layers]), [numbers(2, 40)]


WHOLE = (
    called_without_an_input,
    convolutions,
    words,
    masked_words,
    masked_deeply,
    masked_within,
    masked_steps,
    residual,
    several_inputs_and_outputs,
    shared_layers,
    models_within_models,
    a_model_in_a_sequential,
    first_states,
    a_model_at_each_step,
    odd_names,
    frozen_layers,
    halves,
    no_weights,
    large,
)
