"""A checkpoint is written beside what a save does anyway, and leaves behind exactly what is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from drafts import draft

import saver
from saver.repo import document
from saver.repo.beside import Ask, Beside, Steps
from saver.repo.check import check
from saver.repo.events import Delete, Note, Tag
from saver.repo.objects import checkpoint_number
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.state import Checkpoint, State, shortcuts, state, updating
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.testing import LatencyStorage


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages small enough that some hundred records make several levels of them."""
    monkeypatch.setattr(updating, "FAN_OUT", 4)
    monkeypatch.setattr(updating, "LEAF_BYTES", 700)


def act(repo: Repository, number: int) -> None:
    """One of the things that people do, by turns."""
    version = save_version(repo, draft("ab"[number % 2], {"p/x": np.full(3, number)}, step=number))
    if number % 3 == 0:
        repo.append(lambda: Tag(version.model, f"t{number % 5}", version.number))
    if number % 7 == 6 and version.number > 3:
        repo.append(lambda: Delete(version.model, (version.number - 3,)))


def one_process(storage: Storage) -> Iterator[Repository]:
    repo = Repository(storage)
    while True:
        yield repo


def ever_new_processes(storage: Storage) -> Iterator[Repository]:
    while True:
        yield Repository(storage)


def two_processes(storage: Storage) -> Iterator[Repository]:
    """One of them misses some checkpoints now and then, and goes on from an older one."""
    repos = Repository(storage), Repository(storage)
    while True:
        yield from (repos[0],) * 11 + (repos[1],) * 5 + (repos[0],) * 23 + (repos[1],) * 9


def says_nothing(storage: MemoryStorage) -> None:
    """Take from all checkpoints what they say about the pages of others."""
    for key in filter(checkpoint_number, [*storage.keys("state/")]):
        found, _ = document.decode(storage.read(key), Checkpoint, key)
        storage.delete(key)
        storage.create(key, document.encode(msgspec.structs.replace(found, spare=())))


@pytest.mark.parametrize("forgetting", [False, True], ids=["as written", "none lists what it does not need"])
@pytest.mark.parametrize("processes", [one_process, ever_new_processes, two_processes])
def test_no_page_is_left_over_or_missing(
    processes: Callable[[Storage], Iterator[Repository]], forgetting: bool
) -> None:
    storage = MemoryStorage()
    for number, repo in zip(range(160), processes(storage), strict=False):
        act(repo, number)
        if forgetting and number % 40 == 0:
            says_nothing(storage)
        fresh = State(storage)
        fresh.refresh()
        assert fresh.needed() == set(storage.keys("state/")), f"after {number}"
    kept = [key for key in storage.keys("state/") if checkpoint_number(key)]
    assert len(kept) == shortcuts.CHECKPOINTS_KEPT
    assert check(Repository(storage)).sound


def test_a_page_that_comes_back_is_kept_as_long_as_anything_needs_it() -> None:
    """A tag goes back and forth between two versions, and so does the page that says where it is."""
    storage, seen, back = MemoryStorage(), list[set[str]](), 0
    repo = Repository(storage)
    for _ in range(2):
        save_version(repo, draft("a", {"p/x": np.arange(3)}))
    for number in range(200):
        repo.append(lambda: Tag("a", f"t{number:03}", 1))  # noqa: B023
    for count in range(12 * state.INTERVAL):
        turn, at = divmod(count, state.INTERVAL)
        back_and_forth = Tag("a", "t100", 1 + turn % 2)
        repo.append(lambda: back_and_forth if at == 0 else Note("a", None, f"{count}"))  # noqa: B023
        fresh = State(storage)
        fresh.refresh()
        needed = fresh.needed()
        assert needed == set(storage.keys("state/"))
        root = fresh.shortcuts.read(fresh.shortcuts.numbers(fresh.head)[-1]).root
        pages = set(fresh.shortcuts.pages.reachable(root))
        back += len(seen) > 1 and bool((pages - seen[-1]) & set.union(*seen[:-1]))
        seen.append(pages)
    assert back > 5
    assert check(Repository(storage)).sound


def test_the_pages_of_an_old_checkpoint_that_cannot_be_deleted_stay() -> None:
    class Keeping(MemoryStorage):
        def delete(self, *keys: str) -> None:
            if any(map(checkpoint_number, keys)):
                raise saver.CannotWriteError(f"{keys[0]}: no")
            super().delete(*keys)

    storage = Keeping()
    for number, repo in zip(range(130), one_process(storage), strict=False):
        act(repo, number)
    fresh = State(storage)
    fresh.refresh()
    assert len(fresh.shortcuts.numbers(fresh.head)) > 2 * shortcuts.CHECKPOINTS_KEPT
    assert list(fresh.shortcuts.missing_pages(fresh.head, set(storage.keys("state/")))) == []


