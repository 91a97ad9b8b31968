"""The enumerator itself: it tries every fault once, and finds out what does not survive them."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import saver
from saver.errors import (
    CannotReadError,
    CannotWriteError,
    CommitUnknownError,
    DamagedError,
    NotFoundError,
    SaverError,
)
from saver.storage import Storage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage
from saver.testing import (
    KINDS,
    READ_KINDS,
    WRITE_KINDS,
    Crash,
    FaultyFiles,
    FaultyStorage,
    Kind,
    Tally,
    every_damage,
    every_fault,
    every_file_fault,
    overtaken,
)

KIND = {kind.name: kind for kind in KINDS}


def filled() -> MemoryStorage:
    storage = MemoryStorage()
    for number in range(4):
        storage.create(f"state/{number}", bytes([number]) * 10)
    return storage


def read_two(storage: Storage) -> tuple[bytes, bytes]:
    return storage.read("state/1"), storage.read("state/1")


def struck(kind: str, at: int = 1) -> FaultyStorage:
    storage = FaultyStorage(filled())
    storage.strike(at, KIND[kind])
    return storage


def test_every_call_fails_once_in_every_way_that_it_can() -> None:
    def act(storage: Storage) -> None:
        storage.read("state/1")
        storage.create("log/1", b"x")
        list(storage.keys("log/"))

    cases = every_fault(filled, act)
    assert Counter(case.call for case in cases) == {
        "open state/1": sum("open" in kind.calls for kind in KINDS),
        "read state/1": sum("read" in kind.calls for kind in KINDS),
        "create log/1": sum("create" in kind.calls for kind in KINDS),
        "list log/": sum("list" in kind.calls and not kind.below for kind in KINDS),
    }
    assert len({str(case) for case in cases}) == len(cases)
    assert all(case.strike().struck for case in cases)
    reading = every_fault(filled, act, READ_KINDS)
    assert {*map(str, cases)} == {*map(str, reading), *map(str, every_fault(filled, act, WRITE_KINDS))}


def test_each_case_begins_with_a_store_of_its_own() -> None:
    storage = filled()
    cases = every_fault(storage.copy, lambda faulty: faulty.create("log/1", b"x"), WRITE_KINDS)
    found = {case.kind.name: case.strike() for case in cases}
    assert {name: sorted(each.storage.keys("log/")) for name, each in found.items()} == {
        "fails before": [],
        "fails after": ["log/1"],
        "unknown and not done": [],
        "asked again": ["log/1"],
        "dies before": [],
        "dies after": ["log/1"],
    }
    assert {name: type(each.error) for name, each in found.items()} == {
        "fails before": CannotWriteError,
        "fails after": CommitUnknownError,
        "unknown and not done": CommitUnknownError,
        "asked again": type(None),
        "dies before": Crash,
        "dies after": Crash,
    }
    assert found["asked again"].result is False
    assert not list(storage.keys("log/"))


@pytest.mark.parametrize(
    ("kind", "gives"),
    [
        ("truncated", b"\1" * 5),
        ("empty", b""),
        ("flipped", b"\1" * 5 + b"\x11" + b"\1" * 4),
        ("flipped at its end", b"\1" * 9 + b"\x11"),
        ("another one", b"\0" * 10),
    ],
)
def test_bytes_are_spoilt_once_or_from_then_on(kind: str, gives: bytes) -> None:
    assert read_two(struck(kind)) == (gives, b"\1" * 10)
    assert read_two(struck(f"{kind} from then on")) == (gives, gives)
    lasting = struck(f"{kind} from then on", at=3)
    assert read_two(lasting) == (b"\1" * 10, gives)
    assert lasting.read("state/2") == b"\2" * 10, "of that object alone"
    lasting.mend()
    assert read_two(lasting) == (b"\1" * 10, b"\1" * 10)


def test_of_a_map_the_spoilt_bytes_are_fetched() -> None:
    blob = struck("flipped at its end").open("state/1")
    assert not blob.near(0, 10), "so that fetching is tried, too"
    blob.fetch(0, 10, memoryview(bytearray(10)))
    assert blob.map().tobytes() == b"\1" * 9 + b"\x11"


@pytest.mark.parametrize("error", [CannotReadError, DamagedError, NotFoundError])
def test_reading_raises_what_a_store_may_raise(error: type[SaverError]) -> None:
    for at in (1, 2):  # to open it, and to read it
        with pytest.raises(error):
            struck(f"raises {error.__name__}", at).read("state/1")
    storage = struck(f"raises {error.__name__} from then on")
    for _ in range(2):
        with pytest.raises(error):
            storage.read("state/1")
    assert storage.read("state/2") == b"\2" * 10


def test_a_listing_breaks_off_in_its_midst() -> None:
    found = struck("breaks off").keys("state/")
    assert [next(found), next(found)] == ["state/0", "state/1"]
    with pytest.raises(CannotReadError, match="broke off"):
        next(found)


def test_only_shortcuts_are_denied() -> None:
    assert list(struck("not there yet").keys("state/")) == ["state/0", "state/1"]
    assert struck("not there yet").stat("state/1") is None
    cases = every_fault(filled, lambda storage: (storage.stat("log/1"), list(storage.keys("log/"))))
    assert not [case for case in cases if case.kind.name.startswith("not there yet")]


def test_a_dead_process_stays_dead_when_the_store_is_mended() -> None:
    storage = struck("dies before")
    with pytest.raises(Crash):
        storage.create("log/1", b"x")
    storage.mend()
    with pytest.raises(Crash):
        storage.read("state/1")


def test_others_may_act_before_a_call_or_before_its_answer_is_used() -> None:
    before, after = overtaken(lambda storage: storage.create("log/2", b"y"))
    found = {}
    for kind in (before, after):
        (case,) = every_fault(filled, lambda storage: list(storage.keys("log/")), [kind])
        found[case.kind.name] = case.strike().result
    assert found == {"another before": ["log/2"], "another after": []}, "a listing lacks what was made since"


def test_authors_of_another_kind_bring_it() -> None:
    slow = Kind("is empty", ("list",), lambda call: iter(()))
    (case,) = every_fault(filled, lambda storage: list(storage.keys("state/")), [slow])
    assert str(case) == "1 list state/: is empty"
    assert case.strike().result == []


def test_a_sample_has_some_of_each_and_is_always_the_same() -> None:
    def act(storage: Storage) -> Iterator[bytes]:
        return iter([storage.read(f"state/{at}") for at in range(4) for _ in range(20)])

    cases = every_fault(filled, act)
    drawn = every_fault(filled, act, sample=40)
    assert len(drawn) == 40
    assert {*map(str, drawn)} < {*map(str, cases)}
    assert {case.kind.name for case in drawn} == {case.kind.name for case in cases}
    assert [case.at for case in drawn] == sorted(case.at for case in drawn)
    assert [*map(str, drawn)] == [*map(str, every_fault(filled, act, sample=40))]
    assert [*map(str, drawn)] != [*map(str, every_fault(filled, act, sample=40, seed=1))]
    assert len(every_fault(filled, act, sample=10**6)) == len(cases)


def test_random_names_do_not_get_into_those_of_cases() -> None:
    def act(storage: Storage) -> object:
        return saver.Saver(storage).save("iris", {"model": np.arange(900.0)})

    names = [[*map(str, every_fault(MemoryStorage, act))] for _ in range(2)]
    assert names[0] == names[1]
    assert any("put packs/*.safetensors" in name for name in names[0])


def test_what_does_not_survive_a_fault_is_found_out() -> None:
    def careless(storage: Storage) -> bytes:
        """Believes what it reads, and takes every failure for a missing object."""
        try:
            return storage.read("state/1")
        except SaverError:
            return b""

    wrong = [case for case in every_fault(filled, careless) if case.strike().result != b"\1" * 10]
    assert {case.kind.name for case in wrong} >= {
        "flipped",
        "truncated",
        "raises CannotReadError",
        "another one",
    }


def test_every_object_is_damaged_in_every_way() -> None:
    cases = every_damage(filled, "state/")
    found = {str(case): case.storage() for case in cases}
    assert len(found) == 4 * 6
    assert found["state/1 is missing"].stat("state/1") is None
    told = ("truncated", "empty", "flipped", "flipped at its end", "another one")
    assert [found[f"state/1 is {how}"].read("state/1") for how in told] == [
        b"\1" * 5, b"", b"\1" * 5 + b"\x11" + b"\1" * 4, b"\1" * 9 + b"\x11", b"\0" * 10
    ]  # fmt: skip
    assert found["state/0 is another one"].read("state/0") == b"\1" * 10
    assert all(
        storage.read("state/2") == b"\2" * 10 for name, storage in found.items() if "state/2" not in name
    )
    assert every_damage(filled, "log/") == []
    assert {case.how for case in every_damage(filled, sample=6)} == {case.how for case in cases}


def test_every_read_of_a_file_fails_once_with_every_error(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.create("packs/a", b"0123456789")

    def act(files: FaultyFiles) -> bytes:
        return LocalStorage(tmp_path, files).read("packs/a")

    cases = every_file_fault(act, errors=[errno.EIO, errno.ENOENT])
    assert {case.call for case in cases} == {"open_folder", "stat", "open", "read"}
    found = {str(case): case.strike() for case in cases}
    assert len(found) == len(cases)
    for name, (result, error) in found.items():
        if name.endswith("short"):
            assert result == b"0123456789", "a short read is not an error: the rest is read after it"
        else:
            assert isinstance(error, NotFoundError if name.endswith("ENOENT") else DamagedError), name
    assert any(name.endswith("short") for name in found)
    assert len(every_file_fault(act, sample=3)) == 3


def test_a_tally_counts_faults_and_the_states_that_they_leave() -> None:
    tally = Tally()
    for case in every_fault(filled, lambda storage: storage.create("log/1", b"x")):
        tally.add("create", case.kind.name, case.strike().storage)
    tally.add("look", "flipped")
    assert (tally.total, tally.states) == (7, 2)
    assert str(tally).splitlines()[:3] == [
        "| fault | create | look |",
        "| --- | ---: | ---: |",
        "| fails before | 1 | 0 |",
    ]
    assert str(tally).splitlines()[-2:] == ["| all faults | 6 | 1 |", "| states left | 2 | 0 |"]
