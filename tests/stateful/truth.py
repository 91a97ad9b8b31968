"""What must be in a store, in plain dicts: the model that real stores are held against."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

import saver
from saver.lazy import LazySequence

SIZES = (3, 40, 300, 1100)
"""Of arrays, in items of 8 bytes."""


def array(key: int) -> Any:
    """The array of a key. Those of different keys have no values in common."""
    return np.arange(SIZES[key % len(SIZES)]) * 0.5 + 10_000.0 * key


def value(keys: tuple[int, ...], whole: bool = True) -> Any:
    """What is saved: parts by name, each with one array twice and one once; or a list of those."""
    pieces = []
    for at, key in enumerate(keys):
        held = array(key)
        pieces.append({"held": held, "again": held, "key": key, "equal": array(keys[at - 1])})
    return {f"p{at}": piece for at, piece in enumerate(pieces)} if whole else pieces


def plain(found: Any) -> Any:
    """What was loaded lazily, all of it read."""
    if isinstance(found, Mapping):
        return {key: plain(item) for key, item in found.items()}
    return [plain(item) for item in found] if isinstance(found, LazySequence) else found


def same(found: Any, wanted: Any) -> bool:
    """Whether two values are the same to the bit."""
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, dict):
        return list(found) == list(wanted) and all(same(found[name], wanted[name]) for name in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, np.ndarray):
        return (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())
    return bool(found == wanted)


class Kept(NamedTuple):
    """A version: what `value` is made of, and what was said with it."""

    keys: tuple[int, ...]
    whole: bool
    step: int | None
    time: float

    def value(self) -> Any:
        return value(self.keys, self.whole)


class Truth:
    """The versions that live, the tags, and the numbers that each model gave."""

    def __init__(self) -> None:
        self.versions: dict[str, dict[int, Kept]] = {}
        self.numbers: dict[str, set[int]] = {}
        self.tags: dict[tuple[str, str], int] = {}
        self.said: dict[tuple[str, int | None], tuple[dict[str, str], str]] = {}
        """Labels and notes of versions, and of models, which have no number."""

    def copy(self) -> Truth:
        return copy.deepcopy(self)

    def save(self, model: str, number: int, kept: Kept, tags: tuple[str, ...]) -> None:
        assert number not in self.numbers.setdefault(model, set()), f"{model}@{number} was given twice"
        self.numbers[model].add(number)
        self.versions.setdefault(model, {})[number] = kept
        self.tags.update({(model, tag): number for tag in tags})

    def last(self, model: str) -> int:
        """The last number that a model gave; 0 before it gave any."""
        return max(self.numbers.get(model, ()), default=0)

    def annotate(self, model: str, number: int | None, key: str, value: str | None, notes: str) -> None:
        labels = {**self.said.get((model, number), ({}, ""))[0], key: value}
        self.said[model, number] = {key: text for key, text in labels.items() if text is not None}, notes

    def delete(self, model: str, number: int) -> None:
        del self.versions[model][number]
        self.said.pop((model, number), None)
        self.tags = {at: tagged for at, tagged in self.tags.items() if at[0] != model or tagged != number}

    def refs(self) -> list[tuple[str, int]]:
        """All versions that live."""
        return [(model, number) for model in sorted(self.versions) for number in sorted(self.versions[model])]

    def find(self, model: str, what: str, about: int | str | float | None = None) -> int | None:
        """The number that a ref leads to: of a `number`, `tag`, `step` or `time`, or the `latest`."""
        living = self.versions.get(model, {})
        match what:
            case "number":
                return about if about in living else None  # type: ignore[return-value]
            case "tag":
                return self.tags.get((model, str(about)))
            case "step":
                return max((number for number, kept in living.items() if kept.step == about), default=None)
            case "time":
                until = float(about or 0)
                return max((number for number, kept in living.items() if kept.time <= until), default=None)
            case _:
                return max(living, default=None)

    def shown(self) -> dict[str, Any]:
        """All of it but the content, as `seen` sees it in a store."""
        found = {}
        for model, living in self.versions.items():
            tags = {tag: number for (of, tag), number in self.tags.items() if of == model}
            told = {
                number: (
                    kept.step, kept.time, sorted(tag for tag, at in tags.items() if at == number),
                    self.said.get((model, number), ({}, "")),
                )
                for number, kept in living.items()
            }  # fmt: skip
            if living:
                found[model] = (told, max(living), tags, self.said.get((model, None), ({}, "")))
        return found


def ref_of(model: str, what: str, about: int | str | float | None = None) -> str:
    """How one writes a ref, as `Truth.find` takes it."""
    match what:
        case "number" | "tag":
            return f"{model}@{about}"
        case "step":
            return f"{model}@step={about}"
        case "time":
            return f"{model}@time={datetime.fromtimestamp(float(about or 0), UTC).isoformat()}"
        case _:
            return model if about is None else f"{model}@latest"


def seen(store: saver.Saver) -> dict[str, Any]:
    """What a store shows, as `Truth.shown` tells it."""
    if not store.exists():
        return {}
    found = {}
    lines = {line.model: line for line in store.summaries()}
    assert sorted(lines) == store.models()
    for model, line in lines.items():
        versions = store.versions(model)
        assert [version.number for version in versions] == sorted({version.number for version in versions})
        assert line.versions == len(versions)
        assert line.bytes_added == sum(version.bytes_added for version in versions)
        told = {
            each.number: (each.step, each.time, sorted(each.tags), (each.labels, each.notes))
            for each in versions
        }
        found[model] = (told, line.newest.number, line.tags, (line.labels, line.notes))
    return found
