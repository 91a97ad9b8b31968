"""A cluster of Ray on this machine, of two nodes, and what is trained on it; one node is killed."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.cluster_utils import Cluster
from ray.train.torch import TorchTrainer
from torch import nn
from torch.distributed.fsdp import fully_shard

import saver
from saver.clusters.ray import RayCluster
from saver.integrations.ray import ref_of, report
from saver.keys.files import new_key_file

STEPS = 12


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))


def taught(step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """One step of training, on the same data in all ranks, however many there are."""
    data = torch.Generator().manual_seed(step)
    rows = torch.randn(32, 8, generator=data)
    loss = (model(rows) - rows.sum(1, keepdim=True)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def train(config: dict[str, Any]) -> None:
    """What each worker of Ray Train runs: resumes, trains, saves, reports."""
    model = net()
    fully_shard(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    store = saver.Saver(config["store"])
    rank, here = dist.get_rank(), ray.get_runtime_context().get_node_id()
    run = store.checkpoints(
        "net", {"model": model, "optimizer": optimizer}, every=saver.Every(steps=2), cluster="torch"
    )
    with run:
        for step in range(run.resume(), STEPS):
            loss = taught(step, model, optimizer)
            run.step(step, loss=loss)
            if step % 2:
                run.flush()
                report({"step": step, "loss": loss, "ranks": dist.get_world_size()}, run)
            Path(config["seen"], f"{rank}-{step}-{os.getpid()}").write_text(here)
            time.sleep(config["pause"])


def trained(folder: Path, cluster: Any) -> dict[str, Any]:
    """Train with two workers, each on a node of its own, of which one is killed in mid-training."""
    seen = folder / "seen"
    seen.mkdir()
    trainer = TorchTrainer(
        train,
        train_loop_config={"store": str(folder / "store"), "seen": str(seen), "pause": 0.3},
        scaling_config=ray.train.ScalingConfig(
            num_workers=2, resources_per_worker={"CPU": 2}, placement_strategy="STRICT_SPREAD"
        ),
        run_config=ray.train.RunConfig(
            name=folder.name,
            storage_path=str(folder / "ray"),
            failure_config=ray.train.FailureConfig(max_failures=3),
        ),
    )
    cluster.add_node(num_cpus=2)  # in the place of the one that is killed
    threading.Thread(target=kill_one, args=(cluster, seen), daemon=True).start()
    result = trainer.fit()
    store = saver.Saver(folder / "store")
    values = store.load("net")["model"].state_dict()
    return {
        "ref": ref_of(result.checkpoint),
        "metrics": {name: result.metrics[name] for name in ("step", "loss", "ranks")},
        "versions": [str(each) for each in store.versions("net")],
        "reported": [ref_of(checkpoint) for checkpoint, _ in result.best_checkpoints],
        "values": {name: value.tolist() for name, value in values.items()},
        "processes": len({each.name.split("-")[2] for each in seen.iterdir()}),
    }


def kill_one(cluster: Any, seen: Path) -> None:
    """Kill a node on which one of the workers has trained for some steps."""
    others = {each.node_id: each for each in cluster.worker_nodes}
    while True:
        used = [others[node] for each in seen.glob("*-5-*") if (node := each.read_text()) in others]
        if used:
            cluster.remove_node(used[0], allow_graceful=False)
            return
        time.sleep(0.05)


@ray.remote(num_cpus=1, max_restarts=0)
class Rank:
    """A plain actor that is a rank."""

    def __init__(self, name: str, rank: int, size: int, store: str) -> None:
        self.cluster = RayCluster(name, rank=rank, size=size)
        self.store = saver.Saver(store)
        self.part = torch.zeros(4)

    def seal(self, store: str, key: str) -> str:
        """Save into a sealed store, which one of the ranks makes."""
        self.part += 1
        parts = {f"stage{self.cluster.rank}": self.part}
        return str(saver.Saver(store, key=key).save("sealed", parts, cluster=self.cluster))

    def save(self, value: float) -> str:
        self.part += value
        parts = {f"stage{self.cluster.rank}": self.part}
        return str(self.store.save("plain", parts, cluster=self.cluster))


def plain(folder: Path, cluster: Any) -> dict[str, Any]:
    """Two actors on two nodes save; the node of one is killed; two others begin under the same name."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    def ranks(nodes: list[str]) -> list[Any]:
        return [
            Rank.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                "plain", rank, len(nodes), str(folder / "store")
            )
            for rank, node in enumerate(nodes)
        ]

    head = ray.get_runtime_context().get_node_id()
    (other,) = cluster.worker_nodes
    both = ranks([head, other.node_id])
    key, place = str(folder / "team.key"), folder / "sealed"
    new_key_file(key)
    sealed = ray.get([each.seal.remote(str(place), key) for each in both])
    first = ray.get([each.save.remote(1.0) for each in both])
    cluster.remove_node(other, allow_graceful=False)
    began = time.monotonic()
    try:
        ray.get(both[0].save.remote(1.0))
        lost = "nothing was lost"
    except saver.SaverError as error:
        lost = str(error.cause)  # type: ignore[attr-defined]  # Ray's own text has a traceback
    seconds = time.monotonic() - began
    found = [str(each) for each in saver.Saver(folder / "store").versions("plain")]
    new = cluster.add_node(num_cpus=2)
    again = ray.get([each.save.remote(5.0) for each in ranks([head, new.node_id])])
    values = saver.Saver(folder / "store").load("plain")
    return {
        "sealed": sealed,
        "opened": {n: v.tolist() for n, v in saver.Saver(place, key=key).load("sealed").items()},
        "clear": [str(path) for path in place.rglob("*") if path.is_file() and b"stage" in path.read_bytes()],
        "first": first,
        "lost": lost,
        "seconds": seconds,
        "versions": found,
        "again": again,
        "values": {name: value.tolist() for name, value in values.items()},
    }


def main(what: str, folder: Path) -> dict[str, Any]:
    nodes = {"num_cpus": 2, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=nodes)
    cluster.add_node(num_cpus=2)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        return (plain if what == "plain" else trained)(folder, cluster)
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
