"""Deletes the versions of a model that a policy does not keep."""

from __future__ import annotations

from saver import policy
from saver.errors import DamagedError, NotFoundError, kind_of
from saver.opened import open_version
from saver.policy import Checkpoint, Retention
from saver.repo.changing import deletion
from saver.repo.events import Delete
from saver.repo.repository import Repository
from saver.repo.version import Version, Versions
from saver.storage import Progress


def prune(
    repo: Repository, model: str, keep: Retention, dry_run: bool = False, progress: Progress | None = None
) -> Versions:
    """Delete what `keep` does not keep, in one record. Returns the deleted versions, as they were."""
    if not isinstance(keep, Retention):
        raise TypeError(f"keep: {kind_of(keep)} given; pass a policy such as Keep(last=5)")
    repo.open()
    repo.version(model)
    _demand_metrics(repo, model, keep)
    verified = _newest_sound(repo, model, progress)
    doomed = Versions()

    def decide() -> Delete | None:
        versions = {version.number: version for version in repo.versions(model)}
        numbers = policy.doomed([checkpoint_of(each) for each in versions.values()], keep, verified)
        doomed[:] = [versions[number] for number in numbers]
        return deletion(repo, model, numbers) if numbers and not dry_run else None

    if dry_run:
        decide()
    else:
        repo.append(decide)
    return doomed


def _demand_metrics(repo: Repository, model: str, keep: Retention) -> None:
    """Raise NotFoundError if a policy asks for a metric that no version has: it would keep nothing."""
    there = {name for version in repo.versions(model) for name in version.metrics}
    missing = sorted(keep.metrics - there)
    if missing:
        names = ", ".join(sorted(there)[:10]) or "none"
        raise NotFoundError(
            f"{repo.storage}: no version of {model} has the metric {missing[0]!r}, so nothing was deleted; "
            f"its metrics: {names}"
        )


def _newest_sound(repo: Repository, model: str, progress: Progress | None) -> int:
    """The number of the newest version of which every byte is as it was saved. Raises DamagedError if there
    is none."""
    damage: DamagedError | None = None
    for version in repo.versions(model, reverse=True):
        try:
            open_version(repo, version).tensors.verify(progress=progress)
        except DamagedError as error:
            damage = damage or error
        except NotFoundError:  # deleted meanwhile
            continue
        else:
            return version.number
    raise DamagedError(
        f"{repo.storage}: no version of {model} is sound, so nothing was deleted; of the newest: {damage}"
    )


def checkpoint_of(version: Version) -> Checkpoint:
    """What policies see of a version."""
    return Checkpoint(
        number=version.number, step=version.step, time=version.time, metrics=version.metrics,
        tags=version.tags, bytes=version.bytes, bytes_added=version.bytes_added,
    )  # fmt: skip
