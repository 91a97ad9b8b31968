"""What ranks save is also kept in the memory of their host, and of another one; `resume` reads it there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from far import Far
from hypothesis import given
from hypothesis import strategies as st
from ranks import SOON, end, ranks, together

import saver
from saver import Every
from saver.caching import host_memory
from saver.caching.host_memory import VARIABLE, HostMemory
from saver.caching.recalling import RecallingStorage
from saver.cluster import Cluster
from saver.clusters.memory import MemoryCluster, MemoryNetwork
from saver.clusters.storage import StorageCluster
from saver.distributed import passing, peers
from saver.distributed.peers import partners
from saver.errors import CannotWriteError
from saver.storage import Storage
from saver.storages.memory import MemoryStorage
from saver.testing import StorageTests

SIZE = 60_000
FEW, MANY = 2 * SIZE, 4 * SIZE
"""Bytes that are read of the storage if the weights (eight times `SIZE`) are in memory: headers, and small
parts; and if a good part of the weights is not there."""

HOSTS = ("a", "b", "b")
LIMIT = "20MB"


class Crash(Exception):
    """The processes of the ranks end, and what they have in memory that is their own."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE_BYTES", "0")
    monkeypatch.setattr("saver.distributed.saving.FILE_BYTES", 0)
    for each in (passing, peers):
        monkeypatch.setattr(each, "PIECE", 64 << 10)


def weights(step: int) -> Any:
    return np.random.default_rng(step).standard_normal(SIZE)


class Hosts:
    """Ranks on hosts, whose memory is a folder of each in `place`."""

    def __init__(
        self, place: Path, hosts: Sequence[str] = HOSTS, store: dict[str, Any] | None = None, **more: Any
    ) -> None:
        self.place, self.hosts, self.store = place, hosts, store or {}
        self.more = {"peer_memory": LIMIT} | more
        self.lost_after = 10.0

    def memory(self, host: str) -> list[Path]:
        """The packs in the memory of a host."""
        found = [each for each in (self.place / host).glob("*/*") if each.name != "lock"]
        return sorted(found)

    def train(self, store: Callable[[int], Any], until: int, crash: bool = True, **how: Any) -> list[Any]:
        """What each rank resumes from, with its objects then; the run ends after so many steps, or crashes
        then. Each start has new ranks."""
        clusters = self.ranks()
        runs, objects = [], [self._objects(rank) for rank in range(len(self.hosts))]
        for rank, host in enumerate(self.hosts):
            os.environ[VARIABLE] = str(self.place / host)
            runs.append(
                saver.Saver(store(rank), **self.store).checkpoints(
                    "run",
                    objects[rank],
                    every=Every(steps=2),
                    cluster=clusters[rank],
                    per_rank=["own"],
                    **self.more,
                )
            )
        del os.environ[VARIABLE]

        def one(cluster: Cluster) -> Any:
            run, its = runs[cluster.rank], objects[cluster.rank]
            try:
                with run:
                    begun = run.resume(**how)
                    found = begun, its["w"].copy(), its["own"].copy()
                    for step in range(begun, until):
                        its["w"][:] = weights(step)
                        its["own"][:] = 10 * step + cluster.rank
                        run.step(step, loss=1.0)
                    run.flush()
                    if crash:
                        raise Crash
            except Crash:
                pass
            return found

        try:
            return together(clusters, one)
        finally:
            end(clusters)

    def ranks(self) -> Sequence[Cluster]:
        return ranks(len(self.hosts), lost_after=self.lost_after)

    def _objects(self, rank: int) -> dict[str, Any]:
        return {"w": np.zeros(SIZE), "own": np.zeros(5)}


class NotesInAFolder(Hosts):
    """The ranks have nothing but notes, in a folder that is another one at each start."""

    starts = 0

    def ranks(self) -> Sequence[Cluster]:
        self.starts += 1
        notes = self.place / f"notes {self.starts}"
        return [StorageCluster(notes, rank=rank, size=len(self.hosts)) for rank in range(len(self.hosts))]


