"""Ranks that Ray connects: an actor is their board."""

from __future__ import annotations

import threading
import time
from functools import cache
from typing import Any

from saver import arguments
from saver.cluster import Cluster, Network
from saver.clusters.sockets import SocketNetwork
from saver.errors import LostRankError, kind_of

_NAMESPACE = "saver"


class RayCluster(Cluster):
    """Ranks that are tasks or actors of one Ray cluster, each in a process of its own.

        cluster = RayCluster("run-7", rank=rank, size=size)

    All of them use one name, which no other group of ranks has at that time. An actor that rank 0 owns keeps
    the notes, and ends with it; ranks that begin anew under the same name get a new one. In a worker of Ray
    Train, `cluster="ray"` is the cluster of all its workers, under the name of the experiment.

    Raises LostRankError if rank 0 does not come within `arrive_within` seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        rank: int,
        size: int,
        lost_after: float = 10.0,
        arrive_within: float = 600.0,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f"name: {kind_of(name)} is not a name; pass a text")
        size = arguments.whole_number("size", size, 1, 1_000_000)
        super().__init__(arguments.whole_number("rank", rank, 0, size - 1), size)
        self.lost_after = arguments.seconds("lost_after", lost_after)
        self.arrive_within = arguments.seconds("arrive_within", arrive_within)
        self._name = name
        self._mine: dict[str, bytes] = {}
        """The notes of this rank, for the board of a rank 0 that began anew."""
        self._lock = threading.Lock()
        self._board = _new(self._name) if self.rank == 0 else self._found(self.arrive_within)

    def put(self, key: str, data: bytes) -> None:
        self._mine[key] = data
        self._ask("put", {key: data})

    def get(self, key: str) -> bytes | None:
        found: bytes | None = self._ask("get", key)
        return found

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._mine.pop(key, None)
        self._ask("delete", *keys)

    def network(self, name: str) -> Network:
        return SocketNetwork(self, name)

    def _ask(self, method: str, *given: Any) -> Any:
        """Call the board, or the one that has taken its place. Raises what Ray raises."""
        import ray

        until = time.monotonic() + self.lost_after
        board = self._board
        while True:
            left = max(until - time.monotonic(), 0.1)
            try:
                return ray.get(getattr(board, method).remote(*given), timeout=left)
            except ray.exceptions.RayActorError:
                if self.rank == 0:
                    raise
                board = self._again(board, left)

    def _again(self, dead: Any, seconds: float) -> Any:
        """Another board than the dead one, with the notes of this rank."""
        import ray

        with self._lock:
            if self._board is dead:
                found = self._found(seconds, dead)
                ray.get(found.put.remote(dict(self._mine)), timeout=seconds)
                self._board = found
            return self._board

    def _found(self, seconds: float, dead: Any = None) -> Any:
        import ray

        until = time.monotonic() + seconds
        while True:
            try:
                found = ray.get_actor(self._name, _NAMESPACE)
                if dead is None or found._actor_id != dead._actor_id:
                    return found
            except ValueError:  # there is no actor of this name
                pass
            if time.monotonic() > until:
                raise LostRankError(
                    f"rank 0 of {self._name!r} did not come within {seconds:g} s; start it", 0
                )
            time.sleep(0.05)


class _Board:
    """The notes, by their keys."""

    def __init__(self) -> None:
        self._notes: dict[str, bytes] = {}

    def put(self, notes: dict[str, bytes]) -> None:
        self._notes |= notes

    def get(self, key: str) -> bytes | None:
        return self._notes.get(key)

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._notes.pop(key, None)


def _new(name: str) -> Any:
    """A new board on the node of this process, in the place of one that an earlier rank 0 has left."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": name, "namespace": _NAMESPACE, "num_cpus": 0, "scheduling_strategy": here}
    while True:
        try:
            return ray.remote(_Board).options(**options).remote()
        except ValueError:  # the name is taken
            try:
                ray.kill(ray.get_actor(name, _NAMESPACE))
            except ValueError:  # it is free by now
                pass
            time.sleep(0.05)


def open_cluster() -> Cluster:
    """The cluster of the workers of Ray Train, in one of them. Raises ValueError elsewhere."""
    import ray.train

    try:
        context = ray.train.get_context()
        rank, size, name = context.get_world_rank(), context.get_world_size(), context.get_experiment_name()
    except RuntimeError as error:
        raise ValueError(
            "cluster='ray': this process is not a worker of Ray Train; elsewhere pass "
            "saver.clusters.ray.RayCluster(name, rank=..., size=...)"
        ) from error
    return _of(name, rank, size)


@cache
def _of(name: str, rank: int, size: int) -> Cluster:
    return RayCluster(name, rank=rank, size=size)
