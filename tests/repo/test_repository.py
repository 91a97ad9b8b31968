"""Commits: numbers, parts, and bytes that are not written twice."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drafts import Save, contents, draft, same

import saver
from saver.repo import dedup, document, stage
from saver.repo.format import Format
from saver.repo.gc import collect
from saver.repo.index import Candidate, Index
from saver.repo.manifest import manifest_key
from saver.repo.repository import Repository
from saver.repo.save import save_version
from saver.storage import Content
from saver.storages.memory import MemoryStorage
from saver.tensors import TensorData, hash_of, hashing

RANDOM = np.random.default_rng(0)


def array(*shape: int) -> Any:
    return RANDOM.standard_normal(shape or (300,))


def packs(store: MemoryStorage) -> list[str]:
    return list(store.keys("packs/"))


def test_versions_are_numbered_and_come_back_to_the_bit(repo: Repository, save: Save) -> None:
    saved = [{"a/x": array(), "b/y": array(3, 4)} for _ in range(5)]
    assert [save("m", tensors).number for tensors in saved] == [1, 2, 3, 4, 5]
    assert save("other", saved[0]).number == 1
    for number, tensors in enumerate(saved, 1):
        assert same(repo, f"m@{number}", tensors)
    fresh = Repository(repo.storage)
    assert same(fresh, "m", saved[-1])
    assert [version.parent for version in fresh.versions("m")] == [None, 1, 2, 3, 4]


def test_a_part_has_a_number_that_moves_with_its_content(repo: Repository, save: Save) -> None:
    x, y, z = array(), array(), array()
    saved = [
        {"a/t": x, "b/t": y},
        {"a/t": x, "b/t": z},
        {"a/t": x},
        {"a/t": x, "b/t": z},
        {"a/t": x, "b/t": y},
    ]
    numbers = [{n: part.number for n, part in save("m", tensors).parts.items()} for tensors in saved]
    assert numbers == [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 3}]


def test_unchanged_tensors_cost_no_bytes(store: MemoryStorage, save: Save) -> None:
    tensors = {"a/x": array(1000), "b/y": array(1000)}
    save("m", tensors)
    before = packs(store)
    again = save("m", {name: item.copy() for name, item in tensors.items()})
    assert packs(store) == before
    assert again.bytes_added < 2000
    changed = save("m", {**tensors, "b/y": array(1000)})
    assert len(packs(store)) == 2
    assert 8000 < changed.bytes_added < 8000 + 4096 + 2000


def test_equal_bytes_are_shared_whatever_their_name_and_place(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    x = array(1000)
    save("m", {"a/x": x, "a/y": array(1000)})
    save("m", {"b/z": x.reshape(10, 100)})
    assert len(packs(store)) == 1
    assert same(repo, "m", {"b/z": x})


def test_a_base_of_another_model_shares_its_tensors(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    backbone = {"net/backbone": array(1000)}
    save("pretrained", backbone)
    save("mine", {**backbone, "net/head": array(10)}, bases=("pretrained@1",))
    assert len(packs(store)) == 2
    assert repo.version("mine").bytes_added < 8000
    with pytest.raises(saver.NotFoundError, match="no model 'nothing'"):
        save("mine", backbone, bases=("nothing",))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    """Tensors from 32 kB have blocks of 8 kB, so that tests of them stay small."""
    monkeypatch.setattr(hashing, "BLOCK", 8192)
    monkeypatch.setattr(hashing, "BLOCKS_FROM", 32768)
    monkeypatch.setattr(dedup, "PROBED", 16384)
    return 8192


@pytest.mark.parametrize(
    ("rows", "cost"),
    [(range(1), 1), (range(5, 6), 1), (range(7, 9), 2), (range(3, 12, 4), 3), (range(19, 20), 1)],
)  # fmt: skip
def test_a_large_tensor_costs_the_blocks_that_changed(
    rows: range, cost: int, store: MemoryStorage, repo: Repository, save: Save, small_blocks: int
) -> None:
    """20 rows of which each takes half a block: rows 2n and 2n + 1 lie in block n."""
    table = array(20, small_blocks // 16)
    save("m", {"a/table": table})
    changed = table.copy()
    for row in rows:
        changed[row, 5] += 1
    version = save("m", {"a/table": changed})
    written = sum(layout_size(store, key) for key in packs(store)[0:]) - table.nbytes
    blocks = len({row // 2 for row in rows})
    assert blocks == cost
    assert written == cost * small_blocks
    assert same(repo, "m@1", {"a/table": table})
    assert same(repo, "m@2", {"a/table": changed})
    third = save("m", {"a/table": table.copy()})
    assert same(repo, "m@3", {"a/table": table})
    assert third.bytes_added < version.bytes_added + 3000


def layout_size(store: MemoryStorage, key: str) -> int:
    from saver.pack import Pack

    return sum(shard.length for shard in Pack(store.open(key)).shards.values())


def test_a_chain_of_partly_changed_tensors_stays_right(
    repo: Repository, save: Save, small_blocks: int
) -> None:
    table = array(20, small_blocks // 16)
    saved = []
    for _ in range(12):
        row = int(RANDOM.integers(20))
        table[row] += 1
        saved.append(table.copy())
        save("m", {"a/table": table})
    for number, expected in enumerate(saved, 1):
        assert same(repo, f"m@{number}", {"a/table": expected})
        assert same(Repository(repo.storage), f"m@{number}", {"a/table": expected})


def test_a_block_that_only_begins_like_another_one_is_not_shared(
    repo: Repository, save: Save, small_blocks: int
) -> None:
    first = array(5 * small_blocks // 8)
    save("m", {"a/x": first})
    second = first.copy()
    second[0] += 1  # so that it is compared block by block
    second[3 * small_blocks // 8 - 1] += 1
    save("m", {"a/x": second})
    assert same(repo, "m@1", {"a/x": first})
    assert same(repo, "m@2", {"a/x": second})


def test_blocks_are_shared_with_the_tensor_that_has_them_though_another_is_as_long(
    repo: Repository, save: Save, small_blocks: int
) -> None:
    """The parent's tensor of that name has as many bytes, of another dtype; the base's has the blocks."""
    table = array(20, small_blocks // 16)
    save("pretrained", {"a/table": table})
    save("m", {"a/table": np.arange(table.size).reshape(table.shape)})
    changed = table.copy()
    changed[3, 5] += 1
    version = save("m", {"a/table": changed}, bases=("pretrained",))
    assert version.bytes_added < 2 * small_blocks
    assert same(repo, "m@2", {"a/table": changed})


def test_a_small_tensor_that_spells_the_hash_of_a_large_one_is_not_taken_for_it(
    store: MemoryStorage, tmp_path: Path, small_blocks: int
) -> None:
    """The hash of a large tensor is that of its blocks' hashes, which may be the bytes of a small one."""
    repo = Repository(store, index=lambda ident: Index(str(tmp_path / "index.sqlite")))
    table = array(40 * 1024)
    _, blocks = hash_of(TensorData("F64", table.shape, table))
    spelled = np.frombuffer(b"".join(map(bytes.fromhex, blocks)), np.uint8)
    alike = table.copy()
    alike[-1] += 1
    save_version(repo, draft("hostile", {"a/spelled": spelled, "a/alike": alike}))
    save_version(repo, draft("m", {"b/table": table}))
    assert same(repo, "m", {"b/table": table})


