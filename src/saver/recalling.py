"""A repository whose packs a training run also keeps in memory: see `saver.distributed.peers`."""

from __future__ import annotations

import os
from copy import copy
from typing import Any

from saver.caching.host_memory import memory_of
from saver.caching.recalling import RecallingStorage
from saver.errors import kind_of
from saver.policy.arguments import size_of
from saver.repo.repository import Repository
from saver.sealing import beneath
from saver.storages.local import LocalStorage


def recalling(repo: Repository, model: str, peer_memory: Any, cluster: Any) -> Repository:
    """The same repository for a run of `model`, by the ranks of `cluster`, that keeps its packs in memory,
    too, as they are stored: `peer_memory` bytes at most on each host; None: it keeps none.

    Raises ValueError if it is not a size, or if there are no ranks that can pass packs on.
    """
    if peer_memory is None:
        return repo
    limit = size_of("checkpoints", "peer_memory", peer_memory)
    if cluster is None:
        raise ValueError("peer_memory: only the ranks of a cluster have peers; pass cluster=")
    if cluster.network is None:
        raise ValueError(
            f"peer_memory: the ranks of {kind_of(cluster)} can pass on nothing but notes; leave it out, or "
            "pass a cluster that has a network"
        )
    place = beneath(repo.storage)
    where = os.path.realpath(str(place)) if isinstance(place, LocalStorage) else str(place)
    found = copy(repo)
    found.recalling = RecallingStorage(place, memory_of(where, model, limit))
    found.storage = repo.storage.copy_in(found.recalling)
    return found
