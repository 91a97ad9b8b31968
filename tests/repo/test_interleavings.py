"""The argument of docs/protocol.md, run: small cases in every interleaving of their calls of the store.

The judge (`cases.Judge`) sees every moment, so each case also says what holds when any of the actors, or
all of them, are killed at any call. Then each rule of the protocol is taken away, and something must be
lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from asking import Content
from cases import (
    Done,
    Judge,
    Loaded,
    Saved,
    Told,
    checks,
    collects,
    content_of,
    deletes,
    draft,
    filled,
    loads,
    opened,
    saves,
    stored,
    tags,
    untags,
)
from explorer import Actor, Failed, Moment, Violation, explore

from saver.errors import CannotWrite, CommitUnknown
from saver.repo import document, gc, state
from saver.repo.log import Event, Log, Tag, log_key
from saver.repo.reading import StoredTensors
from saver.repo.repository import Repository, _Commit
from saver.store import Sink, Store
from saver.stores.memory import MemoryStore

TWO = filled("ab", "ac")
"""m@2 shares `a` with m@1."""

LARGE = filled("abc", "ad")
"""m@2 needs `a` alone of the pack of m@1, which is mostly `b` and `c`."""

FAR = pytest.mark.parametrize("remote", [False, True], ids=["near", "far"])


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs are rewritten when a few thousand bytes of them are dead."""
    monkeypatch.setattr(gc, "DEAD_BYTES", 6000)


def fails(*kinds: str) -> Callable[[str, Failed], bool]:
    return lambda name, end: end.kind in kinds


# Everything holds


def test_two_savers_a_collector_and_a_reader() -> None:
    judge = Judge(TWO)
    actors = {"ada": saves("a", "acd"), "bob": saves("b", "ce"), "collector": collects("c")}
    found = explore(TWO, actors, judge, {"reader": loads("m")})
    assert judge.ends == {
        *(("ada", Saved(f"m@{number}", "acd")) for number in (3, 4)),
        *(("bob", Saved(f"m@{number}", "ce")) for number in (3, 4)),
        ("collector", Done("gc")),
        *(("reader", Loaded("m", holds)) for holds in ("ac", "acd", "ce")),
    }
    assert found.moments > 100_000, found


@FAR
def test_a_saver_that_shares_with_a_version_that_is_deleted_and_collected(remote: bool) -> None:
    judge = Judge(TWO)
    actors = {"saver": saves("a", "acd"), "collector": collects("c", "m@2")}
    readers = {"latest": loads("m"), "second": loads("m@2")}
    found = explore(TWO, actors, judge, readers, remote=remote)
    assert {("latest", Loaded("m", holds)) for holds in ("ab", "ac", "acd")} <= judge.ends
    assert {name for name, end in judge.ends if isinstance(end, Failed)} == {"latest", "second"}
    assert found.moments > 10_000, found


@FAR
def test_a_saver_and_readers_while_bytes_move(eager: None, remote: bool) -> None:
    judge = Judge(LARGE)
    actors = {"saver": saves("a", "ae"), "collector": collects("c", "m@1")}
    found = explore(LARGE, actors, judge, {"reader": loads("m@2")}, remote=remote)
    assert {end for name, end in judge.ends if name == "reader"} == {Loaded("m@2", "ad")}
    assert any("packs/c" in key for content in judge.contents for key, _ in content), "bytes were moved"
    assert found.moments > 10_000, found


def test_a_saver_that_comes_to_need_what_was_not_moved(eager: None) -> None:
    judge = Judge(LARGE, fails("NotFound"))
    actors = {"saver": saves("a", "be", bases=("m@1",)), "collector": collects("c", "m@1")}
    found = explore(LARGE, actors, judge, {"reader": loads("m")})
    assert ("saver", Saved("m@3", "be")) in judge.ends
    assert found.moments > 10_000, found


def test_two_collectors_that_move_the_same_bytes(eager: None) -> None:
    judge = Judge(LARGE)
    actors = {"one": collects("c", "m@1"), "other": collects("e")}
    found = explore(LARGE, actors, judge, {"reader": loads("m@2")})
    assert judge.ends == {("one", Done("gc")), ("other", Done("gc")), ("reader", Loaded("m@2", "ad"))}
    assert found.moments > 10_000, found


@FAR
def test_a_check_while_versions_go_and_bytes_move_finds_no_damage(eager: None, remote: bool) -> None:
    judge = Judge(LARGE)
    explore(LARGE, {"collector": collects("c", "m@1")}, judge, {"checker": checks}, remote=remote)
    assert ("checker", Done("sound")) in judge.ends


def test_tags_that_come_and_go_with_their_versions() -> None:
    judge = Judge(TWO, fails("NotFound"))
    actors = {
        "saver": saves("a", "acd", tags=("t",)),
        "tagger": tags("t", "m@2", "t"),
        "untagger": untags("u", "t"),
        "deleter": deletes("d", "m@2"),
    }
    found = explore(TWO, actors, judge, {"reader": loads("m@t")})
    assert {("reader", Loaded("m@t", "ac")), ("reader", Loaded("m@t", "acd"))} <= judge.ends
    assert found.moments > 10_000, found