def demand(found: Sequence[Any], step: int) -> None:
    """All ranks go on from this step, with what they had then, to the bit."""
    for rank, each in enumerate(found):
        assert not isinstance(each, BaseException), each
        begun, w, own = each
        assert begun == step
        np.testing.assert_array_equal(w, weights(step - 1))
        np.testing.assert_array_equal(own, np.full(5, 10.0 * (step - 1) + rank))


@pytest.mark.parametrize("how", [None, "read", "broadcast"])
def test_after_a_crash_all_is_in_memory(tmp_path: Path, how: Any) -> None:
    hosts, far = Hosts(tmp_path), Far()
    hosts.train(far.of, 4)
    far.bytes_read()
    demand(hosts.train(far.of, 4, shared=how), 4)
    assert far.bytes_read() < FEW


@pytest.mark.parametrize("kind", [Hosts, NotesInAFolder])
@pytest.mark.parametrize("lost", ["a", "b"])
def test_what_a_lost_host_had_is_in_the_memory_of_another_one(
    tmp_path: Path, lost: str, kind: type[Hosts]
) -> None:
    hosts, far = kind(tmp_path), Far()
    hosts.train(far.of, 4)
    assert [each.name for each in hosts.memory("a")] == [each.name for each in hosts.memory("b")]
    shutil.rmtree(tmp_path / lost)
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() < FEW, "what is small is read before any tensor is passed on"


class ManyPacks(Hosts):
    """Each rank writes something large."""

    def _objects(self, rank: int) -> dict[str, Any]:
        return {**super()._objects(rank), **{f"w{each}": np.full(SIZE, float(each)) for each in range(5)}}


