"""Models of Keras for the tests of its family, on whatever backend Keras has here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import saver

FEATURES = 4


@keras.saving.register_keras_serializable("tests")
class Scaled(layers.Layer):  # type: ignore[misc]
    """A layer of one's own, which holds another one and variables."""

    def __init__(self, width: int, activation: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.width = width
        self.activation = keras.activations.get(activation)
        self.inner = layers.Dense(width, name="inner")

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(self.width,), initializer="ones", name="scale")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")
        self.inner.build(shape)

    def call(self, inputs: Any) -> Any:
        return self.activation(self.inner(inputs) * self.scale)

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), "width": self.width, "activation": activation}


@keras.saving.register_keras_serializable("tests")
class Network(keras.Model):  # type: ignore[misc]
    """A subclassed model, with layers in a list and in a dict."""

    def __init__(self, width: int = 5, **options: Any) -> None:
        super().__init__(**options)
        self.width = width
        self.hidden = [layers.Dense(width, activation="tanh") for _ in range(2)]
        self.heads = {"one": Scaled(2), "two": layers.Dense(2)}
        self.noise = layers.Dropout(0.2, seed=3)

    def call(self, inputs: Any, training: bool = False) -> Any:
        for layer in self.hidden:
            inputs = layer(inputs)
        inputs = self.noise(inputs, training=training)
        return self.heads["one"](inputs) + self.heads["two"](inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


@keras.saving.register_keras_serializable("tests")
class Typed(layers.Layer):  # type: ignore[misc]
    """A layer with a variable of some dtype."""

    def __init__(self, kind: str, **options: Any) -> None:
        super().__init__(**options)
        self.kind = kind

    def build(self, shape: Any) -> None:
        ones = keras.initializers.Ones()
        self.own = self.add_weight(shape=(3,), dtype=self.kind, initializer=ones, trainable=False)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind}


class Unregistered(Network):
    """One that Keras knows by its module only."""


@keras.saving.register_keras_serializable("tests")
def clipped(inputs: Any) -> Any:
    return keras.ops.clip(inputs, 0.0, 1.0)


@keras.saving.register_keras_serializable("tests")
def squared(truth: Any, predicted: Any) -> Any:
    return keras.ops.mean(keras.ops.square(truth - predicted), axis=-1)


def rows(count: int = 12) -> Any:
    return np.random.default_rng(0).normal(size=(count, FEATURES)).astype("float32")


def targets(count: int = 12) -> Any:
    return np.random.default_rng(1).normal(size=(count, 2)).astype("float32")


def sequential(**compiled: Any) -> Any:
    """With what training changes beside weights: means of batches, positions of generators."""
    keras.utils.set_random_seed(0)
    scale = layers.Normalization(name="scale")
    scale.adapt(rows())
    model = keras.Sequential(
        [
            keras.Input((FEATURES,), name="in"),
            scale,
            layers.Dense(6, activation="gelu", kernel_regularizer="l2", name="one"),
            layers.BatchNormalization(name="norm"),
            layers.GaussianNoise(0.1, seed=5, name="noise"),
            layers.Dropout(0.3, seed=7, name="drop"),
            layers.Dense(2, kernel_constraint="max_norm", name="two"),
        ],
        name="sequential",
    )
    return _trained(model, **compiled)


def functional() -> Any:
    """Operations on tensors, a layer that is used twice, a model within the model."""
    keras.backend.clear_session(free_memory=False)  # operations have no names of ours
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FEATURES,), name="in")
    shared = layers.Dense(FEATURES, activation=clipped, name="shared")
    inner = keras.Sequential(
        [keras.Input((FEATURES,), name="in"), layers.Dense(3, name="deep")], name="inner"
    )
    found = shared(shared(inputs)) * 2.0 + keras.ops.sin(inputs)[:, 0:4]
    found = keras.ops.concatenate([inner(found), keras.ops.relu(inner(inputs))], axis=-1)
    found = layers.Activation(keras.activations.silu, name="act")(found)
    model = keras.Model(inputs, layers.Dense(2, name="out")(found), name="functional")
    return _trained(model, loss=squared, metrics=[squared, "mae"])


def subclassed() -> Any:
    keras.utils.set_random_seed(0)
    return _trained(Network(name="network"))


def unregistered() -> Any:
    keras.utils.set_random_seed(0)
    return _trained(Unregistered(name="network"))


