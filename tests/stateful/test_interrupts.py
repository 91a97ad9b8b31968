"""An exception may arrive between any two lines: Ctrl-C, or memory that runs out. What was acknowledged is
kept, and the same object goes on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver import Every, Keep, Saver, SaverError, repo
from saver.repo.state import users
from saver.storages.memory import MemoryStorage
from saver.testing import Interrupt, every_interrupt

SHARED = np.arange(20_000.0)
"""Large enough to be shared: versions that hold it lie in packs, with a manifest."""

REPO = os.path.dirname(repo.__file__)
STATE = os.path.join(REPO, "state")

SIZES = {15: 6, 31: 5, 330: 2}
"""Records of the stores (before the first checkpoint, before the second, with levels of pages), and how many
interrupts of each act are tried in them by default."""

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",  # of an interrupt in a finalizer, which Python reports
    "ignore:m0. a save that nobody waited for failed",
    "ignore:run. not enough memory for a snapshot",
)


def value(number: int, large: bool = False) -> dict[str, Any]:
    return {"number": number, "own": np.full(50, float(number)), **({"shared": SHARED} if large else {})}


class Open:
    """A store with the process that has it open, and what that process learned."""

    def __init__(self, records: int) -> None:
        self.storage, refs = _filled(records)
        self.saver = Saver(self.storage)
        self.saver.models()
        self.acknowledged = dict(refs)
        self.may_go: set[str] = set()
        self.target = MemoryStorage()

    def save(self, model: str, number: int, large: bool = False) -> None:
        version = self.saver.save(model, value(number, large), notes=str(number))
        self.acknowledged[str(version)] = number

    def delete(self, *refs: str) -> None:
        self.may_go.update(refs)
        self.saver.delete(*refs)


@cache
def _stored(records: int) -> tuple[MemoryStorage, dict[str, int]]:
    storage, refs = MemoryStorage(), {}
    first = Saver(storage)
    for number in range(records):
        model = f"m{number % 3}"
        version = first.save(
            model, value(number, number % 7 == 0), notes=str(number), metrics={"auc": number}
        )
        refs[str(version)] = number
    return storage, refs


def _filled(records: int) -> tuple[MemoryStorage, dict[str, int]]:
    storage, refs = _stored(records)
    return storage.copy(), refs


# The acts


def save(store: Open) -> None:
    for number in (1000, 1001, 1002):
        store.save("m0", number, number == 1001)


def save_beside(store: Open) -> None:
    handles = [store.saver.save("m0", value(n), notes=str(n), wait=False) for n in (1000, 1001)]
    for number, handle in zip((1000, 1001), handles, strict=True):
        store.acknowledged[str(handle.result())] = number


def annotate(store: Open) -> None:
    store.saver.tag("m0", "best")
    store.saver.label("m0@1", {"a": "b"})
    store.saver.note("m1", "of all versions")
    store.saver.untag("m0", "best")


def collect(store: Open) -> None:
    store.delete("m1@1", "m1@3")
    store.saver.gc(grace=0)
    store.saver.check()
    store.save("m0", 1000)
    store.delete("m0@1")
    store.saver.gc(grace=0)


def prune(store: Open) -> None:
    store.may_go.update(ref for ref in store.acknowledged if ref.startswith("m2@"))
    store.saver.prune("m2", Keep(last=2))


def read(store: Open) -> None:
    store.saver.load("m0@1")
    store.saver.load("m1", parts=["own"])
    assert [version.number for version in store.saver.versions("m0")][:2] == [1, 2]
    into = value(-1)
    store.saver.restore("m2@1", into={"own": into["own"]})


def others_saved(store: Open) -> None:
    """Another process fills the store, and then this one reads and saves on."""
    other = Saver(store.storage)
    for number in range(2000, 2020):
        store.acknowledged[str(other.save("m2", value(number), notes=str(number)))] = number
    store.saver.models()
    store.save("m2", 1000)


def train(store: Open) -> None:
    weights = np.zeros(50)
    with store.saver.checkpoints("run", {"own": weights}, every=Every(steps=2), keep=Keep(last=2)) as run:
        for step in range(run.resume(), 6):
            weights += 1
            run.step(step)
            run.flush()
    with store.saver.checkpoints("run", {"own": weights}, every=Every(steps=2)) as run:
        assert run.resume() == 6


def copy(store: Open) -> None:
    store.saver.backup(store.target)
    store.save("m0", 1000)
    store.saver.backup(store.target)


ACTS = (save, save_beside, annotate, collect, prune, read, others_saved, train, copy)


# What must hold afterwards


def judge(case: Interrupt[Open]) -> None:
    found = case.strike()
    store = found.subject
    if found.error is not None and not isinstance(found.error, SaverError):
        assert isinstance(found.error, case.error), found.error
    for number in range(3000, 3003):  # another model first: it must not hide what the view lost
        store.save("other", number)
    _collects(store)
    for process in (store.saver, Saver(store.storage)):
        _has_all(process, store)
    assert store.saver.backup(store.target).whole
    assert not Saver(store.target).check().damage
    store.save("m0", 4000)
    _has_all(Saver(store.storage), store)


def _collects(store: Open) -> None:
    """Another process collects, and finds all of it sound."""
    fresh = Saver(store.storage)
    fresh.gc(grace=0)
    checked = fresh.check()
    assert not checked.damage
    assert not checked.garbage


def _has_all(process: Saver, store: Open) -> None:
    there = {str(version): version for model in process.models() for version in process.versions(model)}
    assert not store.acknowledged.keys() - there.keys() - store.may_go
    for ref in list(there)[:: 1 + len(there) // 40]:  # `check` has verified all of them
        loaded = process.load(ref)
        if not ref.startswith("run@"):
            assert loaded["number"] == int(there[ref].notes) == store.acknowledged.get(ref, loaded["number"])


def _ends(cases: list[Interrupt[Open]], *files: str) -> list[Interrupt[Open]]:
    """The interrupts at the last time of each line of these files."""
    last = {(case.line, case.error): case.time for case in cases}
    return [case for case in cases if case.line[0] in files and case.time == last[case.line, case.error]]


def test_what_a_record_changes_is_seen_whole_or_not_at_all() -> None:
    cases = every_interrupt(
        lambda: Open(15), lambda store: store.save("m0", 1000), errors=[KeyboardInterrupt], folder=STATE
    )
    chosen = _ends(cases, "view.py")
    assert len(chosen) > 20
    for case in chosen:
        _judged(case)


def test_an_interrupt_just_after_the_record_keeps_the_version() -> None:
    cases = every_interrupt(
        lambda: Open(1), lambda store: store.save("m0", 1000), errors=[KeyboardInterrupt], folder=REPO
    )
    chosen = _ends(cases, "commit.py", "written.py")
    assert len(chosen) > 50
    for case in chosen:
        storage = case.strike().subject.storage
        assert not Saver(storage).check().damage, case
        for version in Saver(storage).versions("m0"):
            assert Saver(storage).load(version)["number"] == int(version.notes), case


@pytest.mark.parametrize("many", [0, 10_000], ids=["reads all anew", "reads what is new"])
def test_a_collector_that_was_interrupted_still_knows_what_is_needed(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "MANY", many)

    def make() -> Open:
        store = Open(15)
        store.saver.gc(grace=0)
        store.delete("m1@1")
        return store

    def collected(store: Open) -> None:
        store.saver.gc(grace=0)

    cases = every_interrupt(make, collected, errors=[KeyboardInterrupt], folder=STATE)
    chosen = _ends(cases, "users.py")
    assert len(chosen) > 20
    for case in chosen:
        store = case.strike().subject
        store.save("other", 1)
        store.saver.gc(grace=0)
        checked = store.saver.check()
        assert not checked.damage, case
        assert not checked.garbage, case


def test_a_save_in_the_background_that_was_interrupted_stops_no_later_one() -> None:
    def begun(store: Open) -> None:
        store.saver.save("m0", value(1000), notes="1000", wait=False).result()

    cases = [case for case in every_interrupt(lambda: Open(1), begun) if case.line[0] == "handle.py"]
    assert len(cases) > 20
    for case in cases:
        store = case.strike().subject
        store.save("m0", 1001)
        assert [int(version.notes) for version in store.saver.versions("m0")][-1] == 1001, case


@pytest.mark.parametrize(
    ("act", "records"),
    [(act, records) for act in ACTS for records in SIZES if records < 330 or act not in (collect, copy)],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_an_interrupt_at_any_line_loses_nothing(act: Callable[[Open], None], records: int) -> None:
    for case in every_interrupt(lambda: Open(records), act, sample=SIZES[records]):
        _judged(case)


@pytest.mark.long
@pytest.mark.parametrize("records", SIZES)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_all_interrupts_at_the_first_and_last_time_of_each_line(
    act: Callable[[Open], None], records: int
) -> None:
    cases = every_interrupt(lambda: Open(records), act)
    last = {(case.line, case.error): case.time for case in cases}
    tried = [case for case in cases if case.time in (1, last[case.line, case.error])]
    print(f"{act.__name__}, {records} records: {len(tried)} interrupts of {len(cases)}")
    for case in tried:
        _judged(case)


def _judged(case: Interrupt[Open]) -> None:
    try:
        judge(case)
    except BaseException as error:
        error.add_note(str(case))
        raise


def test_an_interrupted_dump_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    def make() -> Path:
        saver.dump(value(1), tmp_path / "file.saver")
        return tmp_path / "file.saver"

    for case in every_interrupt(make, lambda path: saver.dump(value(2), path), sample=50):
        found = case.strike()
        assert saver.load(found.subject)["number"] in ((1, 2) if found.error is not None else (2,)), case
        assert [path.name for path in tmp_path.iterdir()] == ["file.saver"], case


def test_an_interrupt_leaves_no_exception_being_handled() -> None:
    """Such as the one of the `except` that it struck in: later exceptions would have it as their context."""

    def act(_: None) -> bool:
        try:
            return bool([].pop())
        except IndexError:
            return False

    for case in every_interrupt(lambda: None, act, folder=os.path.dirname(__file__)):
        assert isinstance(case.strike().error, case.error)
        assert sys.exc_info() == (None, None, None), str(case)
