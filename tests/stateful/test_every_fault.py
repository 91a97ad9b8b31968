"""Every fault that a store can meet, at every call: in stores of hundreds of records, and one at a time.

By default a sample, always the same; all of them with `pytest -m long tests/stateful/test_every_fault.py -s`,
which prints how many there were.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judging import Judge
from large import (
    RECORDS,
    Act,
    Large,
    checks,
    collects,
    deletes,
    lists,
    loads,
    made,
    resumes,
    saves,
    tags,
    trains,
    untags,
)
from truth import Truth, content_of, newest_checkpoint

from saver.stores.memory import MemoryStore
from saver.testing import FaultCase, Tally, every_fault

SAMPLE = 60
"""Faults that are tried of each act by default."""

ACTS: dict[str, Act] = {
    "load": Act(loads("m0", "m1@best", "m2@step=147")),
    "list": Act(lists),
    "save": Act(saves("m0", "5000", step=7000, tags=["best"])),
    "tag": Act(tags("m0", "best"), untags("m1", "best")),
    "delete": Act(deletes("m2"), deletes("m3@best")),
    "gc": Act(deletes("m2"), collects),
    "check": Act(checks),
    "train": Act(trains),
    "resume": Act(resumes),
    "a working day": Act(
        lists,
        saves("m0", "5000", step=7000, tags=["best"]),
        tags("m1", "best"),
        deletes("m2"),
        loads("m0", "m1@best"),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def _still_clocks() -> Iterator[None]:
    """What is done twice leaves the same bytes, so that it need be judged once only."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("saver.saver.time", "saver.checkpoints.saving.time"):
            patch.setattr(place, _Clock())
        patch.setattr("saver.training_log.log.now", lambda: 1_700_000_000.0)
        yield


class _Clock:
    monotonic = perf_counter = staticmethod(lambda: 1000.0)
    time = staticmethod(lambda: 1_700_000_000.0)


@pytest.fixture(scope="module")
def large() -> Large:
    return made()


@pytest.fixture(scope="module")
def tally() -> Iterator[Tally]:
    found = Tally()
    yield found
    print(f"\n{found}\n\n{found.total:,} faults, {found.states:,} states")


def key_of(case: FaultCase) -> str:
    return case.call.split(" ", 1)[1]


def tried(tally: Tally, name: str, cases: list[FaultCase], judge: Judge) -> None:
    """Try all cases; those that are not survived are told together."""
    failed = []
    for case in cases:
        struck = case.strike()
        tally.add(name, case.kind.name.removesuffix(" from then on"), struck.store)
        try:
            judge(struck, key_of(case))
        except Exception as error:
            failed.append(f"{name}, {case}: {type(error).__name__}: {str(error)[:300]}")
    if failed:
        told = "\n".join(failed[:40])
        raise AssertionError(f"{len(failed)} of {len(cases)} faults were not survived:\n{told}")


@pytest.mark.parametrize("where", ["beyond", "due"])
def test_the_store_is_large(large: Large, where: str) -> None:
    content = content_of(getattr(large, where))
    truth = Truth(content)
    assert truth.head >= RECORDS
    assert truth.head % 16 if where == "beyond" else not truth.head % 16
    _, levels = newest_checkpoint(content)
    assert len(levels) >= 3
    assert len(truth.condemned) > 100
    assert len(truth.now.live) > 100
    assert sum(key.startswith("packs/") for key in content) > 100


def enumerated(large: Large, tally: Tally, act: str, where: str, sample: int | None) -> None:
    store: MemoryStore = getattr(large, where)
    cases = every_fault(store.copy, ACTS[act], sample=sample)
    tried(tally, act, cases, Judge(content_of(store)))


@pytest.mark.parametrize("where", ["beyond", "due"])
@pytest.mark.parametrize("act", ACTS)
def test_no_fault_loses_or_forges_anything(act: str, where: str, large: Large, tally: Tally) -> None:
    enumerated(large, tally, act, where, SAMPLE)


@pytest.mark.long
@pytest.mark.parametrize("where", ["beyond", "due"])
@pytest.mark.parametrize("act", ACTS)
def test_no_fault_at_all_loses_or_forges_anything(act: str, where: str, large: Large, tally: Tally) -> None:
    enumerated(large, tally, act, where, None)
