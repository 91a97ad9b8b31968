"""Stages and commits: several processes may stage pieces of one version, and one of them commits it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from drafts import draft, same

from saver.errors import CannotSaveError, CannotWriteError, CommitUnknownError
from saver.pack.write import SMALL
from saver.repo.check import check
from saver.repo.commit import commit
from saver.repo.dedup import what_to_write
from saver.repo.draft import Draft, Encoded
from saver.repo.gc import collect
from saver.repo.refused import CondemnedError
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.stage import stage, stage_again
from saver.repo.staged import Condemned, Staged
from saver.storage import Content
from saver.storages.latency import LatencyStorage
from saver.storages.local import LocalStorage
from saver.storages.memory import MemoryStorage

LEFT = {"left/w": np.arange(300_000.0)}
RIGHT = {"right/w": np.arange(300_000, 600_000.0), "right/b": np.arange(7), "right/none": np.zeros((0, 3))}


def staged(repo: Repository, tensors: Mapping[str, Any], model: str = "m") -> Staged:
    wanted = draft(model, tensors)
    return stage(repo, model, wanted.encoded)


def parts_of(whole: Draft) -> Encoded:
    """Its parts, without the tensors."""
    return msgspec.structs.replace(whole.encoded, tensors={})


def sent(found: Staged) -> Staged:
    """As it arrives in another process."""
    return msgspec.json.decode(msgspec.json.encode(found), type=Staged)


def objects(store: MemoryStorage) -> set[str]:
    return {key for key in store.keys("") if not key.startswith("state/")}


def test_what_two_staged_is_one_version(store: MemoryStorage, repo: Repository) -> None:
    pieces = [sent(staged(Repository(store), tensors)) for tensors in (LEFT, RIGHT)]
    version = commit(repo, pieces, draft("m", {}))
    assert list(version.parts) == ["left", "right"]
    assert same(Repository(store), "m@1", {**LEFT, **RIGHT})
    assert check(Repository(store)).sound


def test_a_part_may_refer_to_tensors_that_others_staged(store: MemoryStorage, repo: Repository) -> None:
    whole = draft("m", RIGHT)
    tensors = whole.encoded.tensors.items()
    trees = stage(repo, "m", parts_of(whole))
    pieces = [stage(Repository(store), "m", Encoded({}, {name: data}, True)) for name, data in tensors]
    version = commit(repo, [trees, *map(sent, pieces)], whole)
    assert same(repo, "m@1", RIGHT)
    assert version.parts["right"].hash == save_version(repo, draft("n", RIGHT)).parts["right"].hash


def test_a_version_is_the_same_however_it_was_staged(store: MemoryStorage, repo: Repository) -> None:
    apart = commit(repo, [staged(repo, LEFT), staged(repo, RIGHT)], draft("m", {}))
    at_once = save_version(repo, draft("n", {**LEFT, **RIGHT}))
    assert apart.parts == at_once.parts


STAGES = """
import sys, msgspec, numpy as np
sys.path[:0] = sys.argv[3:]
from drafts import draft
from saver.repo.repository import Repository
from saver.repo.stage import stage
from saver.storages.latency import LatencyStorage
from saver.storages.local import LocalStorage

