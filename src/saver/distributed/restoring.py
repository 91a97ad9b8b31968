"""A restore by all ranks: all of them restore one version, or none of them changes anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial
from typing import Any

import msgspec

from saver.cluster import Cluster
from saver.distributed.broadcast import Broadcast, demand_network, told
from saver.distributed.corners import secret_of
from saver.distributed.members import members_of
from saver.distributed.naming import own_parts
from saver.distributed.session import Session
from saver.errors import NotFoundError
from saver.opened import open_version
from saver.repo.changing import find
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.restoring import Report


class _Found(msgspec.Struct, frozen=True):
    """The version that rank 0 found: its ref, and the document that describes it."""

    ref: str
    manifest: str


def restore_together(
    repo: Repository,
    cluster: Cluster,
    ref: str | Version,
    into: Any,
    per_rank: Iterable[str],
    restore: Callable[..., Report],
    how: str | None = None,
) -> Report:
    """Restore the version that `ref` names in rank 0. `restore` is called with the opened version, the
    targets, `bring`, which brings here what several ranks need, and `agree`, which waits until all ranks
    have read and verified what they need. `how` is as in `Broadcast`.

    If a rank is lost, or cannot restore, all raise its error, and nothing is changed anywhere; only the
    objects' own code can fail after that.
    """
    demand_network(cluster, how)
    members = members_of(cluster, secret_of(repo))
    into = own_parts(into, per_rank, members.rank)
    with (
        Session(members, f"restore {ref}{told(how)}") as session,
        closing(Broadcast(session, how)) as broadcast,
    ):
        session.doing("looking for the version")
        version = same_version(repo, session, ref)

        def agree() -> None:
            session.gather("read", True, bool)
            if session.leads:
                session.decide()
            session.agree("restore", True, bool)

        session.doing(f"reading {version}")
        opened = open_version(repo, version)
        broadcast.begin(opened.tensors)
        return restore(opened, into, bring=partial(broadcast.bring, opened.tensors), agree=agree)


def same_version(repo: Repository, session: Session, ref: str | Version, key: str = "version") -> Version:
    """The version that rank 0 finds; `key` names the note of it. Raises NotFoundError."""
    if session.leads:
        version = find(repo, ref)
        session.agree(key, _Found(str(version), version.manifest), _Found)
        return version
    found = session.agree(key, _Found("", ""), _Found)
    version = find(repo, found.ref)
    if version.manifest != found.manifest:
        raise NotFoundError(
            f"{repo.storage}: {version} is another version here than in rank 0; pass the same store in every "
            "rank"
        )
    return version