def test_an_index_that_lies_costs_bytes_and_no_version(store: MemoryStorage, tmp_path: Path) -> None:
    """It may be of another copy of the store, damaged, or anybody's."""

    class Lying(Index):
        def find(self, hashes: Iterable[str]) -> dict[str, list[Candidate]]:
            manifest = first.manifest
            lies = [("m", 1, manifest, "a/y"), ("m", 2, manifest, "a/x"), ("m", 1, "0" * 64, "a/x")]
            return {digest: [*lies, ("m", 1, manifest, "nothing")] for digest in hashes}

    repo = Repository(store, index=lambda ident: Lying(str(tmp_path / "index.sqlite")))
    first = save_version(repo, draft("m", {"a/x": array(), "a/y": array()}))
    save_version(repo, draft("m", {"a/x": array(), "a/y": array()}))
    tensors = {"b/x": array(), "b/y": array()}
    save_version(repo, draft("n", tensors))
    assert same(Repository(store), "n", tensors)


def test_a_pack_holds_a_bounded_number_of_tensors(
    store: MemoryStorage, repo: Repository, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "PACK_TENSORS", 3)
    tensors = {f"a/{number}": array(10) for number in range(8)}
    save("m", tensors)
    assert len(packs(store)) == 3
    assert same(repo, "m", tensors)


