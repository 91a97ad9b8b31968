"""The argument of docs/protocol.md, run: small cases in every interleaving of their calls of the store.

The judge (`judge.Judge`) sees every moment, so each case also says what holds when any of the actors, or
all of them, are killed at any call. test_rules.py takes each rule of the protocol away, and something is
lost.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from asking import Held
from cases import (
    FILES,
    LARGE,
    ONE,
    TRANSACTION,
    TWO,
    Done,
    Loaded,
    Saved,
    announces,
    checks,
    collects,
    commits,
    content_of,
    deletes,
    draft,
    fails,
    filled,
    loads,
    opened,
    saves,
    settles,
    stages,
    stored,
    tags,
    untags,
)
from explorer import Actor, Failed, Moment, explore
from judge import History, Judge

from saver.errors import CannotWriteError
from saver.repo import stage
from saver.repo.commit import _Commit
from saver.repo.events import Event, Tag
from saver.repo.gc import collection, moving
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.state import state, users
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.tensors import hashing

FAR = pytest.mark.parametrize("remote", [False, True], ids=["near", "far"])
NEAR_BY_DEFAULT = pytest.mark.parametrize(
    "remote", [False, pytest.param(True, marks=pytest.mark.long)], ids=["near", "far"]
)
"""For some of the larger cases: those of the other mark try both ways to ask, in every run of the tests."""


@pytest.mark.slow
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
    assert found.moments > 80_000, found


@pytest.mark.slow
@NEAR_BY_DEFAULT
def test_a_saver_that_shares_with_a_version_that_is_deleted_and_collected(remote: bool) -> None:
    judge = Judge(TWO)
    actors = {"saver": saves("a", "acd"), "collector": collects("c", "m@2")}
    readers = {"latest": loads("m"), "second": loads("m@2")}
    found = explore(TWO, actors, judge, readers, remote=remote)
    assert {("latest", Loaded("m", holds)) for holds in ("ab", "ac", "acd")} <= judge.ends
    assert {name for name, end in judge.ends if isinstance(end, Failed)} == {"latest", "second"}
    assert found.moments > 10_000, found


@pytest.mark.slow
@FAR
def test_a_saver_and_readers_while_bytes_move(eager: None, remote: bool) -> None:
    judge = Judge(LARGE)
    actors = {"saver": saves("a", "ae"), "collector": collects("c", "m@1")}
    found = explore(LARGE, actors, judge, {"reader": loads("m@2")}, remote=remote)
    assert {end for name, end in judge.ends if name == "reader"} == {Loaded("m@2", "ad")}
    assert any("packs/c" in key for content in judge.contents for key, _ in content), "bytes were moved"
    assert found.moments > 10_000, found


@pytest.mark.slow
def test_a_saver_that_comes_to_need_what_was_not_moved(eager: None) -> None:
    judge = Judge(LARGE, fails("NotFoundError"))
    actors = {"saver": saves("a", "be", bases=("m@1",)), "collector": collects("c", "m@1")}
    found = explore(LARGE, actors, judge, {"reader": loads("m")})
    assert ("saver", Saved("m@3", "be")) in judge.ends
    assert found.moments > 10_000, found


def test_two_stagers_a_committer_and_a_collector() -> None:
    """Also where a stager dies: then the committer finds no word of it, and what it wrote is freed."""
    judge = Judge(ONE)
    actors = {
        "ada": stages("a", "c"),
        "bob": stages("b", "d"),
        "committer": commits("d", {"a": "c", "b": "d"}),
        "collector": collects("c"),
    }
    found = explore(ONE, actors, judge)
    assert {end for name, end in judge.ends if name == "committer"} == {Saved("m@2", "cd"), Done("early")}
    assert any("packs/" + b"aagain".hex() in key for each in judge.contents for key, _ in each)
    assert found.moments > 10_000, found


@pytest.mark.slow
@FAR
def test_those_who_wait_for_a_commit_and_the_one_who_makes_it_agree_whether_it_took_place(
    remote: bool,
) -> None:
    """The committer may be stopped at any call, and go on at any later time, or die there."""
    judge = Judge(ONE)
    together: set[tuple[Any, ...]] = set()

    def agree(moment: Moment) -> None:
        judge(moment)
        found = tuple(moment.ended.get(name) for name in ("committer", "first", "second"))
        settled = {end for end in found if end is not None and end != Done("early")}
        assert len(settled) <= 1, found
        if Done("void") in settled:
            assert not any(record["transaction"] == TRANSACTION for record in _records(moment.content))
        together.add(found)

    actors = {
        "stager": stages("a", "c"),
        "committer": announces("d", {"a": "c"}),
        "first": settles("e", "c"),
        "second": settles("f", "c"),
    }
    found = explore(ONE, actors, agree, remote=remote)
    assert found.moments > 1_000, found
    void, saved = Done("void"), Saved("m@2", "c")
    assert {(void,) * 3, (saved,) * 3, (None, void, void)} <= together


def _records(content: Held) -> list[dict[str, Any]]:
    """The records of the log."""
    return [json.loads(data) for key, data in content.items() if key.startswith("log/")]


@pytest.mark.slow
@NEAR_BY_DEFAULT
def test_a_stager_that_shares_what_is_deleted_and_collected_is_asked_again(remote: bool) -> None:
    judge = Judge(TWO)
    actors = {
        "stager": stages("a", "acd"),
        "committer": commits("d", {"a": "acd"}),
        "collector": collects("c", "m@2"),
    }
    found = explore(TWO, actors, judge, {"reader": loads("m")}, remote=remote)
    assert ("committer", Saved("m@3", "acd")) in judge.ends
    assert found.moments > 10_000, found


@pytest.mark.slow
def test_a_committer_that_asks_nobody_says_what_was_condemned_and_leaves_nothing() -> None:
    judge = Judge(TWO, lambda name, end: name == "committer" and end.kind == "CondemnedError")
    actors = {
        "stager": stages("a", "acd"),
        "committer": commits("d", {"a": "acd"}, asks=False),
        "saver": saves("b", "ae"),
        "collector": collects("c"),
    }
    found = explore(TWO, actors, judge)
    ends = {end.kind if isinstance(end, Failed) else end for name, end in judge.ends if name == "committer"}
    assert {Saved("m@3", "acd"), Saved("m@4", "acd"), Done("early"), "CondemnedError"} == ends
    assert found.moments > 100_000, found


@pytest.mark.long
@pytest.mark.of_files
def test_savers_of_one_file_and_of_several_a_collector_and_a_reader() -> None:
    judge = Judge(FILES)
    actors = {"ada": saves("a", "acd"), "bob": saves("b", "ef"), "collector": collects("c", "m@1")}
    found = explore(FILES, actors, judge, {"reader": loads("m")})
    assert {end for name, end in judge.ends if name in ("ada", "bob")} == {
        Saved(f"m@{number}", holds) for number in (3, 4) for holds in ("acd", "ef")
    }
    assert found.moments > 100_000, found


@pytest.mark.of_files
@FAR
def test_a_file_of_which_others_need_a_tensor_when_its_version_is_deleted(remote: bool) -> None:
    judge = Judge(FILES)
    actors = {"saver": saves("a", "ae"), "collector": collects("c", "m@1")}
    readers = {"first": loads("m@1"), "second": loads("m@2")}
    found = explore(FILES, actors, judge, readers, remote=remote)
    assert {("first", Loaded("m@1", "ab")), ("second", Loaded("m@2", "ac"))} <= judge.ends
    assert {name for name, end in judge.ends if isinstance(end, Failed)} == {"first"}
    assert found.moments > 1_000, found


@pytest.mark.of_files
def test_a_file_of_which_most_is_dead_while_its_bytes_move(eager: None) -> None:
    first = filled("abc", "ad", files=True)
    judge = Judge(first)
    actors = {"saver": saves("a", "ef"), "collector": collects("c", "m@1")}
    explore(first, actors, judge, {"reader": loads("m@2")})
    assert {end for name, end in judge.ends if name == "reader"} == {Loaded("m@2", "ad")}
    assert any("packs/c" in key for content in judge.contents for key, _ in content), "bytes were moved"


@pytest.mark.slow
@pytest.mark.of_files
def test_what_two_hold_a_third_commits_as_one_file_while_others_save_and_collect() -> None:
    judge = Judge(FILES)
    actors = {
        "ada": stages("a", "d"),
        "bob": stages("b", "e"),
        "committer": commits("d", {"a": "d", "b": "e"}),
        "saver": saves("f", "f"),
        "collector": collects("c"),
    }
    found = explore(FILES, actors, judge)
    assert {("committer", Saved("m@3", "de")), ("committer", Saved("m@4", "de"))} <= judge.ends
    assert found.moments > 10_000, found


@pytest.mark.of_files
@FAR
def test_what_one_holds_is_committed_beside_what_another_wrote(remote: bool) -> None:
    """The committer writes what is held into a pack, which a collector may condemn and not the manifest."""
    judge = Judge(FILES)
    actors = {
        "ada": stages("a", "d"),
        "bob": stages("b", "ae"),
        "committer": commits("d", {"a": "d", "b": "ae"}),
        "collector": collects("c"),
    }
    found = explore(FILES, actors, judge, remote=remote)
    assert ("committer", Saved("m@3", "dae")) in judge.ends
    assert found.moments > 1_000, found


@pytest.mark.of_files
def test_a_file_whose_record_is_refused_or_whose_answer_is_lost() -> None:
    judge = Judge(FILES, fails("CannotWriteError", "CommitUnknownError"))
    explore(FILES, {"saver": saves("a", "ef"), "other": collects("c")}, judge, failing=("saver", "other"))
    ends = {end.kind if isinstance(end, Failed) else end for name, end in judge.ends if name == "saver"}
    assert {Saved("m@3", "ef"), "CannotWriteError", "CommitUnknownError"} <= ends


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> Held:
    """m@1 and m@2 share the document of a part; every part has one."""
    monkeypatch.setattr(stage, "TREE_BYTES", 0)
    return filled("ab", "ac")


@pytest.mark.slow
def test_a_saver_that_shares_documents_of_a_version_that_is_deleted_and_collected(
    documents: Held,
) -> None:
    judge = Judge(documents)
    actors = {"saver": saves("a", "acd"), "collector": collects("c", "m@2")}
    found = explore(documents, actors, judge, {"latest": loads("m"), "second": loads("m@2")})
    assert {("latest", Loaded("m", holds)) for holds in ("ab", "ac", "acd")} <= judge.ends
    assert {name for name, end in judge.ends if isinstance(end, Failed)} == {"latest", "second"}
    trees = {key for each in judge.contents for key, _ in each if key.startswith("trees/")}
    assert len(trees) >= 3 + 1 + 1 + 1, "a, b, c; then d; c again; those of the one that goes on"
    assert found.moments > 10_000, found


@pytest.mark.slow
def test_a_stager_whose_documents_are_collected_is_asked_again(documents: Held) -> None:
    judge = Judge(documents)
    actors = {
        "stager": stages("a", "acd"),
        "committer": commits("d", {"a": "acd"}),
        "collector": collects("c", "m@2"),
    }
    found = explore(documents, actors, judge)
    assert ("committer", Saved("m@3", "acd")) in judge.ends
    assert found.moments > 1_000, found


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a few thousand bytes are hashed, shared and moved by blocks."""
    monkeypatch.setattr(hashing, "BLOCK", 1024)
    monkeypatch.setattr(hashing, "BLOCKS_FROM", 2048)
    monkeypatch.setattr(moving, "DEAD_BYTES", 4100)


