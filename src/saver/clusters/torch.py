"""The ranks of `torch.distributed`, and the key-value store that they found each other by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saver.cluster import Cluster, Network


class TorchCluster(Cluster):
    """The ranks of the default process group of `torch.distributed`, whatever its backend.

    Notes are left in the store of the group (`torchrun` keeps it beside the ranks, `init_process_group` by
    itself in rank 0), over a connection of its own where that is possible. No collective is used. Bytes are
    passed on by gloo, over connections of their own, whatever the backend of the group.
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
        self._beside = _own(distributed.distributed_c10d._get_default_store(), lost_after)

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
        return GlooNetwork(_named(name), self._beside, self.rank, self.size, self.lost_after)


class GlooNetwork(Network):
    """A process group of gloo that only Saver uses: a rank that is lost, or an exchange that is given up,
    leaves the groups of the training as they are. Gloo connects every rank with every other one, by the
    network interface that `GLOO_SOCKET_IFNAME` names."""

    def __init__(self, name: str, store: Any, rank: int, size: int, lost_after: float) -> None:
        import torch
        from torch.distributed import PrefixStore, ProcessGroupGloo

        self._tensor = torch.from_numpy
        self._rank, self._size = rank, size
        timeout = timedelta(seconds=max(1.0, lost_after))
        try:
            self._group = ProcessGroupGloo(PrefixStore(name, store), rank, size, timeout)
        except RuntimeError as error:
            raise ConnectionError(
                f"{error}; let GLOO_SOCKET_IFNAME name the network interface that connects the ranks"
            ) from error

    def send(self, rank: int, data: NDArray[np.uint8], tag: int) -> Callable[[], object]:
        sent = self._group.send([self._tensor(data)], rank, tag)
        return lambda: sent.wait(_LONG)

    def receive(self, rank: int, memory: NDArray[np.uint8], tag: int) -> None:
        self._group.recv([self._tensor(memory)], rank, tag).wait(_LONG)

    def close(self) -> None:
        """Gloo closes the connections of a group, and ends all that waits for them, once something took too
        long in it, and only then: so this waits for a message that nobody sends, for no time."""
        nothing = self._tensor(np.empty(1, np.uint8))
        with suppress(RuntimeError):
            self._group.recv([nothing], (self._rank + 1) % self._size, _NEVER).wait(timedelta(milliseconds=1))


_LONG = timedelta(days=1)
_NEVER = 2**31 - 1
"""A tag that no message has."""


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
