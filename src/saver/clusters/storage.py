"""Ranks that leave their notes in a storage: for those that nothing else connects."""

from __future__ import annotations

import os
import threading

from saver import arguments
from saver.addresses import storage_at
from saver.cluster import Cluster, Network
from saver.clusters.sockets import SocketNetwork
from saver.errors import NotFoundError
from saver.storage import Storage


class StorageCluster(Cluster):
    """Ranks that find each other by a storage which all of them reach: a folder, or a bucket.

        cluster = StorageCluster("s3://bucket/notes/run-7", rank=rank, size=size)

    Use it where `torch.distributed` does not connect them: processes of MPI, Slurm, Ray or JAX. It is a place
    of its own, not the store that they save to. A note is an object of a few bytes, and a rank writes five of
    them in each `lost_after`, which is longer here, as buckets charge for each.

    While ranks save, their notes have the names of models and tensors; those of a sealed store are sealed.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | Storage,
        *,
        rank: int,
        size: int,
        lost_after: float = 30.0,
        arrive_within: float = 600.0,
    ) -> None:
        size = arguments.whole_number("size", size, 1, 1_000_000)
        super().__init__(arguments.whole_number("rank", rank, 0, size - 1), size)
        self.lost_after = arguments.seconds("lost_after", lost_after)
        self.arrive_within = arguments.seconds("arrive_within", arrive_within)
        self._storage = storage_at("place", place)
        self._last: dict[str, int] = {}
        self._lock = threading.Lock()

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            found = [*self._storage.keys(f"{key}/")] if key not in self._last else [_at(key, self._last[key])]
            number = max(map(_number, found), default=0) + 1
            while not self._storage.create(_at(key, number), data):
                number += 1
            self._last[key] = number
            self._storage.delete(*found)

    def get(self, key: str) -> bytes | None:
        while True:
            found = [*self._storage.keys(f"{key}/")]
            if not found:
                return None
            try:
                return self._storage.read(found[-1])
            except NotFoundError:  # a newer one took its place meanwhile
                continue

    def delete(self, *keys: str) -> None:
        self._storage.delete(*(each for key in keys for each in self._storage.keys(f"{key}/")))

    def network(self, name: str) -> Network:
        return SocketNetwork(self, name)


def _at(key: str, number: int) -> str:
    return f"{key}/{number:012}"


def _number(key: str) -> int:
    return int(key.rpartition("/")[2])
