"""Logs of trainings, and how a rehearsal of one went, as `plot` and `rehearse` print them."""

from __future__ import annotations

from saver.documents.differences import Amount
from saver.documents.piece import Number, Piece, Whole


class Event(Piece, frozen=True):
    """What happened to a run at a step: it was saved as `ref`, or resumed from it."""

    kind: str
    step: int
    time: Number
    ref: str


class Run(Piece, frozen=True):
    """A training log. A row has its `step`, `epoch` and `time` if these are known, and the metrics of that
    step."""

    run: str
    metrics: tuple[str, ...]
    events: tuple[Event, ...]
    rows: tuple[dict[str, int | Number], ...]


class Runs(Whole, frozen=True, tag="saver.runs.1"):
    """`saver plot`."""

    runs: tuple[Run, ...]


class Ended(Piece, frozen=True):
    """How a script ended: how many seconds after the signal, by what, and whether before SIGKILL."""

    seconds: float
    status: str
    within_grace: bool


class LastSave(Piece, frozen=True):
    """The newest version at the end; `seconds` after the signal, negative if it was saved before."""

    ref: str
    step: int
    seconds: float


class Resumed(Piece, frozen=True):
    """Where the second start resumed; `seconds` until it had taken a step, null if none was left."""

    ref: str
    step: int
    seconds: float | None


class Rehearsal(Whole, frozen=True, tag="saver.rehearsal.1"):
    """`saver rehearse`; `good` if no step was lost. Steps are the last finished one each time."""

    command: tuple[str, ...]
    run: str
    signal: str
    grace: float
    step_at_signal: int
    noticed_seconds: float | None
    last_step: int
    ended: Ended
    saved: LastSave | None
    resumed: Resumed | None
    steps_lost: int
    problem: str
    good: bool


class Differing(Piece, frozen=True):
    """A value that was not the same both times, as text if that is short."""

    path: str
    old: str | None
    new: str | None
    amount: Amount | None


class Proof(Piece, frozen=True):
    """The result of training the steps `start` to `last` twice: how many values differ, the first of them,
    and the first step (`since`) for which a logged number differs."""

    start: int
    last: int
    steps: int
    differences: int
    first: Differing | None
    since: int | None
    advice: str


class Proven(Whole, frozen=True, tag="saver.proven.1"):
    """`saver rehearse --prove`; `good` if all bits agree; `proof` is null if a `problem` prevented it."""

    command: tuple[str, ...]
    run: str
    ref: str
    step: int
    steps_asked: int
    resumed: Resumed | None
    proof: Proof | None
    problem: str
    advice: str
    good: bool
