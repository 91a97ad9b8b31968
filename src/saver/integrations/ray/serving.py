"""A Ray Serve application that answers with versions of a store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from ray import serve

from saver import Saver, arguments
from saver.integrations.ray.doors import Entrance
from saver.integrations.ray.replicas import Replica
from saver.serve.settings import Settings, limits_of, names_of

__all__ = ["application"]

AT_ONCE = 64
"""Requests that one replica is given at the same time: it predicts those in batches that wait together."""
HEAD = {"node:__internal_head__": 0.001}
"""What only the head node has: doors live and die with the proxy that is there."""


def application(
    store: str | os.PathLike[str] | Saver, *refs: str, replicas: int | tuple[int, int] = 1, doors: int = 1,
    workers: int = 1, tokens: str | os.PathLike[str] | None = None, public: Iterable[str] = (),
    terse: bool = False, trust: Iterable[str] = (), signed_by: Iterable[str] = (),
    accept_differences: bool = False, poll: float = 2.0, limits: Mapping[str, float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> serve.Application:  # fmt: skip
    """An application for `serve.run`, which answers for `refs` as `saver serve` does: docs/serving.md.

        serve.start(proxy_location="HeadOnly")
        serve.run(application("s3://bucket/models", "iris@production", replicas=(1, 8)))

    Every node must reach the store under this address, and have Saver and what the models need. `replicas`
    is their number, or the fewest and the most between which Ray Serve scales them; each has `workers`
    processes, and as many CPUs. When a ref moves, each replica loads and checks the version, and lets it take
    over between two requests; it looks every `poll` seconds. A version that is refused takes over nowhere,
    and a replica that starts meanwhile begins with the one before it. A request whose replica or node dies is
    answered by another one. `options` are passed to Ray for the replicas, such as `ray_actor_options`.

    Raises BadSettingsError if the settings cannot be.
    """
    settings = Settings(
        store=str(store.storage) if isinstance(store, Saver) else os.fspath(store),
        names=names_of(refs),
        workers=arguments.whole_number("workers", workers, 1, 1024),
        tokens=None if tokens is None else os.fspath(tokens), public=tuple(public), terse=terse,
        trust=tuple(trust), signed_by=tuple(signed_by), accept=accept_differences,
        poll=arguments.seconds("poll", poll),
        limits=limits_of(f"{name}={value}" for name, value in (limits or {}).items()),
    )  # fmt: skip
    scaled = _scaled(replicas) | {
        "max_ongoing_requests": AT_ONCE, "ray_actor_options": {"num_cpus": workers},
    }  # fmt: skip
    behind = serve.deployment(Replica, name="replicas").options(**(scaled | dict(options or {})))
    entrance = serve.deployment(Entrance, name="doors").options(
        num_replicas=arguments.whole_number("doors", doors, 1, 1024),
        max_ongoing_requests=2
        * settings.limits.requests,  # so that a door itself says that there are too many
        ray_actor_options={"num_cpus": 0, "resources": HEAD},
    )
    return entrance.bind(settings, behind.bind(settings, time.time()))


def _scaled(replicas: int | tuple[int, int]) -> dict[str, Any]:
    if not isinstance(replicas, tuple):
        return {"num_replicas": arguments.whole_number("replicas", replicas, 1, 100_000)}
    if len(replicas) != 2:
        raise ValueError(
            f"replicas: {replicas!r} is neither a number nor the fewest and the most; pass (1, 8)"
        )
    fewest = arguments.whole_number("replicas", replicas[0], 1, 100_000)
    most = arguments.whole_number("replicas", replicas[1], fewest, 100_000)
    scaling = {"min_replicas": fewest, "max_replicas": most, "target_ongoing_requests": AT_ONCE // 4}
    return {"autoscaling_config": scaling}
