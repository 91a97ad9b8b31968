"""What a store tells of its models: of each a line, and of each version what it changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from saver.repo.repository import Repository
from saver.repo.version import Version, from_state


class Summary(msgspec.Struct, frozen=True):
    """A line about a model: how many versions it has, the newest, and the numbers that its tags lead to."""

    model: str
    versions: int
    newest: Version
    tags: dict[str, int]


class Change(msgspec.Struct, frozen=True):
    """A line of a model's history: a version, and the parts that moved, came or went since the one before."""

    version: Version
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def summary(repo: Repository, model: str) -> Summary:
    """The line about a model. Raises NotFoundError for one without versions."""
    newest = repo.version(model)
    value = repo.state.model(model)
    return Summary(model, value.count if value is not None else 0, newest, repo.state.tags(model))


def summaries(repo: Repository) -> Iterator[Summary]:
    """A line for each model, by name. Reads no version but the newest of each."""
    tags: dict[str, dict[str, int]] = {}
    for model, tag, tagged in repo.state.all_tags():
        tags.setdefault(model, {})[tag] = tagged
    for model, value in repo.models():
        number = value.latest
        found = repo.state.version(model, number) if number is not None else None
        if number is not None and found is not None:  # not deleted by another thread right now
            own = tags.get(model, {})
            names = tuple(tag for tag, tagged in own.items() if tagged == number)
            yield Summary(model, value.count, from_state(model, number, found, names), own)


def newest(repo: Repository, model: str, last: int | None = None) -> list[Version]:
    """The versions of a model by number: all, or as many of the newest. Reads no others."""
    return list(islice(repo.versions(model, reverse=True), last))[::-1]


def changes(versions: Iterable[Version]) -> Iterator[Change]:
    """What each version changed, of the versions of a model by number. Before the first there was nothing."""
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
