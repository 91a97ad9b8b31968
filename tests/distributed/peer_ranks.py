"""Ranks of torch.distributed as processes, each on a host of its own: all are killed, the memory of one host
is lost, and new ones resume."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch_ranks import LONGEST, same, trained

import saver
from saver.caching.host_memory import VARIABLE
from saver.clusters.torch import TorchCluster
from saver.disk.mapped import MappedFile

SIZE = 2
LOST = 1


class Metered:
    """Counts the bytes that are read of files of the store, of which none is in the page cache."""

    def __init__(self) -> None:
        self.bytes = 0
        read, fill = MappedFile.read, MappedFile._fill

        def reads(blob: MappedFile, start: int = 0, end: int | None = None) -> bytes:
            found = read(blob, start, end)
            self.bytes += len(found)
            return found

        def fills(blob: MappedFile, start: int, end: int, memory: memoryview) -> None:
            self.bytes += end - start
            fill(blob, start, end, memory)

        MappedFile.read, MappedFile._fill = reads, fills  # type: ignore[method-assign]
        MappedFile.near = lambda *_: False  # type: ignore[method-assign]


def rank(number: int, folder: Path, start: int) -> None:
    """Train three steps, and save after the third; then the process is killed."""
    notes = folder / f"notes-{start}"
    dist.init_process_group("gloo", init_method=f"file://{notes}", rank=number, world_size=SIZE)
    os.environ[VARIABLE] = str(folder / f"host-{number}")
    torch.manual_seed(0)
    net: Any = nn.Sequential(nn.Linear(800, 1000), nn.Linear(1000, 10))
    fully_shard(net, mesh=init_device_mesh("cpu", (SIZE,)))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    run = saver.Saver(folder / "models").checkpoints(
        "run", {"model": net, "optimizer": optimizer}, every=saver.Every(steps=3),
        cluster=TorchCluster(), peer_memory="100MB",
    )  # fmt: skip
    with run:
        metered = Metered()
        begun = run.resume()
        assert begun == start, begun
        size = 3 * 4 * sum(each.numel() for each in net.parameters()) // SIZE
        if start:
            assert metered.bytes < size // 4, metered.bytes
        for step in range(begun, begun + 3):
            trained(net, optimizer, step)
            run.step(step)
        run.flush()
        dist.barrier()
        if start:
            compare(net, begun + 3)
        os.kill(os.getpid(), signal.SIGKILL)


def compare(net: Any, steps: int) -> None:
    """The weights are those of a training that nothing interrupted, to the bit."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(800, 1000), nn.Linear(1000, 10))
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.1)
    for step in range(steps):
        trained(plain, optimizer, step)
    for one, other in zip(net.parameters(), plain.parameters(), strict=True):
        assert same(one.detach(), other.detach())


def killed(folder: Path, start: int) -> None:
    """Start the ranks; they must be killed, by themselves."""
    children = []
    for number in range(SIZE):
        child = os.fork()
        if child == 0:
            try:
                rank(number, folder, start)
            finally:
                sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
                os._exit(1)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    assert ends == [signal.SIGKILL] * SIZE, ends


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    signal.alarm(LONGEST)
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGKILL))
    killed(folder, 0)
    shutil.rmtree(folder / f"host-{LOST}")
    killed(folder, 3)
