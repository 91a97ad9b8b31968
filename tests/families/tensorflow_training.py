"""Small models that are trained on digits with TensorFlow alone, and with an optimizer of Keras."""

from __future__ import annotations

import os
import signal
from collections import namedtuple
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import saver

DIGITS = load_digits(return_X_y=True)

Pair = namedtuple("Pair", "first second")


def batch(step: int) -> tuple[Any, Any]:
    """Some digits, and what they are."""
    images, labels = DIGITS
    chosen = np.random.default_rng(step).choice(len(labels), 32, replace=False)
    return tf.constant(images[chosen] / 16, tf.float32), tf.constant(labels[chosen])


def loss_of(logits: Any, labels: Any) -> Any:
    """Cross entropy."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def start(*shape: int) -> Any:
    """First weights."""
    return tf.constant(np.random.default_rng(shape).normal(size=shape) / 8, tf.float32)


class Dense(tf.Module):  # type: ignore[misc]
    """A layer that makes its variables when it is called for the first time."""

    def __init__(self, width: int, activation: Any = None) -> None:
        super().__init__()
        self.width, self.activation, self.built = width, activation, False

    @tf.Module.with_name_scope
    def __call__(self, inputs: Any) -> Any:
        if not self.built:
            self.weights = tf.Variable(start(inputs.shape[-1], self.width), name="weights")
            self.bias = tf.Variable(tf.zeros(self.width), name="bias")
            self.built = True
        found = inputs @ self.weights + self.bias
        return found if self.activation is None else self.activation(found)


class Net(tf.Module):  # type: ignore[misc]
    """Layers in a list, statistics in a dict and a tuple, dropout from a generator of its own, and a
    counter."""

    def __init__(self, name: str = "net") -> None:
        super().__init__(name)
        self.layers = [Dense(16, tf.nn.relu), Dense(10)]
        self.dropout = tf.random.Generator.from_seed(5)
        self.statistics = {"mean": tf.Variable(tf.zeros(64), trainable=False), "kinds": [1, 2]}
        self.pair = Pair(tf.Variable(1.0), tf.Variable(0, trainable=False))
        self.first = self.layers[0]
        self.shape, self.kind, self.seen = tf.TensorShape([None, 64]), tf.float32, tf.constant(0)
        self.calls = 0

    @tf.function
    def __call__(self, images: Any, train: bool = False) -> Any:
        if train:
            mean = self.statistics["mean"]
            mean.assign(0.9 * mean + 0.1 * tf.reduce_mean(images, 0))
            self.pair.second.assign_add(1)
        hidden = self.layers[0](images - self.statistics["mean"])
        if train:
            hidden *= tf.cast(self.dropout.uniform(tf.shape(hidden)) < 0.8, tf.float32)
        return self.layers[1](hidden) * self.pair.first


class Momentum(tf.Module):  # type: ignore[misc]
    """An optimizer of one's own."""

    def __init__(self, variables: Any, rate: float) -> None:
        super().__init__()
        self.rate, self.slots = rate, [tf.Variable(tf.zeros_like(each)) for each in variables]

    def apply(self, gradients: Any, variables: Any) -> None:
        """One step, in place."""
        for slot, gradient, variable in zip(self.slots, gradients, variables, strict=True):
            slot.assign(0.9 * slot + gradient)
            variable.assign_sub(self.rate * slot)


# Variables in a dict, without any class


def plain_start() -> dict[str, Any]:
    """Variables in a list and a dict."""
    return {"weights": [tf.Variable(start(64, 10)), tf.Variable(tf.zeros(10))], "step": tf.Variable(0)}


