"""Pushes versions of a model, with those before them, from one store to another."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec
from blake3 import blake3

from saver.caching import cache_folder
from saver.encoding import draft_opened
from saver.errors import CannotWriteError
from saver.human import counted, size
from saver.logger import logger
from saver.opened import open_version
from saver.pack.ranges import further
from saver.page import Facts, Page, Shown
from saver.repo import changing, signing
from saver.repo.repository import Repository
from saver.repo.resumable import save_resumably
from saver.repo.version import Version, listing, plain_metric
from saver.storage import Progress

NAMED = 5
"""So many versions are named in a message."""

LATE = "their numbers have passed there; --as NAME pushes all under another name"


class Pushed(Shown, msgspec.Struct, frozen=True):
    """What a push did. `versions` are new in the other store, under the name `model`; it grew by `bytes`.
    `present` ones were there already; `tags` were set on those, each with the number of its version. Those
    whose numbers are `left_out` cannot get there any more, because there are later ones: they were deleted
    there, or left out by an earlier push.
    """

    model: str
    versions: tuple[Version, ...]
    present: int
    tags: dict[str, int]
    left_out: tuple[int, ...]
    bytes: int

    def _line(self) -> str:
        return f"{self.model}: {counted(len(self.versions), 'version')} transferred, {size(self.bytes)}"

    def _page(self) -> Page:
        facts = {
            "transferred": f"{counted(len(self.versions), 'version')}, {size(self.bytes)}",
            "there already": counted(self.present, "version") if self.present else "",
            "tags": ", ".join(f"{tag} → @{number}" for tag, number in self.tags.items()),
            "left out": _named(self.model, self.left_out) and f"{_named(self.model, self.left_out)}: {LATE}",
        }
        return [Facts(self.model, facts), *([listing(self.versions)] if self.versions else ())]


def push(
    source: Repository,
    ref: str | Version,
    target: Repository,
    model: str | None = None,
    *,
    history: bool = True,
    tags: bool = True,
    progress: Progress | None = None,
) -> Pushed:
    """Push the version that `ref` names, with `history` also those before it, to another store, under the
    same name or as `model`. Numbers, metrics, labels and notes are kept, and `tags` if they are wanted.

    Each version is verified while it is read, and exists there only once all of it is durable. Raises
    CannotWriteError, and changes nothing, if the other store has other versions under that name.
    """
    wanted = changing.find(source, ref)
    name = wanted.model if model is None else model
    ours = {version.number: version for version in source.versions(wanted.model)}
    theirs, last = there(target, name)
    demand_prefix(source, ours, target, theirs)
    chosen = [each for each in ours.values() if each.number <= wanted.number] if history else [wanted]
    new = [version for version in chosen if version.number > last]
    saved = _save_all(source, target, name, new, tags, progress)
    present = [version for version in chosen if version.number in theirs]
    if name == wanted.model:
        for version in present:
            signing.add_signatures(target, theirs[version.number], version.signatures)
    late = [each.number for each in chosen if each.number <= last and each.number not in theirs]
    logger.info("%s: %d versions of %s pushed to %s", source.storage, len(saved), name, target.storage)
    return Pushed(
        name, tuple(saved), len(present), _set_tags(target, theirs, present) if tags else {}, tuple(late),
        sum(each.bytes_added for each in saved),
    )  # fmt: skip


def there(target: Repository, name: str) -> tuple[dict[int, Version], int]:
    """The versions of a model in the other store, and the last number that was given there."""
    if not target.exists():
        return {}, 0
    target.state.expect(name)
    target.open()
    model = target.state.model(name)
    return {version.number: version for version in target.versions(name)}, model.last if model else 0


def demand_prefix(
    source: Repository, ours: Mapping[int, Version], target: Repository, theirs: Mapping[int, Version]
) -> None:
    """Raise CannotWriteError unless versions of the same number are the same."""
    for number in sorted(ours.keys() & theirs.keys()):
        if not _same(source, ours[number], target, theirs[number]):
            raise CannotWriteError(
                f"{target.storage}: {theirs[number]} is not {ours[number]} of {source.storage}, so the "
                f"numbers of {theirs[number].model} cannot be the same in both; nothing was changed; push it "
                "under another name: model=..., or --as NAME"
            )


def _same(source: Repository, ours: Version, target: Repository, theirs: Version) -> bool:
    """Whether two versions have the same content. The hashes of parts tell; but of very many shards, they
    tell apart who saved them, too (docs/format/, the grid form), so then it is when they were saved."""
    if ours.step != theirs.step or _plain(ours.metrics) != _plain(theirs.metrics):
        return False
    if {name: part.hash for name, part in ours.parts.items()} == {
        name: part.hash for name, part in theirs.parts.items()
    }:
        return True
    mine, other = source.outline(ours).manifest, target.outline(theirs).manifest
    in_grids = mine.grid is not None or other.grid is not None
    return in_grids and (mine.time, mine.author) == (other.time, other.author)


def _plain(metrics: Mapping[str, float]) -> dict[str, float | str]:
    return {name: plain_metric(value) for name, value in metrics.items()}


def _save_all(
    source: Repository, target: Repository, name: str, new: list[Version], tags: bool,
    progress: Progress | None,
) -> list[Version]:  # fmt: skip
    """Save these versions in the other store, in order."""
    saved, done, total = list[Version](), 0, sum(version.bytes for version in new)
    for version in new:
        report = None if progress is None else further(progress, done, total)
        saved.append(_save(source, version, target, name, tags, report))
        done += version.bytes
    if progress is not None:
        progress(total, total)
    return saved


def _save(
    source: Repository, version: Version, target: Repository, name: str, tags: bool,
    progress: Progress | None,
) -> Version:  # fmt: skip
    opened = open_version(source, version)
    draft = draft_opened(
        name, opened, version.author, later=True, number=version.number, step=version.step,
        part_numbers={part: its.number for part, its in version.parts.items()}, metrics=version.metrics,
        tags=version.tags if tags else (), labels=version.labels, notes=version.notes,
    )  # fmt: skip
    identity = "\n".join((source.format().id, str(target.storage), name, version.manifest))
    notes = os.path.join(cache_folder(), "transfers", f"{blake3(identity.encode()).hexdigest()[:32]}.json")
    return save_resumably(target, draft, notes, progress)


def _set_tags(target: Repository, theirs: Mapping[int, Version], present: list[Version]) -> dict[str, int]:
    """Set the tags of versions that were there already."""
    found = {}
    for version in present:
        for tag in version.tags:
            if tag not in theirs[version.number].tags:
                signing.tag(target, str(theirs[version.number]), tag)
                found[tag] = version.number
    return found


def _named(model: str, numbers: tuple[int, ...]) -> str:
    more = len(numbers) - NAMED
    return ", ".join(f"{model}@{number}" for number in numbers[:NAMED]) + (
        f" and {more:,} more" if more > 0 else ""
    )
