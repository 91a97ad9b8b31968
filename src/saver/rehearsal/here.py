"""The proof within this process: train some steps, then the same steps again from what would be saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from saver.checkpoints import Checkpoints
from saver.checkpoints.events import Event, StepTaken
from saver.checkpoints.objects import RANDOM, Objects
from saver.encoding import encode
from saver.environment import package_version
from saver.errors import DoesNotFitError
from saver.opened import Opened
from saver.random_states import continued, random_states
from saver.rehearsal.memento import Memento
from saver.rehearsal.proof import Number, Proof, Trained, comparable, compared, unfit
from saver.repo import reading
from saver.repo.draft import Draft
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.version import Version
from saver.storages.memory import MemoryStorage


def prove(run: Checkpoints, train_step: Callable[[int], Any], *, steps: int = 3) -> Proof:
    """Whether training resumes to the bit from what a run saves; see `Proof`, whose text says why not.

        print(prove(run, train_step, steps=10))

    Trains `steps` steps from here, restores what would have been saved into the objects, and trains the
    same steps again: `train_step(step)` does what the loop does, and may return its loss. Afterwards the
    objects, the random states and the log are put back, so training continues as if nothing had happened;
    `run.step` saves nothing meanwhile. Takes memory for four copies of the state; writes nothing to the
    store.

    If training makes of the objects what cannot be restored into them, such as an optimizer with another
    parameter group, the proof says so. Raises ValueError if `steps` is less than 1, DoesNotFitError if an
    object refuses its own state, and whatever saving and `train_step` raise.
    """
    if steps < 1:
        raise ValueError(f"steps={steps} would prove nothing; pass 1 or more")
    reported: list[Number] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepTaken):
            reported.extend(Number(event.step, *metric) for metric in event.moment.metrics.items())

    start = run.progress.step + 1
    with run.aside(listen) as objects:
        return _trained_twice(objects, train_step, range(start, start + steps), reported)


def _trained_twice(
    objects: Objects, train_step: Callable[[int], Any], steps: range, reported: list[Number]
) -> Proof:
    """`reported` receives the metrics of a step while it is trained."""
    held = _Memory()
    before, chance = Memento(objects.live.values()), random_states()
    begin = held.save(comparable(objects))

    def train() -> Trained:
        reported.clear()
        for step in steps:
            value = _number(train_step(step))
            if value is not None:
                reported.append(Number(step, "the value that train_step returned", value))
        state = held.open(held.save(comparable(objects)))
        return Trained(steps, state, list(reported))

    try:
        first = train()
        misfit = _rewind(objects, held.open(begin))
        second = None if misfit is not None else train()
    finally:
        before.put_back()  # by other means than those that the proof is about
        continued(chance)()
    return compared(first, second) if second is not None else unfit(steps, misfit)


def _rewind(objects: Objects, opened: Opened) -> DoesNotFitError | None:
    """Restore the objects and the random states. Returns why that is impossible, if the objects became
    others; raises it if one of them refuses its own state."""
    try:
        objects.put_back(opened, "*")  # these objects never left this process
    except DoesNotFitError as error:
        parts = getattr(error.report, "parts", {}).values()
        if not any(part.missing or part.unexpected or part.mismatched for part in parts):
            raise
        return error
    continued(opened.load("*", [RANDOM])[RANDOM])()
    return None


class _Memory:
    """Versions of the state, kept in memory without disk and index."""

    def __init__(self) -> None:
        self._store = MemoryStorage("proof")
        self._repo = Repository(self._store)

    def save(self, state: dict[str, Any]) -> Version:
        encoded = encode(state)
        known = ((name, package_version(name)) for name in encoded.packages)  # not those of a script
        return save_version(
            self._repo,
            Draft(
                model="proof", encoded=encoded, time=time.time(),
                environment={"packages": {name: version for name, version in known if version}},
            )
        )  # fmt: skip

    def open(self, version: Version) -> Opened:
        found, where = self._repo.described(version), "the state before the proof"
        tensors = reading.source(self._repo, version, found)
        return Opened(found.manifest, tensors, where, version.bytes, version.manifest)


def _number(value: Any) -> float | None:
    """A number, or the only element of an array or tensor; None for anything else."""
    found = value.item() if getattr(value, "size", None) == 1 or _is_single(value) else value
    return float(found) if isinstance(found, (int, float)) else None


def _is_single(value: Any) -> bool:
    """Whether this is a tensor of one element."""
    count = getattr(value, "numel", None)
    return callable(count) and count() == 1
