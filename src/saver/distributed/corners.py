"""Parts of the board of a cluster, each with notes of its own: for one run, and for one sealed store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.cluster import Cluster, Network
from saver.repo.repository import Repository
from saver.seal import Seal
from saver.seals.aead import Aead


def secret_of(repo: Repository, *, creates: bool = False) -> bytes | None:
    """What seals the notes of ranks that use a store; None if it is not sealed. With `creates`, a sealed one
    that is not there yet is made first, since ranks can say nothing of it before.

    Raises NotFoundError, and KeyNeededError or WrongKeyError in a rank that cannot open the store.
    """
    if repo.storage.seals and not repo.exists():
        if creates:
            repo.create()
        repo.format()
    mask = repo.storage.mask if repo.exists() else None
    return None if mask is None else mask.notes


class Corner(Cluster):
    """A part of the board of a cluster, for one run: what its ranks do together is apart from what they do
    otherwise, also at the same time."""

    def __init__(self, cluster: Cluster, model: str) -> None:
        super().__init__(cluster.rank, cluster.size)
        self.lost_after, self.arrive_within = cluster.lost_after, cluster.arrive_within
        self.network = cluster.network
        self._cluster = cluster
        self._name = f"run-{blake3(model.encode()).hexdigest(8)}"

    def put(self, key: str, data: bytes) -> None:
        self._cluster.put(f"{self._name}/{key}", data)

    def get(self, key: str) -> bytes | None:
        return self._cluster.get(f"{self._name}/{key}")

    def delete(self, *keys: str) -> None:
        self._cluster.delete(*(f"{self._name}/{key}" for key in keys))


class SealedCorner(Cluster):
    """The same for a sealed store: notes, their keys, and what is passed on are sealed with `secret`, 32
    bytes that its holders have and nobody else. So whatever connects the ranks sees how many notes there are,
    and of which sizes."""

    def __init__(self, cluster: Cluster, secret: bytes) -> None:
        super().__init__(cluster.rank, cluster.size)
        self.lost_after, self.arrive_within = cluster.lost_after, cluster.arrive_within
        self.network = None if cluster.network is None else self._sealed_network
        self._cluster = cluster
        self._key = blake3(secret, derive_key_context="saver 1 2026-11 keys of notes of ranks").digest()
        notes = blake3(secret, derive_key_context="saver 1 2026-11 notes of ranks").digest()
        self._seal: Seal = Aead(lambda: [notes])

    def __str__(self) -> str:
        return f"the notes of the ranks of {type(self._cluster).__name__}"

    def put(self, key: str, data: bytes) -> None:
        self._cluster.put(self._name(key), self._seal.document(key, data))

    def get(self, key: str) -> bytes | None:
        found = self._cluster.get(self._name(key))
        return None if found is None else self._seal.opened(key, found, f"{self}: {key}")

    def delete(self, *keys: str) -> None:
        self._cluster.delete(*map(self._name, keys))

    def _name(self, key: str) -> str:
        return f"sealed/{blake3(key.encode(), key=self._key).hexdigest(16)}"

    def _sealed_network(self, name: str) -> Network:
        assert self._cluster.network is not None
        return SealedNetwork(self._cluster.network(name), self._seal, name, self.rank)


class SealedNetwork(Network):
    """A network of ranks that seal what they pass on. A message is bound to its sender and its tag, and to
    the `name` of the network."""

    def __init__(self, network: Network, seal: Seal, name: str, rank: int) -> None:
        self._network, self._seal, self._name, self._rank = network, seal, name, rank
        self._more = len(seal.document("", b""))

    def send(self, rank: int, data: NDArray[np.uint8], tag: int) -> Callable[[], object]:
        sealed = self._seal.document(self._bound(self._rank, tag), data.tobytes())
        return self._network.send(rank, np.frombuffer(bytearray(sealed), np.uint8), tag)

    def receive(self, rank: int, memory: NDArray[np.uint8], tag: int) -> None:
        room = np.empty(memory.size + self._more, np.uint8)
        self._network.receive(rank, room, tag)
        where = f"what rank {rank} passed on"
        memory[:] = np.frombuffer(self._seal.opened(self._bound(rank, tag), room.tobytes(), where), np.uint8)

    def close(self) -> None:
        self._network.close()

    def _bound(self, sender: int, tag: int) -> str:
        return f"{self._name}/{sender}/{tag}"
