"""What a version of very many tensors costs, and a store with a long history: as many times more as there are
more of them.

Nothing is timed. The lines that the interpreter executes are counted: a loop over all tensors for each of
them shows in a few hundred, and minutes of it would show only in some hundred thousand.
"""

from __future__ import annotations

import gc as garbage
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import saver
from saver.codec import INLINE_BYTES
from saver.encoding import encode
from saver.repo import stage
from saver.repo.gc import moving
from saver.storage import Bytes
from saver.storages.memory import MemoryStorage

FEW, TIMES = 40, 6

ITEMS = INLINE_BYTES // 4 + 1
"""The fewest float32 that are a tensor of the pack."""


def lines_of(action: Callable[[], object]) -> int:
    """How many lines of Python `action` executes in this thread; a line once for each turn of a loop."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_closed_meanwhile() -> Iterator[None]:
    """What earlier tests left behind would be closed by lines that were counted here, now and then."""
    garbage.collect()
    garbage.disable()
    yield
    garbage.enable()


def arrays(count: int, first: float = 0) -> dict[str, Any]:
    """Small arrays that all differ, each large enough to be a tensor of the pack."""
    return {f"layer.{number}": np.full(ITEMS, first + number, np.float32) for number in range(count)}


class Case:
    """A store with versions of `count` tensors, and what is done with it."""

    def __init__(self, count: int, folder: Path) -> None:
        self.count = count
        self.path = folder / f"{count}.saver"
        self.state = {"model": arrays(count), "head": {"a": np.arange(300.0)}}
        self.other = {"model": arrays(count, 0.5), "head": {"a": np.arange(300.0)}}
        self.storage = MemoryStorage()
        saver.dump(self.state, self.path)
        store = self.store()
        store.save("m", self.state)
        store.save("m", self.other)

    def store(self) -> saver.Saver:
        """The store as a new process finds it."""
        return saver.Saver(self.storage)

    def damage_every_other(self) -> None:
        """Of the tensors in the packs of the newest version, and have `check` note it."""
        for pack in self.store().version("m").packs:
            key = f"packs/{pack}.safetensors"
            data = bytearray(self.storage.read(key))
            begin = int.from_bytes(data[:8], "little") + 8
            for at in range(begin, len(data), 8 * ITEMS):
                data[at] ^= 1
            self.storage.delete(key)
            self.storage.put(key, Bytes(bytes(data)))
        assert self.store().check().recorded

    def moved(self) -> saver.Saver:
        """A store whose only version has every fifth tensor of a pack that is gone: each was moved alone."""
        storage, kept = MemoryStorage(), dict(list(self.state["model"].items())[::5])
        store = saver.Saver(storage)
        store.save("m", {"model": self.state["model"]})
        store.save("m", {"model": kept})
        store.delete("m@1")
        assert store.gc(grace=0).moved
        return saver.Saver(storage)


DOINGS: dict[str, Callable[[Case], object]] = {
    "dump": lambda case: saver.dump(case.state, case.path),
    "load of a file": lambda case: saver.load(case.path),
    "lazy load of a file": lambda case: saver.load(case.path, lazy=True)["model"],
    "describe of a file": lambda case: saver.describe(case.path),
    "save": lambda case: case.store().save("new", case.state),
    "save of what is there": lambda case: case.store().save("m", case.other),
    "save of what changed": lambda case: case.store().save("m", case.state),
    "load": lambda case: case.store().load("m"),
    "lazy load": lambda case: case.store().load("m", lazy=True)["model"],
    "load of a small part": lambda case: case.store().load("m", parts=["head"]),
    "load of a large part": lambda case: case.store().load("m", parts=["model"]),
    "describe": lambda case: case.store().describe("m"),
    "verify": lambda case: case.store().verify("m"),
    "diff": lambda case: case.store().diff("m@1", "m@2"),
    "restore": lambda case: case.store().restore("m@1", into=case.other),
    "check": lambda case: case.store().check(),
    "export": lambda case: case.store().export("m", case.path),
    "import": lambda case: case.store().import_(case.path, "imported"),
}


@pytest.fixture(params=[10, 100_000], ids=["packs of ten tensors", "one pack"])
def few_and_many(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[Case, Case]]:
    monkeypatch.setattr(stage, "PACK_TENSORS", request.param)
    monkeypatch.setattr(stage, "FILE_BYTES", 0)  # a version of one file shares nothing
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    threads = threading.active_count()
    yield Case(FEW, tmp_path), Case(TIMES * FEW, tmp_path)
    assert threading.active_count() == threads, "another thread's lines were not counted"


def in_proportion(few: int, many: int) -> bool:
    """Whether work that came to `few` lines for few tensors, and to `many` for `TIMES` as many, grew with
    them and not faster. Sorting may take a little more."""
    return 0 < many <= 1.15 * TIMES * few


def assert_in_proportion(what: str, few: Callable[[], object], many: Callable[[], object]) -> None:
    counted, more = lines_of(few), lines_of(many)
    assert in_proportion(counted, more), f"{what}: {counted:,} lines, {more:,} for {TIMES} times as many"


@pytest.mark.slow
@pytest.mark.parametrize("what", DOINGS)
def test_the_work_grows_with_the_number_of_tensors(what: str, few_and_many: tuple[Case, Case]) -> None:
    few, many = (partial(DOINGS[what], case) for case in few_and_many)
    few()  # what a process does once is done
    many()
    assert_in_proportion(what, few, many)


def test_tensors_that_were_moved_one_by_one_are_found_at_once(
    few_and_many: tuple[Case, Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "DEAD_BYTES", 1000)
    few, many = (case.moved() for case in few_and_many)
    few.load("m")
    for what, act in {
        "load": lambda store: store.load("m"),
        "save": lambda store: store.save("m", {"model": {}, "more": 1}),
        "check": lambda store: store.check(),
    }.items():
        assert_in_proportion(what, partial(act, few), partial(act, many))


@pytest.mark.slow
def test_damage_in_every_other_tensor_is_found_and_healed_in_one_go(few_and_many: tuple[Case, Case]) -> None:
    for case in few_and_many:
        case.damage_every_other()
    few, many = few_and_many
    for what in ("check", "save of what is there"):
        assert_in_proportion(what, partial(DOINGS[what], few), partial(DOINGS[what], many))
    healed, more = (lambda case=case: case.store().load("m@2") for case in few_and_many)
    assert_in_proportion("load of what was healed", healed, more)
    assert all(np.array_equal(more()["model"][name], array) for name, array in many.other["model"].items())


def test_tensors_whose_paths_are_cut_to_the_same_name_are_numbered_in_one_go() -> None:
    def long(count: int) -> dict[str, Any]:
        return {"x" * 250 + name: array for name, array in arrays(count).items()}

    few, many = (partial(encode, {"model": long(count)}) for count in (FEW, TIMES * FEW))
    assert list(few().tensors)[:2] == [first := "model/" + "x" * 200, f"{first}#2"]
    assert len(many().tensors) == TIMES * FEW
    assert_in_proportion("encode", few, many)


class History:
    """A store in which `count` versions were saved and tagged, and two of three deleted again, the newest
    first: of one model, or of as many as there are versions left.
    """

    def __init__(self, count: int, one_model: bool) -> None:
        self.storage = MemoryStorage()
        store = saver.Saver(self.storage)
        self.models = [f"m{0 if one_model else number}" for number in range(count)]
        for model in self.models:
            for number in range(3):
                store.save(model, {"number": number}, tags=[f"tag-{number}"], notes=str(number))
            newest = store.version(model).number
            store.delete(f"{model}@{newest}", tags=True)
            store.delete(f"{model}@{newest - 1}", tags=True)
        store.gc(grace=0, everything=True)

    def store(self) -> saver.Saver:
        return saver.Saver(self.storage)

    def refs(self, store: saver.Saver) -> list[str]:
        return [str(version) for model in dict.fromkeys(self.models) for version in store.versions(model)]

    def delete_all(self) -> None:
        store = saver.Saver(self.storage.copy())
        store.delete(*self.refs(store), tags=True)


LOOKS: dict[str, Callable[[History], object]] = {
    "check": lambda history: history.store().check(),
    "models": lambda history: history.store().models(),
    "versions": lambda history: history.refs(history.store()),
    "log": lambda history: list(history.store().log()),
    "gc": lambda history: history.store().gc(grace=0, everything=True),
    "delete all": lambda history: history.delete_all(),
}


@pytest.fixture(scope="module", params=[True, False], ids=["one model", "many models"])
def histories(request: pytest.FixtureRequest) -> tuple[History, History]:
    return History(FEW, request.param), History(TIMES * FEW, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("what", LOOKS)
def test_looking_at_everything_grows_with_the_history(
    what: str, histories: tuple[History, History], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SAVER_CACHE", str(tmp_path / "cache"))
    few, many = (partial(LOOKS[what], history) for history in histories)
    few()
    assert_in_proportion(what, few, many)


def test_a_loop_over_all_for_each_is_noticed() -> None:
    """The measure itself."""

    def work(count: int) -> int:
        return sum(one == other for one in range(count) for other in range(count))

    few, many = lines_of(lambda: work(FEW)), lines_of(lambda: work(TIMES * FEW))
    assert not in_proportion(few, many)
