"""The clusters that Saver knows, each named after what connects the ranks."""

from __future__ import annotations

from typing import Any

from saver import registry
from saver.cluster import Cluster
from saver.errors import kind_of


def cluster_of(given: Any) -> Cluster:
    """The cluster that the argument `cluster` is, or that it names. Raises ValueError or TypeError."""
    if isinstance(given, Cluster):
        return given
    modules = {name: registry.find("clusters", name) for name in registry.names("clusters")}
    known = {name: module.open_cluster for name, module in modules.items() if hasattr(module, "open_cluster")}
    listed = f"{', '.join(map(repr, known))}, or a saver.cluster.Cluster"
    if not isinstance(given, str):
        raise TypeError(f"cluster: {kind_of(given)} is not a cluster; pass {listed}")
    if given not in known:
        raise ValueError(f"cluster: {given[:80]!r} is not known; pass {listed}")
    found: Cluster = known[given]()
    return found