def test_records_that_come_while_the_log_is_listed() -> None:
    judge = Judge(TWO)
    actors = {"one": tags("t", "m@1", "t"), "other": tags("u", "m@2", "u"), "collector": collects("c")}
    found = explore(TWO, actors, judge, remote=True)
    assert {name for name, _ in judge.ends} == set(actors)
    assert found.moments > 10_000, found


def test_the_first_two_saves_of_a_store() -> None:
    judge = Judge({}, lambda name, end: name == "reader" and end.kind == "NotFound")
    explore({}, {"ada": saves("a", "a"), "bob": saves("b", "b")}, judge, {"reader": loads("m")})
    assert {
        ("ada", Saved("m@1", "a")),
        ("ada", Saved("m@2", "a")),
        ("reader", Loaded("m", "b")),
    } <= judge.ends


@pytest.mark.parametrize("other", [saves("b", "ce"), collects("c")], ids=["saver", "collector"])
def test_a_record_that_is_refused_or_whose_answer_is_lost(other: Actor) -> None:
    judge = Judge(TWO, fails("CannotWrite", "CommitUnknown"))
    explore(TWO, {"saver": saves("a", "acd"), "other": other}, judge, failing=("saver", "other"))
    ends = {end.kind if isinstance(end, Failed) else end for name, end in judge.ends if name == "saver"}
    assert {Saved("m@3", "acd"), "CannotWrite", "CommitUnknown"} <= ends


def test_checkpoints_that_are_written_read_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "INTERVAL", 2)
    many = filled("ab", "ac", "b", "ad", "c")
    assert any(key.startswith("state/") for key in many)
    judge = Judge(many)
    actors = {"saver": saves("a", "ae"), "deleter": deletes("d", "m@2"), "collector": collects("c")}
    found = explore(many, actors, judge, {"reader": loads("m")})
    assert found.moments > 100_000, found


class _Healed(Judge):
    """As soon as the saver is done."""

    def __call__(self, moment: Moment) -> None:
        Told(moment.content)
        if "saver" in moment.ended:
            super().__call__(moment)


@pytest.fixture
def damaged() -> Content:
    """m@1 with damage that a check found, and m@2."""
    store = stored(filled("ab"))
    (pack,) = store.list("packs/")
    data = bytearray(store.read(pack))
    data[5000] ^= 1
    store.delete(pack)
    store.create(pack, bytes(data))
    saver = opened(store, "1")
    assert not saver.check().sound
    saver._repo.commit(draft("c"))
    return content_of(store)


def test_damage_that_a_save_heals(damaged: Content) -> None:
    judge = _Healed(damaged)
    actors = {"saver": saves("a", "abd", bases=("m@1",)), "collector": collects("c")}
    explore(damaged, actors, judge)
    assert judge.contents


def test_a_version_that_is_deleted_while_it_heals_another(damaged: Content) -> None:
    """No record says that bytes lie in a pack that is condemned."""
    actors = {"saver": saves("a", "abd", bases=("m@1",)), "collector": collects("c", "m@3")}
    moved = set()

    def judge(moment: Moment) -> None:
        told = Told(moment.content)
        moved.add(any(key.startswith("packs/a") and key in told.condemned for key in moment.content))

    explore(damaged, actors, judge)
    assert moved == {False, True}