def mixed() -> Any:
    """In half precision, with a loss that is scaled."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((FEATURES,), name="in"), layers.Dense(3, dtype="mixed_float16"), layers.Dense(2)],
        name="mixed",
    )
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01, momentum=0.9, name="sgd"), dynamic_growth_steps=2, name="scaling"
    )
    return _trained(model, optimizer=optimizer)


def bfloat16() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((FEATURES,), name="in"),
            layers.Dense(3, dtype="bfloat16", name="a"),
            layers.Dense(2, name="b"),
        ],
        name="brain",
    )
    return _trained(model)


def quantized() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((FEATURES,), name="in"), layers.Dense(8, name="a"), layers.Dense(2, name="b")],
        name="quantized",
    )
    model.quantize("int8")
    return model


def adapted() -> Any:
    """With LoRA: Keras' own files merge what was trained into the weights, which changes bits."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((FEATURES,), name="in"), layers.Dense(8, name="a"), layers.Dense(2, name="b")],
        name="adapted",
    )
    model.layers[0].enable_lora(2)
    return _trained(model)


def recurrent() -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((FEATURES, 1), name="in"),
            layers.Bidirectional(layers.LSTM(3, recurrent_dropout=0.2, seed=4, name="lstm"), name="both"),
            layers.Dense(2, name="out"),
        ],
        name="recurrent",
    )
    return _trained(model)


def attentive() -> Any:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FEATURES, 1), name="in")
    found = layers.MultiHeadAttention(2, 3, dropout=0.1, seed=2, name="heads")(inputs, inputs)
    found = layers.LayerNormalization(name="norm")(found + inputs)
    model = keras.Model(
        inputs, layers.Dense(2, name="out")(layers.Flatten(name="flat")(found)), name="attentive"
    )
    return _trained(model)


def frozen() -> Any:
    """A layer was frozen after the optimizer was built for it."""
    model = sequential()
    model.get_layer("one").trainable = False
    return model


def untrained() -> Any:
    """Compiled, and its optimizer never built."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((FEATURES,), name="in"), layers.Dense(2, name="a")], name="untrained"
    )
    model.compile("adam", "mse")
    model.optimizer.learning_rate = 0.125
    return model


def alone() -> Any:
    keras.utils.set_random_seed(0)
    layer = layers.Dense(3, name="alone")
    layer.build((None, FEATURES))
    return layer


def _trained(model: Any, **compiled: Any) -> Any:
    model.compile(**{"optimizer": keras.optimizers.Adam(0.01, name="adam"), "loss": "mse", **compiled})
    model.fit(rows(), targets(), epochs=2, batch_size=4, shuffle=False, verbose=0)
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "sequential": sequential,
    "functional": functional,
    "subclassed": subclassed,
    "unregistered": unregistered,
    "mixed": mixed,
    "bfloat16": bfloat16,
    "quantized": quantized,
    "adapted": adapted,
    "recurrent": recurrent,
    "attentive": attentive,
    "frozen": frozen,
    "untrained": untrained,
    "alone": alone,
}

TRUST = ("keras_models.*",)


def answer(model: Any) -> bytes:
    """What a model predicts, to the bit."""
    found: bytes = keras.ops.convert_to_numpy(model(rows())).tobytes()
    return found


def save_all(folder: Path) -> None:
    """Write each model and its answer into a folder."""
    for name, make in MODELS.items():
        model = make()
        saver.dump(model, folder / f"{name}.saver")
        (folder / name).write_bytes(answer(model))


def check_all(folder: Path) -> None:
    """Load each model, in a process that did not make it, and compare its answers and itself."""
    for name in MODELS:
        model = saver.load(folder / f"{name}.saver", trust=TRUST)
        saver.dump(model, folder / "again.saver")
        difference = saver.diff(folder / f"{name}.saver", folder / "again.saver")
        assert difference.parts[0].status == "same", f"{name}: {difference}"
        assert answer(model) == (folder / name).read_bytes(), name


def check_near(folder: Path) -> None:
    """Load each model where another backend made it; other orders of additions give other last bits."""
    for name in MODELS:
        model = saver.load(folder / f"{name}.saver", trust=TRUST)
        expected = np.frombuffer(
            (folder / name).read_bytes(), keras.ops.convert_to_numpy(model(rows())).dtype
        )
        found = keras.ops.convert_to_numpy(model(rows())).ravel()
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.05, err_msg=name)
