"""Distributed checkpoints that the tests read: `python dcp_folders.py KIND RANKS FOLDER` has so many
processes save one, and each of them writes what it saved, in whole tensors, to `FOLDER.RANK.pt`."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any


def saved(kind: str, ranks: int, folder: Path) -> Any:
    """Have these processes save, and return what they saved, in whole tensors."""
    import torch

    command = [sys.executable, __file__, kind, str(ranks), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    each = [torch.load(f"{folder}.{rank}.pt", weights_only=False) for rank in range(ranks)]
    return {key: value for values in reversed(each) for key, value in values.items()}


@cache
def _kept(kind: str, ranks: int) -> Path:
    """Where these processes saved, for as long as this process lasts."""
    home = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, home)
    saved(kind, ranks, Path(home) / "kept")
    return Path(home) / "kept"


def saved_once(kind: str, ranks: int, folder: Path) -> Any:
    """The same; what another test of this session had saved is copied. Such tests
    are one group, which one process runs."""
    import torch

    kept = _kept(kind, ranks)
    shutil.copytree(kept, folder)
    each = [torch.load(f"{kept}.{rank}.pt", weights_only=False) for rank in range(ranks)]
    return {key: value for values in reversed(each) for key, value in values.items()}


def same(a: Any, b: Any) -> bool:
    """Whether two state dicts hold the same: tensors by dtype, shape and bits."""
    import torch

    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        alike = (a.dtype, a.shape) == (b.dtype, b.shape)
        return alike and octets(a) == octets(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def octets(tensor: Any) -> bytes:
    """The bytes of a tensor, in order."""
    import torch

    plain = tensor.detach().resolve_conj().contiguous().reshape(-1)
    return bytes(plain.view(torch.uint8).numpy().tobytes())


def boxes(rank: int, ranks: int) -> dict[str, Any]:
    """Tensors that are cut in every way that DTensor has, and values of one rank."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

    line = init_device_mesh("cpu", (ranks,))
    shape = (2, ranks // 2) if ranks % 2 == 0 else (1, ranks)
    grid = init_device_mesh("cpu", shape, mesh_dim_names=("a", "b"))

    def numbers(*shape: int) -> Any:
        return torch.arange(float(torch.Size(shape).numel())).reshape(shape)

    def cut(tensor: Any, *ways: Any) -> Any:
        return distribute_tensor(tensor, line if len(ways) == 1 else grid, [*ways])

    rows, columns, same = Shard(0), Shard(1), Replicate()
    eighths = torch.full((2, 3), float(rank)).to(torch.float8_e4m3fn)
    return {
        "even": cut(numbers(8 * 3, 3), rows),
        "uneven": cut(numbers(ranks + 1, 3), rows),
        "fewer rows than ranks": cut(numbers(2, 3), rows),
        "one row": cut(numbers(1, 3), rows),
        "empty": cut(numbers(0, 3), rows),
        "columns": cut(numbers(8, 3), columns),
        "grid": cut(numbers(5, 7), rows, columns),
        "rows twice": cut(numbers(7, 2), rows, rows),
        "columns, then rows": cut(numbers(5, 7), columns, rows),
        "the same": cut(numbers(4), same),
        "hybrid": cut(numbers(4, 2), same, rows),
        "scalar": cut(torch.tensor(3.0), same),
        "transposed": cut(numbers(8, 6), rows).t(),
        "bfloat16": cut(numbers(9, 2).bfloat16(), rows),
        "complex": cut(numbers(9).to(torch.complex64) * 1j, rows),
        "bool": cut(numbers(9) > 3, rows),
        "int64": cut(torch.arange(10), rows),
        "float8": DTensor.from_local(eighths, line, [rows]),
        "four axes": cut(numbers(5, 2, 3, 4), Shard(2)),
        "plain": numbers(3),
        f"of rank {rank}": numbers(2) + rank,
        "nested": {"a": [numbers(2), {"b": cut(numbers(7), rows)}, 5], "text": "ü"},
    }


def network() -> Any:
    """A network whose layers do not divide by the ranks."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Embedding(11, 6), torch.nn.Linear(6, 5), torch.nn.LayerNorm(5), torch.nn.Linear(5, 3, False)
    )


def trained(rank: int, ranks: int) -> Any:
    """A network under FSDP2 and its optimizer, trained for two steps."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    net, mesh = network(), init_device_mesh("cpu", (ranks,))
    for layer in net:
        fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, amsgrad=True)
    for step in range(2):
        net((torch.arange(4) + step + rank) % 11).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return net, optimizer


