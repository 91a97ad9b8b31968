"""Small models that are trained on digits, with JAX and Optax alone, with linen, and with nnx."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits

import saver

DIGITS = load_digits(return_X_y=True)


def batch(step: int) -> tuple[Any, Any]:
    """Some digits, and what they are."""
    images, labels = DIGITS
    chosen = np.random.default_rng(step).choice(len(labels), 32, replace=False)
    return jnp.asarray(images[chosen] / 16, jnp.float32), jnp.asarray(labels[chosen])


def loss_of(logits: Any, labels: Any) -> Any:
    """Cross entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


# Functions alone: what training replaces is held in a dict.

ADAM = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.linear_schedule(1e-2, 0.0, 50)))


def functional_start() -> dict[str, Any]:
    """Parameters, state of the optimizer, random key."""
    draw = np.random.default_rng(0)
    params = [jnp.asarray(draw.normal(size=size) / 8, jnp.float32) for size in ((64, 32), (32, 10))]
    return {"params": params, "opt": ADAM.init(params), "key": jax.random.key(3)}


@partial(jax.jit, donate_argnums=0)
def functional_step(state: dict[str, Any], images: Any, labels: Any) -> dict[str, Any]:
    """One step, with dropout; the arrays of the last state are donated."""
    key, drop = jax.random.split(state["key"])

    def loss(params: Any) -> Any:
        hidden = jax.nn.relu(images @ params[0])
        hidden = hidden * jax.random.bernoulli(drop, 0.8, hidden.shape)
        return loss_of(hidden @ params[1], labels)

    updates, opt = ADAM.update(jax.grad(loss)(state["params"]), state["opt"], state["params"])
    return {"params": optax.apply_updates(state["params"], updates), "opt": opt, "key": key}


def functional(run: Any, holder: dict[str, Any], last: int) -> Any:
    """The loop of a user who writes functions."""
    for step in range(run.resume(), last):
        holder["train"] = functional_step(holder["train"], *batch(step))
        run.step(step, norm=float(optax.global_norm(holder["train"]["params"])))
    return holder


# linen: a TrainState in a dict


class Dense(linen.Module):
    """Two layers."""

    @linen.compact
    def __call__(self, images: Any) -> Any:
        return linen.Dense(10)(linen.relu(linen.Dense(16)(images)))


def linen_start() -> TrainState:
    """A train state with its functions."""
    model = Dense()
    params = model.init(jax.random.key(0), jnp.zeros((1, 64)))["params"]
    return TrainState.create(apply_fn=model.apply, params=params, tx=optax.sgd(0.1, 0.9))


@jax.jit
def linen_step(state: TrainState, images: Any, labels: Any) -> TrainState:
    """One step."""
    gradients = jax.grad(lambda params: loss_of(state.apply_fn({"params": params}, images), labels))(
        state.params
    )
    return state.apply_gradients(grads=gradients)


def of_linen(run: Any, holder: dict[str, Any], last: int) -> Any:
    """The loop of a user of linen."""
    for step in range(run.resume(), last):
        holder["train"] = linen_step(holder["train"], *batch(step))
        run.step(step, norm=float(optax.global_norm(holder["train"].params)))
    return holder


# nnx: modules that change in place


class Net(nnx.Module):
    """Two layers, with a normalization, dropout, and a counter."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.layers = nnx.List([nnx.Linear(64, 16, rngs=rngs), nnx.Linear(16, 10, rngs=rngs)])
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.2, rngs=rngs)
        self.activation = nnx.relu
        self.seen = nnx.Variable(jnp.zeros((), "int32"))
        self.calls = 0

    def __call__(self, images: Any) -> Any:
        self.seen[...] += len(images)
        return self.layers[1](self.dropout(self.activation(self.norm(self.layers[0](images)))))


def nnx_start() -> dict[str, Any]:
    """A model and its optimizer."""
    model = Net(nnx.Rngs(0))
    return {"model": model, "optimizer": nnx.Optimizer(model, optax.adam(1e-2), wrt=nnx.Param)}


@nnx.jit
def nnx_step(model: Net, optimizer: nnx.Optimizer, images: Any, labels: Any) -> Any:
    """One step, in place."""
    value, gradients = nnx.value_and_grad(lambda model: loss_of(model(images), labels))(model)
    optimizer.update(model, gradients)
    return value


def of_nnx(run: Any, holder: dict[str, Any], last: int) -> Any:
    """The loop of a user of nnx."""
    model, optimizer = holder["model"], holder["optimizer"]
    for step in range(run.resume(), last):
        loss = nnx_step(model, optimizer, *batch(step))
        model.calls += 1
        run.step(step, loss=float(loss))
    return holder


LOOPS = {
    "functional": (functional, lambda: {"train": functional_start()}),
    "linen": (of_linen, lambda: {"train": linen_start()}),
    "nnx": (of_nnx, nnx_start),
}


def main(folder: Path, last: int, kill: bool) -> None:
    """All loops, each until step `last`: they save at every third step, and go on where they were killed.
    What they end with goes to `folder/end`; with `kill`, the process kills itself instead."""
    store, ends = saver.Saver(folder / "store"), {}
    with ExitStack() as runs:
        for name, (loop, start) in LOOPS.items():
            holder = start()
            objects = holder if name == "nnx" else {"state": holder}
            run = runs.enter_context(store.checkpoints(name, objects, every=saver.Every(steps=3)))
            ends[name] = loop(run, holder, last)
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
    predictions = {name: np.asarray(predict(name, holder)) for name, holder in ends.items()}
    saver.dump({"holders": ends, "predictions": predictions}, folder / "end")


def predict(name: str, holder: Any) -> Any:
    """What a trained model makes of some digits."""
    images, _ = batch(1000)
    if name == "functional":
        return jax.nn.relu(images @ holder["train"]["params"][0]) @ holder["train"]["params"][1]
    if name == "linen":
        return Dense().apply({"params": holder["train"].params}, images)
    holder["model"].eval()
    return holder["model"](images)
