"""The proof in separate processes: two of them train the same steps, and the results must be equal."""

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

CAUSE = "perhaps the position in the data, or a value of a process that also trained earlier steps"

SAVING = "save sooner, or wait longer with --patience"


class Wanted(NamedTuple):
    """The arguments of a proof: train `steps` steps from the version of the `saves`th save."""

    command: tuple[str, ...]
    steps: int
    saves: int
    patience: float


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a proof. Both times the script trained from the version `ref`, saved at `step`; or there
    is a `problem`, and no proof.
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
        """The failure in one line."""
        if self.proof is None:
            return f"{self.run} did not resume from {self.ref}: {self.problem}"
        return f"{self.run} does not resume to the bit from {self.ref}: {self.proof.first}"


# The two starts


def prove(wanted: Wanted, waiting: Waiting) -> Proven:
    """Start the script twice, and compare. Raises RehearsalError if the first start leaves nothing to
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
    """The first start: the save from which it trained, and the result."""
    asked = Asked(str(folder / "1.saver"), wanted.steps, wanted.saves)
    count = f"{wanted.steps:,} step{'' if wanted.steps == 1 else 's'}"
    with Script(wanted.command, folder / "1", asked.variables()) as script:
        with waiting("Waiting until it has saved"):
            saved = script.wait_for(
                "it had saved", lambda events: chosen(events, wanted.saves), wanted.patience, SAVING
            )
        with waiting(f"Training {count} from {saved.ref}"):
            version = script.wait_for(f"it had trained {count} more", recorded, wanted.patience)
    trained = read(asked.path, version.step)
    if not trained.steps:
        raise RehearsalError(
            f"the training of {version.run} ended with {version.ref}, so no step was left to prove; train "
            "longer, or save sooner"
        )
    return version, trained


class _Again(NamedTuple):
    """The second start: what it trained, or the problem and the advice."""

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
                    "it had resumed", lambda events: resumed_or_stepped(events, version.run), wanted.patience
                )
            problem, advice = wrong_start(version, begun)
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
        problem, advice = other_steps(first.steps, trained.steps)
    events = [event for event in script.events if event.run == version.run]
    return _Again(trained, resumed_by(events, script.began), problem, advice)


# Decisions


def chosen(events: Sequence[RunEvent], saves: int) -> RunEvent | None:
    """The save to train from: the first that is the `saves`th of its run; None until there is one."""
    counts: dict[str, int] = {}
    for event in events:
        if event.kind == "saved":
            counts[event.run] = counts.get(event.run, 0) + 1
            if counts[event.run] == saves:
                return event
    return None


def recorded(events: Sequence[RunEvent]) -> RunEvent | None:
    """The save from which a run trained, once it has recorded the resulting state; None before. Of several
    runs in a script, it is the first that records.
    """
    ref = next((event.ref for event in events if event.kind == "recorded"), None)
    kinds = ("saved", "resumed")
    return next((event for event in events if event.kind in kinds and event.ref == ref), None)


def resumed_or_stepped(events: Sequence[RunEvent], run: str) -> RunEvent | None:
    """The event that says that it resumed, or took a step instead; None before."""
    kinds = ("resumed", "step")
    return next((event for event in events if event.run == run and event.kind in kinds), None)


def wrong_start(version: RunEvent, begun: RunEvent) -> tuple[str, str]:
    """The problem and the advice if the second start did not resume from the version; both "" if it did."""
    if begun.kind == "step":
        return "it started from the beginning", BEGINNING
    if begun.ref != version.ref:
        meanwhile = f"Make sure that nothing else saves or deletes versions of {version.run} meanwhile."
        return f"it resumed from {begun.ref}, step {begun.step:,}", meanwhile
    return "", ""


def other_steps(first: Sequence[int], again: Sequence[int]) -> tuple[str, str]:
    """The problem and the advice if the two starts trained different steps; both "" if they did not."""
    if list(first) == list(again):
        return "", ""
    then = steps_text(again[0], again[-1]) if again else "no step"
    return f"it trained {then}, and {steps_text(first[0], first[-1])} the first time", BEGINNING
