"""What is known of versions without their arrays, side by side: rows of texts by path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from saver import documents, fingerprint
from saver.compare.circumstances import leaves
from saver.documents.charts import ComparedMetric, ComparedText
from saver.errors import printable
from saver.human import pairs, size
from saver.hyperparameters import hyperparameters
from saver.opened import Opened
from saver.repo.version import Version, number_of
from saver.times import moment

ROWS = 5000
"""The most rows of one table."""

TEXT = 2000
"""The most characters of one text."""

INCIDENTAL = ("random.generators", "random.seeds.$")
"""Of the environment, what depends on when in its life a process saved."""


def facts(versions: Sequence[Version]) -> tuple[ComparedText, ...]:
    """Time, author, step, tags, labels, notes, size, hash."""
    return rows(
        {
            "saved": moment(each.time), "author": each.author, "verified": each.unverified and "no",
            "step": "" if each.step is None else f"{each.step:,}", "tags": ", ".join(each.tags),
            "labels": pairs(each.labels), "notes": each.notes, "size": size(each.bytes),
            "hash": each.manifest,
        } for each in versions
    )  # fmt: skip


def metrics(versions: Sequence[Version]) -> tuple[ComparedMetric, ...]:
    """The metrics of all versions, in the order in which they appear."""
    names = dict.fromkeys(name for each in versions for name in each.metrics)
    found = []
    for name in list(names)[:ROWS]:
        values = tuple(_number(each.metrics.get(name)) for each in versions)
        found.append(ComparedMetric(name=printable(name), values=values, differs=len(set(values)) > 1))
    return tuple(found)


def _number(value: float | str | None) -> documents.Number | None:
    if value is None:
        return None
    found = number_of(value)
    return found if abs(found) < float("inf") else cast(documents.Number, str(found))


def parameters(views: Sequence[Opened]) -> tuple[ComparedText, ...]:
    """The hyperparameters of all parts, as `part.field`."""
    return rows(_parameters(view) for view in views)


def _parameters(view: Opened) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, tree in view.trees.items():
        for field, text in hyperparameters(tree.root).values.items():
            found[f"{name}.{field}"] = text
        if len(found) > ROWS:
            break
    return found


def environment(views: Sequence[Opened]) -> tuple[ComparedText, ...]:
    """Packages, Python, machine, commit, seeds."""
    each = [dict(leaves(view.manifest.environment)) for view in views]
    return rows({path: text for path, text in one.items() if not path.startswith(INCIDENTAL)} for one in each)


def data(views: Sequence[Opened]) -> tuple[ComparedText, ...]:
    """The fingerprints of the data that the versions were trained on."""
    return rows({name: _fingerprint(found) for name, found in view.manifest.data.items()} for view in views)


def _fingerprint(found: Any) -> str:
    try:
        return fingerprint.describe(found) if isinstance(found, dict) else "no fingerprint"
    except (ArithmeticError, RecursionError):  # a crafted one, with huge numbers or nesting
        return "no fingerprint"


def rows(sides: Iterable[Mapping[str, str]]) -> tuple[ComparedText, ...]:
    """The texts by path, those of all sides; an empty one is as if it were missing."""
    each = [*sides]
    found = []
    for path in list(dict.fromkeys(path for side in each for path in side))[:ROWS]:
        texts = tuple(side.get(path) or None for side in each)
        if any(texts):
            shown = tuple(None if text is None else printable(text[:TEXT]) for text in texts)
            row = ComparedText(path=printable(path[:TEXT]), values=shown, differs=len(set(texts)) > 1)
            found.append(row)
    return tuple(found)
