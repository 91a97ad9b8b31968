"""What the log says about a version."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from saver.human import counted, metrics, pairs, size
from saver.page import Facts, Listed, Page, Row, Shown, Table
from saver.repo.numbered import PartVersion
from saver.repo.state.facts import VersionState
from saver.signing.signatures import Signature
from saver.times import age, local, moment

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Version(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """One immutable saved state of a model. Its `str` is its ref: `iris@3`.

    `time` is Unix time, UTC. `parts` gives the number, hash and size in bytes of each part, by name.
    `bytes` is the size of the version, `bytes_added` is how much the store grew when it was saved. `parent`
    is the number of the previous version. `notes` may have been edited since; `saved_notes` are those that
    it was saved with. `manifest` names the document that describes the whole version,
    `packs` the packs with its tensors, `trees` the documents of its large parts. For a small version, the
    pack `file` is a file with all of it, and `manifest` the hash of that file's header. `signatures` are what
    the log has of them: `verify` says which of them hold. `author` is the name that the writer chose;
    `unverified` says what a trust file demands and the version lacks, as it was listed: then nobody vouches
    for the name.
    """

    model: str
    number: int
    time: float
    step: int | None
    author: str
    metrics: dict[str, float]
    tags: tuple[str, ...]
    labels: dict[str, str]
    notes: str
    saved_notes: str
    parts: dict[str, PartVersion]
    bytes: int
    bytes_added: int
    parent: int | None
    manifest: str
    packs: tuple[str, ...]
    trees: tuple[str, ...] = ()
    file: str = ""
    signatures: tuple[Signature, ...] = ()
    unverified: str = ""

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"

    def _line(self) -> str:
        step = "" if self.step is None else f"step {self.step:,}"
        tags = f"tagged {', '.join(self.tags)}" if self.tags else ""
        said = (step, metrics(self.metrics), tags, local(self.time, zone=False), size(self.bytes))
        return f"{self}: {', '.join(filter(None, said))}"

    def _page(self) -> Page:
        return [Facts(str(self), self.facts())]

    def facts(self) -> dict[str, str]:
        """What is known of it, by name."""
        return {
            "saved": moment(self.time) + (f", by {self.author}" if self.author else "") + self._doubt(),
            "step": "" if self.step is None else f"{self.step:,}",
            "tags": ", ".join(self.tags),
            "labels": pairs(self.labels),
            "metrics": ", ".join(f"{name} {value:.10g}" for name, value in self.metrics.items()),
            "notes": self.notes,
            "parent": "" if self.parent is None else f"{self.model}@{self.parent}",
            "size": f"{size(self.bytes)}; the store grew by {size(self.bytes_added)}",
            "hash": self.manifest,
        }

    def _doubt(self) -> str:
        """Why nobody vouches for who made it, where a trust file demands that somebody does."""
        return f" (unverified: {self.unverified})" if self.unverified else ""


class Versions(Listed[Version]):
    """Versions of a model, oldest first, or sorted. Printed, they are a table: newest first, or as they are
    sorted."""

    def _page(self) -> Page:
        numbers = [version.number for version in self]
        shown = self[::-1] if numbers == sorted(numbers) else self
        models = {version.model for version in self}
        title = f"{', '.join(sorted(models))}: {counted(len(self), 'version')}" if models else "no versions"
        return [msgspec.structs.replace(listing(shown), title=title)]


METRICS_FIRST = 3
"""How many metrics are kept, where room is scarce, before the author and the time of a version."""


def listing(versions: Sequence[Version], moved: Sequence[str] = ()) -> Table:
    """Versions as the rows of a table, each with the parts that `moved`, if that is known."""
    names = list(dict.fromkeys(name for version in versions for name in version.metrics))
    several = len({version.model for version in versions}) > 1
    columns = (
        ">version", ">step", "saved", ">age", *(f">{name}" for name in names), "tags", "labels", "changed",
        ">size", ">added", "author", "notes",
    )  # fmt: skip
    told = [*moved, *[""] * (len(versions) - len(moved))]
    rows = [_row(version, names, what, several) for version, what in zip(versions, told, strict=True)]
    spare = (
        *reversed(names[METRICS_FIRST:]), "author", "saved", "notes", "labels", "size",
        *reversed(names[:METRICS_FIRST]), "step",
    )  # fmt: skip
    return Table("", columns, rows, spare, ("notes",)).filled()


def _row(version: Version, names: list[str], moved: str, several: bool) -> Row:
    return (
        str(version) if several else f"@{version.number}",
        "" if version.step is None else f"{version.step:,}",
        local(version.time, zone=False),
        age(version.time),
        *(f"{version.metrics[name]:.4g}" if name in version.metrics else "" for name in names),
        ", ".join(version.tags),
        pairs(version.labels),
        moved,
        size(version.bytes),
        size(version.bytes_added),
        f"{version.author} (unverified)".lstrip() if version.unverified else version.author,
        " ".join(version.notes.split()),
    )


def from_state(model: str, number: int, state: VersionState, tags: tuple[str, ...]) -> Version:
    """The version that the state describes."""
    return Version(
        model=model, number=number, time=state.time, step=state.step, author=state.author,
        metrics={name: number_of(metric) for name, metric in state.metrics.items()},
        tags=tags, labels=state.labels, notes=state.notes if state.edited is None else state.edited,
        saved_notes=state.notes, parts=state.parts, bytes=state.bytes, bytes_added=state.bytes_added,
        parent=state.parent, manifest=state.manifest, packs=state.packs, trees=state.trees, file=state.file,
        signatures=state.signatures,
    )  # fmt: skip


def number_of(metric: float | str) -> float:
    """A metric as a float; JSON cannot express those that are not finite."""
    return _NOT_FINITE.get(metric, math.nan) if isinstance(metric, str) else float(metric)


def plain_metric(value: float) -> float | str:
    """A metric as it is written in documents, which know no negative zero."""
    if math.isfinite(value):
        return value + 0.0
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
