"""What a loop holds is what a run saves: arrays, tensors and lists within a dict stay the same objects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every
from saver.rehearsal import prove
from saver.storages.memory import MemoryStorage


class Loop:
    """Training of what it holds itself; the run is given containers in which that lies."""

    def objects(self) -> dict[str, Any]:
        raise NotImplementedError

    def train(self, step: int) -> float:
        raise NotImplementedError

    def held(self) -> Any:
        """What the loop would go on with, as values."""
        raise NotImplementedError


class Arrays(Loop):
    def __init__(self) -> None:
        self.w, self.grid, self.empty = np.zeros(300), np.zeros((4, 6), order="F"), np.zeros((0, 3))
        self.scalar = np.zeros(())

    def objects(self) -> dict[str, Any]:
        return {"params": {"w": self.w, "grid": self.grid, "empty": self.empty, "scalar": self.scalar}}

    def train(self, step: int) -> float:
        self.w += step
        self.grid[:, step % 6] += 1
        self.scalar += 0.5
        return float(self.w.sum() + self.grid.sum() + self.scalar)

    def held(self) -> Any:
        return [self.w.tolist(), self.grid.tolist(), float(self.scalar)]


class Tensors(Loop):
    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch")
        self.w = self.torch.zeros(200, requires_grad=True)
        self.mean = self.torch.zeros(3, dtype=self.torch.bfloat16)
        self.optimizer = self.torch.optim.SGD([self.w], lr=0.1, momentum=0.9)

    def objects(self) -> dict[str, Any]:
        return {"params": {"w": self.w, "mean": self.mean}, "optimizer": self.optimizer}

    def train(self, step: int) -> float:
        self.optimizer.zero_grad()
        loss = ((self.w - step) ** 2).sum()
        loss.backward()
        self.optimizer.step()
        self.mean += 1
        return loss.item()

    def held(self) -> Any:
        return [self.w.tolist(), self.mean.tolist()]


class Lists(Loop):
    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seen: set[int] = set()
        self.recent: deque[int] = deque(maxlen=3)
        self.bytes = bytearray()

    def objects(self) -> dict[str, Any]:
        return {"state": {"losses": self.losses, "seen": self.seen, "last": [self.recent, self.bytes]}}

    def train(self, step: int) -> float:
        self.losses.append(step / 4)
        self.seen.add(step % 7)
        self.recent.append(step)
        self.bytes.append(step)
        return sum(self.losses) + sum(self.seen) + sum(self.recent) + len(self.bytes)

    def held(self) -> Any:
        return [list(self.losses), set(self.seen), list(self.recent), bytes(self.bytes)]


class Layers(Loop):
    """A network as NumPy users write it, in layers that are dicts, lists and tuples."""

    def __init__(self) -> None:
        self.layers = [{"w": np.zeros((20, 20)), "b": np.zeros(20)} for _ in range(3)]
        self.head = (np.zeros(100), [np.zeros(2)])

    def objects(self) -> dict[str, Any]:
        return {"net": {"layers": self.layers, "head": self.head, "step": 0}}

    def train(self, step: int) -> float:
        for layer in self.layers:
            layer["w"] += step
            layer["b"] -= 1
        weight, (bias,) = self.head
        weight += step
        bias += 2
        return float(weight.sum() + bias.sum() + sum(layer["w"].sum() for layer in self.layers))

    def held(self) -> Any:
        return [[(layer["w"].tolist(), layer["b"].tolist()) for layer in self.layers], self.head[0].tolist()]


class Aliases(Loop):
    """One array under two keys and in two parts, and views of one buffer."""

    def __init__(self) -> None:
        self.w, self.buffer = np.zeros(100), np.zeros(8)
        self.tail = self.buffer[3:]

    def objects(self) -> dict[str, Any]:
        return {
            "params": {"w": self.w, "again": {"w": self.w}, "buffer": self.buffer, "tail": self.tail},
            "averaged": [self.w],
        }

    def train(self, step: int) -> float:
        self.w += step
        self.buffer[2:5] += 1
        self.tail *= 1.5
        return float(self.w.sum() + self.buffer.sum())

    def held(self) -> Any:
        return [self.w.tolist(), self.buffer.tolist(), self.tail.tolist()]


LOOPS = [Arrays, Tensors, Lists, Layers, Aliases]


def run(store: saver.Saver, make: Callable[[], Loop], until: int) -> tuple[Loop, int]:
    loop = make()
    with store.checkpoints("run", loop.objects(), every=Every(steps=1)) as run:
        first = run.resume()
        for step in range(first, until):
            run.step(step, loss=loop.train(step))
    return loop, first


@pytest.mark.parametrize("make", LOOPS)
def test_stopped_and_resumed_equals_never_stopped(make: Callable[[], Loop]) -> None:
    whole, _ = run(saver.Saver(MemoryStorage()), make, 12)
    store = saver.Saver(MemoryStorage())
    for until in (5, 6, 10):
        run(store, make, until)
    resumed, first = run(store, make, 12)
    assert first == 10
    assert resumed.held() == whole.held()
    kept = store.load("run")
    assert {name: kept[name] for name in whole.objects()}.keys() == whole.objects().keys()
    again = make()
    store.restore("run", into=again.objects())
    assert again.held() == whole.held()


@pytest.mark.filterwarnings("ignore:.*nothing was saved:RuntimeWarning")
@pytest.mark.parametrize("make", LOOPS)
def test_a_proof_leaves_the_loop_what_it_holds(make: Callable[[], Loop]) -> None:
    loop = make()
    for step in range(3):
        loop.train(step)
    before = loop.held()
    store = saver.Saver(MemoryStorage())
    proof = prove(store.checkpoints("proof", loop.objects(), every=Every(steps=100)), loop.train)
    assert proof, proof
    assert loop.held() == before


@pytest.mark.filterwarnings("ignore:.*nothing was saved:RuntimeWarning")
def test_a_proof_leaves_the_same_objects_behind() -> None:
    w, history = np.zeros(3), [1.0]
    objects = {"params": {"w": w, "history": history}}

    def train_step(step: int) -> None:
        objects["params"]["w"] += step + 1
        objects["params"]["history"].append(float(w.sum()))

    assert prove(saver.Saver(MemoryStorage()).checkpoints("p", objects, every=Every(steps=100)), train_step)
    assert objects["params"]["w"] is w
    assert objects["params"]["history"] is history
    assert w.tolist() == [0, 0, 0]
    assert history == [1.0]


def test_a_loop_in_another_process_goes_on_with_the_array_it_holds(tmp_path: Any) -> None:
    def train(until: int) -> tuple[Any, Any]:
        w = np.zeros(3)
        params = {"params": {"w": w}}
        store = saver.Saver(tmp_path / "models")
        with store.checkpoints("r", params, every=Every(steps=1)) as run:
            for step in range(run.resume(), until):
                w += 1
                run.step(step, loss=w.sum())
        return w, params["params"]["w"]

    train(5)
    w, saved = train(10)
    assert w is saved
    assert w.tolist() == [10, 10, 10]
    assert saver.Saver(tmp_path / "models").load("r")["params"]["w"].tolist() == [10, 10, 10]
