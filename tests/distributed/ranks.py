"""Ranks that are threads of this process, each with its own objects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import saver
from saver.cluster import Cluster
from saver.clusters.memory import MemoryCluster
from saver.distributed.members import leave

SOON = 1.0
"""After how many seconds a rank of these tests is lost."""


def ranks(size: int, *, lost_after: float = SOON, arrive_within: float = 20.0) -> list[Cluster]:
    """Ranks that are threads."""
    found: list[Cluster] = [*MemoryCluster.all(size)]
    for each in found:
        each.lost_after, each.arrive_within = lost_after, arrive_within
    return found


def together(clusters: Sequence[Cluster], act: Callable[[Cluster], Any]) -> list[Any]:
    """What `act` returns, or the exception that it raises, in each rank."""
    results: list[Any] = [None] * len(clusters)

    def run(at: int, cluster: Cluster) -> None:
        try:
            results[at] = act(cluster)
        except BaseException as error:
            results[at] = error

    threads = [
        threading.Thread(target=run, args=(at, cluster), daemon=True) for at, cluster in enumerate(clusters)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a rank hangs"
    return results


def end(clusters: Sequence[Cluster]) -> None:
    """The ranks end, as processes do."""
    for cluster in clusters:
        leave(cluster)


def saved(folder: Path, objects: Sequence[Any], clusters: Sequence[Cluster] = (), **more: Any) -> list[Any]:
    """Save the object of each rank, each over a store of its own; see `together`."""
    found = clusters or ranks(len(objects))
    results = together(
        found,
        lambda cluster: saver.Saver(folder).save("m", objects[cluster.rank], cluster=cluster, **more),
    )
    if not clusters:
        end(found)
    return results