@pytest.mark.slow
def test_a_saver_and_a_reader_while_blocks_of_a_tensor_move(small_blocks: None) -> None:
    """m@2 needs most blocks of `b` in the pack of m@1, and so does the saver."""
    first = filled("abc", "aB")
    judge = Judge(first)
    actors = {"saver": saves("a", "Be"), "collector": collects("c", "m@1")}
    found = explore(first, actors, judge, {"reader": loads("m@2")})
    assert {end for name, end in judge.ends if name == "reader"} == {Loaded("m@2", "aB")}
    assert any("packs/c" in key for content in judge.contents for key, _ in content), "bytes were moved"
    assert found.moments > 10_000, found


@pytest.mark.slow
def test_a_saver_that_saves_again_what_it_remembers() -> None:
    wanted = draft("acd"), draft("cde")

    def twice(store: Storage) -> Saved:
        repo = opened(store, "a")._repo
        for each in wanted:
            version = save_version(repo, each)
        return Saved(str(version), version.notes)

    judge = Judge(TWO)
    found = explore(TWO, {"saver": twice, "collector": collects("c", "m@2")}, judge)
    assert ("saver", Saved("m@4", "cde")) in judge.ends
    assert found.moments > 10_000, found


@pytest.mark.slow
def test_two_collectors_that_move_the_same_bytes(eager: None) -> None:
    judge = Judge(LARGE)
    actors = {"one": collects("c", "m@1"), "other": collects("e")}
    found = explore(LARGE, actors, judge, {"reader": loads("m@2")})
    assert judge.ends == {("one", Done("gc")), ("other", Done("gc")), ("reader", Loaded("m@2", "ad"))}
    assert found.moments > 10_000, found


