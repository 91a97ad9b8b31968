"""The proof in processes of their own: the same steps trained by two, and compared to the bit."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from saver.rehearsal.outcome import BEGINNING, Resumed, resumed_by
from saver.rehearsal.proof import Proof, Trained, compared, steps_text
from saver.rehearsal.recording import Asked, read
from saver.rehearsal.reporting import RunEvent
from saver.rehearsal.script import RehearsalError, Script, Waiting, ended_like_by_ctrl_c

CAUSE = "the place in the data, perhaps, or a value that only a process has that trained from further back"

SAVING = "let it save sooner, or wait longer with --patience"


class Wanted(NamedTuple):
    """What was asked for: train so many `steps` on from the version of the `saves`th save."""

    command: tuple[str, ...]
    steps: int
    saves: int
    patience: float


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Both times it went on from the version `ref`, saved at `step`; or there is a
    `problem`, and no proof.
    """

    command: tuple[str, ...]
    run: str
    ref: str
    step: int
    steps_asked: int
    resumed: Resumed | None
    proof: Proof | None
    problem: str = ""
    advice: str = ""

    @property
    def good(self) -> bool:
        """Whether all bits agree."""
        return self.proof is not None and bool(self.proof)

    @property
    def verdict(self) -> str:
        """What is wrong, in a line."""
        if self.proof is None:
            return f"{self.run} did not go on from {self.ref}: {self.problem}"
        return f"{self.run} does not go on to the bit from {self.ref}: {self.proof.first}"


# Doing it


def prove(wanted: Wanted, waiting: Waiting) -> Proven:
    """Start the script twice, and compare. Raises RehearsalError when the first start leaves nothing to
    compare."""
    with ended_like_by_ctrl_c(), tempfile.TemporaryDirectory(prefix="saver-rehearse-") as folder:
        version, first = _train(wanted, Path(folder), waiting)
        again = _train_again(wanted, version, first, Path(folder), waiting)
        proof = None
        if again.trained is not None and not again.problem:
            with waiting("Comparing") as progress:
                proof = compared(first, again.trained, CAUSE, progress)
    return Proven(
        command=wanted.command, run=version.run, ref=version.ref, step=version.step,
        steps_asked=wanted.steps, resumed=again.resumed, proof=proof, problem=again.problem,
        advice=again.advice if proof is None else proof.advice,
    )  # fmt: skip


def _train(wanted: Wanted, folder: Path, waiting: Waiting) -> tuple[RunEvent, Trained]:
    """The first start: the save that was trained from, and what it came to."""
    asked = Asked(str(folder / "1.saver"), wanted.steps, wanted.saves)
    count = f"{wanted.steps:,} step{'' if wanted.steps == 1 else 's'}"
    with Script(wanted.command, folder / "1", asked.variables()) as script:
        with waiting("Waiting until it has saved"):
            saved = script.wait_for(
                "it had saved", lambda told: chosen(told, wanted.saves), wanted.patience, SAVING
            )
        with waiting(f"Training {count} on from {saved.ref}"):
            version = script.wait_for(f"it had trained {count} more", recorded, wanted.patience)
    trained = read(asked.path, version.step)
    if not trained.steps:
        raise RehearsalError(
            f"the training of {version.run} was over with {version.ref}, so no step was left to prove; let "
            "it train longer, or save sooner"
        )
    return version, trained


class _Again(NamedTuple):
    """The second start: what it trained, or what kept it from that, and what to do."""

    trained: Trained | None
    resumed: Resumed | None
    problem: str = ""
    advice: str = ""


def _train_again(wanted: Wanted, version: RunEvent, first: Trained, folder: Path, waiting: Waiting) -> _Again:
    asked = Asked(str(folder / "2.saver"), wanted.steps, run=version.run)
    steps = steps_text(first.steps[0], first.steps[-1])
    trained, problem, advice = None, "", ""
    with Script(wanted.command, folder / "2", asked.variables()) as script:
        try:
            with waiting("Waiting until it has resumed"):
                begun = script.wait_for(
                    "it had resumed", lambda told: going_on(told, version.run), wanted.patience
                )
            problem, advice = elsewhere(version, begun)
            if not problem:
                with waiting(f"Training {steps} again"):
                    script.wait_for(
                        f"it had trained {steps} again",
                        recorded,
                        wanted.patience,
                    )
        except RehearsalError as error:
            problem = str(error)
    if not problem:
        trained = read(asked.path, version.step)
        problem, advice = otherwise(first.steps, trained.steps)
    told = [event for event in script.events if event.run == version.run]
    return _Again(trained, resumed_by(told, script.began), problem, advice)


# What is decided


def chosen(told: Sequence[RunEvent], saves: int) -> RunEvent | None:
    """The save that is trained from: the first of which there were so many before, in its run."""
    counts: dict[str, int] = {}
    for event in told:
        if event.kind == "saved":
            counts[event.run] = counts.get(event.run, 0) + 1
            if counts[event.run] == saves:
                return event
    return None


def recorded(told: Sequence[RunEvent]) -> RunEvent | None:
    """The save that was trained from, once the state is recorded that this came to. Of several runs in a
    script it is the one that is the first to come so far.
    """
    ref = next((event.ref for event in told if event.kind == "recorded"), None)
    kinds = ("saved", "resumed")
    return next((event for event in told if event.kind in kinds and event.ref == ref), None)


def going_on(told: Sequence[RunEvent], run: str) -> RunEvent | None:
    """That it resumed, or took a step instead."""
    kinds = ("resumed", "step")
    return next((event for event in told if event.run == run and event.kind in kinds), None)


def elsewhere(version: RunEvent, begun: RunEvent) -> tuple[str, str]:
    """Why what the second start begins with is not that it resumes from the version, and what to do; "" if it
    is."""
    if begun.kind == "step":
        return "it began again", BEGINNING
    if begun.ref != version.ref:
        meanwhile = f"See that nothing else saves {version.run}, or deletes of it, meanwhile."
        return f"it resumed from {begun.ref}, step {begun.step:,}", meanwhile
    return "", ""


def otherwise(first: Sequence[int], again: Sequence[int]) -> tuple[str, str]:
    """That other steps were trained than the first time, and what to do; "" if it were the same."""
    if list(first) == list(again):
        return "", ""
    then = steps_text(again[0], again[-1]) if again else "no step"
    return f"it trained {then}, and {steps_text(first[0], first[-1])} the first time", BEGINNING
