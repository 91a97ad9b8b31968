"""Check finds every damaged byte, says what it costs, and saving again heals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from drafts import Save, contents, draft, same

import saver
from saver.repo import document
from saver.repo.check import Checked, check
from saver.repo.gc import collect
from saver.repo.index import Index
from saver.repo.log import log_key
from saver.repo.manifest import manifest_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.repo.state import RESERVE
from saver.storage import Bytes
from saver.storages.memory import MemoryStorage

RANDOM = np.random.default_rng(2)


def array(count: int = 500) -> Any:
    return RANDOM.standard_normal(count)


def flip(store: MemoryStorage, key: str, at: int) -> None:
    data = bytearray(store.read(key))
    data[at] ^= 4
    store.delete(key)
    store.put(key, Bytes(bytes(data)))


def checked(store: MemoryStorage) -> Checked:
    return check(Repository(store))


@pytest.fixture
def filled(store: MemoryStorage, repo: Repository, save: Save) -> dict[str, dict[str, Any]]:
    x = array()
    saved = {
        "m@1": {"a/x": x, "b/y": array()},
        "m@2": {"a/x": x, "b/y": array()},
        "n@1": {"c/z": array(40)},
    }
    for ref, tensors in saved.items():
        save(ref[0], tensors)
    return saved


def test_a_sound_store_is_sound(store: MemoryStorage, filled: dict[str, Any]) -> None:
    found = checked(store)
    assert found.sound
    assert (found.versions, found.damage, found.garbage) == (3, (), ())
    assert found.bytes == sum(len(store.read(key)) for key in store.keys(""))


def test_a_damaged_byte_anywhere_is_found_and_never_loaded(
    store: MemoryStorage, filled: dict[str, Any]
) -> None:
    """Every object is damaged at many places: `check` says so, loads are right or refuse."""
    originals = {key: store.read(key) for key in store.keys("")}
    meaning = {key: data for key, data in originals.items() if key not in RESERVE}
    for key, data in meaning.items():
        places = {0, 7, 9, len(data) // 2, len(data) - 1, *RANDOM.integers(len(data), size=12).tolist()}
        for at in sorted(places):
            flip(store, key, at)
            if key.startswith(("log/", "store.json")):
                with pytest.raises(saver.DamagedError):
                    checked(store)
            else:
                assert {damage.key for damage in checked(store).damage} == {key}, at
            for ref, tensors in filled.items():
                try:
                    assert same(Repository(store), ref, tensors)
                except saver.SaverError:
                    pass
            for extra in set(store.keys("")) - set(originals):
                store.delete(extra)
            store.delete(key)
            store.put(key, Bytes(data))
    assert checked(store).sound


def test_a_record_that_was_exchanged_is_found_though_a_checkpoint_makes_it_unnecessary(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    """Its own hash is right, and the next record has that of the one that was there."""
    for number in range(18):
        save("m", {"a/x": np.full(3, number)})
    record, _ = repo.state.log.read(5)
    store.delete(log_key(5))
    store.create(log_key(5), document.encode(msgspec.structs.replace(record, author="mallory")))
    with pytest.raises(saver.DamagedError, match=f"{log_key(6)} does not follow the record before it"):
        checked(store)


def test_damage_is_named_by_model_version_part_and_tensor(
    store: MemoryStorage, repo: Repository, filled: dict[str, Any]
) -> None:
    shared = repo.known(repo.version("m@2"))["a/x"].extents[0]
    flip(store, f"packs/{shared[0]}.safetensors", shared[1] + 3)
    found = checked(store)
    named = {(d.model, d.number, d.part, d.tensor) for d in found.damage}
    assert named == {("m", 1, "a", "a/x"), ("m", 2, "a", "a/x")}
    for ref in ("m@1", "m@2"):
        with pytest.raises(saver.DamagedError, match="a/x"):
            contents(Repository(store), ref)
    assert same(Repository(store), "n@1", filled["n@1"]), "other versions still load"


def test_saving_the_same_tensor_again_heals_older_versions(
    store: MemoryStorage, repo: Repository, filled: dict[str, Any]
) -> None:
    shared = repo.known(repo.version("m@2"))["a/x"].extents[0]
    flip(store, f"packs/{shared[0]}.safetensors", shared[1] + 3)
    assert checked(store).recorded
    fresh = Repository(store)
    healed = save_version(fresh, draft("m", {"a/x": filled["m@1"]["a/x"], "b/y": filled["m@2"]["b/y"]}))
    assert healed.bytes_added > 4000, "damaged bytes are not shared"
    for ref, tensors in {**filled, "m@3": filled["m@2"]}.items():
        assert same(Repository(store), ref, tensors), ref
    after = checked(store)
    assert [damage.model for damage in after.damage] == [""] * len(after.damage), (
        "it costs no version any more"
    )


def test_damaged_bytes_are_not_shared_though_the_index_knows_them(
    store: MemoryStorage, tmp_path: Path
) -> None:
    """By a model that has no version yet: nothing but the index leads to them."""

    def indexed() -> Repository:
        return Repository(store, index=lambda ident: Index(str(tmp_path / "index.sqlite")))

    tensors = {"a/x": array()}
    save_version(indexed(), draft("m", tensors))
    assert save_version(indexed(), draft("n", tensors)).bytes_added < 4000, "sound bytes are"
    (key,) = store.keys("packs/")
    flip(store, key, len(store.read(key)) - 1)
    assert checked(store).recorded
    save_version(indexed(), draft("z", tensors))
    assert same(Repository(store), "z", tensors)


def test_a_healed_pack_that_nobody_needs_is_freed(store: MemoryStorage, repo: Repository, save: Save) -> None:
    tensors = {"a/x": array()}
    save("m", tensors)
    (key,) = store.keys("packs/")
    flip(store, key, len(store.read(key)) - 1)
    assert checked(store).recorded
    save_version(Repository(store), draft("m", tensors))
    found = checked(store)
    assert [(damage.key, damage.model) for damage in found.damage] == [(key, "")]
    assert found.garbage == (key,)
    assert collect(Repository(store), grace=0).freed == (key,)
    assert checked(store).sound
    assert same(Repository(store), "m@1", tensors)


def test_a_check_records_damage_once(store: MemoryStorage, repo: Repository, filled: dict[str, Any]) -> None:
    place = repo.known(repo.version("n@1"))["c/z"].extents[0]
    flip(store, f"packs/{place[0]}.safetensors", place[1])
    first = checked(store)
    head = len(list(store.keys("log/")))
    assert checked(store).damage == first.damage
    assert len(list(store.keys("log/"))) == head


def test_a_lost_manifest_costs_its_version_alone(
    store: MemoryStorage, repo: Repository, filled: dict[str, Any]
) -> None:
    store.delete(manifest_key(repo.version("m@1").manifest))
    found = checked(store)
    assert {(d.model, d.number, d.part) for d in found.damage} == {("m", 1, "a"), ("m", 1, "b")}
    assert same(Repository(store), "m@2", filled["m@2"])


def test_a_lost_pack_is_reported_for_all_that_was_in_it(
    store: MemoryStorage, repo: Repository, filled: dict[str, Any]
) -> None:
    pack = repo.known(repo.version("m@1"))["a/x"].extents[0][0]
    store.delete(f"packs/{pack}.safetensors")
    found = checked(store)
    assert {str(d.number) + d.tensor for d in found.damage} == {"1a/x", "1b/y", "2a/x"}


def test_a_cut_off_pack_is_damage(store: MemoryStorage, repo: Repository, filled: dict[str, Any]) -> None:
    key = f"packs/{repo.known(repo.version('n@1'))['c/z'].extents[0][0]}.safetensors"
    data = store.read(key)[:-100]
    store.delete(key)
    store.put(key, Bytes(data))
    assert any(d.model == "n" and d.tensor == "c/z" for d in checked(store).damage)


def test_garbage_is_not_damage(store: MemoryStorage, filled: dict[str, Any], repo: Repository) -> None:
    store.put("manifests/00/" + "0" * 64 + ".json", Bytes(b"{}"))
    found = checked(store)
    assert found.sound
    assert found.garbage == ("manifests/00/" + "0" * 64 + ".json",)
    assert found.garbage_bytes == 2


def test_progress_ends_with_everything(store: MemoryStorage, filled: dict[str, Any]) -> None:
    seen: list[tuple[int, int]] = []
    check(Repository(store), lambda *now: seen.append(now))
    assert seen == sorted(seen)
    assert seen
