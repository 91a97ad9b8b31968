"""The processes of `jax.distributed`, and the key-value store of their coordinator."""

from __future__ import annotations

from functools import cache
from typing import Any

from saver import arguments
from saver.cluster import Cluster, Network
from saver.clusters.sockets import SocketNetwork


class JaxCluster(Cluster):
    """The processes that `jax.distributed.initialize` connected; each is a rank.

    Notes are left in the key-value store of JAX' coordinator, process 0. No computation over processes is
    used. JAX itself ends all processes once it has missed one of them for some time.
    """

    def __init__(self, *, lost_after: float = 10.0, arrive_within: float = 600.0) -> None:
        self._client = _client()
        if self._client is None:
            raise ValueError(
                "cluster='jax': the processes of JAX are not connected; call jax.distributed.initialize "
                "first, or leave out `cluster` in a single process"
            )
        import jax

        super().__init__(jax.process_index(), jax.process_count())
        self.lost_after = arguments.seconds("lost_after", lost_after)
        self.arrive_within = arguments.seconds("arrive_within", arrive_within)

    def put(self, key: str, data: bytes) -> None:
        self._client.key_value_set_bytes(_named(key), data, allow_overwrite=True)

    def get(self, key: str) -> bytes | None:
        import jax

        try:
            found: bytes = self._client.key_value_try_get_bytes(_named(key))
        except jax.errors.JaxRuntimeError as error:
            if str(error).startswith("NOT_FOUND"):
                return None
            raise
        return found

    def delete(self, *keys: str) -> None:
        for key in keys:
            self._client.key_value_delete(_named(key))

    def network(self, name: str) -> Network:
        return SocketNetwork(self, name)


def _named(key: str) -> str:
    """Without slashes: JAX deletes with a key all those in a folder of that name."""
    return f"saver/{key.replace('/', '.')}"


def _client() -> Any:
    """JAX' client, which only a private module has; None if there is none."""
    from jax._src import distributed

    return distributed.global_state.client


def open_cluster() -> Cluster:
    """The cluster of the connected processes, the same one as long as they are connected."""
    client = _client()
    return JaxCluster() if client is None else _of(client)


@cache
def _of(client: Any) -> Cluster:
    return JaxCluster()