wanted = draft("m", {f"{sys.argv[2]}/w": np.full(300_000, float(len(sys.argv[2])))})
staged = stage(Repository(LocalStorage(sys.argv[1])), "m", wanted.encoded)
sys.stdout.buffer.write(msgspec.json.encode(staged))
"""


def test_what_other_processes_staged_is_committed_here(tmp_path: Path) -> None:
    def told(name: str) -> Staged:
        command = [sys.executable, "-c", STAGES, str(tmp_path), name, *filter(None, sys.path)]
        done = subprocess.run(command, capture_output=True, check=True)
        return msgspec.json.decode(done.stdout, type=Staged)

    repo = Repository(LocalStorage(tmp_path))
    commit(repo, [told("a"), told("bb")], draft("m", {}))
    wanted = {"a/w": np.full(300_000, 1.0), "bb/w": np.full(300_000, 2.0)}
    assert same(Repository(LocalStorage(tmp_path)), "m", wanted)


def emptied(found: Staged) -> dict[str, list[Staged]]:
    """What can go wrong on the way, by what the refusal says."""
    change = msgspec.structs.replace
    part = found.parts["right"]
    shard = found.tensors["right/b"]
    return {
        "no part was staged": [],
        "no part was staged; ": [change(found, parts={})],
        "'right/b' are not": [change(found, held={})],
        "'right/b' are not what": [change(found, held={**found.held, "right/b": b""})],
        "'right/b' are not what was": [change(found, held={**found.held, "right/b": bytes(56)})],
        "'right/b' are not what was staged": [
            change(
                found,
                held={},
                tensors={**found.tensors, "right/b": change(shard, extents=(("a" * 32, 0, 8),))},
            )
        ],
        "the tree of the part 'right'": [
            change(found, parts={"right": change(part, tree=msgspec.Raw(b"null"))})
        ],
        "the part 'model', and 'right' was": [change(found, whole=False)],
        "nothing is said of the tensor 'other'": [change(found, held={**found.held, "other": b"x"})],
    }


@pytest.mark.parametrize("at", range(9))
def test_a_version_that_could_not_be_loaded_is_not_committed(
    at: int, store: MemoryStorage, repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saver.repo.stage.FILE_BYTES", 4 << 20)
    found = sent(staged(repo, {"right/b": np.arange(7)}))
    assert found.held
    before = objects(store)
    what, pieces = list(emptied(found).items())[at]
    with pytest.raises(CannotSaveError, match=what):
        commit(repo, pieces, draft("m", {}))
    assert objects(store) == before
    commit(repo, [found], draft("m", {}))
    assert same(repo, "m@1", {"right/b": np.arange(7)})


@pytest.mark.parametrize(
    ("pieces", "what"),
    [
        ((LEFT, LEFT), "the part 'left' was staged twice"),
        ((LEFT, {"left2/w": LEFT["left/w"], "left/w": LEFT["left/w"]}), "the part 'left' was staged twice"),
    ],
)
def test_what_is_staged_twice_is_refused(pieces: Any, what: str, store: MemoryStorage) -> None:
    repo = Repository(store)
    found = [staged(repo, tensors) for tensors in pieces]
    before = objects(store)
    with pytest.raises(CannotSaveError, match=what):
        commit(repo, found, draft("m", {}))
    assert objects(store) == before


def test_a_tensor_that_is_staged_twice_or_by_nobody_is_refused(store: MemoryStorage) -> None:
    repo, whole = Repository(store), draft("m", RIGHT)
    parts, data = stage(repo, "m", parts_of(whole)), whole.encoded.tensors
    tensors = stage(repo, "m", Encoded({}, data, True))
    once_more = stage(repo, "m", Encoded({}, {"right/b": data["right/b"]}, True))
    with pytest.raises(CannotSaveError, match="the tensor 'right/b' was staged twice"):
        commit(repo, [parts, tensors, once_more], whole)
    with pytest.raises(CannotSaveError, match="nobody staged the tensor 'right/b'"):
        commit(repo, [parts], whole)


def test_a_part_of_a_mapping_and_an_object_by_itself_are_no_version(repo: Repository) -> None:
    alone = msgspec.structs.replace(draft("m", RIGHT).encoded, whole=False)
    with pytest.raises(CannotSaveError, match="an object by itself"):
        commit(repo, [staged(repo, LEFT), stage(repo, "m", alone)], draft("m", {}))


def test_what_was_staged_in_another_store_is_refused(repo: Repository) -> None:
    other = staged(Repository(MemoryStorage()), LEFT)
    save_version(repo, draft("m", {}))
    with pytest.raises(CannotSaveError, match="staged in another store"):
        commit(repo, [other], draft("m", {}))


def test_what_was_condemned_is_named_by_who_staged_it(store: MemoryStorage, repo: Repository) -> None:
    mine, collected = staged(repo, {"a/w": np.arange(5000)}), staged(Repository(store), RIGHT)
    save_version(repo, draft("other", {"x/w": np.arange(5000)}))
    key = f"packs/{collected.tensors['right/w'].extents[0][0]}.safetensors"
    data = {k: store.read(k) for k in store.keys("packs/") if k != key}
    for kept in data:
        store.delete(kept)
    collect(Repository(store), 0)
    for kept, content in data.items():
        store.create(kept, content)
    before = objects(store)
    with pytest.raises(CondemnedError, match="stage them again") as caught:
        commit(repo, [mine, collected], draft("m", {}))
    lost = Condemned(("right/w", "right/b"), ())
    assert caught.value.condemned == {collected.id: lost}
    assert objects(store) == before, "nothing is left, and nothing that others staged is gone"
    again = stage_again(Repository(store), collected, lost, draft("m", RIGHT).encoded)
    commit(repo, [mine, sent(again)], draft("m", {}))
    assert same(Repository(store), "m", {"a/w": np.arange(5000), **RIGHT})
    collect(repo, 0)
    assert not check(Repository(store)).garbage


def test_what_a_check_found_damaged_since_it_was_staged_is_staged_again(
    store: MemoryStorage, repo: Repository
) -> None:
    save_version(repo, draft("m", LEFT))
    shared = staged(Repository(store), {**LEFT, "more/w": np.arange(9)})
    (key, _) = sorted(store.keys("packs/"), key=lambda key: -len(store.read(key)))
    data = bytearray(store.read(key))
    data[-1] ^= 1
    store.delete(key)
    store.create(key, bytes(data))
    assert check(Repository(store)).recorded
    with pytest.raises(CondemnedError, match="left/w") as caught:
        commit(repo, [shared], draft("m", {}))
    lost = caught.value.condemned[shared.id]
    assert lost == Condemned(("left/w",), ())
    wanted = {**LEFT, "more/w": np.arange(9)}
    again = stage_again(Repository(store), shared, lost, draft("m", wanted).encoded)
    commit(repo, [again], draft("m", {}))
    assert same(Repository(store), "m@2", wanted)


def test_what_was_staged_and_came_to_nothing_is_freed(store: MemoryStorage, repo: Repository) -> None:
    save_version(repo, draft("m", LEFT))
    before = objects(store)
    staged(Repository(store), RIGHT)
    assert not before >= objects(store)
    collect(repo, 0)
    assert {key for key in objects(store) if not key.startswith("log/")} <= before


class _Failing(MemoryStorage):
    """Fails with an error at the call of a method with a key that begins so."""

    failure: BaseException | None = None
    at = ("", "")

    def _fail(self, method: str, key: str) -> None:
        if self.failure is not None and method == self.at[0] and key.startswith(self.at[1]):
            raise self.failure

    def put(self, key: str, content: Content) -> None:
        self._fail("put", key)
        super().put(key, content)

    def create(self, key: str, data: bytes) -> bool:
        self._fail("create", key)
        return super().create(key, data)


@pytest.mark.parametrize("at", [("put", "packs/"), ("put", "manifests/"), ("create", "log/")])
@pytest.mark.parametrize("error", [CannotWriteError("no room"), KeyboardInterrupt()])
def test_a_commit_that_fails_leaves_what_others_staged_and_nothing_else(
    at: tuple[str, str], error: BaseException
) -> None:
    store = _Failing()
    repo = Repository(store)
    pieces = [staged(repo, tensors) for tensors in (LEFT, RIGHT)]
    before = objects(store)
    store.failure, store.at = error, at
    stages = at[1] == "packs/"
    act = (
        (lambda: staged(repo, {"more/w": -LEFT["left/w"]}))
        if stages
        else (lambda: commit(repo, pieces, draft("m", {})))
    )
    with pytest.raises(type(error)):
        act()
    unknown = at[1] == "log/" and not isinstance(error, CannotWriteError)
    left = objects(store) - before
    assert {key.partition("/")[0] for key in left} == ({"manifests"} if unknown else set())
    store.failure = None
    commit(repo, pieces, draft("m", {}))
    assert same(repo, "m@1", {**LEFT, **RIGHT})


@pytest.mark.parametrize("at", [("put", "manifests/"), ("create", "log/")])
def test_a_save_of_which_it_is_unknown_whether_it_was_written_removes_nothing(at: tuple[str, str]) -> None:
    store = _Failing()
    repo = Repository(store)
    store.failure, store.at = CommitUnknownError("the answer was lost"), at
    with pytest.raises(CommitUnknownError):
        save_version(repo, draft("m", LEFT))
    assert any(key.startswith("packs/") for key in objects(store))


@pytest.mark.parametrize("count", [600_000, 1_500_000])
def test_bytes_that_change_after_they_were_hashed_are_saved_as_they_are_then(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or refused, if there are too many to copy. Where calls are slow, all is hashed before it is written."""
    storage = LatencyStorage(MemoryStorage(), 0.0)
    weights = np.arange(float(count))

    def changed(*given: Any) -> Any:
        weights[7] = -1
        return what_to_write(*given)

    monkeypatch.setattr("saver.repo.stage.what_to_write", changed)
    if weights.nbytes > SMALL:
        with pytest.raises(CannotWriteError, match="changed while it was being saved"):
            save_version(Repository(storage), draft("m", {"m/w": weights}))
        assert not list(storage.keys("packs/"))
        return
    save_version(Repository(storage), draft("m", {"m/w": weights}))
    assert check(Repository(storage)).sound
    assert same(Repository(storage), "m@1", {"m/w": weights})
