"""A small version is one file and its record: a pack that holds its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from drafts import draft, same

import saver
from saver.errors import DamagedError, IncompatibleError, NotFoundError
from saver.repo import stage
from saver.repo.backup import backup
from saver.repo.check import check
from saver.repo.commit import commit
from saver.repo.events import Delete
from saver.repo.gc import collect, moving
from saver.repo.objects import pack_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.stage import FILE_BYTES
from saver.repo.staged import Staged
from saver.repo.written import Written
from saver.storage import Content
from saver.storages.memory import MemoryStorage

pytestmark = pytest.mark.of_files

SMALL = {"a/x": np.arange(2000.0), "b/y": np.arange(9, dtype=np.uint8), "b/none": np.zeros((0, 3))}


@pytest.fixture
def small(repo: Repository) -> Repository:
    """m@1, one file."""
    save_version(repo, draft("m", SMALL))
    return repo


def objects(store: MemoryStorage) -> list[str]:
    return [key for key in store.keys("") if key.startswith(("packs/", "manifests/", "trees/"))]


def delete(repo: Repository, model: str, number: int) -> None:
    repo.append(lambda: Delete(model, (number,)))


def test_it_is_one_object_and_comes_back(small: Repository, store: MemoryStorage) -> None:
    version = small.version("m")
    assert objects(store) == [pack_key(version.file)]
    assert version.packs == (version.file,)
    assert store.stat(pack_key(version.file)).size == version.bytes_added  # type: ignore[union-attr]
    assert same(Repository(store), "m@1", SMALL)
    assert check(Repository(store)).sound


def test_it_is_a_file_that_load_opens_and_describe_and_import(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path / "models")
    wanted = {"weights": np.arange(100.0), "words": ["a", {"b": 2}]}
    version = store.save("m", wanted, step=7, metrics={"loss": 0.5}, notes="small")
    path = tmp_path / "models" / pack_key(version.file)
    loaded = saver.load(path)
    assert loaded["words"] == wanted["words"]
    assert (loaded["weights"] == wanted["weights"]).all()
    assert [part.hash for part in saver.describe(path).parts] == [p.hash for p in version.parts.values()]
    assert saver.describe(path).hash == version.manifest
    again = store.import_(path, "n")
    assert (again.parts, again.step, again.notes) == (version.parts, 7, "small")


def test_a_version_has_the_same_parts_as_one_file_and_apart(
    small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "FILE_BYTES", -1)
    apart = save_version(small, draft("n", SMALL))
    assert apart.file == ""
    assert apart.parts == small.version("m").parts


def test_what_is_large_or_shares_much_has_a_manifest_of_its_own(
    small: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert save_version(small, draft("large", {"a/x": np.zeros(FILE_BYTES + 1, np.uint8)})).file == ""
    monkeypatch.setattr(stage, "WORTH_SHARING", 16_000)
    shares = save_version(small, draft("m", {**SMALL, "b/y": np.arange(5)}))
    assert shares.file == "" and small.version("m@1").file in shares.packs  # noqa: PT018
    monkeypatch.setattr(stage, "WORTH_SHARING", 16_100)
    alone = save_version(small, draft("m", {**SMALL, "b/y": np.arange(6)}))
    assert alone.packs == (alone.file,)


def test_others_may_share_its_tensors_and_it_lives_as_long_as_they_do(
    small: Repository, store: MemoryStorage
) -> None:
    file = small.version("m").file
    second = {**SMALL, "b/y": np.arange(5)}
    save_version(small, draft("m", second))
    delete(small, "m", 1)
    collect(small, 0)
    assert pack_key(file) in objects(store)
    assert same(Repository(store), "m@2", second)
    delete(small, "m", 2)
    collect(small, 0)
    assert objects(store) == []


def test_a_file_stays_though_most_of_it_is_not_a_tensor(
    small: Repository, store: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its manifest is not moved with its bytes."""
    monkeypatch.setattr(moving, "DEAD_BYTES", 100)
    monkeypatch.setattr(moving, "DEAD_SHARE", 0.01)
    save_version(small, draft("m", {**SMALL, "b/y": np.arange(5)}))
    delete(small, "m", 2)
    found = collect(small, 0)
    assert found.moved == ()
    assert same(Repository(store), "m@1", SMALL)
    assert check(small).sound


def spoil(store: MemoryStorage, key: str, at: int) -> None:
    data = bytearray(store.read(key))
    data[at] ^= 1
    store.delete(key)
    store.create(key, bytes(data))


def test_a_file_stays_though_all_its_bytes_were_healed_elsewhere(
    small: Repository, store: MemoryStorage
) -> None:
    version = small.version("m")
    spoil(store, pack_key(version.file), -9)
    spoil(store, pack_key(version.file), 5000)
    assert not check(small).sound
    with pytest.raises(DamagedError):
        same(small, "m@1", SMALL)
    healer = save_version(small, draft("m", SMALL))
    assert healer.file != version.file
    for number in (2, 1):
        assert same(Repository(store), "m@1", SMALL)
        assert check(Repository(store)).sound, "what was healed is not damage"
        copy = MemoryStorage("copy")
        assert backup(Repository(store), copy).whole
        assert same(Repository(copy), "m@1", SMALL)
        delete(small, "m", number)
        collect(small, 0)
    assert objects(store) == []


@pytest.mark.parametrize("at", [0, 8, 20, 60, 300, 3000])
def test_damage_of_its_header_is_damage_of_the_version_and_reported_once(
    at: int, small: Repository, store: MemoryStorage
) -> None:
    key = pack_key(small.version("m").file)
    spoil(store, key, at)
    with pytest.raises(DamagedError, match=key):
        Repository(store).described(small.version("m"))
    damage = check(Repository(store)).damage
    assert {(d.key, d.part) for d in damage} == {(key, "a"), (key, "b")}
    assert len(damage) == 2
    told = backup(Repository(store), MemoryStorage("copy")).damage
    assert {(d.key, d.model, d.number) for d in told} == {(key, "m", 1)}
    assert save_version(small, draft("m", SMALL)).number == 2


