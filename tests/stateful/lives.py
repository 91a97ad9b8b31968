"""Training that is killed at random instants, and started again until it is finished.

    python lives.py torch FOLDER whole          trains once, never stopped
    python lives.py torch FOLDER killed SEED    trains, is killed KILLS times, and is not finished then
    python lives.py torch FOLDER finish         trains from where that was, to the end

The framework is imported once; each life is a fork of that process. What a training ends with goes to
`whole.json` or `killed.json`.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import saver
from saver import Every, Keep

KILLS = 20
STEPS = 120
STEPS_IN_A_LIFE = 10
"""That are waited for at most, before it is killed."""

PATIENCE = 60


def digest(array: Any) -> str:
    data = np.ascontiguousarray(array)
    return f"{data.dtype} {data.shape} {hashlib.sha256(data.tobytes()).hexdigest()}"


def logged(run: Any) -> dict[str, Any]:
    """The log without its clock: the steps and values of each metric, to the bit."""
    names = run.log.metrics
    return {name: [run.log[name][0].tolist(), [value.hex() for value in run.log[name][1]]] for name in names}


def train(
    objects: dict[str, Any], train_step: Callable[[int], dict[str, float]], name: str, tell: int
) -> Any:
    """The loop. Writes each step to `tell`, before it is taken; -1 is for a loop that is not killed."""
    store = saver.Saver(name)
    run = store.checkpoints(
        "run", objects, every=Every(steps=2), keep=Keep(last=2) | Keep(best=1, by="loss"), progress=False
    )
    with run:
        start = run.resume()
        for step in range(start, STEPS):
            if tell >= 0:
                wait_for_the_end(step, tell)
            run.step(step, epoch=step / 12, **train_step(step))
    return run


def wait_for_the_end(step: int, tell: int) -> None:
    """Say which step comes next; before the last one, do nothing more but be killed."""
    os.write(tell, bytes([step]))
    if step == STEPS - 1:
        os.close(tell)
        signal.pause()


# PyTorch: dropout, shuffling workers, AdamW, a cosine schedule, an average of weights


class Batches:
    """Batches of one epoch after the other, drawn by workers. Its state is where the epoch began and how far
    it is: what the workers did, they do again."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._generator = torch.Generator().manual_seed(3)
        self._begin = self._generator.get_state()
        self._taken = 0

    def state_dict(self) -> dict[str, Any]:
        return {"begin": self._begin, "taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._begin, self._taken = state["begin"], state["taken"]

    def __iter__(self) -> Iterator[Any]:
        while True:
            self._generator.set_state(self._begin)
            loader = self._torch.utils.data.DataLoader(
                Noisy(self._torch), batch_size=16, shuffle=True, num_workers=2, generator=self._generator
            )
            before = self._taken
            for number, batch in enumerate(loader):
                if number >= before:
                    self._taken = number + 1
                    yield batch
            self._begin, self._taken = self._generator.get_state(), 0


class Noisy:
    """Points and whether they lie right, with noise that workers draw."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        generator = torch.Generator().manual_seed(5)
        self._points = torch.randn(192, 8, generator=generator)

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, index: int) -> Any:
        point = self._points[index]
        return point + 0.1 * self._torch.randn(8), (point.sum() > 0).long()


def with_torch() -> Callable[[str, int], dict[str, Any]]:
    import torch
    from torch import nn
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    import_module("saver.checkpoints")
    import_module("saver.families.torch.codecs")
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)]).step()  # imports what it needs

    def begin(name: str, tell: int) -> dict[str, Any]:
        torch.manual_seed(1)
        random.seed(2)
        np.random.seed(3)
        net = nn.Sequential(
            nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )
        average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.02)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        batches = Batches(torch)
        drawn: Iterator[Any] | None = None

        def step(number: int) -> dict[str, float]:
            nonlocal drawn
            drawn = iter(batches) if drawn is None else drawn
            points, right = next(drawn)
            noise = torch.from_numpy(np.random.normal(size=points.shape).astype("f4"))
            loss = nn.functional.cross_entropy(net(points + 0.01 * random.random() * noise), right)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
            metrics = {"loss": loss.item(), "rate": schedule.get_last_lr()[0]}
            return metrics | ({"random": random.random()} if number % 7 == 0 else {})

        objects = {
            "model": net, "average": average, "optimizer": optimizer, "schedule": schedule,
            "batches": batches,
        }  # fmt: skip
        run = train(objects, step, name, tell)
        tensors = {f"model.{key}": value for key, value in net.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
        for at, state in enumerate(optimizer.state.values()):
            tensors |= {f"optimizer.{at}.{key}": value for key, value in state.items()}
        return {"log": logged(run)} | {key: digest(value.numpy()) for key, value in tensors.items()}

    return begin


# scikit-learn: a scaler and two classifiers, by partial_fit


def with_sklearn() -> Callable[[str, int], dict[str, Any]]:
    from sklearn.linear_model import SGDClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    points = np.random.RandomState(5).normal(3, 2, (96, 8))
    right = (points.sum(1) > 24).astype(int)

    def begin(name: str, tell: int) -> dict[str, Any]:
        np.random.seed(3)
        scaler, linear = StandardScaler(), SGDClassifier(loss="log_loss", average=True)
        net = MLPClassifier((16,), batch_size=8)

        def step(number: int) -> dict[str, float]:
            chosen = np.random.choice(96, 24, replace=False)
            scaled = scaler.partial_fit(points[chosen]).transform(points[chosen])
            linear.partial_fit(scaled, right[chosen], classes=[0, 1])
            net.partial_fit(scaled, right[chosen], classes=[0, 1])
            return {"loss": net.loss_, "accuracy": linear.score(scaler.transform(points), right)}

        run = train({"scaler": scaler, "linear": linear, "net": net}, step, name, tell)
        arrays = {
            "mean": scaler.mean_, "var": scaler.var_, "coef": linear.coef_, "average": linear._average_coef,
            "moments": np.concatenate([array.ravel() for array in net._optimizer.ms]),
            "curve": net.loss_curve_, "seen": [scaler.n_samples_seen_, linear.t_, net.t_],
        }  # fmt: skip
        arrays |= {f"net.{at}": array for at, array in enumerate(net.coefs_ + net.intercepts_)}
        return {"log": logged(run)} | {key: digest(array) for key, array in arrays.items()}

    return begin


# Lives


def live(begin: Callable[[str, int], dict[str, Any]], name: str, tell: int) -> None:
    """Train to the end, and write down the outcome."""
    found = begin(name, tell)
    Path(f"{name}.json").write_text(json.dumps(found))


def short_life(begin: Callable[[str, int], dict[str, Any]], seed: random.Random) -> int:
    """Train, and be killed with all workers, after a random number of steps and a random moment more. The
    step that it began with, -1 if it did not come so far."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        live(begin, "killed", tell)
        os._exit(0)
    os.close(tell)
    steps = b""
    wanted = seed.randrange(STEPS_IN_A_LIFE + 1)
    while len(steps) < wanted and select.select([told], [], [], PATIENCE)[0]:
        found = os.read(told, wanted - len(steps))
        if not found:
            break
        steps += found
    time.sleep(seed.uniform(0, 0.02 if wanted else 0.1))
    for kill in (os.killpg, os.kill):
        try:
            kill(child, signal.SIGKILL)
            break
        except ProcessLookupError:  # it is in no group of its own yet
            continue
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"it ended by itself: {status}"
    steps += os.read(told, 1) if not steps else b""
    os.close(told)
    return steps[0] if steps else -1


def main(kind: str, folder: str, what: str, seed: str = "0") -> None:
    os.chdir(folder)
    os.environ["SAVER_CACHE"] = os.path.join(folder, "cache")
    begin = {"torch": with_torch, "sklearn": with_sklearn}[kind]()
    if what == "killed":
        drawn = random.Random(int(seed))
        print(json.dumps([short_life(begin, drawn) for _ in range(KILLS)]))
    else:
        live(begin, "whole" if what == "whole" else "killed", -1)


if __name__ == "__main__":
    main(*sys.argv[1:])
