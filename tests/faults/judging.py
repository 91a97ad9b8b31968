"""What must be true of a store, whatever happened to those who used it."""

from __future__ import annotations

from typing import Any

import numpy as np

import saver

LARGE = 100_000

AFTERWARDS = 77_777
"""The seed of what a judge saves."""


def value(seed: int) -> dict[str, Any]:
    """What is saved with a seed: something that all versions share, and something of its own."""
    found = {"seed": seed, "kept": np.arange(300.0), "own": np.full(1500, float(seed))}
    if seed >= LARGE:
        found["large"] = np.full(1_200_000, float(seed))
    return found


def state_of(found: Any) -> Any:
    """Something that is equal where two values are equal to the bit."""
    if not isinstance(found, dict):
        return repr(found)
    return {
        name: (part.dtype.str, part.shape, part.tobytes()) if isinstance(part, np.ndarray) else part
        for name, part in found.items()
    }


class Expected:
    """What a store must hold, and what it may, after what was reported of the acts on it.

    `before` are the versions that there were, with their seeds, by which the notes of versions name them.
    """

    def __init__(self, before: dict[str, int], heard: list[dict[str, Any]]) -> None:
        self.must = dict(before)
        self.may: dict[str, int] = {}
        self.seeds = {line["seed"] for line in heard if line["what"] == "try" and line["act"] == "save"}
        self.seeds.add(AFTERWARDS)
        self.tags: dict[str, str] = {}
        self.run: tuple[int, int] | None = None
        """Number and step of the last version of the run that is known to be saved."""

        self.last: dict[str, int] = {}
        """The highest number that was given to a version of each model."""

        for ref in before:
            self._count(ref)
        for line in heard:
            self._take(line)

    def _count(self, ref: str) -> None:
        model, _, number = ref.partition("@")
        self.last[model] = max(self.last.get(model, 0), int(number))

    def _take(self, line: dict[str, Any]) -> None:
        match line["what"], line.get("act"):
            case "done", "save":
                self._count(line["ref"])
                self.must[line["ref"]] = line["seed"]
            case "done", "step":
                self._count(line["ref"])
                self.run = int(line["ref"].partition("@")[2]), line["seed"]
            case "try", "delete":  # it may have taken place, also when it failed
                if line["ref"] in self.must:
                    self.may[line["ref"]] = self.must.pop(line["ref"])
            case "done", "delete":
                self.may.pop(line["ref"], None)
            case "failed", "delete" if line["error"] not in ("CommitUnknownError", "KeyboardInterrupt"):
                if line["ref"] in self.may:
                    self.must[line["ref"]] = self.may.pop(line["ref"])
            case "try", "tag":
                self.tags.pop(line["tag"], None)
            case "done", "tag":
                self.tags[line["tag"]] = line["ref"]


def judge(folder: str, before: dict[str, int], heard: list[dict[str, Any]], strict: bool = True) -> list[str]:
    """What is not as promised, in sentences: nothing, where all is well."""
    expected = Expected(before, heard)
    wrong = [line["text"] for line in heard if line["what"] == "wrong"]
    wrong += [
        f"{line['act']}: {line['error']} is raised raw: {line['text']}" for line in heard if is_raw(line)
    ]
    try:
        wrong += _promises(saver.Saver(folder), expected) if strict else []
        wrong += _goes_on(folder, expected)
        wrong += _promises(saver.Saver(folder), expected) if strict else []
    except Exception as error:  # also what no test thought of
        wrong.append(f"{type(error).__name__}: {error}")
    return wrong


def is_raw(line: dict[str, Any]) -> bool:
    """An error that is neither of Saver's own nor of the interpreter's."""
    return line["what"] == "failed" and not line["mine"]


def _promises(store: saver.Saver, expected: Expected) -> list[str]:
    wrong = []
    models = store.models() if store.exists() else []
    there = {str(version): version for model in models for version in store.versions(model)}
    wrong += [f"{ref} was acknowledged, and is lost" for ref in sorted(expected.must.keys() - there.keys())]
    for ref, version in there.items():
        model = version.model
        if model == "run":
            found, seed = store.load(ref)["state"], version.step
        else:
            found, seed = store.load(ref), int(version.notes)
            if ref in expected.must and expected.must[ref] != seed:
                wrong.append(f"{ref} is the version of another save than the one that was reported")
            elif ref not in expected.must and ref not in expected.may and seed not in expected.seeds:
                wrong.append(f"{ref} was never saved, or was deleted")
        if state_of(found) != state_of(value(seed)):
            wrong.append(f"{ref} is not what was saved")
    numbers = [version.number for version in there.values() if version.model == "run"]
    if expected.run is not None and (not numbers or max(numbers) < expected.run[0]):
        wrong.append(f"run@{expected.run[0]} was acknowledged, and is lost")
    for tag, ref in expected.tags.items():
        named = str(store.version(f"{ref.partition('@')[0]}@{tag}")) if ref in there else ref
        if named != ref:
            wrong.append(f"{tag} names {named}, and {ref} was acknowledged")
    checked = store.check()
    return wrong + [f"check: {damage.key}: {damage.what}" for damage in checked.damage]


def _goes_on(folder: str, expected: Expected) -> list[str]:
    """The next save and the next collection succeed, and no garbage is left."""
    wrong = []
    store, seed = saver.Saver(folder), AFTERWARDS
    version = store.save("m", value(seed), notes=str(seed))
    if version.number <= expected.last.get("m", 0):
        wrong.append(f"{version} was given twice")
    expected.must[str(version)] = seed
    if state_of(store.load(str(version))) != state_of(value(seed)):
        wrong.append(f"{version}, saved afterwards, is not what was saved")
    store.gc(grace=0, everything=True)
    garbage = store.check().garbage
    return wrong + ([f"garbage that stays: {', '.join(garbage[:3])}"] if garbage else [])