def test_a_file_of_a_newer_saver_is_not_damaged(small: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saver.repo.manifest.FORMAT", 2)
    save_version(small, draft("n", SMALL))
    monkeypatch.undo()
    with pytest.raises(IncompatibleError, match="install a newer one"):
        small.described(small.version("n"))


def test_another_file_in_its_place_is_damage(small: Repository, store: MemoryStorage) -> None:
    save_version(small, draft("n", {"a/x": np.arange(7)}))
    one, other = (pack_key(small.version(model).file) for model in ("m", "n"))
    data = store.read(other)
    store.delete(one)
    store.create(one, data)
    with pytest.raises(DamagedError, match=one):
        Repository(store).described(small.version("m"))
    assert {(d.model, d.part) for d in check(Repository(store)).damage} == {("m", "a"), ("m", "b")}
    copy = MemoryStorage("copy")
    assert {d.key for d in backup(Repository(store), copy).damage} == {one}


def test_a_file_that_is_missing_is_damage_and_of_a_deleted_version_it_is_not(
    small: Repository, store: MemoryStorage
) -> None:
    reader = Repository(store)
    reader.open()
    version = reader.version("m")
    store.delete(pack_key(version.file))
    with pytest.raises(DamagedError, match="is missing"):
        reader.described(version)
    delete(small, "m", 1)
    with pytest.raises(NotFoundError):
        reader.described(version)


def test_a_file_whose_number_was_taken_is_written_anew_and_the_first_removed(
    small: Repository, store: MemoryStorage
) -> None:
    held = stage.stage(small, "m", draft("m", {"a/x": np.arange(50)}).encoded)
    save_version(Repository(store), draft("m", {"a/x": np.arange(60)}))
    version = commit(small, [held], draft("m", {}), written=None)
    assert (version.number, version.parent) == (3, 2)
    late = Repository(store)
    late.open()
    taken = stage.stage(late, "m", draft("m", {"a/x": np.arange(70)}).encoded)
    small_append = late.state.log.append

    def overtaken(record: Any) -> Any:
        late.state.log.append = small_append  # type: ignore[method-assign]
        save_version(small, draft("m", {"a/x": np.arange(80)}))
        return small_append(record)

    late.state.log.append = overtaken  # type: ignore[method-assign]
    assert commit(late, [taken], draft("m", {})).number == 5
    assert len(objects(store)) == 5
    assert late.described(late.version("m@5")).manifest.number == 5
    assert check(late).sound and not check(late).garbage  # noqa: PT018


def test_what_is_held_travels_and_what_several_hold_is_one_file(
    store: MemoryStorage, repo: Repository
) -> None:
    left, right = {"a/x": np.arange(50)}, {"b/y": np.arange(60)}
    pieces = [stage.stage(Repository(store), "m", draft("m", each).encoded) for each in (left, right)]
    assert objects(store) == []
    sent = [msgspec.json.decode(msgspec.json.encode(each), type=Staged) for each in pieces]
    version = commit(repo, sent, draft("m", {}))
    assert objects(store) == [pack_key(version.file)]
    assert same(Repository(store), "m", {**left, **right})


def test_what_is_held_beside_what_is_not_goes_into_a_pack(store: MemoryStorage, repo: Repository) -> None:
    left, right = {"a/x": np.arange(50)}, {"b/y": np.zeros(FILE_BYTES + 1, np.uint8)}
    pieces = [stage.stage(Repository(store), "m", draft("m", each).encoded) for each in (left, right)]
    version = commit(repo, pieces, draft("m", {}))
    assert version.file == "" and len(version.packs) == 2  # noqa: PT018
    assert same(Repository(store), "m", {**left, **right})
    assert check(repo).sound


def test_a_backup_of_files_is_a_store_and_a_damaged_copy_is_found(
    small: Repository, store: MemoryStorage
) -> None:
    copy = MemoryStorage("copy")
    assert backup(small, copy).whole
    assert objects(copy) == objects(store)
    assert same(Repository(copy), "m@1", SMALL)
    spoil(store, objects(store)[0], 300)
    save_version(small, draft("m", {"a/x": np.arange(5)}))
    assert backup(small, copy).whole, "the copy has it whole"


def test_an_array_that_changes_after_it_was_staged_changes_nothing(repo: Repository) -> None:
    data = np.arange(50)
    held = stage.stage(repo, "m", draft("m", {"a/x": data}).encoded)
    data[:] = 0
    commit(repo, [held], draft("m", {}))
    assert same(repo, "m", {"a/x": np.arange(50)})


@pytest.mark.parametrize("is_file", [True, False])
def test_a_thread_that_was_faster_costs_another_document_and_no_more(
    is_file: bool, repo: Repository, store: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It commits between the moment when the document was written and the one when its number is taken."""
    put, others = Written.put, iter([{"a/x": np.arange(300.0)}])
    if not is_file:
        monkeypatch.setattr(stage, "FILE_BYTES", 0)

    def faster(self: Written, key: str, content: Content) -> None:
        put(self, key, content)
        if key.startswith("packs/" if is_file else "manifests/"):
            for tensors in others:
                save_version(repo, draft("m", tensors))

    monkeypatch.setattr(Written, "put", faster)
    assert save_version(repo, draft("m", SMALL)).number == 2
    fresh = Repository(store)
    assert same(fresh, "m@1", {"a/x": np.arange(300.0)})
    assert same(fresh, "m@2", SMALL)
    assert check(fresh).sound
