"""Changes of what is there: tags, labels, notes, deletions. Each is one record, decided with all before it in
view (docs/protocol.md)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

from saver.errors import NotFoundError, TaggedError
from saver.repo import history
from saver.repo.events import Delete, Event, Label, Note, Tag
from saver.repo.finding import NAMED, some
from saver.repo.history import Summary
from saver.repo.labels import labelled
from saver.repo.naming import model_of, ref_of
from saver.repo.refs import BadNameError, parse_range
from saver.repo.repository import Repository
from saver.repo.version import Version, Versions


def by(repo: Repository, author: str) -> Repository:
    """The same repository, whose records are by another author."""
    found = copy.copy(repo)
    found._author = author
    return found


def find(repo: Repository, ref: str | Version, name: str = "ref") -> Version:
    """Bring the state up to date; return the version that a ref names. For a Version, raises NotFoundError
    if this store has another version under its name."""
    return _same(repo, ref, repo.find(str(ref), ref_of(name, ref)))


def found(repo: Repository, ref: str | Version) -> Version:
    """The same, in the state that was read last."""
    return _same(repo, ref, repo.named(str(ref), ref_of("ref", ref)))


def _same(repo: Repository, ref: str | Version, version: Version) -> Version:
    if isinstance(ref, Version) and version.manifest != ref.manifest:
        raise NotFoundError(
            f"{repo.storage}: {version} is another version here: the one that was passed is from another "
            f"store; pass {str(version)!r} to use the one of this store"
        )
    return version


def tag(repo: Repository, ref: str | Version, name: str, demand: Callable[[Version], None]) -> None:
    """Let a tag name this version, unless `demand` raises an error for it."""

    def decide() -> Event | None:
        version = found(repo, ref)
        if name in version.tags:
            return None
        demand(version)
        return Tag(version.model, name, version.number, repo.state.tag(version.model, name))

    _expect(repo, ref)
    repo.append(decide)


def untag(repo: Repository, model: str, name: str) -> None:
    """Remove a tag."""

    def decide() -> Event | None:
        return Tag(model, name, None, repo.version(f"{model}@{name}").number)

    repo.state.expect(model)
    repo.append(decide)


def label(repo: Repository, ref: str | Version, changes: Mapping[str, str | None]) -> None:
    """Set labels, and remove those that are None. Saying what is said already writes nothing."""

    def decide() -> Event | None:
        model, number, about = _subject(repo, ref)
        changed = {key: value for key, value in changes.items() if value != about.labels.get(key)}
        labelled(about.labels, changed)
        return Label(model, number, changed) if changed else None

    _expect(repo, ref)
    repo.append(decide)


def note(repo: Repository, ref: str | Version, notes: str) -> None:
    """Replace notes."""

    def decide() -> Event | None:
        model, number, about = _subject(repo, ref)
        return Note(model, number, notes) if notes != about.notes else None

    _expect(repo, ref)
    repo.append(decide)


def _expect(repo: Repository, ref: str | Version) -> None:
    """Have what is needed about this version read ahead."""
    wanted = ref_of("ref", ref)
    repo.state.expect(wanted.model, wanted.number)


def _subject(repo: Repository, ref: str | Version) -> tuple[str, int | None, Version | Summary]:
    """What labels and notes are about: a version; or, for a name alone, the model, which has no number."""
    if isinstance(ref, str) and "@" not in ref:
        return model_of(ref), None, history.summary(repo, ref)
    version = found(repo, ref)
    return version.model, version.number, version


def delete(repo: Repository, refs: Iterable[str | Version], *, tags: bool, dry_run: bool = False) -> Versions:
    """Delete versions; those of one model in one record. Returns them as they were. Raises TaggedError, and
    deletes nothing, if one has a tag and `tags` does not say that tags may go too."""
    if not dry_run:
        repo.state.expect_checkpoint()
    repo.open()
    named = {str(version): version for ref in refs for version in _versions(repo, ref)}
    versions = sorted(named.values(), key=lambda version: (version.model, version.number))
    if not tags:
        _demand_untagged(repo, versions)
    if dry_run:
        return Versions(versions)
    deleted = Versions()
    for model, doomed in groupby(versions, lambda version: version.model):
        deleted += _deleted(repo, model, [version.number for version in doomed], tags)
    return deleted


def _demand_untagged(repo: Repository, versions: Iterable[Version]) -> None:
    tagged = [version for version in versions if version.tags]
    if tagged:
        names = [f"{version} ({', '.join(version.tags)})" for version in tagged[:NAMED]]
        have = "this version has" if len(tagged) == 1 else "these versions have"
        raise TaggedError(
            f"{repo.storage}: {some(names, len(tagged))}: {have} tags, so nothing was deleted; remove the "
            "tags (`untag`, or `saver tag --delete MODEL@TAG`), or delete them along (tags=True, or --tags)"
        )


def deletion(repo: Repository, model: str, numbers: Iterable[int]) -> Delete:
    """The record that deletes these versions: it names the tags that go with them."""
    gone = set(numbers)
    tags = {tag: number for tag, number in sorted(repo.state.tags(model).items()) if number in gone}
    return Delete(model, tuple(sorted(gone)), tags)


def _versions(repo: Repository, ref: str | Version) -> list[Version]:
    """The versions that a ref or a range names."""
    several = parse_range(ref) if isinstance(ref, str) else None
    if several is None:
        version = found(repo, ref)
        if isinstance(ref, str) and "@" not in ref:
            raise BadNameError(
                f"{ref} is a model; nothing was deleted; name versions of it, such as its newest, {version}"
            )
        return [version]
    repo.version(several.model)
    versions = [each for each in repo.versions(several.model) if several.first <= each.number <= several.last]
    if not versions:
        raise NotFoundError(f"{repo.storage}: there is no version in {ref}")
    return versions


def _deleted(repo: Repository, model: str, numbers: list[int], tags: bool) -> list[Version]:
    """Delete these versions of a model, but for those that somebody else has deleted meanwhile. Raises
    NotFoundError if nothing is left to delete."""
    deleted: list[Version] = []

    def decide() -> Event | None:
        live = [number for number in numbers if repo.state.version(model, number) is not None] or numbers
        deleted[:] = [repo.version(f"{model}@{number}") for number in live]
        if not tags:  # one may have been tagged meanwhile
            _demand_untagged(repo, deleted)
        return deletion(repo, model, live)

    repo.append(decide)
    return deleted