def test_progress_counts_all_packs(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "PACK_TENSORS", 2)
    seen: list[tuple[int, int]] = []
    save_version(repo, draft("m", {f"a/{n}": array(1000) for n in range(5)}), lambda *now: seen.append(now))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] >= 5 * 8000


def test_two_savers_see_each_other(store: MemoryStorage) -> None:
    one, other = Repository(store), Repository(store)
    for number in range(6):
        version = save_version((one, other)[number % 2], draft("m", {"a/x": array()}))
        assert (version.number, version.parent) == (number + 1, number or None)


def test_threads_share_a_repository(repo: Repository) -> None:
    saved: dict[str, Any] = {}
    errors: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for _ in range(5):
                tensors = {"a/x": np.full(50, name) + len(saved)}
                saved[str(save_version(repo, draft("m", tensors)))] = tensors
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(saved) == sorted(f"m@{number}" for number in range(1, 31))
    assert all(same(repo, ref, tensors) for ref, tensors in saved.items())


class Failing(MemoryStorage):
    """A store that fails to put or create keys that begin with `at`."""

    at = "nothing"
    error: type[BaseException] = saver.CannotWriteError

    def put(self, key: str, content: Content) -> None:
        if key.startswith(self.at):
            raise self.error(f"{key}: no room")
        super().put(key, content)

    def create(self, key: str, data: bytes) -> bool:
        if key.startswith(self.at):
            raise self.error(f"{key}: no room")
        return super().create(key, data)


@pytest.mark.parametrize("at", ["packs/", "manifests/", "log/"])
@pytest.mark.parametrize("error", [saver.CannotWriteError, KeyboardInterrupt, MemoryError])
def test_a_save_that_fails_leaves_nothing_and_the_next_succeeds(at: str, error: type[BaseException]) -> None:
    store = Failing()
    repo = Repository(store)
    tensors = {"a/x": array(1000)}
    save_version(repo, draft("m", tensors))
    before = list(store.keys(""))
    store.at, store.error = at, error
    with pytest.raises(error):
        save_version(repo, draft("m", {"a/x": array(1000)}))
    left = set(store.keys("")) - set(before)
    assert not left or (at == "log/" and error is not saver.CannotWriteError), left
    store.at = "nothing"
    assert save_version(repo, draft("m", tensors)).number == 2
    assert same(repo, "m", tensors)


def test_when_it_is_unknown_whether_a_record_was_written_nothing_is_deleted() -> None:
    class Unsure(MemoryStorage):
        unsure = False

        def create(self, key: str, data: bytes) -> bool:
            done = super().create(key, data)
            if self.unsure and key.startswith("log/"):
                raise saver.CommitUnknownError(f"{key}: the line broke")
            return done

    store = Unsure()
    repo = Repository(store)
    save_version(repo, draft("m", {"a/x": array()}))
    store.unsure = True
    tensors = {"a/x": array()}
    with pytest.raises(saver.CommitUnknownError):
        save_version(repo, draft("m", tensors))
    store.unsure = False
    assert same(repo, "m@2", tensors), "it had been written after all"
    assert save_version(repo, draft("m", tensors)).number == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_after_the_record_was_written_deletes_nothing(error: type[BaseException]) -> None:
    class Interrupted(MemoryStorage):
        armed = False

        def create(self, key: str, data: bytes) -> bool:
            done = super().create(key, data)
            if self.armed and key.startswith("log/"):
                raise error
            return done

    store = Interrupted()
    repo = Repository(store)
    save_version(repo, draft("m", {"a/x": array()}))
    store.armed = True
    tensors = {"a/x": array()}
    with pytest.raises(error):
        save_version(repo, draft("m", tensors))
    store.armed = False
    assert same(repo, "m@2", tensors)


