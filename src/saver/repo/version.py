"""What the log says about a version."""

from __future__ import annotations

import math

import msgspec

from saver import html
from saver.human import metrics, size, utc
from saver.repo.log import PartVersion
from saver.repo.state.facts import VersionState

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable saved state of a model. Its `str` is its ref: `iris@3`.

    `time` is Unix time, UTC. `parts` gives the number, hash and size in bytes of each part, by name.
    `bytes` is the size of the version, `bytes_added` is how much the store grew when it was saved. `parent`
    is the number of the previous version. `notes` may have been edited since; `saved_notes` are those that
    it was saved with. `manifest` names the document that describes the whole version,
    `packs` the packs with its tensors, `trees` the documents of its large parts. For a small version, the
    pack `file` is a file with all of it, and `manifest` the hash of that file's header.
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

    def __str__(self) -> str:
        return f"{self.model}@{self.number}"

    def _repr_html_(self) -> str:
        return html.facts(
            str(self),
            {
                "saved": f"{utc(self.time)} by {self.author}",
                "step": "" if self.step is None else f"{self.step:,}",
                "metrics": metrics(self.metrics),
                "tags": ", ".join(self.tags),
                "labels": _labels(self),
                "parts": ", ".join(self.parts),
                "size": f"{size(self.bytes)}; the store grew by {size(self.bytes_added)}",
                "notes": self.notes,
            },
        )


class Versions(list[Version]):
    """Versions of a model, oldest first, or sorted. A notebook shows them as a table: newest first, or as
    they are sorted."""

    def _repr_html_(self) -> str:
        numbers = [version.number for version in self]
        shown = self[::-1] if numbers == sorted(numbers) else self
        names = list(dict.fromkeys(name for version in shown for name in version.metrics))
        return html.table(
            self[0].model if self else "",
            (">version", ">step", "saved", *(f">{name}" for name in names), *_LAST),
            [_row(version, names) for version in shown],
        )


_LAST = ("tags", "labels", ">size", "author", "notes")


def _labels(version: Version) -> str:
    return ", ".join(f"{key}={value}" for key, value in version.labels.items())


def _row(version: Version, names: list[str]) -> tuple[str, ...]:
    return (
        f"@{version.number}",
        "" if version.step is None else f"{version.step:,}",
        utc(version.time),
        *(f"{version.metrics[name]:.6g}" if name in version.metrics else "" for name in names),
        ", ".join(version.tags),
        _labels(version),
        size(version.bytes),
        version.author,
        version.notes,
    )


def from_state(model: str, number: int, state: VersionState, tags: tuple[str, ...]) -> Version:
    """The version that the state describes."""
    return Version(
        model=model, number=number, time=state.time, step=state.step, author=state.author,
        metrics={name: number_of(metric) for name, metric in state.metrics.items()},
        tags=tags, labels=state.labels, notes=state.notes if state.edited is None else state.edited,
        saved_notes=state.notes, parts=state.parts, bytes=state.bytes, bytes_added=state.bytes_added,
        parent=state.parent, manifest=state.manifest, packs=state.packs, trees=state.trees, file=state.file,
    )  # fmt: skip


def number_of(metric: float | str) -> float:
    """A metric as a float; JSON cannot express those that are not finite."""
    return _NOT_FINITE.get(metric, math.nan) if isinstance(metric, str) else float(metric)


def plain_metric(value: float) -> float | str:
    """A metric as it is written in documents, which know no negative zero."""
    if math.isfinite(value):
        return value + 0.0
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
