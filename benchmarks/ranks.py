"""A rank of `torch.distributed`, as a process: all save and load one training run, each tool in turn."""

from __future__ import annotations

import gc
import json
import sys
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import make_cold, make_warm, remove, rounds
from benchmarks.versions import STEP
from saver import Every, Saver, encoding
from saver.distributed import saving

WIDTH, BLOCKS = 1024, 6
FSDP, HSDP = "FSDP2", "HSDP"
BACKGROUND = "background"
FOUND = ("bytes", "seconds", "share", "coordination", "balance")
OURS, DCP, MEMCPY = "Saver", "torch DCP", "limit: memcpy, warm"


class Training:
    """What this rank has of the layers of a transformer and their AdamW: 907 MB in all ranks together, or
    `factor` times less."""

    def __init__(self, mesh: str, factor: int) -> None:
        import torch
        from torch import distributed as dist
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.shards = self.size if mesh == FSDP else self.size // 2
        shape = (self.size,) if mesh == FSDP else (2, self.shards)
        names = ("copies", "shards")[-len(shape) :]
        ranks = init_device_mesh("cpu", shape, mesh_dim_names=names)
        width = max(16, int(WIDTH / factor**0.5))
        self.net: Any = torch.nn.Sequential(*(_block(width) for _ in range(BLOCKS)))
        for block in self.net:
            fully_shard(block, mesh=ranks)
        fully_shard(self.net, mesh=ranks)
        self.optimizer = torch.optim.AdamW(self.net.parameters())
        for parameter in self.net.parameters():
            parameter.grad = torch.ones_like(parameter)
        self.optimizer.step()
        for number, array in enumerate(self.arrays()):
            generator = np.random.default_rng((number, self.rank % self.shards))
            generator.random(out=array, dtype=np.float32)

    def state(self) -> dict[str, Any]:
        """The state dicts, with the very tensors that are trained."""
        return {"model": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def arrays(self) -> list[NDArray[np.float32]]:
        """What this rank has, in the memory where it is trained; without the counts of steps."""
        moments = self.optimizer.state_dict()["state"]
        tensors = [*self.net.state_dict().values()]
        tensors += [moments[at][name] for at in sorted(moments) for name in ("exp_avg", "exp_avg_sq")]
        return [each.to_local().numpy() for each in tensors]

    def share(self, size: int) -> slice:
        """The items that this rank writes at best, of so many that several ranks have."""
        copies, copy = self.size // self.shards, self.rank // self.shards
        return slice(size * copy // copies, size * (copy + 1) // copies)

    def change(self) -> None:
        """Change every element."""
        for array in self.arrays():
            array += STEP


def _block(width: int) -> Any:
    from torch import nn

    sizes = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
    norms = (nn.LayerNorm(width) for _ in range(2))
    return nn.Sequential(*norms, *(nn.Linear(*size) for size in sizes))


class Tool(ABC):
    """Saves and loads the training of all ranks. `written` is how many bytes this rank wrote in the last
    save, and `writing` for how many seconds it hashed and wrote; `working` has the seconds of that and of all
    else that it does by itself, as far as that is known; `committing` those of the commit."""

    def __init__(self, training: Training, folder: Path) -> None:
        self.training, self.folder = training, folder
        self.written, self.writing, self.working, self.committing = 0, 0.0, 0.0, 0.0

    @abstractmethod
    def save(self) -> None:
        """Save in all ranks; it is on disk when this returns."""

    @abstractmethod
    def load(self) -> None:
        """Load the last save into the training."""

    def begin(self) -> Callable[[], object]:
        """Save in the background; returns what waits for it."""
        self.save()
        return lambda: None

    def load_again(self) -> None:
        """Load what was saved in the background."""
        self.load()

    def tidy(self) -> None:
        """In rank 0: remove old saves."""
        return

    def close(self) -> None:
        """Nothing more is saved."""
        return


class Ours(Tool):
    """`Saver.save` and `Saver.restore` of the model and the optimizer themselves; in the background, a run
    with them."""

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder)
        self._store = Saver(folder)
        self._objects = {"model": training.net, "optimizer": training.optimizer}
        self._run = self._store.checkpoints(BACKGROUND, self._objects, every=Every(steps=1), cluster="torch")
        self._run.__enter__()
        self._step = self._run.resume()

    def save(self) -> None:
        taken = {"encode": 0.0, "stage": 0.0, "commit": 0.0}

        def measured(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
            def act(*arguments: Any, **more: Any) -> Any:
                begin = time.perf_counter()
                found = function(*arguments, **more)
                taken[name] = time.perf_counter() - begin
                if name == "stage":
                    self.written = found.bytes_added + sum(map(len, found.held.values()))
                return found

            return act

        with ExitStack() as stack:
            for module, name in ((encoding, "encode"), (saving, "stage"), (saving, "commit")):
                stack.enter_context(patch.object(module, name, measured(name, getattr(module, name))))
            self._store.save("run", self._objects, cluster="torch")
        self.writing, self.committing = taken["stage"], taken["commit"]
        self.working = taken["encode"] + taken["stage"]

    def load(self) -> None:
        if not Saver(self.folder).restore("run", self._objects, cluster="torch"):
            raise AssertionError("the version does not fit the training")

    def begin(self) -> Callable[[], object]:
        self._run.step(self._step)
        self._step += 1
        return self._run.flush

    def load_again(self) -> None:
        if not Saver(self.folder).restore(BACKGROUND, self._objects, cluster="torch"):
            raise AssertionError("the version does not fit the training")

    def tidy(self) -> None:
        for model in self._store.models():
            for version in self._store.versions(model)[:-1]:
                self._store.delete(str(version))
        self._store.gc(grace=0)

    def close(self) -> None:
        self._run.__exit__(None, None, None)


class Dcp(Tool):
    """`torch.distributed.checkpoint` with state dicts, and files that are synced (`sync_files=True`)."""

    def __init__(self, training: Training, folder: Path) -> None:
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        super().__init__(training, folder)
        self._number = 0
        self._stager = DefaultStager(StagingOptions(False, False, False, False))

    def _next(self) -> Any:
        from torch.distributed.checkpoint import FileSystemWriter

        tool = self

        class Measured(FileSystemWriter):
            def write_data(self, plan: Any, planner: Any) -> Future[Any]:
                begin = time.perf_counter()
                found: Any = super().write_data(plan, planner)
                found.wait()
                tool.writing = time.perf_counter() - begin
                tool.written = sum(each.size_in_bytes for each in found.value())
                return found

        self._number += 1
        return Measured(self.folder / str(self._number), sync_files=True)

    def save(self) -> None:
        from torch.distributed import checkpoint

        checkpoint.save(self.training.state(), storage_writer=self._next())

    def begin(self) -> Callable[[], object]:
        from torch.distributed import checkpoint

        answer: Any = checkpoint.async_save(
            self.training.state(), storage_writer=self._next(), async_stager=self._stager
        )
        return lambda: answer.result()

    def load(self) -> None:
        from torch.distributed import checkpoint

        checkpoint.load(self.training.state(), checkpoint_id=self.folder / str(self._number))

    def tidy(self) -> None:
        for path in self.folder.iterdir():
            if path.name != str(self._number):
                remove(path)


class Ranks:
    """Measures in all ranks: `seconds` are from the moment when all begin to the one when all are ready.

    `share` and `balance` are of each tool, in each round: which part of a save not even the slowest rank
    spent on hashing and writing, and `coordination` that in which, besides, no rank encodes, and rank 0
    does not commit; and how many bytes a rank wrote at most, divided by the mean of all.
    `bytes` is the size of what they save.
    """

    def __init__(self, mesh: str, folder: Path, factor: int) -> None:
        self._training = Training(mesh, factor)
        self._tools: dict[str, Tool] = {
            name: make(self._training, folder / name.replace(" ", "-"))
            for name, make in ((OURS, Ours), (DCP, Dcp))
        }
        held = sum(array.nbytes for array in self._training.arrays())
        self.bytes = sum(self._all(held)) * self._training.shards // self._training.size
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.share: dict[str, list[float]] = defaultdict(list)
        self.coordination: dict[str, list[float]] = defaultdict(list)
        self.balance: dict[str, list[float]] = defaultdict(list)
        self._copies = [array.copy() for array in self._training.arrays()]

    def measure(self, count: int) -> None:
        """Save and load with each tool once, so that all memory is there; then `count` times."""
        self._round(1)
        for found in (self.seconds, self.share, self.coordination, self.balance):
            found.clear()
        self._round(count)
        for tool in self._tools.values():
            tool.close()

    def _round(self, count: int) -> None:
        turns = [partial(self._tool, name, tool) for name, tool in self._tools.items()]
        rounds(count, [*turns, self._memcpy])

    def _tool(self, name: str, tool: Tool) -> None:
        self._training.change()
        taken = self._timed(f"save {name}", tool.save)
        self.share[name].append(1 - max(self._all(tool.writing)) / taken)
        work = max(self._all(tool.working)) + max(self._all(tool.committing))
        self.coordination[name].append(1 - work / taken)
        written = self._all(tool.written)
        self.balance[name].append(max(written) * self._training.size / sum(written))
        self._alone(tool.tidy)
        for kind, prepare in (("cold", make_cold), ("warm", make_warm)):
            self._alone(partial(prepare, tool.folder))
            self._load(f"{kind} {name}", tool.load)
        self._training.change()
        wait: list[Callable[[], object]] = []
        self._timed(f"async {name}", lambda: wait.append(tool.begin()))
        wait[0]()
        self._load(f"after async {name}", tool.load_again)
        self._alone(tool.tidy)

    def _load(self, what: str, load: Callable[[], None]) -> None:
        """Load into zeros. Raises AssertionError unless what was there before is there again."""
        arrays = self._training.arrays()
        for copy, array in zip(self._copies, arrays, strict=True):
            copy[...] = array
            array[...] = 0
        self._timed(what, load)
        if not all(map(np.array_equal, arrays, self._copies)):
            raise AssertionError(f"{what}: what was loaded differs from what was saved")
        gc.collect()  # a pack that is mapped stays in the page cache

    def _memcpy(self) -> None:
        def copy() -> None:
            for target, array in zip(self._copies, self._training.arrays(), strict=True):
                share = self._training.share(array.size)
                target.reshape(-1)[share] = array.reshape(-1)[share]

        self._timed(f"async {MEMCPY}", copy)

    def _timed(self, what: str, action: Callable[[], object]) -> float:
        from torch import distributed as dist

        dist.barrier()
        begin = time.perf_counter()
        action()
        dist.barrier()
        self.seconds[what].append(time.perf_counter() - begin)
        return self.seconds[what][-1]

    def _alone(self, action: Callable[[], object]) -> None:
        """Rank 0 does something, and the others wait."""
        from torch import distributed as dist

        if self._training.rank == 0:
            action()
        dist.barrier()

    def _all(self, value: Any) -> list[Any]:
        """What all ranks have, by rank."""
        from torch import distributed as dist

        found: list[Any] = [None] * self._training.size
        dist.all_gather_object(found, value)
        return found


def main(mesh: str, folder: Path, count: int, factor: int) -> None:
    """Measure; rank 0 writes what was found to `found.json`."""
    from torch import distributed as dist

    dist.init_process_group("gloo")
    ranks = Ranks(mesh, folder, factor)
    ranks.measure(count)
    if dist.get_rank() == 0:
        found = {name: getattr(ranks, name) for name in FOUND}
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    mesh, place, *numbers = sys.argv[1:]
    main(mesh, Path(place), *map(int, numbers))