@pytest.mark.slow
@NEAR_BY_DEFAULT
def test_a_check_while_versions_go_and_bytes_move_finds_no_damage(eager: None, remote: bool) -> None:
    judge = Judge(LARGE)
    explore(LARGE, {"collector": collects("c", "m@1")}, judge, {"checker": checks}, remote=remote)
    assert ("checker", Done("sound")) in judge.ends


@pytest.mark.slow
def test_tags_that_come_and_go_with_their_versions() -> None:
    judge = Judge(TWO, fails("NotFoundError"))
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


@pytest.mark.slow
def test_the_first_two_saves_of_a_store() -> None:
    judge = Judge({}, lambda name, end: name == "reader" and end.kind == "NotFoundError")
    explore({}, {"ada": saves("a", "a"), "bob": saves("b", "b")}, judge, {"reader": loads("m")})
    assert {
        ("ada", Saved("m@1", "a")),
        ("ada", Saved("m@2", "a")),
        ("reader", Loaded("m", "b")),
    } <= judge.ends


@pytest.mark.parametrize("other", [saves("b", "ce"), collects("c")], ids=["saver", "collector"])
def test_a_record_that_is_refused_or_whose_answer_is_lost(other: Actor) -> None:
    judge = Judge(TWO, fails("CannotWriteError", "CommitUnknownError"))
    explore(TWO, {"saver": saves("a", "acd"), "other": other}, judge, failing=("saver", "other"))
    ends = {end.kind if isinstance(end, Failed) else end for name, end in judge.ends if name == "saver"}
    assert {Saved("m@3", "acd"), "CannotWriteError", "CommitUnknownError"} <= ends


