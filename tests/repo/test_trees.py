"""Documents of parts: shared while they do not change, freed once no version needs them, always verified."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from drafts import draft, same

from saver.errors import DamagedError, IncompatibleError
from saver.repo.backup import backup
from saver.repo.check import check
from saver.repo.draft import Draft
from saver.repo.events import Delete
from saver.repo.gc import collect
from saver.repo.manifest import content_hash, decode
from saver.repo.objects import tree_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.stage import stage
from saver.repo.trees import TREE_BYTES, encode, parsed, verified
from saver.saver import Saver
from saver.storages.memory import MemoryStorage
from saver.tree import Node, to_json


def forest(seed: int = 0, model: str = "m", **more: Any) -> Draft:
    """A part with a large tree, and a small one beside it that is another one each time."""
    made = draft(model, {"forest/x": np.arange(200_000.0), "scaler/x": np.full(3, seed)}, **more)
    parts: Any = made.encoded.parts
    large = [msgspec.json.decode(parts["forest"].tree), "a node of a tree " * 10_000]
    tree = msgspec.Raw(to_json(Node("list", state=large)))
    parts["forest"] = msgspec.structs.replace(parts["forest"], tree=tree)
    return made


@pytest.fixture
def two(repo: Repository) -> Repository:
    """m@1 and m@2, which share a document."""
    save_version(repo, forest(1))
    save_version(repo, forest(2))
    return repo


def documents(store: MemoryStorage) -> list[str]:
    return list(store.keys("trees/"))


def spoil(store: MemoryStorage, key: str, data: bytes | None = None) -> None:
    old = store.read(key)
    store.delete(key)
    store.create(key, old[:-9] + bytes([old[-9] ^ 1]) + old[-8:] if data is None else data)


def test_versions_share_the_document_of_a_part_that_did_not_change(
    two: Repository, store: MemoryStorage
) -> None:
    first, second = two.version("m@1"), two.version("m@2")
    assert first.trees == second.trees
    assert len(documents(store)) == 1
    assert second.bytes_added < TREE_BYTES / 8 < TREE_BYTES < first.bytes_added
    assert second.bytes > second.parts["forest"].bytes > TREE_BYTES
    trees = [two.described(version).manifest.parts["forest"].tree for version in (first, second)]
    assert trees[0] == trees[1]
    assert b"a node of a tree" in bytes(trees[0])


def test_a_fresh_process_shares_with_the_parent_and_with_bases(two: Repository, store: MemoryStorage) -> None:
    assert save_version(Repository(store), forest(3)).trees == two.version("m").trees
    assert save_version(Repository(store), forest(3, "other", bases=("m@1",))).trees == two.version("m").trees
    assert save_version(Repository(store), forest(3, "alone")).trees != two.version("m").trees


def test_small_trees_stand_in_the_manifest(repo: Repository, store: MemoryStorage) -> None:
    assert save_version(repo, draft("m", {"a/x": np.arange(9)})).trees == ()
    assert documents(store) == []


def test_a_part_has_the_same_hash_with_a_document_and_without(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_one = save_version(repo, forest(1))
    monkeypatch.setattr("saver.repo.stage.TREE_BYTES", 1 << 40)
    without = save_version(repo, forest(1, "n"))
    assert with_one.trees
    assert not without.trees
    assert with_one.parts == without.parts


def test_a_document_lives_as_long_as_a_version_needs_it(two: Repository, store: MemoryStorage) -> None:
    for number, left in ((1, 1), (2, 0)):
        two.append(lambda number=number: Delete("m", (number,)))  # type: ignore[misc]
        collect(two, 0, listing=False)
        assert len(documents(store)) == left
    version = save_version(two, forest(1))
    assert len(documents(store)) == 1
    assert check(two).sound
    assert version.number == 3


def test_a_document_that_no_version_needs_is_garbage(two: Repository, store: MemoryStorage) -> None:
    wanted = forest(1, "n")
    stage(two, "n", msgspec.structs.replace(wanted.encoded, tensors={}))
    assert len(documents(store)) == 2
    found = check(two)
    assert found.sound
    assert len(found.garbage) == 1
    assert found.garbage_bytes > TREE_BYTES
    collect(two, 0)
    assert len(documents(store)) == 1
    assert same(two, "m@1", {n: d.data for n, d in forest(1).encoded.tensors.items()})


@pytest.mark.parametrize("lost", [False, True], ids=["damaged", "missing"])
def test_damage_of_a_document_is_named_costs_its_part_and_is_not_shared(
    lost: bool, two: Repository, store: MemoryStorage
) -> None:
    (key,) = documents(store)
    if lost:
        store.delete(key)
    else:
        spoil(store, key)
    damage = check(two).damage
    assert {(d.key, d.model, d.number, d.part) for d in damage} == {(key, "m", n, "forest") for n in (1, 2)}
    with pytest.raises(DamagedError, match=key):
        two.described(two.version("m@1"))
    version = save_version(two, forest(3))
    assert tree_key(version.trees[0]) != key
    assert {d.number for d in check(Repository(store)).damage} == {1, 2}
    assert Repository(store).described(version).manifest.parts["forest"].tree


def test_a_backup_has_the_documents_and_says_which_are_damaged(two: Repository, store: MemoryStorage) -> None:
    target = MemoryStorage("copy")
    assert backup(two, target).whole
    assert documents(target) == documents(store)
    assert check(Repository(target)).sound
    (key,) = documents(store)
    spoil(store, key)
    told = backup(two, MemoryStorage("another")).damage
    assert {(d.key, d.number) for d in told} == {(key, 1), (key, 2)}
    save_version(two, forest(3))
    assert backup(two, target).whole, "the copy has it whole"


def test_a_document_must_be_the_one_that_the_manifest_describes() -> None:
    name, data = encode(b"[1,{}]", "0" * 32)
    assert verified(data, name, content_hash(b"[1,{}]"), "here") == b"[1,{}]"
    assert parsed(b"[1,{}]", "here") == (msgspec.Raw(b"1"), {})
    with pytest.raises(DamagedError, match="not the document that the manifest describes"):
        verified(data, name, content_hash(b"[2,{}]"), "here")
    with pytest.raises(DamagedError, match="not those that were written"):
        verified(data + b" ", name, content_hash(b"[1,{}]"), "here")


@pytest.mark.parametrize("content", [b"1", b"[1]", b"[1,2]", b"[1,{},3]", b'{"a":1}', b"[1,{}", b"[1,{}]]"])
def test_what_is_not_a_document_is_refused(content: bytes) -> None:
    with pytest.raises(IncompatibleError):
        parsed(content, "here")


@pytest.mark.parametrize(
    "part",
    ['{"hash":"a"}', '{"hash":"a","document":""}', '{"hash":"a","tree":1,"document":"b","content":"c"}',
     '{"hash":"a","document":"b","content":"c"}'],
)  # fmt: skip
def test_a_file_must_hold_each_tree_itself(part: str) -> None:
    with pytest.raises(IncompatibleError):
        decode(f'{{"format":1,"parts":{{"model":{part}}}}}'.encode(), "here")


def test_a_saver_loads_restores_exports_and_describes_what_has_documents(tmp_path: Any) -> None:
    store = Saver(MemoryStorage())
    wanted = {"words": {f"word {n}": (n, "word") for n in range(3000)}, "w": np.arange(9.0)}
    version = store.save("m", wanted)
    assert len(version.trees) == 1
    assert store.load("m")["words"] == wanted["words"]
    assert store.load("m", parts=["words"]) == {"words": wanted["words"]}
    assert store.describe("m").parts[0].hash == version.parts["words"].hash
    store.export("m", tmp_path / "a.saver")
    again = store.import_(tmp_path / "a.saver", "n", tags=["copied"])
    assert again.parts == version.parts
    assert store.diff("m", "n").same
