"""The history of a store: a summary of each model, and what each version changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from saver.repo.repository import Repository
from saver.repo.state.facts import ModelState
from saver.repo.version import Version, Versions, from_state


class Summary(msgspec.Struct, frozen=True):
    """A summary of a model: the number of its versions, the newest one, and the version numbers of its
    tags; how many bytes the store grew when those versions were saved; its own labels and notes."""

    model: str
    versions: int
    newest: Version
    tags: dict[str, int]
    bytes_added: int
    labels: dict[str, str]
    notes: str


class Change(msgspec.Struct, frozen=True):
    """A version in a model's history, with the parts that were changed, added or removed since the previous
    one."""

    version: Version
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def summary(repo: Repository, model: str) -> Summary:
    """The summary of a model. Raises NotFoundError if it has no versions."""
    newest = repo.version(model)
    return _summary(model, repo.state.model(model) or ModelState(), newest, repo.state.tags(model))


def _summary(model: str, state: ModelState, newest: Version, tags: dict[str, int]) -> Summary:
    return Summary(model, state.count, newest, tags, state.bytes_added, state.labels, state.notes)


def summaries(repo: Repository, group: str = "") -> Iterator[Summary]:
    """The summary of each model of a group, sorted by name. Reads only the newest version of each."""
    tags: dict[str, dict[str, int]] = {}
    for model, tag, tagged in repo.state.all_tags(group):
        tags.setdefault(model, {})[tag] = tagged
    for model, value in repo.models(group):
        number = value.latest
        found = repo.state.version(model, number) if number is not None else None
        if number is not None and found is not None:  # it may just have been deleted by another thread
            own = tags.get(model, {})
            names = tuple(tag for tag, tagged in own.items() if tagged == number)
            yield _summary(model, value, from_state(model, number, found, names), own)


def newest(repo: Repository, model: str, last: int | None = None) -> Versions:
    """The versions of a model, sorted by number: all, or the `last` newest. Reads no others."""
    return Versions(reversed(list(islice(repo.versions(model, reverse=True), last))))


def changes(versions: Iterable[Version]) -> Iterator[Change]:
    """What each version changed, given versions of a model sorted by number. The first one added all of its
    parts."""
    before: dict[str, str] = {}
    for version in versions:
        now = {name: part.hash for name, part in version.parts.items()}
        yield Change(
            version,
            tuple(name for name in now if name in before and before[name] != now[name]),
            tuple(name for name in now if name not in before),
            tuple(name for name in before if name not in now),
        )
        before = now
