"""Training from a `StatefulDataLoader` that can be stopped anywhere.

    python loading.py FOLDER RESULT     trains to the end, or until it is killed; says each step it has done

What it ends with goes to RESULT, as `outcome` tells it.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset, get_worker_info
from torchdata.stateful_dataloader import StatefulDataLoader

import saver
from saver import Every

POINTS, BATCH, STEPS = 40, 4, 33
EPOCH = POINTS // BATCH

_POINTS = torch.randn(POINTS, 4, generator=torch.Generator().manual_seed(5))


class Points(Dataset[Any]):
    """Points, and the label of each."""

    def __len__(self) -> int:
        return POINTS

    def __getitem__(self, index: int) -> Any:
        return _POINTS[index], _POINTS[index].sum()


class Noise:
    """Three generators. Its state has values of most kinds that states have."""

    def __init__(self, seed: int) -> None:
        self._python, self._numpy = random.Random(seed), np.random.default_rng(seed)
        self._torch = torch.Generator().manual_seed(seed)

    def draw(self) -> Any:
        return self._python.random() + self._numpy.random() + torch.rand(4, generator=self._torch)

    def state_dict(self) -> dict[Any, Any]:
        states = {"python": self._python.getstate(), 2: self._numpy.bit_generator.state}
        return {
            "states": states,
            "torch": self._torch.get_state(),
            "name": b"noise",
            "none": None,
            "empty": {},
        }

    def load_state_dict(self, state: dict[Any, Any]) -> None:
        assert (state["name"], state["none"], state["empty"]) == (b"noise", None, {})
        self._python.setstate(state["states"]["python"])
        self._numpy.bit_generator.state = state["states"][2]
        self._torch.set_state(state["torch"])


class NoisyPoints(Points):
    """Points with noise that is drawn in the workers. They tell the loader where their generators are."""

    def __init__(self) -> None:
        self._noise = Noise(7)

    def __getitem__(self, index: int) -> Any:
        point, right = super().__getitem__(index)
        return point + self._noise.draw(), right

    def state_dict(self) -> dict[str, Any]:
        return {"noise": self._noise.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._noise.load_state_dict(state["noise"])


class Stream(IterableDataset[Any]):
    """Points one after the other, each worker its share, with noise."""

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        return Reading(0, 1) if worker is None else Reading(worker.id, worker.num_workers)


class Reading:
    """Where a stream is read."""

    def __init__(self, first: int, stride: int) -> None:
        self._at, self._stride, self._noise = first, stride, Noise(first)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._at >= POINTS:
            raise StopIteration
        point = _POINTS[self._at]
        self._at += self._stride
        return point + self._noise.draw(), point.sum()

    def state_dict(self) -> dict[str, Any]:
        return {"at": self._at, "noise": self._noise.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._at = state["at"]
        self._noise.load_state_dict(state["noise"])


Loader = Callable[[], Any]


def workers_with_noise() -> Any:
    return StatefulDataLoader(
        NoisyPoints(),
        batch_size=BATCH,
        shuffle=True,
        num_workers=2,
        generator=torch.Generator().manual_seed(3),
    )


class Training:
    """One life of a training: new objects, as a new process has them."""

    def __init__(self, store: saver.Saver, make: Loader, dropout: float = 0.0) -> None:
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(dropout), nn.Linear(8, 1))
        self._optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.01)
        self.loader = make()
        objects = {"net": self.net, "optimizer": self._optimizer, "loader": self.loader}
        self.run = store.checkpoints("run", objects, every=Every(steps=1), progress=False)

    def train(self, stop: int, tell: Callable[[int], None] = lambda step: None) -> None:
        """From where it is to before the step `stop`."""
        step = self.run.resume()
        while step < stop:
            for batch in self.loader:
                self.learn(step, batch)
                tell(step)
                step += 1
                if step == stop:
                    break

    def learn(self, step: int, batch: Any) -> None:
        """One step."""
        points, right = batch
        loss = nn.functional.mse_loss(self.net(points)[:, 0], right)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.run.step(step, loss=loss, points=points.sum())

    def outcome(self) -> dict[str, Any]:
        """The log and the weights, to the bit."""
        log = {name: [steps.tolist(), values.tobytes().hex()] for name in self.run.log.metrics
               for steps, values in [self.run.log[name]]}  # fmt: skip
        return log | {name: value.numpy().tobytes().hex() for name, value in self.net.state_dict().items()}

    def let_go(self) -> None:
        """End the workers now. Where the garbage collector does, torchdata waits for each of them for 5 s."""
        self.loader.load_state_dict({})


def main(folder: str, result: str) -> None:
    warnings.filterwarnings("ignore", "'set_vital' is deprecated")
    torch.set_num_threads(1)
    training = Training(saver.Saver(folder), workers_with_noise, 0.5)
    with training.run:
        training.train(STEPS, lambda step: print(step, flush=True))
    Path(result).write_text(json.dumps(training.outcome()))


if __name__ == "__main__":
    main(*sys.argv[1:])
