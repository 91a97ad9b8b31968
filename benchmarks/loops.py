"""A training loop on the CPU, and all tools that can save it, most of them in the background."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import make_durable, remove
from saver import Every, Keep, Saver

LAYERS, WIDTH, BATCH = 20, 2048, 64
PIECE = 16 << 20

Arrays = list[NDArray[Any]]


class Training:
    """Layers of 336 MB in 40 tensors, and AdamW, which keeps twice as much: 1.007 GB, or `factor` times less.

    It uses half of the processors and leaves the others to work in the background, as training on a GPU does:
    with all of them, its threads wait for one that was interrupted, and the time of a step varies widely.
    Gradients are kept, so that memory use is constant.
    """

    def __init__(self, factor: int = 1) -> None:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        torch.manual_seed(0)
        width = max(16, int(WIDTH / factor**0.5))
        self.net = torch.nn.Sequential(*(torch.nn.Linear(width, width) for _ in range(LAYERS)))
        self.optimizer = torch.optim.AdamW(self.net.parameters())
        self._batch = torch.randn(BATCH, width)
        self.step()

    def step(self) -> None:
        """Forward, backward, and the optimizer's step."""
        self.optimizer.zero_grad(set_to_none=False)
        self.net(self._batch).square().mean().backward()
        self.optimizer.step()

    def state(self) -> dict[str, Any]:
        """The state dicts, with the very tensors that are trained."""
        return {"model": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def arrays(self) -> Arrays:
        """All tensors, in the memory where they are trained."""
        return arrays_of(self.state())


def arrays_of(state: dict[str, Any]) -> Arrays:
    """The tensors of the two state dicts, in their order."""
    moments = state["optimizer"]["state"]
    found = list(state["model"].values())
    found += [
        moments[number][name] for number in sorted(moments) for name in ("step", "exp_avg", "exp_avg_sq")
    ]
    return [np.asarray(item) for item in found]


class Saving(ABC):
    """Saves a training run to a folder. A save is on disk once `wait` has returned."""

    def __init__(self, training: Training, folder: Path) -> None:
        self.training, self.folder = training, folder
        self.held = 0.0
        """Total seconds that the optimizer had to wait in its steps."""

    @abstractmethod
    def save(self) -> None:
        """Save the present state. Training may continue when this returns."""

    def wait(self) -> None:
        """Wait until the save is written."""
        return

    def load(self) -> Arrays | None:
        """The last save, in the form of `Training.arrays`; None if nothing is written."""
        return None

    def staging(self) -> int:
        """Bytes of memory that are kept for snapshots; 0 if unknown."""
        return 0

    def close(self) -> None:
        """Release everything."""
        return


class Memcpy(Saving):
    """The limit: two threads copy the state into warm memory."""

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder)
        self._pool = ThreadPoolExecutor(2)
        sources = [array.reshape(-1).view(np.uint8) for array in training.arrays()]
        memory = np.zeros(sum(source.size for source in sources), np.uint8)
        self._pieces = []
        start = 0
        for source in sources:
            target = memory[start : start + source.size]
            start += source.size
            for at in range(0, source.size, PIECE):
                self._pieces.append((target[at : at + PIECE], source[at : at + PIECE]))

    def save(self) -> None:
        pieces = iter(self._pieces)
        wait([self._pool.submit(_copy, pieces) for _ in range(2)])

    def close(self) -> None:
        self._pool.shutdown()


def _copy(pieces: Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> None:
    for target, source in pieces:
        target[:] = source


class _Checkpoints(Saving):
    """Saver. `objects` decides whether it gets an optimizer, whose steps can wait for it."""

    def __init__(self, training: Training, folder: Path, objects: dict[str, Any]) -> None:
        super().__init__(training, folder)
        self._store = Saver(folder / "store")
        never = Every(steps=1 << 40)
        self._run = self._store.checkpoints("run", objects, every=never, keep=Keep(last=1))
        self._run.__enter__()
        self._run.step(0, loss=1.0)
        self._step = 0
        self._counted = 0.0

    def save(self) -> None:
        self._step += 1
        self._run.step(self._step, loss=1.0)
        self._run.save()
        self._counted = self._run.progress.blocked_seconds - self.held

    def wait(self) -> None:
        self._run.flush()
        self.held = self._run.progress.blocked_seconds - self._counted

    def staging(self) -> int:
        return self._run.progress.staging_bytes

    def close(self) -> None:
        self._run.__exit__(None, None, None)


class SaverPlain(_Checkpoints):
    """It gets state dicts, and cannot know when the tensors in them will change."""

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder, training.state())

    def load(self) -> Arrays:
        return arrays_of(self._store.load("run", parts=["model", "optimizer"]))