@pytest.mark.slow
def test_checkpoints_that_are_written_read_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "INTERVAL", 2)
    many = filled("ab", "ac", "b", "ad", "c")
    assert any(key.startswith("state/") for key in many)
    judge = Judge(many)
    actors = {"saver": saves("a", "ae"), "deleter": deletes("d", "m@2"), "collector": collects("c")}
    found = explore(many, actors, judge, {"reader": loads("m")})
    assert found.moments > 100_000, found


@pytest.fixture
def keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every collection rests on what the last one kept, and keeps what it knows."""
    monkeypatch.setattr(collection, "SMALL", 0)
    monkeypatch.setattr(users, "INTERVAL", 1)


def collected(content: Held) -> Held:
    """What a store holds after somebody collected in it."""
    store = stored(content)
    opened(store, "9").gc(grace=0)
    return content_of(store)


@pytest.mark.slow
def test_a_saver_and_a_collector_that_rests_on_what_the_last_one_kept(keeping: None) -> None:
    first = collected(TWO)
    assert any(key.startswith("state/users/") for key in first)
    judge = Judge(first)
    found = explore(first, {"saver": saves("a", "acd"), "collector": collects("c", "m@2")}, judge)
    assert {("saver", Saved("m@3", "acd")), ("collector", Done("gc"))} == judge.ends
    assert found.moments > 2_000, found


@pytest.mark.slow
def test_two_collectors_that_rest_on_what_the_last_one_kept(keeping: None) -> None:
    first = collected(TWO)
    judge = Judge(first)
    found = explore(first, {"one": collects("c", "m@1"), "other": collects("e")}, judge)
    assert judge.ends == {("one", Done("gc")), ("other", Done("gc"))}
    assert found.moments > 2_000, found


class _Healed(Judge):
    """As soon as the saver is done."""

    def __call__(self, moment: Moment) -> None:
        History(moment.content)
        if "saver" in moment.ended:
            super().__call__(moment)


@pytest.fixture
def damaged() -> Held:
    """m@1 with damage that a check found, and m@2."""
    store = stored(filled("ab"))
    (pack,) = store.keys("packs/")
    data = bytearray(store.read(pack))
    data[5000] ^= 1
    store.delete(pack)
    store.create(pack, bytes(data))
    saver = opened(store, "1")
    assert not saver.check().sound
    save_version(saver._repo, draft("c"))
    return content_of(store)


def test_damage_that_a_save_heals(damaged: Held) -> None:
    judge = _Healed(damaged)
    actors = {"saver": saves("a", "abd", bases=("m@1",)), "collector": collects("c")}
    explore(damaged, actors, judge)
    assert judge.contents


def test_a_version_that_is_deleted_while_it_heals_another(damaged: Held) -> None:
    """No record says that bytes lie in a pack that is condemned."""
    actors = {"saver": saves("a", "abd", bases=("m@1",)), "collector": collects("c", "m@3")}
    moved = set()

    def judge(moment: Moment) -> None:
        history = History(moment.content)
        moved.add(any(key.startswith("packs/a") and key in history.condemned for key in moment.content))

    explore(damaged, actors, judge)
    assert moved == {False, True}


@pytest.mark.parametrize("calls", [1, 2])
def test_a_save_that_another_thread_overtakes_within_one_repository_decides_anew(
    calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStorage()
    repo = Repository(store)
    save_version(repo, draft("a"))
    decide = _Commit._event
    left = [calls]

    def overtaken(self: Any, *manifest: Any) -> Any:
        event = decide(self, *manifest)
        left[0] -= 1
        if left[0] == 0:
            save_version(repo, draft("ab"))
        return event

    monkeypatch.setattr(_Commit, "_event", overtaken)
    save_version(repo, draft("ac"))
    Judge({})(Moment(content_of(store), {"one": Saved("m@2", "ab"), "other": Saved("m@3", "ac")}))


def test_a_save_is_done_once_its_record_is_there_though_it_cannot_tidy_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Keeping(MemoryStorage):
        def delete(self, *keys: str) -> None:
            raise CannotWriteError(f"{keys}: not deleted")

    store = Keeping()
    repo = Repository(store)
    decide, left = _Commit._event, [2]

    def overtaken(self: Any, *manifest: Any) -> Any:
        event = decide(self, *manifest)
        left[0] -= 1
        if left[0] == 0:  # so the manifest must be written anew, and the first one be deleted
            save_version(Repository(store), draft("ab"))
        return event

    monkeypatch.setattr(_Commit, "_event", overtaken)
    assert str(save_version(repo, draft("ac"))) == "m@2"
    assert len(list(store.keys("manifests/"))) == 3


def test_a_tag_that_another_thread_overtakes_within_one_repository_decides_anew() -> None:
    store = MemoryStorage()
    repo = Repository(store)
    save_version(repo, draft("a"))
    events = []

    def decide() -> Event:
        events.append(Tag("m", "best", repo.version("m").number))
        if len(events) == 1:
            save_version(repo, draft("b"))
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
