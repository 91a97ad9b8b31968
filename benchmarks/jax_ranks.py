"""A process of JAX: all save and load arrays that are scattered over them, with Saver and Orbax in turn."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import numpy as np

from benchmarks.measure import make_cold, make_warm, remove, rounds
from saver import Saver

OURS, ORBAX = "Saver", "Orbax"
ARRAYS, SHAPE = 24, (4096, 2048)


class Training:
    """805 MB in arrays whose rows are scattered over all processes, or `factor` times less."""

    def __init__(self, factor: int) -> None:
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        self.shape = 2 * max(4, SHAPE[0] // factor // 2), SHAPE[1]
        self._mesh = Mesh(np.array(jax.devices()), ("rows",))
        self.sharding = NamedSharding(self._mesh, PartitionSpec("rows"))
        self._step = 0
        self.state: dict[str, Any] = {}

    @property
    def bytes(self) -> int:
        return int(ARRAYS * 4 * np.prod(self.shape))

    def change(self) -> None:
        """Other elements in every array."""
        import jax

        self._step += 1

        def made(number: int, index: Any) -> Any:
            rows = range(self.shape[0])[index[0]]
            made = np.random.default_rng((self._step, number, rows.start))
            return made.random((len(rows), self.shape[1]), np.float32)

        self.state = {
            f"a{number:02}": jax.make_array_from_callback(self.shape, self.sharding, partial(made, number))
            for number in range(ARRAYS)
        }
        jax.block_until_ready(self.state)

    def empty(self) -> dict[str, Any]:
        """Arrays of zeros, scattered alike."""
        import jax

        def zeros(index: Any) -> Any:
            return np.zeros((len(range(self.shape[0])[index[0]]), self.shape[1]), np.float32)

        found = {name: jax.make_array_from_callback(self.shape, self.sharding, zeros) for name in self.state}
        jax.block_until_ready(found)
        return found


class Ours:
    """`Saver.save` and `Saver.restore`."""

    def __init__(self, training: Training, folder: Path) -> None:
        self._training, self._folder, self._store = training, folder, Saver(folder)

    def save(self) -> None:
        self._store.save("m", {"state": self._training.state}, cluster="jax")

    def load(self, into: dict[str, Any]) -> dict[str, Any]:
        parts = {"state": into}
        if not Saver(self._folder).restore("m", parts, cluster="jax"):
            raise AssertionError("the version does not fit the arrays")
        return parts["state"]

    def tidy(self) -> None:
        for version in self._store.versions("m")[:-1]:
            self._store.delete(str(version))
        self._store.gc(grace=0)


class Orbax:
    """`StandardCheckpointer`, which waits until all is written."""

    def __init__(self, training: Training, folder: Path) -> None:
        import orbax.checkpoint as orbax

        self._training, self._folder = training, folder
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpointer = orbax.StandardCheckpointer()
        self._number = 0

    def save(self) -> None:
        self._number += 1
        self._checkpointer.save(self._folder / str(self._number), self._training.state)
        self._checkpointer.wait_until_finished()

    def load(self, into: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self._checkpointer.restore(self._folder / str(self._number), into)
        return found

    def tidy(self) -> None:
        for path in self._folder.iterdir():
            if path.name != str(self._number):
                remove(path)


class Measuring:
    """Seconds from the moment when all processes begin to the one when all are ready."""

    def __init__(self, rank: int, size: int, folder: Path, factor: int) -> None:
        from jax._src.distributed import global_state

        self._rank, self._client, self._number = rank, global_state.client, 0
        self.training = Training(factor)
        self._tools: dict[str, Any] = {
            OURS: Ours(self.training, folder / "ours"),
            ORBAX: Orbax(self.training, folder / "orbax"),
        }
        self._folders = {OURS: folder / "ours", ORBAX: folder / "orbax"}
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def measure(self, count: int) -> None:
        """Once, so that all is imported; then `count` times."""
        for times in (1, count):
            self.seconds.clear()
            rounds(times, [partial(self._turn, name) for name in self._tools])

    def _turn(self, name: str) -> None:
        tool, folder = self._tools[name], self._folders[name]
        self.training.change()
        self._timed(f"save {name}", tool.save)
        self._alone(tool.tidy)
        for kind, prepare in (("cold", make_cold), ("warm", make_warm)):
            self._alone(partial(prepare, folder))
            into, found = self.training.empty(), list[Any]()
            self._timed(f"{kind} {name}", lambda into=into, found=found: found.append(tool.load(into)))
            for each, array in self.training.state.items():
                for one, other in zip(
                    found[0][each].addressable_shards, array.addressable_shards, strict=True
                ):
                    if not np.array_equal(np.asarray(one.data), np.asarray(other.data)):
                        raise AssertionError(f"{name}: what was loaded differs from what was saved")

    def _timed(self, what: str, act: Callable[[], object]) -> None:
        self._meet()
        begin = time.perf_counter()
        act()
        self._meet()
        self.seconds[what].append(time.perf_counter() - begin)

    def _alone(self, act: Callable[[], object]) -> None:
        if self._rank == 0:
            act()
        self._meet()

    def _meet(self) -> None:
        self._number += 1
        self._client.wait_at_barrier(f"measuring-{self._number}", 600_000)


def main(rank: int, size: int, address: str, folder: Path, count: int, factor: int) -> None:
    """Measure, and write what was found, in rank 0."""
    import jax

    jax.distributed.initialize(address, size, rank)
    measuring = Measuring(rank, size, folder, factor)
    measuring.measure(count)
    if rank == 0:
        found = {"bytes": measuring.training.bytes, "seconds": measuring.seconds}
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    jax.distributed.shutdown()


if __name__ == "__main__":
    rank, size, address, folder, count, factor = sys.argv[1:]
    main(int(rank), int(size), address, Path(folder), int(count), int(factor))