def test_an_interruption_once_the_record_is_there_deletes_nothing(
    repo: Repository, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("m", {"a/x": array()})
    tensors = {"a/x": array()}
    with monkeypatch.context() as patch:
        patch.setattr(repo.state, "took", lambda record, digest: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            save_version(repo, draft("m", tensors))
    assert same(Repository(repo.storage), "m@2", tensors)


def test_what_is_not_there_is_reported_with_what_is(repo: Repository, save: Save) -> None:
    with pytest.raises(saver.NotFoundError, match="no store here"):
        repo.open()
    save("iris", {"a/x": array()}, tags=("best",), step=3)
    save("bert", {"a/x": array()})
    with pytest.raises(saver.NotFoundError, match=r"no model .irsi.; there are iris"):
        repo.version("irsi@1")
    for ref in ("iris@2", "iris@worst", "iris@step=4", "iris@time=1999-01-01"):
        with pytest.raises(saver.NotFoundError, match=r"newest is iris@1, tagged: best"):
            repo.version(ref)
    assert repo.version("iris@step=3") == repo.version("iris@best") == repo.version("iris@latest")


def test_what_is_not_named_is_counted(repo: Repository, save: Save) -> None:
    for number in range(25):
        save(f"run-{number:02}", {"a/x": array()}, tags=[f"t{tag:02}" for tag in range(12 * (number == 0))])
    with pytest.raises(saver.NotFoundError, match=r"there are run-00, .*, run-04 and 20 more$"):
        repo.version("nosuch")
    with pytest.raises(saver.NotFoundError, match=r"there are run-\d+, run-\d+, run-\d+ and 22 more$"):
        repo.version("run-99")
    with pytest.raises(saver.NotFoundError, match=r"tagged: t00, .*, t09 and 2 more$"):
        repo.version("run-00@none")


def test_features_of_the_future_are_refused_by_name() -> None:
    for purpose in ("read", "write", "collect"):
        store = MemoryStorage()
        found = Format(1, "ab" * 16, **{purpose: ("ropes", "ladders")})
        store.create("store.json", document.encode(found))
        repo = Repository(store)
        act = (lambda r: collect(r, 0)) if purpose == "collect" else lambda r: save_version(r, draft("m", {}))
        with pytest.raises(saver.IncompatibleError, match=rf"to {purpose}.* Saver needs ladders, ropes"):
            act(repo)
        assert list(store.keys("")) == ["store.json"]


def test_a_store_of_another_format_is_refused() -> None:
    store = MemoryStorage()
    store.create("store.json", document.encode(Format(2, "ab" * 16)))
    with pytest.raises(saver.IncompatibleError, match="format 2"):
        Repository(store).open()


def test_a_log_without_its_store_is_not_taken_for_a_new_store(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    save("m", {"a/x": array()})
    store.delete("store.json")
    with pytest.raises(saver.DamagedError, match=r"store.json is missing"):
        save_version(Repository(store), draft("m", {"a/x": array()}))


def test_a_damaged_parent_is_no_reason_not_to_save(
    store: MemoryStorage, repo: Repository, save: Save
) -> None:
    tensors = {"a/x": array()}
    first = save("m", tensors)
    store.delete(manifest_key(first.manifest))
    fresh = Repository(store)
    assert save_version(fresh, draft("m", tensors)).number == 2
    assert same(fresh, "m@2", tensors)
    with pytest.raises(saver.DamagedError, match=r"m@1: its manifest"):
        contents(fresh, "m@1")


def test_a_version_with_a_missing_pack_is_damaged(store: MemoryStorage, repo: Repository, save: Save) -> None:
    save("m", {"a/x": array()})
    store.delete(packs(store)[0])
    with pytest.raises(saver.DamagedError, match="a pack is missing"):
        contents(repo, "m")


def test_a_version_by_time_is_the_newest_until_then(store: MemoryStorage) -> None:
    now = 1000.0
    repo = Repository(store, clock=lambda: now)
    for hour in range(4):
        now = 1000.0 + 3600 * hour
        save_version(repo, draft("m", {"a/x": array(4)}))
    assert repo.version("m@time=1970-01-01T01:20:00+00:00").number == 2
    assert repo.version("m@time=1970-01-01T00:16:40+00:00").number == 1


def test_metrics_that_are_not_finite_come_back(repo: Repository, save: Save) -> None:
    save(
        "m",
        {"a/x": array()},
        metrics={"loss": float("nan"), "up": float("inf"), "down": -float("inf"), "acc": 0.5},
    )
    metrics = Repository(repo.storage)
    metrics.open()
    found = metrics.version("m").metrics
    assert found["loss"] != found["loss"]
    assert (found["up"], found["down"], found["acc"]) == (float("inf"), -float("inf"), 0.5)