def fsdp(rank: int, ranks: int) -> dict[str, Any]:
    from torch.distributed.checkpoint.state_dict import get_state_dict

    model, optimizer = get_state_dict(*trained(rank, ranks))
    return {"model": model, "optimizer": optimizer, "step": 2}


def large(rank: int, ranks: int) -> dict[str, Any]:
    """300 MB, a third of which is one tensor, which is cut along its columns."""
    import torch
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (ranks,))
    some = torch.arange(4 << 20, dtype=torch.float32)
    one = distribute_tensor(some.repeat(6).reshape(6 << 10, 4 << 10), mesh, [Shard(1)])
    return {"large": one, **{f"w.{at}": distribute_tensor(some + at, mesh, [Shard(0)]) for at in range(12)}}


def whole(value: Any) -> Any:
    """A state dict with whole tensors."""
    import torch
    from torch.distributed.tensor import DTensor

    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [*map(whole, value)]
    if not isinstance(value, DTensor):
        return value
    local = value.detach().to_local()
    if local.dtype.is_floating_point and local.itemsize == 1:  # of which gloo knows nothing
        octets = DTensor.from_local(local.view(torch.uint8), value.device_mesh, value.placements)
        return octets.full_tensor().view(local.dtype)
    return value.full_tensor().detach().clone()


def _save(rank: int, ranks: int, folder: str, make: Callable[[int, int], dict[str, Any]]) -> None:
    import torch
    import torch.distributed.checkpoint as dcp

    values = make(rank, ranks)
    torch.save(whole(values), f"{folder}.{rank}.pt")
    dcp.save(values, checkpoint_id=folder)


def _load(rank: int, ranks: int, folder: str, _: Any) -> None:
    """Load a checkpoint of `fsdp` into a network that is cut for these ranks, and save what it then is."""
    import torch
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

    net, optimizer = trained(rank, ranks)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    model, state = get_state_dict(net, optimizer)
    values = {"model": model, "optimizer": state, "step": 0}
    dcp.load(values, checkpoint_id=folder)
    set_state_dict(net, optimizer, model_state_dict=values["model"], optim_state_dict=values["optimizer"])
    model, state = get_state_dict(net, optimizer)
    found = whole({"model": model, "optimizer": state, "step": values["step"]})
    torch.save(found, f"{folder}.{rank}.pt")


KINDS = {"boxes": (_save, boxes), "fsdp": (_save, fsdp), "large": (_save, large), "load": (_load, fsdp)}


def _work(rank: int, ranks: int, folder: str, kind: str) -> None:
    import torch.distributed

    warnings.simplefilter("ignore")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{os.path.abspath(folder)}.meeting", rank=rank, world_size=ranks
    )
    act, make = KINDS[kind]
    act(rank, ranks, folder, make)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    import torch.distributed.checkpoint.state_dict
    import torch.distributed.fsdp
    import torch.distributed.tensor
    import torch.multiprocessing

    torch.set_num_threads(1)
    kind, ranks, folder = sys.argv[1:]
    torch.multiprocessing.start_processes(  # forked: to import all of this takes longer than all else
        _work, (int(ranks), folder, kind), nprocs=int(ranks), start_method="fork"
    )