class SaverHook(_Checkpoints):
    """It gets the model and the optimizer, copies during the next forward and backward pass, and makes the
    optimizer's next step wait for the copy."""

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder, {"model": training.net, "optimizer": training.optimizer})

    def load(self) -> Arrays:
        loaded = self._store.load("run", parts=["model", "optimizer"])
        return arrays_of({name: part.state_dict() for name, part in loaded.items()})


class TorchSave(Saving):
    """In the loop."""

    def save(self) -> None:
        import torch

        torch.save(self.training.state(), self.folder / "new")
        make_durable(self.folder / "new")
        (self.folder / "new").replace(self.folder / "last")

    def load(self) -> Arrays:
        import torch

        return arrays_of(torch.load(self.folder / "last", weights_only=True))


class Dcp(Saving):
    """`async_save` with a stager that keeps its memory: DefaultStager. BlockingAsyncStager, which it
    replaces, keeps only pinned memory, which needs a GPU."""

    beside = False

    def __init__(self, training: Training, folder: Path) -> None:
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        super().__init__(training, folder)
        self._stager = DefaultStager(StagingOptions(False, False, self.beside, False))
        self._number = 0
        self._written: Any = None

    def _path(self, number: int) -> Path:
        return self.folder / str(number)

    def _begin(self) -> Any:
        from torch.distributed.checkpoint import async_save

        self._number += 1
        state = self.training.state()
        return async_save(
            state, checkpoint_id=self._path(self._number), async_stager=self._stager, no_dist=True
        )

    def save(self) -> None:
        self.wait()
        self._written = self._begin()

    def wait(self) -> None:
        if self._written is not None:
            self._written.result()
            self._written = None
            remove(self._path(self._number - 1))

    def load(self) -> Arrays:
        import torch
        from torch.distributed import checkpoint

        state = self.training.state()
        copy = torch.utils._pytree.tree_map_only(torch.Tensor, torch.empty_like, state)
        checkpoint.load(copy, checkpoint_id=self._path(self._number), no_dist=True)
        return arrays_of(copy)

    def close(self) -> None:
        self._stager.close()


class DcpBeside(Dcp):
    """The same, staged in a thread, for which the optimizer's next step waits, as in its documentation."""

    beside = True

    def __init__(self, training: Training, folder: Path) -> None:
        super().__init__(training, folder)
        self._staged: Any = None
        training.optimizer.register_step_pre_hook(self._hold)

    def save(self) -> None:
        self.wait()
        answer = self._begin()
        self._staged, self._written = answer.staging_completion, answer.upload_completion

    def _hold(self, *_: Any) -> None:
        if self._staged is not None:
            begin = time.perf_counter()
            self._staged.result()
            self._staged = None
            self.held += time.perf_counter() - begin


class Lightning(Saving):
    """The plugin AsyncCheckpointIO alone, as the trainer calls it."""

    def __init__(self, training: Training, folder: Path) -> None:
        from lightning.pytorch.plugins.io import AsyncCheckpointIO, TorchCheckpointIO

        super().__init__(training, folder)
        self._plugin = AsyncCheckpointIO(TorchCheckpointIO())

    def save(self) -> None:
        self._plugin.save_checkpoint(self.training.state(), str(self.folder / "last"))

    def wait(self) -> None:
        self._plugin.teardown()

    def load(self) -> Arrays:
        return arrays_of(self._plugin.load_checkpoint(str(self.folder / "last")))


class Orbax(Saving):
    """CheckpointManager, with the bytes as NumPy arrays."""

    def __init__(self, training: Training, folder: Path) -> None:
        import orbax.checkpoint as ocp

        super().__init__(training, folder)
        options = ocp.CheckpointManagerOptions(max_to_keep=1, enable_async_checkpointing=True)
        self._manager = ocp.CheckpointManager(folder / "orbax", options=options)
        self._arguments = ocp.args
        self._step = 0

    def _tree(self) -> dict[str, NDArray[Any]]:
        return {f"{number:04}": array for number, array in enumerate(self.training.arrays())}

    def save(self) -> None:
        self._step += 1
        self._manager.save(self._step, args=self._arguments.StandardSave(self._tree()))

    def wait(self) -> None:
        self._manager.wait_until_finished()

    def load(self) -> Arrays:
        found = self._manager.restore(self._step, args=self._arguments.StandardRestore(self._tree()))
        return [np.asarray(found[name]) for name in sorted(found)]

    def close(self) -> None:
        self._manager.close()


LIMIT = "limit: memcpy, warm, 2 threads"
PLAIN = "Saver"
HOOK = "Saver, optimizer waits"
DCP = "torch DCP async_save"
SAVINGS: dict[str, Callable[[Training, Path], Saving]] = {
    LIMIT: Memcpy,
    PLAIN: SaverPlain,
    HOOK: SaverHook,
    DCP: Dcp,
    "torch DCP, optimizer waits": DcpBeside,
    "torch.save in the loop": TorchSave,
    "Lightning AsyncCheckpointIO": Lightning,
    "Orbax CheckpointManager": Orbax,
}
