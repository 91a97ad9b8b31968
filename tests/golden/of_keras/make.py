"""Makes the models of Keras 2 beside it; run it with tf_keras 2.21. Each `.npy` is what a model predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tf_keras as keras

HERE = Path(__file__).parent
L = keras.layers
X = np.random.default_rng(0).normal(size=(12, 4)).astype("f4")
Y = np.random.default_rng(1).random((12, 2)).astype("f4")


def trained(model: Any, optimizer: Any, loss: Any, **options: Any) -> Any:
    model.compile(optimizer, loss, **options)
    model.fit(rows_of(model), Y, epochs=2, verbose=0)
    return model


def rows_of(model: Any) -> Any:
    return X if len(model.input_shape) == 2 else X[..., None]


def seq() -> Any:
    first = L.Dense(6, activation="relu", input_shape=(4,), kernel_regularizer="l2")
    last = L.Dense(2, kernel_initializer=keras.initializers.HeNormal(seed=1))
    layers = [first, L.BatchNormalization(), L.Dropout(0.2, seed=3), last]
    return trained(keras.Sequential(layers, name="seq"), "adam", "mse", metrics=["mae"])


def fun() -> Any:
    i = keras.Input((4,), name="in")
    shared = L.Dense(4, activation="tanh", name="shared")
    inner = keras.Sequential([L.InputLayer((4,)), L.Dense(3), L.ReLU(max_value=2.0)], name="inner")
    a = L.Concatenate()([shared(i), inner(shared(i))])
    model = keras.Model(i, L.Dense(2, name="o")(L.Add()([L.Dense(5)(a), L.Dense(5)(i)])))
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    metrics = [keras.metrics.MeanAbsoluteError()]
    return trained(
        model, keras.optimizers.SGD(rate, momentum=0.9), keras.losses.MeanSquaredError(), metrics=metrics
    )


def rnn() -> Any:
    both = L.Bidirectional(L.LSTM(3, return_sequences=True))
    model = keras.Sequential([L.Input((4, 1)), both, L.GRU(3), L.Dense(2)])
    return trained(model, "rmsprop", keras.losses.Huber())


def conv() -> Any:
    layers = [L.Input((4,)), L.Reshape((2, 2, 1)), L.Conv2D(3, 2, padding="same"),
              L.DepthwiseConv2D(2, padding="same"), L.SeparableConv2D(2, 1), L.BatchNormalization(axis=-1),
              L.MaxPooling2D(2), L.GlobalAveragePooling2D(), L.LeakyReLU(alpha=0.1),
              L.Dense(2, activation="softmax")]  # fmt: skip
    return trained(keras.Sequential(layers), "adamw", "categorical_crossentropy", metrics=["accuracy"])


def mha() -> Any:
    i = L.Input((4, 1))
    found = L.LayerNormalization()(L.MultiHeadAttention(2, 3)(i, i) + i) * 2.0
    return trained(keras.Model(i, L.Dense(2)(L.Flatten()(found))), "adam", "mse")


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    np.save(HERE / "rows.npy", X)
    for make in (seq, fun, rnn, conv, mha):
        model = make()
        model.save(HERE / f"{make.__name__}.h5")
        if make in (fun, mha):
            model.save(HERE / f"{make.__name__}.keras")
        if make is fun:
            (HERE / "list.json").write_text(model.to_json())
            model.save_weights(HERE / "list.h5", save_format="h5")
            np.save(HERE / "list.npy", model.predict(rows_of(model), verbose=0))
        np.save(HERE / f"{make.__name__}.npy", model.predict(rows_of(model), verbose=0))
