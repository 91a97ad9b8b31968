"""The history of a store: a summary of each model, and what each version changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import msgspec

from saver.human import counted, pairs, size
from saver.page import Facts, Listed, Page, Row, Shown, Table
from saver.repo.repository import Repository
from saver.repo.state.facts import ModelState
from saver.repo.version import Version, Versions, from_state, listing
from saver.times import age, local, moment


class Summary(Shown, msgspec.Struct, frozen=True):
    """A summary of a model: the number of its versions, the newest one, and the version numbers of its
    tags; how many bytes the store grew when those versions were saved; its own labels and notes."""

    model: str
    versions: int
    newest: Version
    tags: dict[str, int]
    bytes_added: int
    labels: dict[str, str]
    notes: str

    def _line(self) -> str:
        tags = f", tagged {tags_text(self.tags)}" if self.tags else ""
        return f"{self.model}: {counted(self.versions, 'version')}, newest @{self.newest.number}{tags}"

    def _page(self) -> Page:
        facts = {
            "versions": f"{self.versions:,}, the newest is {self.newest}",
            "saved": moment(self.newest.time),
            "size": f"{size(self.newest.bytes)}; the store grew by {size(self.bytes_added)} in all",
            "tags": tags_text(self.tags),
            "labels": pairs(self.labels),
            "notes": self.notes,
        }
        return [Facts(self.model, facts)]


class Summaries(Listed[Summary]):
    """Summaries of models. Printed, they are a table."""

    def _page(self) -> Page:
        table = Table(
            counted(len(self), "model") if self else "no models",
            ("model", ">versions", ">newest", ">size", ">added", "saved", ">age", "tags", "labels", "notes"),
            [_model_row(each) for each in self],
            ("notes", "saved", "size", "labels", "added"),
            ("notes",),
        )
        return [table.filled()]


def _model_row(found: Summary) -> Row:
    newest = found.newest
    return (
        found.model,
        f"{found.versions:,}",
        f"@{newest.number}",
        size(newest.bytes),
        size(found.bytes_added),
        local(newest.time, zone=False),
        age(newest.time),
        tags_text(found.tags),
        pairs(found.labels),
        " ".join(found.notes.split()),
    )


def tags_text(tags: Mapping[str, int]) -> str:
    """The tags of a model with the versions that they name, newest versions first."""
    return ", ".join(f"{tag} @{tags[tag]}" for tag in sorted(tags, key=lambda tag: (-tags[tag], tag)))


class Change(Shown, msgspec.Struct, frozen=True):
    """A version in a model's history, with the parts that were changed, added or removed since the previous
    one."""

    version: Version
    changed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]

    def moved(self) -> str:
        """The parts that changed; `+` marks parts that were added, `-` parts that were removed."""
        came, went = (f"+{name}" for name in self.added), (f"-{name}" for name in self.removed)
        return ", ".join((*self.changed, *came, *went)) or "-"

    def _line(self) -> str:
        return f"{self.version._line()}; changed: {self.moved()}"

    def _page(self) -> Page:
        return [Facts(str(self.version), {"changed": self.moved(), **self.version.facts()})]


class Changes(Listed[Change]):
    """The history of a model, oldest first, or sorted. Printed, it is a table: newest first, or as it is
    sorted."""

    def _page(self) -> Page:
        numbers = [change.version.number for change in self]
        shown = self[::-1] if numbers == sorted(numbers) else self
        title = f"{self[0].version.model}: {counted(len(self), 'version')}" if self else "no versions"
        return [msgspec.structs.replace(listed(shown), title=title)]


def listed(changes: Sequence[Change]) -> Table:
    """Versions as the rows of a table, each with the parts that changed."""
    return listing([change.version for change in changes], [change.moved() for change in changes])


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
