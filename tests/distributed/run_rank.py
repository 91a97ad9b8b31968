"""A rank of a training run as a process: says each step that it has done, and how it ended.

    python run_rank.py STORE NOTES RANK SIZE UNTIL STRUCK

The rank `STRUCK` is killed in the background, in the second save that it stages.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

import saver
from saver.cluster import Cluster
from saver.clusters.torch import TorchCluster
from saver.distributed.session import Session
from saver.policy import Every, OnSignal


class Training:
    """What all ranks train alike, without exchanging anything."""

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.net = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 1))
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=0.1)

    def step(self, step: int) -> float:
        made = torch.Generator().manual_seed(step)
        self.optimizer.zero_grad()
        loss = self.net(torch.randn(4, 300, generator=made)).square().mean()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def outcome(self) -> str:
        return " ".join(float(each.detach().double().sum()).hex() for each in self.net.parameters())


def strike_in_the_second_save() -> None:
    """Kill this process when it stages for the second time."""
    doing, count = Session.doing, [0]

    def does(self: Session, stage: str, *sizes: int) -> None:
        count[0] += stage == "staging" and not sizes
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        doing(self, stage, *sizes)

    Session.doing = does  # type: ignore[method-assign]


def train(store: str, rank: int, until: int, cluster: Cluster | None) -> str:
    """Train in a rank, or alone; returns what it ends with."""
    training, own = Training(), {"drawn": np.random.default_rng(rank), "seen": [0]}
    run = saver.Saver(store).checkpoints(
        "run",
        {"model": training.net, "optimizer": training.optimizer, "own": own},
        every=Every(steps=5) | OnSignal("SIGTERM"),
        cluster=cluster,
        per_rank=["own"] if cluster is not None else [],
    )
    with run:
        for step in range(run.resume(), until):
            loss = training.step(step)
            own["drawn"].random()
            own["seen"][0] += rank + 1
            saved = run.step(step, loss=loss)
            print(f"step {step}{' saved' * saved}", flush=True)
            time.sleep(0.05)
    return f"{own['seen'][0]} {own['drawn'].random()} {training.outcome()}"


def main(store: str, notes: str, rank: int, size: int, until: int, struck: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{notes}", rank=rank, world_size=size)
    if rank == struck:
        strike_in_the_second_save()
    try:
        print(train(store, rank, until, TorchCluster(lost_after=3.0, arrive_within=60.0)))
    except saver.SaverError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        os._exit(7)
    dist.destroy_process_group()


if __name__ == "__main__":
    place, board, *rest = sys.argv[1:]
    main(place, board, *map(int, rest))
