"""Differences outside of the parts: environment, metrics, data, step and notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from saver import fingerprint
from saver.compare.difference import DataChange, Field, MetricChange, Number, number
from saver.errors import printable
from saver.reading.texts import both
from saver.repo.manifest import Manifest
from saver.repo.version import number_of


def facts(old: Manifest, new: Manifest) -> tuple[Field, ...]:
    """Step, notes, and whether the parts were one mapping."""
    sides = [
        {
            "step": None if manifest.step is None else str(manifest.step),
            "notes": printable(manifest.notes) or None,
            "form": "a mapping of parts" if manifest.whole else "one object",
        }
        for manifest in (old, new)
    ]
    return tuple(_fields(*sides))


def fields_that_differ(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> tuple[Field, ...]:
    """Texts by name, of which one version may lack some."""
    return tuple(_fields(old, new))


def environment(old: Manifest, new: Manifest) -> tuple[Field, ...]:
    """Packages, Python, platform, git, seeds.

    Seeds of objects in the parts are left out, since fields report them, and so are fingerprints of random
    generators, which depend on when in its life a process saved.
    """
    recorded = [bool(manifest.environment) for manifest in (old, new)]
    if recorded[0] != recorded[1]:  # a file of another tool records none
        return (Field("recorded", *("yes" if each else "no" for each in recorded)),)
    sides = [dict(leaves(manifest.environment)) for manifest in (old, new)]
    kept = [{path: text for path, text in side.items() if not _incidental(path, text)} for side in sides]
    return tuple(_fields(*kept))


def _incidental(path: str, text: str) -> bool:
    if path in ("random.generators", "random.seeds") and text == "{}":  # none, as if it were not recorded
        return True
    generators, seeds = "random.generators.", "random.seeds.$."
    return path.startswith(seeds) or (path.startswith(generators) and text.startswith("state "))


def data(old: Manifest, new: Manifest) -> tuple[DataChange, ...]:
    """Every data set that either version was trained on, by its fingerprint."""
    names = dict.fromkeys((*old.data, *new.data))
    return tuple(_data(printable(name), old.data.get(name), new.data.get(name)) for name in names)


def _data(name: str, old: Any, new: Any) -> DataChange:
    texts = _fingerprint(old), _fingerprint(new)
    if texts[0] is None or texts[1] is None:
        return DataChange(name, "added" if texts[0] is None else "removed", *texts)
    return DataChange(name, "same" if _is_same(old, new) else "changed", *texts)


def _fingerprint(found: Any) -> str | None:
    if not isinstance(found, dict):
        return None if found is None else "no fingerprint"
    try:
        return printable(fingerprint.describe(found))
    except (ArithmeticError, RecursionError):  # a crafted one, with huge numbers or nesting
        return "no fingerprint"


def _is_same(old: Any, new: Any) -> bool:
    if dict(leaves(old)) == dict(leaves(new)):
        return True
    try:
        return isinstance(old, dict) and isinstance(new, dict) and fingerprint.same(old, new)
    except RecursionError:
        return False


def metrics(old: Manifest, new: Manifest) -> tuple[MetricChange, ...]:
    """The metrics that differ, or are in one version only."""
    names = dict.fromkeys((*old.metrics, *new.metrics))
    pairs = ((name, _number(old.metrics.get(name)), _number(new.metrics.get(name))) for name in names)
    return tuple(MetricChange(printable(n), x, y, _delta(x, y)) for n, x, y in pairs if x != y)


def _number(value: float | str | None) -> Number | None:
    return None if value is None else number(number_of(value))


def _delta(old: Number | None, new: Number | None) -> Number | None:
    return None if old is None or new is None else number(number_of(new) - number_of(old))


def _fields(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> Iterator[Field]:
    for path in dict.fromkeys((*old, *new)):
        if old.get(path) != new.get(path):
            yield Field(path, *both(old.get(path), new.get(path)))


def leaves(document: Any) -> Iterator[tuple[str, str]]:
    """The scalars of a JSON document by path, as text; a document that is a scalar has the path `value`."""
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict) and value:
            prefix = f"{path}." if path else ""
            stack += [(f"{prefix}{key}"[:_PATH_LIMIT], item) for key, item in reversed(value.items())]
        elif isinstance(value, list) and value and not _is_short(value):
            items = reversed(list(enumerate(value)))
            stack += [(f"{path}[{index}]"[:_PATH_LIMIT], item) for index, item in items]
        elif value is not None:
            yield printable(path) or "value", printable(value if isinstance(value, str) else _text(value))


_PATH_LIMIT = 400


def _is_short(items: list[Any]) -> bool:
    return len(items) <= 16 and not any(isinstance(item, (dict, list)) for item in items)


def _text(value: Any) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
