"""Every fault that a store can meet, at every call: in stores of hundreds of records, and one at a time.

By default a sample, always the same; all of them with `pytest -m long tests/stateful/test_every_fault.py -s`,
which prints how many there were.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from large import (
    INTERVAL,
    RECORDS,
    Act,
    Failed,
    Large,
    checks,
    collects,
    deletes,
    held,
    lists,
    loads,
    made,
    opened,
    resumes,
    saves,
    tags,
    trains,
    untags,
    value,
)
from log_truth import Moment, Truth, checkpoints, content_of, newest_checkpoint
from store_judge import Judge, listing
from unsynced import Unsynced

from saver import DamagedError, Saver, SaverError
from saver.storage import Storage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.testing import (
    DamageCase,
    FaultCase,
    FaultyFiles,
    FileFault,
    Tally,
    every_damage,
    every_fault,
    every_file_fault,
    overtaken,
)

SAMPLE = 24
"""Faults that are tried of each act by default."""

LONG = 6_000
"""Of each act at most, with `-m long`: most acts can meet fewer, and then it is all of them."""

WHERE = ["beyond", "due"]

ACTS: dict[str, Act] = {
    "load": Act(loads("m0", "m1@best", "m2@step=147")),
    "list": Act(lists),
    "save": Act(saves("m0", "5000", step=7000, tags=["best"])),
    "tag": Act(tags("m0", "best"), untags("m1", "best")),
    "delete": Act(deletes("m2@latest"), deletes("m3@best")),
    "gc": Act(deletes("m2@latest"), collects),
    "check": Act(checks),
    "train": Act(trains),
    "resume": Act(resumes),
    "a working day": Act(
        lists,
        saves("m0", "5000", step=7000, tags=["best"]),
        tags("m1", "best"),
        deletes("m2@latest"),
        loads("m0", "m1@best"),
    ),
}

EVERYTHING = (
    lists,
    loads("m0", "m1@best", "m2@step=147"),
    saves("m0", "5000", step=7000, tags=["best"]),
    tags("m1", "best"),
    deletes("m2@latest"),
    collects,
    lists,
)


@pytest.fixture(scope="module", autouse=True)
def _still_clocks() -> Iterator[None]:
    """What is done twice leaves the same bytes, so that it need be judged once only."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("saver.encoding.time", "saver.checkpoints.saving.time"):
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


C = TypeVar("C")


def survived(cases: Sequence[C], one: Callable[[C], None]) -> None:
    """Try all cases; those that are not survived are reported together."""
    failed = []
    for case in cases:
        try:
            one(case)
        except Exception as error:
            failed.append(f"{case}: {type(error).__name__}: {str(error)[:300]}")
    if failed:
        told = "\n".join(failed[:40])
        raise AssertionError(f"{len(failed)} of {len(cases)} were not survived:\n{told}")


@pytest.mark.parametrize("where", WHERE)
def test_the_store_is_large(where: str, large: Large) -> None:
    content = content_of(getattr(large, where))
    truth = Truth(content)
    assert truth.head >= RECORDS
    assert bool(truth.head % INTERVAL) == (where == "beyond"), "the next checkpoint is due where it says so"
    _, levels = newest_checkpoint(content)
    assert len(levels) >= 3
    assert len(truth.condemned) > 50
    assert len(truth.now.live) > 100
    assert sum(key.startswith("packs/") for key in content) > 100


# A store that fails


def enumerated(large: Large, tally: Tally, act: str, where: str, sample: int | None) -> None:
    store: MemoryStorage = getattr(large, where)
    seed = zlib.crc32(f"{act} {where}".encode())
    cases = every_fault(store.copy, ACTS[act], sample=sample, seed=seed)
    judge = Judge(content_of(store))

    def one(case: FaultCase) -> None:
        struck = case.strike()
        tally.add(act, case.kind.name.removesuffix(" from then on"), struck.storage)
        judge(struck, case.call.split(" ", 1)[1])

    survived(cases, one)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("act", ACTS)
def test_no_fault_loses_or_forges_anything(act: str, where: str, large: Large, tally: Tally) -> None:
    enumerated(large, tally, act, where, SAMPLE)


@pytest.mark.long
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("act", ACTS)
def test_no_fault_at_all_loses_or_forges_anything(act: str, where: str, large: Large, tally: Tally) -> None:
    enumerated(large, tally, act, where, LONG)


