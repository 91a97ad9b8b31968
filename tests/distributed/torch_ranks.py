"""Ranks of torch.distributed as processes: each does what a test asks of it."""

from __future__ import annotations

import os
import signal
import sys
import traceback
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

import saver
from saver.errors import CannotSaveError

LONGEST = 300
"""Seconds after which ranks that hang are ended."""

SHAPES = [(7, 3), (5,), (4, 6), (1, 9), (), (0, 4), (3, 2, 5), (2, 0, 1)]
DTYPES = [
    torch.float32,
    torch.bfloat16,
    torch.complex64,
    torch.int64,
    torch.bool,
    torch.float8_e4m3fn,
    torch.float64,
    torch.float32,
]
MESHES: dict[str, tuple[tuple[int, ...], list[Any]]] = {
    "rows": ((0,), [Shard(0)]),
    "columns": ((0,), [Shard(1)]),
    "copies": ((0,), [Replicate()]),
    "hybrid": ((2, 0), [Replicate(), Shard(0)]),
    "both": ((2, 0), [Shard(0), Shard(1)]),
    "rows of rows": ((2, 0), [Shard(0), Shard(0)]),
}
"""Meshes, in which 0 stands for the ranks that are left, and placements on them."""


def tensors() -> dict[str, torch.Tensor]:
    """What is saved: of many shapes and dtypes, the same in all processes."""
    made = torch.Generator().manual_seed(0)
    found = {}
    for number, (shape, dtype) in enumerate(zip(SHAPES, DTYPES, strict=True)):
        values = torch.randn(shape, generator=made) * 100
        found[f"t{number}"] = values.to(dtype)
    return found


