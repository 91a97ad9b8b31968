"""The details of a version, as callers give them: checked before anything is encoded or written."""

from __future__ import annotations

from typing import Any

from saver import arguments
from saver.repo.bounds import check_metrics, check_tags
from saver.repo.changing import find
from saver.repo.labels import NOTES_LIMIT, labelled
from saver.repo.naming import labels_of, model_of, ref_of, tag_of
from saver.repo.refs import STEP_LIMIT, BadNameError
from saver.repo.repository import Repository
from saver.repo.version import Version
from saver.storage import Progress


def details_of(model: Any, step: Any, metrics: Any, tags: Any, labels: Any, notes: Any) -> dict[str, Any]:
    """The fields of a draft. Raises TypeError or ValueError, which names the argument."""
    model_of(model)
    measured = {} if metrics is None else arguments.metrics(metrics)
    tagged = tuple(dict.fromkeys(tag_of("tags", tag) for tag in arguments.several("tags", tags)))
    check_metrics(measured)
    check_tags(tagged)
    return {
        "step": None if step is None else arguments.whole_number("step", step, 0, STEP_LIMIT - 1),
        "metrics": measured,
        "tags": tagged,
        "labels": {} if labels is None else labelled({}, _given(labels_of(labels))),
        "notes": notes_of(notes),
    }


def _given(labels: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key, value in labels.items() if value is None]
    if missing:
        raise BadNameError(f"labels: {missing[0]!r} is None; leave it out, as there is nothing to remove yet")
    return labels


def notes_of(notes: Any) -> str:
    """Notes of a version or a model."""
    return arguments.text("notes", notes, NOTES_LIMIT, "save longer ones as a part")


def bases_of(repo: Repository, given: Any) -> tuple[str, ...]:
    """The refs of versions that may share tensors with another one; each is a ref or a version."""
    several = (given,) if isinstance(given, str | Version) else arguments.several("base", given)
    for base in several:
        ref_of("base", base)
        if isinstance(base, Version):
            find(repo, base, "base")
    return tuple(map(str, several))


def fingerprints_of(data: Any, progress: Progress | None = None) -> dict[str, Any]:
    """The fingerprints of the training data, by name; for None, none."""
    if data is None:
        return {}
    from saver.fingerprint import fingerprints

    return fingerprints(data, progress)