# Others who act between two calls


def crowded(large: Large, tally: Tally, act: str, where: str, sample: int | None) -> None:
    store: MemoryStorage = getattr(large, where)
    judge = Judge(content_of(store))

    def others(inner: Storage) -> None:
        other = opened(inner, "other")
        other.save("m0", value("4000"), notes="4000", step=4000, tags=["best"])
        other.delete("m3@latest", tags=True)
        other.gc(grace=0)

    def one(case: FaultCase) -> None:
        struck = case.strike()
        tally.add(act, "somebody else saves, deletes and collects", struck.storage)
        judge(struck)

    survived(every_fault(store.copy, ACTS[act], overtaken(others), sample), one)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("act", ACTS)
def test_somebody_else_may_act_at_any_moment(act: str, where: str, large: Large, tally: Tally) -> None:
    crowded(large, tally, act, where, 4)


@pytest.mark.long
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("act", ACTS)
def test_somebody_else_may_act_at_every_moment(act: str, where: str, large: Large, tally: Tally) -> None:
    crowded(large, tally, act, where, LONG)


# Damage that stays


def shortcuts(store: MemoryStorage, sample: int | None) -> list[DamageCase]:
    cases = every_damage(store.copy, "state/")
    kept = [case for case in cases if case.key.endswith(".json")]
    return kept if sample is None else random.Random(0).sample(kept, sample)


def damaged(large: Large, tally: Tally, sample: int | None) -> None:
    """Shortcuts that are damaged are named by a check, made anew, and otherwise as if they were not there."""
    content = content_of(large.beyond)
    judge, told = Judge(content), 0
    needed = {key for _, levels in checkpoints(content) for level in levels for key in level}

    def one(case: DamageCase) -> None:
        nonlocal told
        tally.add("damaged shortcuts", case.how)
        store = case.storage()
        _, did = Act(*EVERYTHING)(store)
        assert not [each for each in did if isinstance(each[-1], Failed)], "nothing needs a shortcut"
        judge.left(_checked(store), did)
        store = case.storage()
        named = {damage.key for damage in opened(store).check().damage}
        assert named <= {case.key}
        if case.how != "missing" or case.key in needed:
            assert named == {case.key}, "a check does not name it"
            told += 1
        assert isinstance(store, MemoryStorage)
        judge.left(store, [])

    survived(shortcuts(large.beyond, sample), one)
    assert told


def _checked(store: Storage) -> MemoryStorage:
    """The store, after a check that found what nobody else had stumbled over."""
    assert isinstance(store, MemoryStorage)
    opened(store, "first").check()
    return store


def test_a_damaged_shortcut_is_as_if_it_were_not_there(large: Large, tally: Tally) -> None:
    damaged(large, tally, 12)


@pytest.mark.long
def test_every_damaged_shortcut_is_as_if_it_were_not_there(large: Large, tally: Tally) -> None:
    damaged(large, tally, None)


def spoilt(large: Large, tally: Tally, prefix: str, sample: int | None) -> None:
    """What is not a shortcut: nothing else is lost with it, nothing is forged, and a check names it alone."""
    content = content_of(large.beyond)
    truth = Truth(content).now
    cases = every_damage(large.beyond.copy, prefix, sample=sample)

    def one(case: DamageCase) -> None:
        tally.add(f"damaged {prefix.removesuffix('/')}", case.how)
        store = case.storage()
        lost = loaded(opened(store), truth)
        try:
            named = {damage.key for damage in opened(store).check().damage}
        except DamagedError:
            assert prefix in ("log/", "store.json"), "only without the log nothing is known"
            return
        assert named <= {case.key}
        assert bool(named) >= bool(lost), f"{lost} are lost, and a check is content"
        try:
            opened(store).gc(grace=0)
        except SaverError:
            pass  # it may refuse, and delete nothing
        assert loaded(opened(store), truth) <= lost, "collecting lost more"
        assert opened(store).save("m4", value("1")).number == Truth(content).last["m4"] + 1

    survived(cases, one)


def loaded(store: Saver, truth: Moment) -> set[str]:
    """Which versions cannot be loaded; all others are what the log says."""
    lost = set[str]()
    for ref, told in truth.live.items():
        try:
            found = held(store.load(ref))
        except SaverError:
            lost.add(ref)
        else:
            assert found == told.holds, f"{ref} gave {found}"
    return lost


