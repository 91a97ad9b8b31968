"""Training goes on to the bit where its data loader stood: torchdata's, PyTorch's own, and one's own."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("torchdata")

import torch
from loading import (
    BATCH,
    EPOCH,
    POINTS,
    STEPS,
    NoisyPoints,
    Points,
    Stream,
    Training,
    workers_with_noise,
)
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

import saver
from saver import Every
from saver.rehearsal import prove
from saver.storages.memory import MemoryStorage

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata calls it
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),  # workers are forks
]


@pytest.fixture
def store() -> saver.Saver:
    return saver.Saver(MemoryStorage())


# torchdata's loader


def loader(data: Callable[[], Any], **options: Any) -> Any:
    return StatefulDataLoader(data(), batch_size=BATCH, **options)


def shuffling(data: Callable[[], Any], workers: int, **options: Any) -> Any:
    """One that shuffles, and gives its workers seeds, by a generator of its own if it has workers."""
    generator = torch.Generator().manual_seed(3) if workers else None
    return loader(data, shuffle=True, num_workers=workers, generator=generator, **options)


def life(store: saver.Saver, make: Callable[[], Any], stop: int, dropout: float) -> dict[str, Any]:
    training = Training(store, make, dropout)
    with training.run:
        training.train(stop)
    training.let_go()
    return training.outcome()


LOADERS: dict[str, tuple[Callable[[], Any], float]] = {
    "in order": (partial(loader, Points), 0.0),
    "shuffled": (partial(shuffling, Points, 0), 0.0),
    "shuffled, with noise": (partial(shuffling, NoisyPoints, 0), 0.0),
    "two workers": (partial(loader, Points, shuffle=True, num_workers=2), 0.0),
    "two workers, with dropout": (partial(shuffling, Points, 2), 0.5),
    "two workers, with noise and dropout": (workers_with_noise, 0.5),
    "workers that stay": (partial(shuffling, NoisyPoints, 2, persistent_workers=True), 0.5),
    "workers that tell seldom": (partial(shuffling, NoisyPoints, 2, snapshot_every_n_steps=3), 0.5),
    "a stream": (partial(loader, Stream), 0.0),
    "shuffled, with dropout": (partial(shuffling, Points, 0), 0.5),
    "shuffled, with noise and dropout": (partial(shuffling, NoisyPoints, 0), 0.5),
    "seeded by the global generator": (partial(loader, Points, shuffle=True, num_workers=2), 0.5),
    "a stream, with dropout": (partial(loader, Stream), 0.5),
    "a stream seeded by the global generator": (partial(loader, Stream, num_workers=2), 0.5),
    "a stream of two workers": (
        lambda: loader(Stream, num_workers=2, generator=torch.Generator().manual_seed(3)),
        0.5,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_that_was_stopped_in_the_middle_of_an_epoch_goes_on_to_the_bit(
    name: str, store: saver.Saver
) -> None:
    make, dropout = LOADERS[name]
    whole = life(saver.Saver(MemoryStorage()), make, STEPS, dropout)
    for stop in (1, 6, EPOCH, EPOCH + 7, 3 * EPOCH):  # twice in an epoch, and after all its batches
        life(store, make, stop, dropout)
    assert [version.step for version in store.versions("run")] == list(range(3 * EPOCH))
    assert life(store, make, STEPS, dropout) == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shuffled", "two workers, with noise and dropout", "workers that stay"])
def test_a_loader_that_was_saved_before_its_first_batch_goes_on_to_the_bit(
    name: str, store: saver.Saver
) -> None:
    make, dropout = LOADERS[name]
    whole = life(saver.Saver(MemoryStorage()), make, STEPS, dropout)
    training = Training(store, make, dropout)
    with training.run:
        training.run.save()
    training.let_go()
    assert life(store, make, STEPS, dropout) == whole


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shuffled", "two workers, with noise and dropout", "workers that stay"])
def test_a_loader_that_was_saved_at_the_end_of_an_epoch_begins_the_next(
    name: str, store: saver.Saver
) -> None:
    """It knows that it has ended, where the one above has given all its batches and was not asked again."""
    make, dropout = LOADERS[name]
    whole = life(saver.Saver(MemoryStorage()), make, STEPS, dropout)
    training = Training(store, make, dropout)
    with training.run:
        training.train(EPOCH - 1)
        training.run.flush()
    training.let_go()
    training = Training(store, make, dropout)
    with training.run:
        step = training.run.resume()
        left = list(training.loader)
        training.learn(step, *left)
        training.run.save("the epoch is over")
    assert training.loader.state_dict()["_iterator_finished"]
    training.let_go()
    assert life(store, make, STEPS, dropout) == whole


@pytest.mark.shows("PyTorch", "resume to the bit")
@pytest.mark.slow
def test_training_with_workers_that_is_killed_goes_on_to_the_bit(tmp_path: Path) -> None:
    script = Path(__file__).with_name("loading.py")
    arguments: list[str | Path] = [sys.executable, script, tmp_path / "models", tmp_path / "result.json"]
    lives = []
    for count in (4, 5, EPOCH, None):
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, start_new_session=True)
        assert process.stdout is not None
        lives.append([int(line) for line in itertools.islice(process.stdout, count)])
        if count is not None:
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        assert process.wait(timeout=60) == (0 if count is None else -signal.SIGKILL)
    for before, after in itertools.pairwise(lives):
        assert before[0] < after[0] <= before[-1] + 3, "from one of the last, which may be on disk untold"
    assert any(steps[0] % EPOCH for steps in lives[1:])
    whole = life(saver.Saver(MemoryStorage()), workers_with_noise, STEPS, 0.5)
    assert json.loads((tmp_path / "result.json").read_text()) == whole


# PyTorch's own, from the beginning of an epoch


class Drawn(Dataset[Any]):
    """Points that the workers draw by their global generator."""

    def __len__(self) -> int:
        return POINTS

    def __getitem__(self, index: int) -> Any:
        return torch.randn(4) + index


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False], ids=["own generator", "global generator"])
@pytest.mark.parametrize("workers", [0, 2])
def test_pytorchs_loader_goes_on_to_the_bit_from_the_end_of_an_epoch(
    own: bool, workers: int, store: saver.Saver
) -> None:
    """Its generator is among the objects; the global one is saved by the run. A step is a whole epoch, for
    some samplers draw once more when the batch after the last is read."""

    def train(store: saver.Saver, stop: int, within: int | None = None) -> tuple[bytes, bytes]:
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        generator = torch.Generator().manual_seed(3) if own else None
        batches = DataLoader(
            Drawn(), batch_size=BATCH, shuffle=True, num_workers=workers, generator=generator
        )
        objects = {"net": net, "optimizer": optimizer} | ({"generator": generator} if own else {})
        run = store.checkpoints("run", objects, every=Every(steps=1), progress=False)
        with run:
            for epoch in range(run.resume(), stop):
                for points in itertools.islice(batches, within if epoch == stop - 1 else None):
                    loss = net(points).square().mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                if epoch < stop - 1 or within is None:
                    run.step(epoch, loss=loss)
        return net[1].weight.detach().numpy().tobytes(), run.log["loss"][1].tobytes()

    whole = train(saver.Saver(MemoryStorage()), 4)
    train(store, 1)
    train(store, 3, within=4)
    assert [version.step for version in store.versions("run")] == [0, 1]
    assert train(store, 4) == whole


# One's own


class Curriculum:
    """Chooses what is learned next, and knows what was. It holds a function and a generator, which nobody
    could save."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._random = random.Random(4)
        self._weigh = lambda index: 1 / (1 + self._seen.get(index, 0))
        self._names = (f"point {index}" for index in range(POINTS))
        self.epoch = 0

    def choose(self) -> list[int]:
        weights = [self._weigh(index) for index in range(POINTS)]
        chosen = self._random.choices(range(POINTS), weights, k=BATCH)
        for index in chosen:
            self._seen[index] = self._seen.get(index, 0) + 1
        self.epoch = sum(self._seen.values()) // POINTS
        return chosen

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self._seen, "random": self._random.getstate(), "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._seen, self.epoch = state["seen"], state["epoch"]
        self._random.setstate(state["random"])


