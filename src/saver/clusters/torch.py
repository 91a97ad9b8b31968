"""The ranks of `torch.distributed`, and the key-value store that they found each other by."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

from saver.cluster import Cluster, Network
from saver.clusters.sockets import SocketNetwork


class TorchCluster(Cluster):
    """The ranks of the default process group of `torch.distributed`, whatever its backend.

    Notes are left in the store of the group (`torchrun` keeps it beside the ranks, `init_process_group` by
    itself in rank 0), over a connection of its own where that is possible. No collective is used.
    """

    def __init__(self, *, lost_after: float = 10.0, arrive_within: float = 600.0) -> None:
        import torch.distributed as distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            raise ValueError(
                "cluster='torch': torch.distributed has no process group; call "
                "torch.distributed.init_process_group first, or leave out `cluster` in a single process"
            )
        self.lost_after, self.arrive_within = lost_after, arrive_within
        super().__init__(distributed.get_rank(), distributed.get_world_size())
        self._store = _own(distributed.distributed_c10d._get_default_store(), lost_after)

    def put(self, key: str, data: bytes) -> None:
        self._store.set(_named(key), data)

    def get(self, key: str) -> bytes | None:
        name = _named(key)
        if not self._store.check([name]):
            return None
        found: bytes = self._store.get(name)
        return found

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._store.delete_key(_named(key))

    def network(self, name: str) -> Network:
        return SocketNetwork(self, name)


def _named(key: str) -> str:
    return f"saver/{key}"


def _own(store: Any, lost_after: float) -> Any:
    """The store over a connection of its own: a call waits until one of another thread, over the same
    connection, is answered."""
    if hasattr(store, "clone"):
        store = store.clone()
        store.set_timeout(timedelta(seconds=lost_after))
    return store


def open_cluster() -> Cluster:
    """The cluster of the default process group, the same one as long as that group lasts."""
    import torch.distributed as distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return TorchCluster()
    return _of(distributed.group.WORLD)


@cache
def _of(group: Any) -> Cluster:
    return TorchCluster()