@pytest.mark.parametrize("calls", [1, 2])
def test_a_save_that_another_thread_overtakes_within_one_repository_decides_anew(
    calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    repo = Repository(store)
    repo.commit(draft("a"))
    decide = _Commit._event
    left = [calls]

    def overtaken(self: Any, *manifest: Any) -> Any:
        event = decide(self, *manifest)
        left[0] -= 1
        if left[0] == 0:
            repo.commit(draft("ab"))
        return event

    monkeypatch.setattr(_Commit, "_event", overtaken)
    repo.commit(draft("ac"))
    Judge({})(Moment(content_of(store), {"one": Saved("m@2", "ab"), "other": Saved("m@3", "ac")}))


def test_a_save_is_done_once_its_record_is_there_though_it_cannot_tidy_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Keeping(MemoryStore):
        def delete(self, key: str) -> None:
            raise CannotWrite(f"{key}: it was not deleted")

    store = Keeping()
    repo = Repository(store)
    decide, left = _Commit._event, [2]

    def overtaken(self: Any, *manifest: Any) -> Any:
        event = decide(self, *manifest)
        left[0] -= 1
        if left[0] == 0:  # so the manifest must be written anew, and the first one be deleted
            Repository(store).commit(draft("ab"))
        return event

    monkeypatch.setattr(_Commit, "_event", overtaken)
    assert str(repo.commit(draft("ac"))) == "m@2"
    assert len(list(store.list("manifests/"))) == 3


def test_a_tag_that_another_thread_overtakes_within_one_repository_decides_anew() -> None:
    store = MemoryStore()
    repo = Repository(store)
    repo.commit(draft("a"))
    events = []

    def decide() -> Event:
        events.append(Tag("m", "best", repo.version("m").number))
        if len(events) == 1:
            repo.commit(draft("b"))
        return events[-1]

    repo.append(decide)
    assert [event.number for event in events] == [1, 2]
    Judge({})(Moment(content_of(store), {}))


def test_a_reader_by_itself_ends_as_among_the_others() -> None:
    actors, reader = {"saver": saves("a", "ad"), "deleter": deletes("d", "m@2")}, {"reader": loads("m")}
    apart, together = Judge(TWO), Judge(TWO)
    fewer = explore(TWO, actors, apart, reader)
    more = explore(TWO, {**actors, **reader}, together)
    assert fewer.moments < more.moments
    assert apart.ends == together.ends


# Each rule is needed


def lost(
    content: Content, judge: Judge | None = None, *, failing: tuple[str, ...] = (), **actors: Any
) -> pytest.ExceptionInfo[Violation]:
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
    condemn = gc._Collection._condemn

    def hasty(self: Any, now: float) -> Any:
        self._dry = True
        for key in condemn(self, now)[0]:
            self._repo.store.delete(key)
        self._dry = False
        return condemn(self, now)

    monkeypatch.setattr(gc._Collection, "_condemn", hasty)
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

    def stubborn(self: Any, manifest: str, size: int) -> Any:
        event = decide(self, manifest, size)
        self.number = getattr(self, "number", event.number)
        return type(event)(**{**_fields(event), "number": self.number})

    monkeypatch.setattr(_Commit, "_event", stubborn)
    told = lost(TWO, ada=saves("a", "acd"), bob=saves("b", "ce"))
    assert "double" in str(told.value)


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_unless_records_are_created_exclusively_one_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_then_write(self: Log, record: Any) -> str | None:
        data = document.encode(record)
        if self.stat(record.number) is not None:
            return None
        self.store.put(log_key(record.number), len(data), lambda sink: sink.write(data, 0))
        return document.digest(data)

    monkeypatch.setattr(Log, "append", look_then_write)
    with pytest.raises(AssertionError, match="put twice"):
        explore(TWO, {"ada": saves("a", "acd"), "bob": saves("b", "ce")}, Judge(TWO))


class _Late:
    """A store that puts what it was given only when a record was created."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[str, int, Callable[[Sink], Any]]] = []

    def put(self, key: str, size: int, fill: Callable[[Sink], Any]) -> None:
        self._waiting.append((key, size, fill))
        fill(_Nowhere())

    def create(self, key: str, data: bytes) -> bool:
        created = self._store.create(key, data)
        while self._waiting:
            self._store.put(*self._waiting.pop())
        return created

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Nowhere(Sink):
    def write(self, data: bytes | memoryview, offset: int) -> None:
        pass

    def write_aligned(self, data: memoryview, offset: int) -> None:
        pass


def test_unless_packs_are_there_before_the_record_a_killed_saver_leaves_half_a_version() -> None:
    def late(repo: Repository) -> None:
        repo.store = _Late(repo.store)  # type: ignore[assignment]
        repo.state.log.store = repo.store

    told = lost(TWO, saver=saves("a", "acd", late))
    assert "missing" in str(told.value)


def test_unless_a_lost_answer_deletes_nothing_a_version_is_lost() -> None:
    def rash(repo: Repository) -> None:
        append = repo.state.log.append

        def told(record: Any) -> str | None:
            try:
                return append(record)
            except CommitUnknown as error:
                raise CannotWrite("it failed, so it did not happen") from error

        repo.state.log.append = told  # type: ignore[method-assign]

    lost(TWO, Judge(TWO, fails("CannotWrite")), failing=("saver",), saver=saves("a", "acd", rash))


def test_unless_a_reader_looks_again_it_loses_what_was_moved(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def once(self: Any, wanted: Any, progress: Any) -> set[str]:
        for name in wanted:
            list(self._ranges(name))
        return set()

    monkeypatch.setattr(StoredTensors, "_lost", once)
    told = lost(LARGE, collector=collects("c", "m@1"), reader=loads("m@2"))
    assert "reader ended with" in str(told.value)


def test_unless_a_collector_follows_moved_bytes_they_are_lost(eager: None) -> None:
    def forgetful(repo: Repository) -> None:
        repo.places._moves_of = lambda pack: []  # type: ignore[method-assign]

    lost(LARGE, collector=collects("c", "m@1", forgetful))


def test_unless_a_mover_looks_again_what_it_did_not_move_is_lost(
    eager: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc._Collection, "_covers", lambda self, pack, moves: True)
    judge = Judge(LARGE, fails("NotFound"))
    lost(LARGE, judge, saver=saves("a", "be", bases=("m@1",)), collector=collects("c", "m@1"))