class Chosen:
    """The points that a curriculum chooses, as a loader."""

    def __init__(self) -> None:
        self.curriculum = Curriculum()

    def __iter__(self) -> Iterator[Any]:
        points = Points()
        while True:
            yield torch.utils.data.default_collate([points[at] for at in self.curriculum.choose()])

    def state_dict(self) -> dict[str, Any]:
        return self.curriculum.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state:
            self.curriculum.load_state_dict(state)


def test_what_has_a_state_of_its_own_goes_on_to_the_bit(store: saver.Saver) -> None:
    whole = life(saver.Saver(MemoryStorage()), Chosen, STEPS, 0.5)
    for stop in (3, 14, 15):
        life(store, Chosen, stop, 0.5)
    assert life(store, Chosen, STEPS, 0.5) == whole
    saved = store.load("run")["loader"]
    assert saved["epoch"] == BATCH * STEPS // POINTS
    assert sum(saved["seen"].values()) == BATCH * STEPS


# A proof


def test_a_loader_under_way_is_not_put_back_by_a_proof(store: saver.Saver) -> None:
    """It would stand elsewhere than the loop, and each save after that would be wrong."""
    training = Training(store, Chosen, 0.5)
    with training.run:
        assert prove(training.run, lambda step: training.learn(step, next(iter(training.loader))))
        training.train(3)
        with pytest.raises(
            saver.CannotSaveError, match=r"loader: the loop keeps its iterator.*rehearse --prove"
        ):
            prove(training.run, lambda step: training.learn(step, next(iter(training.loader))))
