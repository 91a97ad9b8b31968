"""What the log and the manifest say about a version must agree.

Each of them vouches for its own bytes alone. Two errors show only in a comparison: a record that names the
manifest of another version, so that its weights are taken for those of this one, and metrics that no one
measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from saver.errors import DamagedError
from saver.repo.described import Described
from saver.repo.version import Version, number_of, plain_metric

_SHOWN = 80


def check_agreement(version: Version, described: Described) -> None:
    """Raise DamagedError, which names the field, unless the document belongs to the version.

    `time` is not compared: in a record it is the time of the commit, in a manifest the time when the
    version was made.
    """
    for field, logged, found in _fields(version, described):
        if logged != found:
            raise DamagedError(
                f"{described.where}: the log and its manifest contradict each other about its {field}: "
                f"{_shown(logged)} and {_shown(found)}; one of them was changed, or belongs to another "
                "version; restore the folders log/ and manifests/ from a copy of the store",
                rule="5.12",
            )


def _fields(version: Version, described: Described) -> Iterator[tuple[str, Any, Any]]:
    manifest = described.manifest
    yield "model", version.model, manifest.model
    yield "number", version.number, manifest.number
    yield "parent", version.parent, manifest.parent
    yield "step", version.step, manifest.step
    yield "notes", version.saved_notes, manifest.notes
    if version.author and manifest.author:
        yield "author", version.author, manifest.author
    if version.metrics or manifest.metrics:
        metrics = {name: number_of(metric) for name, metric in manifest.metrics.items()}
        yield from _items("metric", _plain(version.metrics), _plain(metrics))
    logged = {name: (part.number, part.hash) for name, part in version.parts.items()}
    found = {name: (part.version, part.hash) for name, part in manifest.parts.items()}
    yield from _items("part", logged, found)
    yield "packs", version.packs, manifest.packs
    documents = {part.document for part in manifest.parts.values() if part.document}
    documents.update(described.pages)
    yield "documents", version.trees, tuple(sorted(documents))


def _items(kind: str, logged: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    if logged != found:
        for name in sorted({*logged, *found}):
            yield f"{kind} {name[:_SHOWN]!r}", logged.get(name), found.get(name)


def _plain(metrics: Mapping[str, float]) -> dict[str, float | str]:
    """Metrics as they are written in documents: nan equals nan."""
    return {name: plain_metric(value) for name, value in metrics.items()}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
