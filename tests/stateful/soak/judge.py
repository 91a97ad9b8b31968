"""Holds a store to what was acknowledged: the journals of all workers against what is there."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from tests.stateful.soak.journal import Weights, Workspace, lines, same
from tests.stateful.soak.worker import MODELS
from tests.stateful.unsynced import Unsynced

import saver
from saver.errors import SaverError
from saver.storages.local import LocalStorage

RUNS = "runs/"


class Journals:
    """What the journals say. `problems` are promises that workers saw broken."""

    def __init__(self, workspace: Workspace) -> None:
        self.problems: list[str] = []
        self.counts: Counter[str] = Counter()
        self.model_of: dict[int, str] = {}
        self.ref_of: dict[int, str] = {}
        self.refused: set[int] = set()
        """Saves that were reported to have left nothing."""

        self.deleted: set[str] = set()
        self.perhaps_deleted: set[str] = set()
        self.tags: dict[tuple[str, str], set[int | None]] = {}
        """The numbers that a tag may have now."""

        self.steps: dict[str, int] = {}
        self.resumed: list[tuple[str, int, Any]] = []
        self._trying: dict[int, tuple[str, list[Any]]] = {}
        self._read: list[tuple[str, int]] = []
        for line in lines(workspace):
            self._take(*line)
        self.problems += [
            f"{ref} was read as what was saved under {seed}, and is {known[ref]}"
            for known in [{ref: seed for seed, ref in self.ref_of.items()}]
            for ref, seed in self._read
            if known.get(ref, seed) != seed
        ]

    def _take(self, kind: str, first: Any, *rest: Any) -> None:
        self.counts[f"{kind} {rest[0]}" if kind in ("done", "failed") else kind] += 1
        match kind:
            case "try":
                self._trying[first] = rest[0], [*rest[1:]]
                self._begun(rest[0], *rest[1:])
            case "done":
                self._done(*self._trying[first], rest[1])
            case "failed":
                self.counts[f"failed with {rest[1]}"] += 1
                self._failed(*self._trying[first], rest[1])
            case "read":
                self._read.append((first, rest[0]))
            case "saved":
                self.steps[first] = max(self.steps.get(first, -1), rest[0])
            case "resumed":
                start, weights = rest
                self.resumed.append((first, start, weights))
                if start <= self.steps.get(first, -1):
                    self.problems.append(f"{first} went on at {start}, and saved {self.steps[first]} before")
            case "count":
                self.counts[first] += 1
            case "bad":
                self.problems.append(f"{first}: {': '.join(rest)}")

    def _begun(self, what: str, *about: Any) -> None:
        match what:
            case "save":
                self.model_of[about[1]] = about[0]
            case "delete":
                self.perhaps_deleted.add(about[0])
            case "tag":
                model, name, number = about
                self.tags.setdefault((model, name), {None}).add(number)

    def _done(self, what: str, about: list[Any], found: str) -> None:
        match what:
            case "save":
                self.ref_of[about[1]] = found
            case "delete":
                self.deleted.add(about[0])
            case "tag":
                self.tags[(about[0], about[1])] = {about[2]}

    def _failed(self, what: str, about: list[Any], code: str) -> None:
        if what == "save" and code == "cannot-write":
            self.refused.add(about[1])


def judge(workspace: Workspace, final: bool) -> tuple[list[str], str]:
    """What is wrong, and a line about what was looked at. In the end the store is collected as well."""
    os.environ["SAVER_CACHE"] = str(workspace.folder / "cache-judge")
    journals = Journals(workspace)
    problems, store = journals.problems, saver.Saver(LocalStorage(workspace.store, Unsynced()))
    try:
        problems += _versions(journals, store)
        problems += _tags(journals, store)
        problems += _runs(journals, store)
        problems += _checked(store)
        if final:
            problems += _collected(store)
    except SaverError as error:
        problems.append(f"the judge could not look: {error!r}")
    living = sum(len(store.versions(model)) for model in store.models())
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(journals.counts.items()))
    return problems, f"{len(journals.ref_of)} saved, {len(journals.deleted)} deleted, {living} live; {kinds}"


def _versions(journals: Journals, store: saver.Saver) -> list[str]:
    """Versions that were acknowledged and not deleted are there; others only if somebody tried."""
    problems, there = [], dict[str, int]()
    for model in set(MODELS) & set(store.models()):
        for version in store.versions(model):
            found = store.load(str(version))
            seed = there[str(version)] = found["seed"]
            if not same(found, seed):
                problems.append(f"{version} is not what was saved")
            if journals.model_of.get(seed) != model:
                problems.append(f"{version} holds {seed}, which nobody saved there")
            if seed in journals.refused:
                problems.append(f"{version} is there, and the error said that nothing was saved")
            if journals.ref_of.get(seed, str(version)) != str(version):
                problems.append(f"{version} holds what was saved as {journals.ref_of[seed]}")
    twice = [ref for ref, count in Counter(journals.ref_of.values()).items() if count > 1]
    twice += [str(seed) for seed, count in Counter(there.values()).items() if count > 1]
    lost = {ref for ref in journals.ref_of.values() if ref not in there} - journals.perhaps_deleted
    undead = journals.deleted & set(there)
    for what, found in (("given twice", twice), ("lost", lost), ("deleted, and there", undead)):
        problems += [f"{ref} is {what}" for ref in sorted(found)]
    return problems


def _tags(journals: Journals, store: saver.Saver) -> list[str]:
    problems = []
    for (model, tag), may in journals.tags.items():
        found = store.summary(model).tags.get(tag) if model in store.models() else None
        gone = any(f"{model}@{number}" in journals.perhaps_deleted for number in may)
        if found not in may and not (found is None and gone):
            problems.append(f"{model}@{tag} leads to {found}, and should to one of {may}")
    return problems


def _runs(journals: Journals, store: saver.Saver) -> list[str]:
    """Weights are those after their step; the newest that was known to be saved is there, or a newer one."""
    problems, weights, models = [], Weights(), store.models()
    for name, start, found in journals.resumed:
        if found != weights.after(start - 1).tolist():
            problems.append(f"{name} went on at {start} with other weights")
    for name in (model for model in models if model.startswith(RUNS)):
        for version in store.versions(name):
            found = store.load(str(version), parts=["weights"])["weights"]
            if version.step is None or found.tolist() != weights.after(version.step).tolist():
                problems.append(f"{version} is not what step {version.step} leaves")
    for name, step in journals.steps.items():
        there = [version.step or 0 for version in store.versions(name)] if name in models else []
        dropped = any(ref.startswith(f"{name}@") for ref in journals.perhaps_deleted)
        if not dropped and max(there, default=-1) < step:
            problems.append(f"{name}: step {step} was saved, and is lost")
    return problems


def _checked(store: saver.Saver) -> list[str]:
    """Damage is below `state/` alone, where somebody does damage."""
    return [
        f"check: {item.key}: {item.what}"
        for item in store.check().damage
        if not item.key.startswith("state/")
    ]


def _collected(store: saver.Saver) -> list[str]:
    """What nobody needs is freed; and the check before has mended the shortcuts."""
    model = store.models()[0]
    for turn in range(200):
        if turn % 2:
            store.untag(model, "turn")
        else:
            store.tag(model, "turn")
    store.gc(grace=0, everything=True)
    checked = saver.Saver(store.storage).check()
    found = [f"{key} is garbage, and was not freed" for key in checked.garbage]
    found += [f"{item.key} stays damaged: {item.what}" for item in checked.damage]
    return found + [f"{key} is foreign" for key in checked.foreign]