def plain(run: Any, holder: dict[str, Any], last: int) -> Any:
    """A loop in which each operation is executed at once, with numbers of the global generators."""
    weights, bias = holder["train"]["weights"]
    for step in range(run.resume(), last):
        images, labels = batch(step)
        images += 0.1 * tf.random.normal(images.shape)
        images += 0.1 * tf.random.get_global_generator().normal(images.shape)
        with tf.GradientTape() as tape:
            loss = loss_of(images @ weights + bias, labels)
        for variable, gradient in zip((weights, bias), tape.gradient(loss, (weights, bias)), strict=True):
            variable.assign_sub(0.5 * gradient)
        holder["train"]["step"].assign_add(1)
        run.step(step, loss=float(loss))
    return holder


# Modules, with compiled steps


def module_start() -> dict[str, Any]:
    """A model and an optimizer of one's own."""
    model = Net()
    model(batch(0)[0])
    return {"model": model, "optimizer": Momentum(model.trainable_variables, 0.1)}


def of_modules(run: Any, holder: dict[str, Any], last: int) -> Any:
    """The loop of a user of tf.Module."""
    model, optimizer = holder["model"], holder["optimizer"]

    @tf.function
    def train(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(model(images, train=True), labels)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for step in range(run.resume(), last):
        loss = train(*batch(step))
        model.calls += 1
        model.seen = tf.constant(step)
        run.step(step, loss=float(loss))
    return holder


def checkpoint_start() -> dict[str, Any]:
    """What a user has who knows `tf.train.Checkpoint`; the model makes its variables later."""
    model = Net("later")
    return {"state": tf.train.Checkpoint(model=model, rate=tf.Variable(0.1), steps=tf.Variable(0))}


def of_checkpoint(run: Any, holder: dict[str, Any], last: int) -> Any:
    """The loop of a user of `tf.train.Checkpoint`."""
    state = holder["state"]
    for step in range(run.resume(), last):
        images, labels = batch(step)
        with tf.GradientTape() as tape:
            loss = loss_of(state.model(images, train=True), labels)
        variables = state.model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(state.rate * gradient)
        state.steps.assign_add(1)
        run.step(step, loss=float(loss))
    return holder


def keras_start() -> dict[str, Any]:
    """An optimizer of Keras in a checkpoint, which makes its variables in the first step."""
    import keras

    model = Net("adam")
    model(batch(0)[0])
    return {"state": tf.train.Checkpoint(model=model, optimizer=keras.optimizers.Adam(0.01, name="adam"))}


def of_keras(run: Any, holder: dict[str, Any], last: int) -> Any:
    """The loop of a user of an optimizer of Keras, compiled."""
    state = holder["state"]

    @tf.function
    def train(images: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(state.model(images, train=True), labels)
        variables = state.model.trainable_variables
        state.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    for step in range(run.resume(), last):
        run.step(step, loss=float(train(*batch(step))))
    return holder


LOOPS = {
    "plain": (plain, lambda: {"train": plain_start()}),
    "modules": (of_modules, module_start),
    "checkpoint": (of_checkpoint, checkpoint_start),
    "keras": (of_keras, keras_start),
}


def main(folder: Path, last: int, kill: bool) -> None:
    """All loops, each until step `last`: they save at every third step, and go on where they were killed.
    What they end with goes to `folder/end`; with `kill`, the process kills itself instead."""
    store, ends = saver.Saver(folder / "store"), {}
    with ExitStack() as runs:
        for name, (loop, begin) in LOOPS.items():
            tf.random.set_seed(7)
            tf.random.set_global_generator(tf.random.Generator.from_seed(3))
            holder = begin()
            run = runs.enter_context(store.checkpoints(name, holder, every=saver.Every(steps=3)))
            ends[name] = loop(run, holder, last)
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
    predictions = {name: np.asarray(predict(name, holder)) for name, holder in ends.items()}
    saver.dump({"holders": ends, "predictions": predictions}, folder / "end")


def predict(name: str, holder: Any) -> Any:
    """What a trained model makes of some digits."""
    images, _ = batch(1000)
    if name == "plain":
        weights, bias = holder["train"]["weights"]
        return images @ weights + bias
    return (holder["state"] if "state" in holder else type("", (), holder)).model(images)