def test_records_that_come_while_a_checkpoint_is_written_are_not_forgotten() -> None:
    storage = MemoryStorage()
    reader, writer = Repository(storage), Repository(storage)
    for number in range(state.INTERVAL):
        assert save_version(writer, draft("a", {"p/x": np.arange(3)})).number == number + 1
    reader.state.refresh()
    assert reader.state.head == state.INTERVAL
    under_way = reader.state.keep_checkpoint()
    for _ in range(state.INTERVAL + 1):
        save_version(writer, draft("a", {"p/x": np.arange(3)}))
    reader.state.refresh()
    under_way.finish()
    assert dict(reader.state.scan("")) == dict(writer.state.scan(""))
    assert save_version(reader, draft("a", {"p/x": np.arange(3)})).number == 2 * state.INTERVAL + 2


def test_where_calls_are_slow_checkpoints_are_written_at_the_same_time_as_the_rest() -> None:
    storage = MemoryStorage()
    slow = LatencyStorage(storage, 0.0)
    for number, repo in zip(range(60), ever_new_processes(slow), strict=False):
        act(repo, number)
        fresh = State(storage)
        fresh.refresh()
        assert fresh.needed() == set(storage.keys("state/"))
        assert fresh.trouble is None
    assert check(Repository(storage)).sound


@pytest.mark.parametrize("at", range(4))
def test_a_save_that_fails_leaves_the_checkpoint_to_the_next_one(at: int) -> None:
    """Whichever of its calls fails: the steps that were done do no harm."""

    class Failing(MemoryStorage):
        left = -1

        def _add(self, key: str, data: bytes) -> bool:
            if not key.startswith("state/"):
                self.left -= 1
                if self.left == 0:
                    raise saver.CannotWriteError(f"{key}: no")
            return super()._add(key, data)

    storage = Failing()
    for _ in range(3 * state.INTERVAL):
        save_version(Repository(storage), draft("a", {"p/x": np.arange(3)}))
    storage.left = at
    repo = Repository(storage)
    number = save_or_fail(repo) or save_or_fail(repo)
    assert number == 3 * state.INTERVAL + 1
    assert save_or_fail(repo) == number + 1
    fresh = State(storage)
    fresh.refresh()
    assert fresh.shortcuts.numbers(fresh.head)[-1] == 3 * state.INTERVAL
    assert fresh.needed() == set(storage.keys("state/"))
    assert check(Repository(storage)).sound


def save_or_fail(repo: Repository) -> int:
    try:
        return save_version(repo, draft("a", {"p/x": np.arange(3)})).number
    except saver.CannotWriteError:
        return 0


# Work beside calls


class Work:
    """Three steps that write down what was done."""

    def __init__(self, fails: str = "") -> None:
        self.done: list[Any] = []
        self._fails = fails

    def do(self, name: str) -> Callable[[], str]:
        def ask() -> str:
            if name == self._fails:
                raise saver.CannotWriteError(name)
            self.done.append(name)
            return name

        return ask

    def steps(self) -> Steps:
        try:
            for step in ("ab", "c", "de"):
                asks: list[Ask] = [self.do(name) for name in step]
                assert (yield asks) == [*step]
            self.done.append("end")
        except saver.CannotWriteError as error:
            self.done.append(str(error))

    def beside(self) -> Beside:
        return Beside(MemoryStorage(), self.steps())


def test_a_step_goes_with_each_call_and_the_rest_is_done_at_the_end() -> None:
    work = Work()
    with work.beside() as beside:
        assert beside.call(work.do("1")) == "1"
        assert work.done == ["a", "b", "1"]
        assert beside.call(work.do("2")) == "2"
    assert work.done == ["a", "b", "1", "c", "2", "d", "e", "end"]
    assert beside.call(work.do("3")) == "3"


def test_a_step_that_fails_ends_the_work_and_no_call() -> None:
    work = Work("c")
    with work.beside() as beside:
        assert [beside.call(work.do(name)) for name in "123"] == [*"123"]
    assert work.done == ["a", "b", "1", "2", "c", "3"]


def test_after_a_call_that_failed_the_rest_is_left_undone() -> None:
    work = Work("2")
    beside = work.beside()
    beside.call(work.do("1"))
    with pytest.raises(saver.CannotWriteError), beside:
        beside.call(work.do("2"))
    assert work.done == ["a", "b", "1", "c"]
    beside.finish()
    assert work.done == ["a", "b", "1", "c"]