@pytest.mark.parametrize("most", [0, 1])
def test_packs_beyond_those_that_may_be_open_are_passed_on_or_read(
    tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank opens so many files of those that it needs; what it passes on need not be among them."""
    hosts, far = ManyPacks(tmp_path), Far()
    hosts.train(far.of, 4)
    assert len(hosts.memory("a")) >= 3
    shutil.rmtree(tmp_path / "b")
    monkeypatch.setattr("saver.distributed.broadcast.OPEN", most)
    demand(hosts.train(far.of, 4), 4)


def test_a_pack_that_made_room_for_others_is_not_passed_on(tmp_path: Path, caplog: Any) -> None:
    hosts, far = Hosts(tmp_path), Far()
    taken = RecallingStorage.taken

    def gone(self: RecallingStorage) -> list[str]:
        found = taken(self)
        self.memory.drop(found)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RecallingStorage, "taken", gone)
        hosts.train(far.of, 4)
    assert not hosts.memory("a")
    assert not [each.message for each in caplog.records if "kept in memory" in each.message]
    demand(hosts.train(far.of, 4), 4)


def test_without_it_the_storage_is_read(tmp_path: Path) -> None:
    hosts, far = Hosts(tmp_path, peer_memory=None), Far()
    hosts.train(far.of, 4)
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() > MANY
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("kind", ["changed", "shorter", "empty", "of another version"])
@pytest.mark.parametrize("lost", ["b", None])
def test_wrong_bytes_in_memory_are_noticed_and_the_storage_is_read(
    tmp_path: Path, kind: str, lost: str | None
) -> None:
    hosts, far = Hosts(tmp_path), Far()
    hosts.train(far.of, 4)
    for host in "ab":
        found = {each: each.read_bytes() for each in hosts.memory(host)}
        for each, (*_, other) in zip(found, [*found.items()][1:] + [*found.items()][:1], strict=True):
            data = bytearray(found[each])
            if kind == "changed":
                data[5000::4096] = bytes(1 ^ byte for byte in data[5000::4096])
            elif kind == "of another version":
                data = bytearray(other[: len(data)].ljust(len(data), b"\1"))
            else:
                del data[len(data) // 2 if kind == "shorter" else 0 :]
            each.write_bytes(data)
    if lost:
        shutil.rmtree(tmp_path / lost)
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() > MANY


def test_other_ranks_cannot_make_wrong_bytes_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, far = Hosts(tmp_path), Far()
    hosts.train(far.of, 4)
    send = MemoryNetwork.send

    def tampered(self: Any, rank: int, data: Any, tag: int) -> Any:
        wrong = data.copy()
        wrong[::7] ^= 1
        return send(self, rank, wrong, tag)

    monkeypatch.setattr(MemoryNetwork, "send", tampered)
    shutil.rmtree(tmp_path / "b")
    far.bytes_read()
    demand(hosts.train(far.of, 6), 4)
    assert far.bytes_read() > MANY
    shutil.rmtree(tmp_path / "a")
    far.bytes_read()
    demand(hosts.train(far.of, 6), 6)


@pytest.mark.parametrize("kind", ["sealed", "compressed"])
def test_what_is_sealed_or_compressed_stays_so(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, key = Far(), str(tmp_path / "own.key")
    if kind == "compressed":  # to half of their size: what would gain little is left as it is
        exact = weights
        monkeypatch.setattr(
            sys.modules[__name__], "weights", lambda step: exact(step).astype("f4").astype("f8")
        )
    if kind == "sealed":
        pytest.importorskip("saver.keys.files").new_key_file(key)
    more: dict[str, Any] = {"key": key} if kind == "sealed" else {"compress": True}
    hosts = Hosts(tmp_path / "hosts", store=more)
    hosts.train(far.of, 4)
    assert hosts.memory("a")
    if kind == "compressed":
        assert all(each.stat().st_size < 5 * SIZE for each in hosts.memory("a"))
    for each in hosts.memory("a") + hosts.memory("b"):
        assert each.read_bytes() == MemoryStorage.read(far, f"packs/{each.name}.safetensors")
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() < FEW
    for each in hosts.memory("a"):
        each.write_bytes(bytes(1 ^ byte for byte in each.read_bytes()))
    shutil.rmtree(tmp_path / "hosts" / "b")
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() > MANY


def test_no_more_is_kept_than_was_allowed(tmp_path: Path) -> None:
    limit = 1_000_000
    hosts, far = Hosts(tmp_path, peer_memory=limit), Far()
    demand_bound = HostMemory._make_room

    def watched(self: HostMemory, folder: int, size: int) -> None:
        demand_bound(self, folder, size)
        assert self.held() + size <= limit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostMemory, "_make_room", watched)
        hosts.train(far.of, 8)
    for host in "ab":
        assert 0 < sum(each.stat().st_size for each in hosts.memory(host)) <= limit
    far.bytes_read()
    demand(hosts.train(far.of, 8), 8)


def test_what_is_larger_than_allowed_is_not_kept(tmp_path: Path, caplog: Any) -> None:
    hosts, far = Hosts(tmp_path, peer_memory="10kB"), Far()
    hosts.train(far.of, 4)
    assert all(each.stat().st_size <= 10_000 for each in hosts.memory("a"))
    assert "bytes, and 10,000 are to be kept" in caplog.text
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() > MANY


def test_a_run_that_is_over_leaves_nothing(tmp_path: Path) -> None:
    hosts, far = Hosts(tmp_path), Far()
    hosts.train(far.of, 4)
    assert hosts.memory("a")
    far.bytes_read()
    demand(hosts.train(far.of, 4, crash=False), 4)
    assert not [*(tmp_path / "a").iterdir(), *(tmp_path / "b").iterdir()]


def test_what_was_left_long_ago_goes(tmp_path: Path) -> None:
    old = HostMemory(str(tmp_path), "0" * 32, 100)
    new = HostMemory(str(tmp_path), "1" * 32, 100)
    for each in (old, new):
        each.open()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0" * 32, "1" * 32]
    os.utime(old.folder, (0, 0))
    new.open()
    assert [each.name for each in tmp_path.iterdir()] == ["1" * 32]


def test_ranks_on_one_host_hear_that_it_is_one(tmp_path: Path, caplog: Any) -> None:
    hosts, far = Hosts(tmp_path, ("a", "a", "a")), Far()
    hosts.train(far.of, 4)
    assert "all 3 ranks are on one host" in caplog.text
    assert "outlives their processes, but not the host" in caplog.text
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() < FEW


@pytest.mark.parametrize("when", ["saving", "resuming"])
def test_a_slow_peer_costs_a_bounded_time(
    tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """What it sends never comes; it lives."""
    hosts, far = Hosts(tmp_path), Far()
    hosts.lost_after = SOON

    def slow() -> None:
        monkeypatch.setattr(MemoryNetwork, "send", lambda self, rank, data, tag: lambda: None)

    if when == "saving":
        slow()
    hosts.train(far.of, 2)
    if when == "resuming":
        slow()
    shutil.rmtree(tmp_path / "b")
    far.bytes_read()
    demand(hosts.train(far.of, 2), 2)
    assert far.bytes_read() > MANY
    assert "passed on less than 25 MB a second" in caplog.text


def test_ranks_that_cannot_reach_each_other_have_what_is_on_their_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def fails(self: Any, name: str) -> Any:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(MemoryCluster, "network", fails)
    hosts, far = Hosts(tmp_path), Far()
    hosts.train(far.of, 4)
    assert "kept in the memory of another host: RuntimeError: no route to host" in caplog.text
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() > MANY


def test_memory_that_fails_fails_no_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    hosts, far = Hosts(tmp_path), Far()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_memory, "written", full)
        hosts.train(far.of, 4)
    assert not hosts.memory("a")
    assert "No space left on device" in caplog.text
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)
    assert far.bytes_read() > MANY


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path, caplog: Any) -> None:
    (tmp_path / "a").mkdir(0o777)
    (tmp_path / "a").chmod(0o777)
    hosts, far = Hosts(tmp_path), Far()
    hosts.train(far.of, 4)
    assert not [*(tmp_path / "a").iterdir()]
    assert "others may enter it" in caplog.text
    far.bytes_read()
    demand(hosts.train(far.of, 4), 4)


def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    hosts, far = Hosts(tmp_path), Far()
    put = MemoryStorage.put

    def fails(self: Any, key: str, content: Any) -> None:
        put(self, key, content)
        if key.startswith("packs/") and self._rank == 2:
            raise CannotWriteError(f"{key}: the disk is full; free some room")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryStorage, "put", fails)
        found = hosts.train(far.of, 4)
    assert [type(each) for each in found] == [CannotWriteError] * 3
    assert not hosts.memory("a")
    assert not hosts.memory("b")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20))
def test_packs_go_to_another_host_and_to_each_rank_there_about_as_many(hosts: list[int]) -> None:
    found = partners([str(each) for each in hosts])
    sizes = {host: hosts.count(host) for host in hosts}
    if len(sizes) == 1:
        assert found == [None] * len(hosts)
        return
    for rank, other in enumerate(found):
        assert other is not None
        assert hosts[other] != hosts[rank]
    assert len({hosts[other] for other in found if other is not None}) == len(sizes), "no host has all"
    for rank, host in enumerate(hosts):
        sources = [one for one, other in enumerate(found) if other == rank]
        if sources:
            assert len(sources) <= -(-sizes[hosts[sources[0]]] // sizes[host])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cluster": None}, "peer_memory: only the ranks of a cluster have peers"),
        ({"peer_memory": "much"}, r"checkpoints\(peer_memory='much'\): write a size"),
        ({"network": None}, "can pass on nothing but notes"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    (cluster,) = ranks(1)
    if "network" in given:
        cluster.network = None
    more = {"cluster": cluster, "peer_memory": "1GB"} | {
        name: each for name, each in given.items() if name != "network"
    }
    with pytest.raises(ValueError, match=words):
        saver.Saver(tmp_path).checkpoints("run", {"w": np.zeros(3)}, every=Every(steps=1), **more)


def test_a_system_without_such_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "SHARED", str(tmp_path / "missing"))
    monkeypatch.delenv(VARIABLE, raising=False)
    (cluster,) = ranks(1)
    with pytest.raises(ValueError, match=f"no memory for files .* let {VARIABLE} name"):
        saver.Saver(tmp_path).checkpoints(
            "run", {"w": np.zeros(3)}, every=Every(steps=1), cluster=cluster, peer_memory="1GB"
        )


@pytest.mark.slow
def test_killed_processes_resume_from_the_memory_of_the_host_that_is_left(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    found = subprocess.run(
        [sys.executable, Path(__file__).with_name("peer_ranks.py"), tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert found.returncode == 0, found.stdout


class TestRecallingStorage(StorageTests):
    @pytest.fixture
    def storage(self, tmp_path: Path) -> Storage:
        return RecallingStorage(MemoryStorage(), HostMemory(str(tmp_path / "memory"), "0" * 32, 100_000))
