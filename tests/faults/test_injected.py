"""System calls that fail, kill or interrupt, at the Nth: nothing acknowledged is lost, and nothing is torn.

The process goes on with its other acts after one that failed; then another one judges the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from beginning import Before
from injecting import FAULTS, INTERRUPT, KILL, Fault, counted, kinds, refused, sampled, struck
from living import Lives

_REFUSED = refused()
pytestmark = pytest.mark.skipif(_REFUSED is not None, reason=_REFUSED or "")

Record = Callable[[str, object], None]


class Trials:
    """Faults, one after the other, each in a life of its own on a copy of a store."""

    def __init__(self, lives: Lives, before: Before, life: str, place: Path, record: Record) -> None:
        self._lives = lives
        self._before = before
        self._life = life
        self._folder = place / "models"
        self._log = place / "strace.log"
        self._record = record

    def _task(self) -> dict[str, object]:
        return {"folder": str(self._before.copy(self._folder)), "life": self._life}

    def counts(self) -> Counter[str]:
        return counted(self._lives, self._task(), self._log)

    def run(self, faults: Iterable[Fault]) -> None:
        """Fails with all that is not as promised, by fault."""
        wrong: list[str] = []
        took_place: Counter[str] = Counter()
        for fault in faults:
            found = struck(self._lives, self._task(), fault, self._log)
            took_place[f"{fault.call} {fault.kind.partition('=')[2]}"] += found.struck
            if fault.kind == KILL:
                assert found.life.killed == found.struck
            told = self._lives.judged(self._folder, self._before.seeds, found.life)
            wrong += [f"{fault}: {line}" for line in told]
        for name, count in took_place.items():
            self._record(f"faults {name}", count)
        assert not wrong, f"{len(wrong)} broken promises:\n" + "\n".join(wrong[:40])


CALLS = [call for call in FAULTS if call != "mmap"]
"""Python gets the memory with which a thread begins by mmap, and waits for ever for one that has none: see
docs/reliability.md. What Saver itself maps is among `READING`."""
READING = ["openat", "pread64", "newfstatat", "fstat", "getdents64", "close", "mmap", "preadv2"]


def test_each_kind_of_call_that_fails_in_a_store_of_two_versions(
    lives: Lives, few: Before, place: Path, record_property: Record
) -> None:
    trials = Trials(lives, few, "everything", place, record_property)
    trials.run(sampled(24, trials.counts(), CALLS, seed=10))


def test_and_in_a_store_of_hundreds_of_records(
    lives: Lives, hundreds: Before, place: Path, record_property: Record
) -> None:
    trials = Trials(lives, hundreds, "briefly", place, record_property)
    trials.run(sampled(10, trials.counts(), READING, seed=11))


@pytest.mark.parametrize("kind", [KILL, INTERRUPT])
def test_a_process_that_is_killed_or_interrupted_at_any_call(
    kind: str, lives: Lives, few: Before, place: Path, record_property: Record
) -> None:
    trials = Trials(lives, few, "everything", place, record_property)
    trials.run(fault._replace(kind=kind) for fault in sampled(len(CALLS), trials.counts(), CALLS, seed=12))


def test_a_call_that_fails_from_some_moment_on(
    lives: Lives, few: Before, place: Path, record_property: Record
) -> None:
    """Not once, but each time: a disk that is gone, descriptors that are used up."""
    trials = Trials(lives, few, "everything", place, record_property)
    faults = [f for f in sampled(24, trials.counts(), CALLS, seed=13) if f.kind not in (KILL, INTERRUPT)]
    trials.run(Lasting(*fault) for fault in faults if not is_endless(fault))


class Lasting(Fault):
    """A fault that stays."""

    def __str__(self) -> str:
        return super().__str__() + "+"


def is_endless(fault: Fault) -> bool:
    """What the interpreter tries again until it succeeds, as it should with a signal that came."""
    return fault.kind in ("error=EINTR", "error=EAGAIN")


@pytest.mark.long
@pytest.mark.parametrize(("call", "kind"), [(call, kind) for call in CALLS for kind in kinds(call)])
def test_every_call_of_a_small_store(
    call: str, kind: str, lives: Lives, few: Before, place: Path, record_property: Record
) -> None:
    trials = Trials(lives, few, "briefly", place, record_property)
    count = trials.counts()[call]
    trials.run(Fault(call, kind, number) for number in range(1, count + 1))


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
def test_many_calls_of_all_acts(
    call: str, lives: Lives, few: Before, place: Path, record_property: Record
) -> None:
    trials = Trials(lives, few, "everything", place, record_property)
    trials.run(sampled(120, trials.counts(), [call], seed=14))


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
def test_many_calls_of_a_store_of_hundreds_of_records(
    call: str, lives: Lives, hundreds: Before, place: Path, record_property: Record
) -> None:
    trials = Trials(lives, hundreds, "briefly", place, record_property)
    trials.run(sampled(60, trials.counts(), [call], seed=15))
