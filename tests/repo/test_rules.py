"""Each rule of docs/protocol.md is needed: take one away, and some interleaving loses something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asking import Held
from cases import LARGE, TWO, collects, fails, filled, loads, saves
from explorer import Violation, explore
from judge import Judge

from saver.errors import CannotWriteError, CommitUnknownError
from saver.pack import PackedTensors
from saver.repo import appending, document
from saver.repo.commit import _Commit
from saver.repo.gc import collection, moving
from saver.repo.log import Log, log_key
from saver.repo.repository import Repository
from saver.repo.state import needs, users
from saver.storage import Bytes, Content, Sink, Storage


def lost(
    content: Held, judge: Judge | None = None, *, failing: tuple[str, ...] = (), **actors: Any
) -> pytest.ExceptionInfo[Violation]:
    """What is lost when these actors are explored."""
    readers = {name: actor for name, actor in actors.items() if name == "reader"}
    others = {name: actor for name, actor in actors.items() if name != "reader"}
    with pytest.raises(Violation) as caught:
        explore(content, others, judge or Judge(content), readers, failing=failing)
    return caught


def test_unless_a_saver_looks_whether_its_packs_are_condemned_a_version_is_lost() -> None:
    def careless(repo: Repository) -> None:
        repo.condemned = lambda known: []  # type: ignore[method-assign]

    told = lost(TWO, saver=saves("a", "acd", careless), collector=collects("c", "m@2"))
    assert "a pack is missing" in str(told.value)


def test_unless_a_saver_looks_whether_its_manifest_is_condemned_a_version_is_lost() -> None:
    def careless(repo: Repository) -> None:
        get = repo.state.get
        repo.state.get = lambda key: None if "manifests/" in key else get(key)  # type: ignore[method-assign]

    told = lost(TWO, saver=saves("a", "ca", careless), collector=collects("c"))
    assert "its manifest" in str(told.value)


@pytest.mark.of_files
def test_unless_a_saver_looks_whether_its_file_is_condemned_a_version_is_lost() -> None:
    def careless(repo: Repository) -> None:
        repo.state.gone = lambda key: None  # type: ignore[method-assign]

    told = lost(TWO, saver=saves("a", "ef", careless), collector=collects("c"))
    assert "is missing" in str(told.value)


@pytest.mark.of_files
def test_unless_a_collector_keeps_packs_with_manifests_a_version_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def careless(repo: Repository) -> None:
        is_manifest = repo.users.is_manifest
        repo.users.is_manifest = (  # type: ignore[method-assign]
            lambda key: key.startswith("manifests/") and is_manifest(key)
        )

    monkeypatch.setattr(moving, "DEAD_BYTES", 1000)
    first = filled("a", "ad", files=True)
    actors = {"saver": saves("a", "f")}
    explore(first, {**actors, "collector": collects("c", "m@2")}, Judge(first))
    told = lost(first, **actors, collector=collects("c", "m@2", careless))
    assert "is missing" in str(told.value)


def _once(decide: Callable[[], Any]) -> Callable[[], Any]:
    decided: list[Any] = []

    def first() -> Any:
        decided.append(decide() if not decided else decided[0])
        return decided[0]

    return first


def test_unless_a_collector_decides_anew_a_version_is_lost() -> None:
    def stale(repo: Repository) -> None:
        append = repo.append
        repo.append = lambda decide: append(_once(decide))  # type: ignore[method-assign]

    lost(TWO, saver=saves("a", "acd"), collector=collects("c", change=stale))


def test_unless_a_collector_condemns_before_it_deletes_a_version_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    condemn = collection._Collection._condemn

    def hasty(self: Any, now: float, judged: Any) -> Any:
        self._dry = True
        for key in condemn(self, now, judged).condemned:
            self._repo.storage.delete(key)
        self._dry = False
        return condemn(self, now, judged)

    monkeypatch.setattr(collection._Collection, "_condemn", hasty)
    lost(TWO, saver=saves("a", "acd"), collector=collects("c"))


def blind(repo: Repository) -> None:
    """Knows the number and the hash of the last record, not what it says."""
    now = repo.state

    def last() -> tuple[int, str]:
        head = now.log.head(now.head)
        return head, now.log.read(head)[1]

    now.last = last  # type: ignore[method-assign]
    now.took = lambda record, digest: now.refresh()  # type: ignore[method-assign]


def test_unless_a_saver_has_read_all_records_numbers_are_double() -> None:
    told = lost(TWO, ada=saves("a", "acd", blind), bob=saves("b", "ce"))
    assert "double" in str(told.value)


def test_unless_a_collector_has_read_all_records_a_version_is_lost() -> None:
    told = lost(TWO, saver=saves("a", "acd"), collector=collects("c", change=blind))
    assert "is missing" in str(told.value)


def test_unless_numbers_are_decided_with_the_record_they_are_double(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = _Commit._event

    def stubborn(self: Any, document: Any) -> Any:
        event = decide(self, document)
        self.number = getattr(self, "number", event.number)
        return type(event)(**{**_fields(event), "number": self.number})

    monkeypatch.setattr(_Commit, "_event", stubborn)
    told = lost(TWO, ada=saves("a", "acd"), bob=saves("b", "ce"))
    assert "nobody could read it" in str(told.value)
    monkeypatch.setattr(appending, "changes_of", lambda *given: {})
    told = lost(TWO, ada=saves("a", "acd"), bob=saves("b", "ce"))
    assert "double" in str(told.value)


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_unless_records_are_created_exclusively_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_then_write(self: Log, record: Any) -> str | None:
        data = document.encode(record)
        if self.stat(record.number) is not None:
            return None
        self.storage.put(log_key(record.number), Bytes(data))
        return document.digest(data)

    monkeypatch.setattr(Log, "append", look_then_write)
    with pytest.raises(AssertionError, match="put twice"):
        explore(TWO, {"ada": saves("a", "acd"), "bob": saves("b", "ce")}, Judge(TWO))


class _Late:
    """A store that puts what it was given only when a record was created."""

    def __init__(self, store: Storage) -> None:
        self._storage = store
        self._waiting: list[tuple[str, Content]] = []

    def put(self, key: str, content: Content) -> None:
        self._waiting.append((key, content))
        content.write(_Nowhere())

    def create(self, key: str, data: bytes) -> bool:
        created = self._storage.create(key, data)
        while self._waiting:
            self._storage.put(*self._waiting.pop())
        return created

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


class _Nowhere(Sink):
    def write(self, data: bytes | memoryview, offset: int) -> None:
        pass

    def write_aligned(self, data: memoryview, offset: int) -> None:
        pass


def test_unless_packs_are_there_before_the_record_a_killed_saver_leaves_half_a_version() -> None:
    def late(repo: Repository) -> None:
        repo.storage = _Late(repo.storage)  # type: ignore[assignment]
        repo.state.log.storage = repo.storage

    told = lost(TWO, saver=saves("a", "acd", late))
    assert "missing" in str(told.value)


def test_unless_a_lost_answer_deletes_nothing_a_version_is_lost() -> None:
    def rash(repo: Repository) -> None:
        append = repo.state.log.append

        def told(record: Any) -> str | None:
            try:
                return append(record)
            except CommitUnknownError as error:
                raise CannotWriteError("it failed, so it did not happen") from error

        repo.state.log.append = told  # type: ignore[method-assign]

    lost(TWO, Judge(TWO, fails("CannotWriteError")), failing=("saver",), saver=saves("a", "acd", rash))


def test_unless_a_reader_looks_again_it_loses_what_was_moved(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PackedTensors, "_verified", lambda *given: PackedTensors._read_packs(*given)[0])
    told = lost(LARGE, collector=collects("c", "m@1"), reader=loads("m@2"))
    assert "reader ended with" in str(told.value)


def test_unless_a_collector_follows_moved_bytes_they_are_lost(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "links", lambda event: {})
    monkeypatch.setattr(users, "links", lambda event: {})
    lost(LARGE, collector=collects("c", "m@1", times=2))


def test_unless_a_mover_looks_again_what_it_did_not_move_is_lost(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving.Mover, "_covers", lambda self, pack, living, moves: True)
    judge = Judge(LARGE, fails("NotFoundError"))
    lost(LARGE, judge, saver=saves("a", "be", bases=("m@1",)), collector=collects("c", "m@1"))
