"""What the demo kills: `python -m saver.cli._killed STORE RUN DATA torch|numpy` trains a small network.

It continues from the newest version of the run in the store. Each line on standard output is a JSON document:
first where training begins, then its progress. After each, it waits for a line on standard input, or its end.
"""

from __future__ import annotations

import json
import random
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver import Every, Keep, Saver, load
from saver.rehearsal import prove

STEPS = 400
EVERY = 25
"""Steps between two saves."""

REPORTED = 50
"""Steps between two reports."""

BATCH = 64
HIDDEN = 32
CLASSES = 10
RATE = 0.01
DROPPED = 0.2

Data = Mapping[str, NDArray[Any]]


class Network(ABC):
    """A network that learns; the result depends on every random number that is drawn."""

    objects: dict[str, Any]
    """Everything that training needs to continue."""

    @abstractmethod
    def train_step(self, step: int) -> float:
        """Train on a batch of images, chosen at random. Returns the loss."""

    @abstractmethod
    def logits(self, images: NDArray[Any]) -> NDArray[Any]:
        """The logits of images: a number for each class."""


class TorchNetwork(Network):
    """In PyTorch: dropout, AdamW, and a cosine schedule. Random numbers come from PyTorch's own generator."""

    def __init__(self, data: Data) -> None:
        import torch

        torch.set_num_threads(1)  # for a network this small, more threads only wait for each other
        torch.manual_seed(0)
        nn = torch.nn
        self._torch = torch
        self._images = torch.tensor(data["images"])
        self._labels = torch.tensor(data["labels"])
        self._net = nn.Sequential(
            nn.Linear(self._images.shape[1], HIDDEN),
            nn.ReLU(),
            nn.Dropout(DROPPED),
            nn.Linear(HIDDEN, CLASSES),
        )
        self._optimizer = torch.optim.AdamW(self._net.parameters(), RATE)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimizer, STEPS)
        self.objects = {"model": self._net, "optimizer": self._optimizer, "schedule": self._schedule}

    def train_step(self, step: int) -> float:
        some = self._torch.randint(len(self._labels), (BATCH,))
        loss = self._torch.nn.functional.cross_entropy(self._net(self._images[some]), self._labels[some])
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        return float(loss.item())

    def logits(self, images: NDArray[Any]) -> NDArray[Any]:
        self._net.eval()
        with self._torch.no_grad():
            found: NDArray[Any] = self._net(self._torch.tensor(images)).numpy()
        self._net.train()
        return found


class NumpyNetwork(Network):
    """The same in NumPy, with Adam (Kingma and Ba, 2015). Random numbers come from a generator of its own."""

    def __init__(self, data: Data) -> None:
        self._images, self._labels = data["images"], data["labels"]
        self._generator = np.random.default_rng(0)
        shapes = {
            "w1": (self._images.shape[1], HIDDEN),
            "b1": (HIDDEN,),
            "w2": (HIDDEN, CLASSES),
            "b2": (CLASSES,),
        }
        self._weights = {
            name: (self._generator.normal(size=shape) / np.sqrt(shape[0]) * (len(shape) == 2)).astype("f4")
            for name, shape in shapes.items()
        }
        self._moments = {name: np.zeros((2, *shape), "f4") for name, shape in shapes.items()}
        self.objects = {"model": self._weights, "optimizer": self._moments, "generator": self._generator}

    def train_step(self, step: int) -> float:
        weights = self._weights
        some = self._generator.integers(len(self._labels), size=BATCH)
        images, labels = self._images[some], self._labels[some]
        hidden = np.maximum(images @ weights["w1"] + weights["b1"], 0)
        kept = (self._generator.random(hidden.shape) >= DROPPED).astype("f4") / np.float32(1 - DROPPED)
        chances = softmax((hidden * kept) @ weights["w2"] + weights["b2"])
        loss = cross_entropy(chances, labels)
        chances[np.arange(BATCH), labels] -= 1
        out = chances / np.float32(BATCH)
        back = (out @ weights["w2"].T) * kept * (hidden > 0)
        slopes = {"w1": images.T @ back, "b1": back.sum(0), "w2": (hidden * kept).T @ out, "b2": out.sum(0)}
        for name, slope in slopes.items():
            self._adam(name, slope, step + 1)
        return loss

    def _adam(self, name: str, slope: NDArray[Any], count: int) -> None:
        first, second = self._moments[name]
        first += np.float32(0.1) * (slope - first)
        second += np.float32(0.001) * (slope * slope - second)
        rate = np.float32(RATE * np.sqrt(1 - 0.999**count) / (1 - 0.9**count))
        self._weights[name] -= rate * first / (np.sqrt(second) + np.float32(1e-8))

    def logits(self, images: NDArray[Any]) -> NDArray[Any]:
        weights = self._weights
        found: NDArray[Any] = (
            np.maximum(images @ weights["w1"] + weights["b1"], 0) @ weights["w2"] + weights["b2"]
        )
        return found


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Logits as probabilities, row by row."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found: NDArray[Any] = powers / powers.sum(1, keepdims=True)
    return found


def cross_entropy(chances: NDArray[Any], labels: NDArray[Any]) -> float:
    """The mean negative logarithm of the probabilities of the true classes."""
    return float(-np.log(chances[np.arange(len(labels)), labels] + 1e-12).mean())


NETWORKS = {"torch": TorchNetwork, "numpy": NumpyNetwork}


def train(store: str, name: str, data: Data, kind: str) -> None:
    """Train to the last step, from the newest version of the run."""
    random.seed(0)
    np.random.seed(0)
    network: Network = NETWORKS[kind](data)
    keep = Keep(last=2) | Keep(every=100)
    run = Saver(store).checkpoints(name, network.objects, every=Every(steps=EVERY), keep=keep, progress=False)
    with run:
        start = run.resume()
        proof = "" if start else str(prove(run, network.train_step))
        _report({"start": start, "ref": str(run.progress.saved or ""), "proof": proof})
        for step in range(start, STEPS):
            metrics = {"loss": network.train_step(step)}
            if (step + 1) % REPORTED == 0:
                metrics |= _measured(network, data)
            run.step(step, **metrics)
            if (step + 1) % REPORTED == 0:
                _report({"step": step, **metrics})


def _measured(network: Network, data: Data) -> dict[str, float]:
    labels = data["held_out_labels"]
    chances = softmax(network.logits(data["held_out_images"]))
    right = chances.argmax(1) == labels
    return {"held_out_loss": cross_entropy(chances, labels), "held_out_accuracy": float(right.mean())}


def _report(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    _, store, name, data, kind = sys.argv
    train(store, name, load(data), kind)