@pytest.mark.parametrize("prefix", ["log/", "manifests/", "packs/", "store.json"])
def test_a_damaged_object_takes_nothing_else_with_it(prefix: str, large: Large, tally: Tally) -> None:
    spoilt(large, tally, prefix, 8)


@pytest.mark.long
@pytest.mark.parametrize("prefix", ["log/", "manifests/", "packs/", "store.json"])
def test_no_damaged_object_takes_anything_else_with_it(prefix: str, large: Large, tally: Tally) -> None:
    spoilt(large, tally, prefix, None)


# A file system that fails


FILE_ACTS = {
    "load": Act(loads("m0", "m1@best", "m2@step=147"), lists),
    "save": Act(saves("m0", "5000", step=7000, tags=["best"])),
    "delete and gc": Act(deletes("m2@latest"), collects),
    "check": Act(checks),
}


def from_files(large: Large, tally: Tally, folder: Path, name: str, sample: int | None) -> None:
    """Every read of a file system fails once, or gives less than it could."""
    first, place = folder / "first", folder / "place"
    written(large.due, first)
    shutil.copytree(first, place, copy_function=os.link)
    judge = Judge(content_of(large.due))

    def act(files: FaultyFiles) -> tuple[MemoryStorage, list[Any], list[Any]]:
        actor, told = FILE_ACTS[name](LocalStorage(place, files))
        seen: list[Any] = []
        while not seen:
            try:
                lists(actor, seen)
            except SaverError:  # the fault came now; there is one only
                assert files.struck
        store = read(place, first, large.due)
        put_back(place, first)
        return store, seen, told

    def one(case: FileFault) -> None:
        result, error = case.strike()
        if error is not None:
            raise error
        store, seen, told = result
        tally.add(f"{name}, files", errno.errorcode.get(case.number, "a short read"), store)
        if not case.number:
            assert not [each for each in told if isinstance(each[-1], Failed)], "a short read is not an error"
        found = [damage.key for what, *facts in told if what == "checked" for damage in facts[0].damage]
        assert len({*found}) <= 1, "one call failed, and a check names many objects"
        truth = judge.left(store, told, *found[:1])
        assert listing(seen[0][1]) == truth.now.live, "who met the fault sees something else"

    survived(every_file_fault(act, Unsynced(), sample=sample), one)
    assert content_of(read(first)) == content_of(large.due), "no object ever changes"


def written(store: MemoryStorage, folder: Path) -> None:
    """The objects of a store as files, in a folder."""
    for key in store.keys(""):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.read(key))


def read(folder: Path, first: Path | None = None, known: MemoryStorage | None = None) -> MemoryStorage:
    """The objects in a folder; those that are links to files of the `first` are `known`."""
    store = MemoryStorage()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            key = path.relative_to(folder).as_posix()
            same = first is not None and (first / key).exists() and path.samefile(first / key)
            store.create(key, known.read(key) if same and known is not None else path.read_bytes())
    return store


def put_back(place: Path, first: Path) -> None:
    """Make a folder what it was: links to the files of the first."""
    for path in sorted(place.rglob("*"), reverse=True):
        if not (first / path.relative_to(place)).exists():
            path.rmdir() if path.is_dir() else path.unlink()
    for path in first.rglob("*"):
        there = place / path.relative_to(first)
        if path.is_dir():
            there.mkdir(exist_ok=True)
        elif not there.exists() or not there.samefile(path):
            assert not there.exists() or "state" in path.parts, "only a shortcut is ever made anew"
            there.unlink(missing_ok=True)
            os.link(path, there)


@pytest.mark.parametrize("name", FILE_ACTS)
def test_a_file_system_may_fail_to_read_at_any_moment(
    name: str, large: Large, tally: Tally, tmp_path: Path
) -> None:
    from_files(large, tally, tmp_path, name, 10)


@pytest.mark.long
@pytest.mark.parametrize("name", FILE_ACTS)
def test_a_file_system_may_fail_to_read_at_every_moment(
    name: str, large: Large, tally: Tally, tmp_path: Path
) -> None:
    from_files(large, tally, tmp_path, name, LONG)
