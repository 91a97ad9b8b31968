"""The history of a store: a summary of each model, and what each version changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from saver.repo.repository import Repository
from saver.repo.version import Version, Versions, from_state


class Summary(msgspec.Struct, frozen=True):
    """A summary of a model: the number of its versions, the newest one, and the version numbers of its
    tags."""

    model: str
    versions: int
    newest: Version
    tags: dict[str, int]


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
    value = repo.state.model(model)
    return Summary(model, value.count if value is not None else 0, newest, repo.state.tags(model))


def summaries(repo: Repository) -> Iterator[Summary]:
    """The summary of each model, sorted by name. Reads only the newest version of each."""
    tags: dict[str, dict[str, int]] = {}
    for model, tag, tagged in repo.state.all_tags():
        tags.setdefault(model, {})[tag] = tagged
    for model, value in repo.models():
        number = value.latest
        found = repo.state.version(model, number) if number is not None else None
        if number is not None and found is not None:  # it may just have been deleted by another thread
            own = tags.get(model, {})
            names = tuple(tag for tag, tagged in own.items() if tagged == number)
            yield Summary(model, value.count, from_state(model, number, found, names), own)


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