def placed(tensor: torch.Tensor, mesh: str) -> Any:
    """A tensor in this mesh; the tensor itself where it has too few axes to be cut so."""
    sizes, placements = MESHES[mesh]
    world = dist.get_world_size()
    if len(sizes) > 1 and world % sizes[0]:
        sizes, placements = (0,), [Shard(0)]
    needs = max((each.dim + 1 for each in placements if isinstance(each, Shard)), default=0)
    if tensor.dim() < needs:
        return tensor
    shape = tuple(size or world // max(1, sizes[0]) for size in sizes)
    return distribute_tensor(tensor, init_device_mesh("cpu", shape), placements, src_data_rank=None)


def same(one: Any, other: Any) -> bool:
    whole = one.full_tensor() if isinstance(one, DTensor) else one
    other = other.full_tensor() if isinstance(other, DTensor) else other
    if whole.shape != other.shape or whole.dtype is not other.dtype:
        return False
    return torch.equal(
        whole.contiguous().reshape(-1).view(torch.uint8), other.contiguous().reshape(-1).view(torch.uint8)
    )


def model(kind: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(1)
    inner = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3))
    found: Any = nn.Sequential(inner, nn.Tanh(), nn.Linear(3, 1))
    world = dist.get_world_size()
    if kind == "fsdp":
        mesh = init_device_mesh("cpu", (world,))
        fully_shard(found[0], mesh=mesh)
        fully_shard(found, mesh=mesh)
    elif kind == "hsdp" and world % 2 == 0:
        fully_shard(found, mesh=init_device_mesh("cpu", (2, world // 2), mesh_dim_names=("copies", "shards")))
    elif kind == "tp":
        from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

        mesh = init_device_mesh("cpu", (world,))
        parallelize_module(found, mesh, {"0.0": ColwiseParallel(), "2": RowwiseParallel()})
    return found, torch.optim.AdamW(found.parameters(), lr=0.1)


def state(net: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    found = {f"model.{name}": each for name, each in net.state_dict().items()}
    for number, entry in optimizer.state_dict()["state"].items():
        found |= {f"optimizer.{number}.{name}": each for name, each in entry.items()}
    return found


def save_meshes(folder: Path) -> None:
    store = saver.Saver(folder)
    for mesh in MESHES:
        parts = {"state": {name: placed(each, mesh) for name, each in tensors().items()}}
        version = store.save(mesh.replace(" ", "-"), parts, cluster="torch")
        assert version.number == 1


def restore_meshes(folder: Path, under: int = len(MESHES)) -> None:
    """What was saved under each mesh, under so many that follow it; by default under all."""
    store = saver.Saver(folder)
    for number, saved in enumerate(MESHES):
        for mesh in [*MESHES, *MESHES][number : number + under]:
            how: Any = ("broadcast", "read", None)[number % 3]
            target = {name: placed(torch.zeros_like(each), mesh) for name, each in tensors().items()}
            before = {name: each._version for name, each in target.items()}
            name = saved.replace(" ", "-")
            report = store.restore(name, {"state": target}, cluster="torch", shared=how)
            assert report, report
            for name, each in tensors().items():
                wanted = placed(each, mesh)
                assert type(target[name]) is type(wanted)
                assert target[name]._version > before[name], "autograd must know that it changed"
                if isinstance(wanted, DTensor):
                    assert same(target[name].to_local(), wanted.to_local()), (saved, mesh, name)
                else:
                    assert same(target[name], wanted), (saved, mesh, name)


def restore_few_meshes(folder: Path) -> None:
    restore_meshes(folder, 2)


def save_models(folder: Path) -> None:
    store = saver.Saver(folder)
    for kind in ("plain", "fsdp", "hsdp", "tp"):
        net, optimizer = model(kind)
        torch.manual_seed(2)
        net.train()
        if kind != "tp":
            net(torch.randn(6, 5)).sum().backward()
        else:
            for parameter in net.parameters():
                parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        store.save(kind, {"model": net, "optimizer": optimizer}, cluster="torch")
        whole = {
            name: each.full_tensor() if isinstance(each, DTensor) else each
            for name, each in state(net, optimizer).items()
        }
        if dist.get_rank() == 0:
            torch.save(whole, folder / f"{kind}.pt")
        dist.barrier()


def restore_models(folder: Path) -> None:
    store = saver.Saver(folder)
    for saved in ("plain", "fsdp", "hsdp", "tp"):
        wanted = torch.load(folder / f"{saved}.pt")
        for kind in ("plain", "fsdp", "hsdp", "tp"):
            net, optimizer = model(kind)
            how: Any = "broadcast" if saved in ("hsdp", kind) else None
            objects = {"model": net, "optimizer": optimizer}
            report = store.restore(saved, objects, cluster="torch", shared=how)
            assert report, report
            found = state(net, optimizer)
            assert found.keys() == wanted.keys()
            for name, each in found.items():
                assert same(each, wanted[name]), (saved, kind, name)


def compare_copies(folder: Path) -> None:
    """Copies that are the same are saved; if one rank's differs by a bit, no rank saves anything."""
    store, rank, size = saver.Saver(folder), dist.get_rank(), dist.get_world_size()
    for kind in ("plain", "fsdp", "hsdp", "tp"):
        net, optimizer = model(kind)
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        objects = {"model": net, "optimizer": optimizer}
        name = f"compared-{kind}"
        store.save(name, objects, cluster="torch", compare_replicas=True)
        large: Any = torch.ones(40, 50)
        mesh = "hybrid" if kind == "hsdp" else "copies" if kind == "fsdp" else None
        held = placed(large, mesh) if mesh is not None else large
        store.save(name, {"large": held}, cluster="torch", compare_replicas=True)
        own = held.to_local() if isinstance(held, DTensor) else held
        if rank == size - 1:
            own.view(torch.uint8)[-1, -1] ^= 1
        if size == 1 or (mesh == "hybrid" and size % 2):  # nothing has a copy
            continue
        with pytest.raises(CannotSaveError, match=rf"'large.*rank {size - 1}"):
            store.save(name, {"large": held}, cluster="torch", compare_replicas=True)
        dist.barrier()
        assert len(store.versions(name)) == 2


def scattered(folder: Path) -> None:
    """What a rank holds in several pieces is not a box, and refused; in one piece it is restored."""
    from torch.distributed.tensor.placement_types import _StridedShard

    store, size = saver.Saver(folder), dist.get_world_size()
    mesh, whole = init_device_mesh("cpu", (size,)), torch.arange(24.0)
    store.save("whole", {"state": {"t": whole}, "t": whole}, cluster="torch")
    for factor in (1, 2):
        its: Any = _StridedShard(0, split_factor=factor)
        target = distribute_tensor(torch.zeros(24), mesh, [its], src_data_rank=None)
        if factor == 1 or size == 1:
            store.restore("whole", {"state": {"t": target}}, cluster="torch")
            wanted = distribute_tensor(whole, mesh, [its], src_data_rank=None)
            assert torch.equal(target.to_local(), wanted.to_local())
            continue
        for act in (
            lambda: store.save("scattered", {"state": {"t": target}}, cluster="torch"),  # noqa: B023
            lambda: store.restore("whole", {"state": {"t": target}}, cluster="torch"),  # noqa: B023
            lambda: store.restore("whole", {"t": target}, cluster="torch"),  # noqa: B023
        ):
            with pytest.raises(saver.SaverError, match="pieces that are scattered over the tensor"):
                act()
        assert not target.to_local().any()


def trained(net: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """A step of training, with gradients that depend on its number alone, whatever the mesh."""
    for number, parameter in enumerate(net.parameters()):
        made = torch.Generator().manual_seed(100 * step + number)
        whole = torch.randn(parameter.shape, generator=made)
        if isinstance(parameter, DTensor):
            mesh, placements = parameter.device_mesh, parameter.placements
            whole = distribute_tensor(whole, mesh, placements, src_data_rank=None)
        parameter.grad = whole
    optimizer.step()
    optimizer.zero_grad()


def train(folder: Path, kind: str, until: int, start: int) -> None:
    """A run of all ranks that is stopped after some steps, and resumed."""
    net, optimizer = model(kind)
    own = torch.Generator().manual_seed(dist.get_rank())
    objects = {"model": net, "optimizer": optimizer, "own": own}
    run = saver.Saver(folder).checkpoints(
        "run", objects, every=saver.Every(steps=2), cluster="torch", per_rank=["own"]
    )
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        with run:
            begun = run.resume(shared="broadcast" if kind == "fsdp" else None)
            assert begun == start, (begun, start)
            for step in range(begun, until):
                trained(net, optimizer, step)
                torch.randn(3, generator=own)
                run.step(step, loss=float(dist.get_rank()))
    found = {
        name: each.full_tensor() if isinstance(each, DTensor) else each
        for name, each in state(net, optimizer).items()
    }
    plain, its = model("plain")
    for step in range(until):
        trained(plain, its, step)
    wanted = state(plain, its)
    assert found.keys() == wanted.keys()
    for name, each in found.items():
        assert same(each, wanted[name]), (kind, name)


def train_first(folder: Path) -> None:
    for kind in ("plain", "fsdp"):
        train(folder / kind, kind, 5, 0)


def train_on(folder: Path) -> None:
    for saved, kind in [("plain", "fsdp"), ("fsdp", "tp")]:
        train(folder / saved, kind, 7, 4)


def train_first_of_all(folder: Path) -> None:
    for kind in ("plain", "fsdp", "hsdp", "tp"):
        for other in ("plain", "fsdp", "hsdp", "tp"):
            train(folder / f"{kind}-{other}", kind, 5, 0)


def train_on_of_all(folder: Path) -> None:
    for saved in ("plain", "fsdp", "hsdp", "tp"):
        for kind in ("plain", "fsdp", "hsdp", "tp"):
            train(folder / f"{saved}-{kind}", kind, 7, 4)


def accumulating(kind: str, folder: Path | None, until: int, start: int) -> dict[str, Any]:
    """Train with batches of which each rank has its own, and a step of the optimizer after every third; with
    a folder, in a run that saves after each batch. Only that of DDP waits with what ranks exchange."""
    net, optimizer = model(kind)
    net[0][1].eval()  # type: ignore[index]  # its statistics would be those of each rank
    call: Any = nn.parallel.DistributedDataParallel(net) if kind == "plain" else net
    call(torch.zeros(6, 5)).sum().backward()  # DDP puts gradients in the order that it will keep
    optimizer.zero_grad()
    run = saver.Saver(folder or "mem").checkpoints(
        "run", {"model": net, "optimizer": optimizer}, every=saver.Every(steps=1), cluster="torch"
    )
    with run if folder is not None else nullcontext():
        begun = run.resume() if folder is not None else 0
        assert begun == start, (begun, start)
        for step in range(begun, until):
            made = torch.Generator().manual_seed(10 * step + dist.get_rank())
            with call.no_sync() if kind == "plain" and step % 3 < 2 else nullcontext():
                call(torch.randn(6, 5, generator=made)).square().mean().backward()
            if step % 3 == 2:
                optimizer.step()
                optimizer.zero_grad()
            if folder is not None:
                run.step(step)
    return {
        name: each.to_local() if isinstance(each, DTensor) else each
        for name, each in state(net, optimizer).items()
    }


def accumulate(folder: Path) -> None:
    """A run that is interrupted between two batches of an accumulation ends as one that was not."""
    folder /= "accumulated"
    for kind in ("plain", "fsdp"):
        accumulating(kind, folder / kind, 5, 0)
        if kind == "plain":
            with pytest.raises(saver.DoesNotFitError, match="of one rank alone, and distributed here"):
                accumulating("fsdp", folder / kind, 9, 5)
        found, wanted = accumulating(kind, folder / kind, 9, 5), accumulating(kind, None, 9, 0)
        for name, each in found.items():
            assert same(each, wanted[name]), (kind, name)


def loads_alone(folder: Path) -> None:
    store = saver.Saver(folder)
    for saved in MESHES:
        loaded = store.load(saved.replace(" ", "-"))["state"]
        for name, each in tensors().items():
            assert type(loaded[name]) is torch.Tensor
            assert same(loaded[name], each), (saved, name)
    for saved in ("plain", "fsdp", "hsdp", "tp"):
        wanted = torch.load(folder / f"{saved}.pt")
        loaded = store.load(saved)
        assert type(loaded["model"]) is nn.Sequential
        assert type(loaded["model"][0]) is nn.Sequential
        for name, each in loaded["model"].state_dict().items():
            assert same(each, wanted[f"model.{name}"]), (saved, name)


def with_zero(steps: int) -> tuple[nn.Module, Any]:
    """A model, and its optimizer of which each rank has a part, after some steps."""
    from torch.distributed.optim import ZeroRedundancyOptimizer

    net, _ = model("plain")
    optimizer: Any = ZeroRedundancyOptimizer(net.parameters(), torch.optim.AdamW, lr=0.1)
    for step in range(steps):
        trained(net, optimizer, step)
    return net, optimizer


def save_zero(folder: Path) -> None:
    """It is refused, in a run, too; its collected state is not."""
    store = saver.Saver(folder)
    net, optimizer = with_zero(2)
    for act in (
        lambda: store.save("zero", {"model": net, "optimizer": optimizer}, cluster="torch"),
        lambda: store.checkpoints(
            "run", {"optimizer": optimizer}, every=saver.Every(steps=1), cluster="torch"
        ),
    ):
        with pytest.raises(
            saver.CannotSaveError, match="Optimizer has no data form; each rank has the state"
        ):
            act()
    optimizer.consolidate_state_dict(to=0)
    state = {"optimizer": optimizer.state_dict()} if dist.get_rank() == 0 else {}
    store.save("zero", {"model": net, **state}, cluster="torch")


def restore_zero(folder: Path) -> None:
    """As those that were trained without a stop: after another step, all weights are the same."""
    store = saver.Saver(folder)
    net, optimizer = with_zero(0)
    assert store.restore("zero", {"model": net}, cluster="torch")
    optimizer.load_state_dict(store.load("zero", parts=["optimizer"])["optimizer"])
    wanted, its = with_zero(2)
    for step in (2, 3):
        trained(net, optimizer, step)
        trained(wanted, its, step)
    for each, other in zip(net.parameters(), wanted.parameters(), strict=True):
        assert same(each.detach(), other.detach())


def main(rank: int, size: int, notes: str, what: list[str], folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{notes}", rank=rank, world_size=size)
    for each in what:
        globals()[each](folder)
    dist.barrier()
    dist.destroy_process_group()


def forked(rank: int, size: int, notes: str, what: list[str], folder: Path) -> int:
    """A child that is a rank; its number."""
    child = os.fork()
    if child == 0:
        try:
            main(rank, size, notes, what, folder)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    return child


def wait(ranks: set[int]) -> bool:
    """Whether all of them did what they had to. Once one fails, the others, which would wait for it, end."""
    while ranks:
        child, status = os.wait()
        ranks.discard(child)
        if status:
            for other in ranks:
                os.kill(other, signal.SIGKILL)
            return False
    return True


if __name__ == "__main__":
    size, notes, what, folder = sys.argv[1:]
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    signal.alarm(LONGEST)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    # Forked: to import all of this takes longer than what most of them do.
    ranks = {forked(rank, int(size), notes, what.split(","), Path(folder)) for rank in range(int(size))}
    sys.exit(not wait(ranks))
