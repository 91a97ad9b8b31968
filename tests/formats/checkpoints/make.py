"""Distributed checkpoints of an old PyTorch: `python make.py FOLDER`, in its environment, makes `FOLDER/one`,
of a single process, and `FOLDER/two`, of two, which share the tensors."""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
import torch.distributed.checkpoint as dcp


def values() -> dict[str, Any]:
    def numbers(*shape: int) -> Any:
        return torch.arange(float(torch.Size(shape).numel())).reshape(shape)

    state = {"step": torch.tensor(2.0), "exp_avg": -numbers(5, 3)}
    return {
        "model": {
            "layer.weight": numbers(5, 3),
            "layer.bias": numbers(3).bfloat16(),
            "empty": numbers(0, 2),
            "scalar": torch.tensor(3),
        },
        "optimizer": {
            "state": {"layer.weight": state},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": ["layer.weight"]}],
        },
        "step": 7,
        "name": "ü",
        "list": [numbers(2), 3, {"x": numbers(1)}],
        "transposed": numbers(4, 3).t(),
    }


def save(found: dict[str, Any], folder: str, **options: Any) -> None:
    if hasattr(dcp, "save"):
        dcp.save(found, checkpoint_id=folder)
    else:
        dcp.save_state_dict(found, dcp.FileSystemWriter(folder), **options)


def work(rank: int, folder: str) -> None:
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import Shard, distribute_tensor

        mesh = init_device_mesh("cpu", (2,))
    except ImportError:
        from torch.distributed._tensor import DeviceMesh, Shard, distribute_tensor

        mesh = None  # it can be made once the processes have met
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    meeting = "tcp://127.0.0.1:29533"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    mesh = mesh or DeviceMesh("cpu", [0, 1])
    found = values()
    state = found["optimizer"]["state"]["layer.weight"]
    found["model"]["layer.weight"] = distribute_tensor(found["model"]["layer.weight"], mesh, [Shard(0)])
    state["exp_avg"] = distribute_tensor(state["exp_avg"], mesh, [Shard(1)])
    save(found, folder)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    import torch.multiprocessing

    os.makedirs(sys.argv[1])
    save(values(), f"{sys.argv[1]}/one", no_dist=True)
    torch.multiprocessing.spawn(work, (f"{sys.argv[1]}/two",), nprocs=2)
