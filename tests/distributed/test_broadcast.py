"""What several ranks need is read once, passed on, and verified by each of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from far import PAGE, Far
from numpy.typing import NDArray
from ranks import SOON, end, ranks, together

import saver
from saver import Every
from saver.cluster import Cluster
from saver.clusters.memory import MemoryCluster, MemoryNetwork
from saver.distributed import passing
from saver.errors import CannotReadError, DamagedError, LostRankError


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAVER_CACHE_BYTES", "0")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces are small, so that there are many."""
    monkeypatch.setattr(passing, "PIECE", 32 * PAGE)


@pytest.fixture
def three() -> Any:
    found = ranks(3)
    yield found
    end(found)


def state(seed: int = 0) -> dict[str, Any]:
    made = np.random.default_rng(seed)
    return {
        "model": {
            "large": made.standard_normal((1500, 1000)),
            "small": [made.standard_normal(300) for _ in range(40)],
        },
        "step": np.arange(3),
    }


def empty() -> dict[str, Any]:
    return {
        "model": {"large": np.zeros((1500, 1000)), "small": [np.zeros(300) for _ in range(40)]},
        "step": np.zeros(3, np.int64),
    }


def restored(store: Any, clusters: Sequence[Cluster], how: str | None = None) -> list[Any]:
    """What each rank restores, or its error."""

    def one(cluster: Cluster) -> Any:
        place = store.of(cluster.rank) if isinstance(store, Far) else store
        target = empty()
        assert saver.Saver(place).restore("m", target, cluster=cluster, shared=how)  # type: ignore[arg-type]
        return target

    return together(clusters, one)


def demand_same(found: Sequence[Any], wanted: dict[str, Any]) -> None:
    for each in found:
        assert not isinstance(each, BaseException), each
        np.testing.assert_array_equal(each["model"]["large"], wanted["model"]["large"])
        np.testing.assert_array_equal(each["model"]["small"], wanted["model"]["small"])
        np.testing.assert_array_equal(each["step"], wanted["step"])


def saved(store: Any, of: dict[str, Any]) -> None:
    saver.Saver(store).save("m", of)


def test_far_away_each_byte_is_read_once_for_all(three: list[Cluster], small: None) -> None:
    saved(far := Far(), state())
    demand_same(restored(far, three), state())
    assert len(set(far.read_pages)) == len(far.read_pages) > 2900
    far.read_pages.clear()
    demand_same(restored(far, three, "read"), state())
    assert len(set(far.read_pages)) * 3 == len(far.read_pages)


@pytest.mark.parametrize("how", ["read", "broadcast", None])
def test_in_a_folder_each_reads_unless_asked_otherwise(
    tmp_path: Path, three: list[Cluster], small: None, how: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    send = MemoryNetwork.send

    def counted(self: Any, rank: int, data: NDArray[np.uint8], tag: int) -> Any:
        sent.append(data.size)
        return send(self, rank, data, tag)

    monkeypatch.setattr(MemoryNetwork, "send", counted)
    saved(tmp_path, state())
    demand_same(restored(tmp_path, three, how), state())
    stored = saver.Saver(tmp_path).version("m").bytes
    if how == "broadcast":
        assert 2 * stored - 100_000 < sum(sent) <= 2 * (stored + 16 * PAGE)
    else:
        assert not sent


def test_only_what_several_need_is_passed_on(three: list[Cluster], small: None) -> None:
    saved(far := Far(), {"a": np.full((900, 1000), 1.0), "b": np.full((900, 1000), 2.0), "c": np.arange(9)})
    wanted = [["a", "c"], ["b", "c"], ["a", "b"]]

    def one(cluster: Cluster) -> Any:
        names = {"a": np.zeros((900, 1000)), "b": np.zeros((900, 1000)), "c": np.zeros(9, int)}
        target = {name: names[name] for name in wanted[cluster.rank]}
        saver.Saver(far.of(cluster.rank)).restore("m", target, cluster=cluster)
        return {name: float(each.flat[8]) for name, each in target.items()}

    values = {"a": 1.0, "b": 2.0, "c": 8.0}
    assert together(three, one) == [{name: values[name] for name in each} for each in wanted]
    assert len(set(far.read_pages)) == len(far.read_pages)


def test_wrong_bytes_of_another_rank_are_noticed_and_read_again(
    three: list[Cluster], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = MemoryNetwork.send

    def tampered(self: Any, rank: int, data: NDArray[np.uint8], tag: int) -> Any:
        wrong = data.copy()
        wrong[tag % wrong.size] ^= 1
        return send(self, rank, wrong, tag)

    monkeypatch.setattr(MemoryNetwork, "send", tampered)
    saved(far := Far(), state())
    demand_same(restored(far, three), state())


def test_a_rank_that_reads_wrong_bytes_says_so_for_all(three: list[Cluster], small: None) -> None:
    saved(far := Far(), state())
    far.wrong = 1
    found = restored(far, three)
    assert [type(each) for each in found] == [DamagedError] * 3, found
    assert "rank 1 (" in str(found[0])


def test_damage_that_all_see_is_named(three: list[Cluster], small: None) -> None:
    saved(far := Far(), state())
    (key,) = far.keys("packs/")
    data = bytearray(far.read(key))
    data[len(data) // 2] ^= 1
    far.replace(key, bytes(data))
    found = restored(far, three)
    assert [type(each) for each in found] == [DamagedError] * 3, found
    assert all("model/" in str(each) for each in found)


def test_an_error_of_one_that_reads_is_raised_in_all(three: list[Cluster], small: None) -> None:
    saved(far := Far(), state())
    far.failing = 2
    found = restored(far, three)
    assert [type(each) for each in found] == [CannotReadError] * 3, found
    assert "rank 2 (" in str(found[0])
    assert "the network is down" in str(found[0])
    far.failing = -1
    demand_same(restored(far, three), state())


def test_a_rank_that_is_lost_while_it_reads_is_named_by_all(
    three: list[Cluster], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread stands still, and it gives no sign of life."""
    from saver.distributed import exchange
    from saver.distributed.members import members_of

    saved(far := Far(), state())
    goes_on = threading.Event()
    read = exchange.Exchange._read

    def reading(self: Any, tag: int, piece: Any) -> Any:
        if self._session.rank == 1:
            members_of(three[1])._watch._ends.set()
            goes_on.wait(30)
        return read(self, tag, piece)

    monkeypatch.setattr(exchange.Exchange, "_read", reading)
    over: list[int] = []

    def one(cluster: Cluster) -> Any:
        began = time.monotonic()
        try:
            saver.Saver(far.of(cluster.rank)).restore("m", empty(), cluster=cluster)
        except LostRankError as error:
            return error.rank, time.monotonic() - began
        finally:
            over.append(cluster.rank)
            if {0, 2} <= {*over}:
                goes_on.set()

    found = together(three, one)
    for rank in (0, 2):
        lost, took = found[rank]
        assert lost == 1
        assert took < SOON + 1
    assert found[1] is not None, "it heard that it is lost"


def test_ranks_that_cannot_reach_each_other_read_by_themselves(
    three: list[Cluster], small: None, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    network = MemoryCluster.network

    def fails(self: Any, name: str) -> Any:
        if self.rank == 1:
            raise RuntimeError("no route to host")
        return network(self, name)

    monkeypatch.setattr(MemoryCluster, "network", fails)
    saved(far := Far(), state())
    demand_same(restored(far, three), state())
    assert "no route to host (rank 1); each reads what it needs" in caplog.text
    found = restored(far, three, "broadcast")
    assert [type(each) for each in found] == [LostRankError] * 3, found
    assert all("no route to host (rank 1); let them" in str(each) for each in found)


def test_all_must_say_the_same(three: list[Cluster]) -> None:
    saved(far := Far(), state())

    def one(cluster: Cluster) -> Any:
        how: Any = "read" if cluster.rank == 2 else "broadcast"
        return saver.Saver(far.of(cluster.rank)).restore("m", empty(), cluster=cluster, shared=how)

    found = together(three, one)
    assert [type(each) for each in found] == [LostRankError] * 3, found
    assert "with shared='read'" in str(found[0])


def test_ranks_that_have_no_network_cannot_pass_on(tmp_path: Path) -> None:
    saved(tmp_path / "models", state())
    cluster = MemoryCluster.all(1)[0]
    cluster.network = None  # type: ignore[method-assign]
    store = saver.Saver(tmp_path / "models")
    with pytest.raises(ValueError, match="shared: the ranks of a MemoryCluster"):
        store.restore("m", empty(), cluster=cluster, shared="broadcast")


def test_ranks_with_a_board_alone_pass_on_what_they_read(tmp_path: Path, small: None) -> None:
    """Their notes are in a folder, and bytes go over connections of TCP."""
    from saver.clusters.storage import StorageCluster

    saved(far := Far(), state())
    three = [StorageCluster(tmp_path / "notes", rank=rank, size=3) for rank in range(3)]
    demand_same(restored(far, three), state())
    assert len(set(far.read_pages)) == len(far.read_pages) > 2900
    end(three)
    assert not [found for found in (tmp_path / "notes").rglob("*listens*") if not found.is_dir()]


def trained(far: Far, clusters: Sequence[Cluster], until: int, how: str | None = None) -> list[Any]:
    """The step that each rank resumes from, and what its model is in the end."""

    def one(cluster: Cluster) -> Any:
        objects = {"w": np.zeros(200_000), "own": np.zeros(5)}
        run = saver.Saver(far.of(cluster.rank)).checkpoints(
            "run", objects, every=Every(steps=2), cluster=cluster, per_rank=["own"]
        )
        with run:
            begun = run.resume(shared=how)  # type: ignore[arg-type]
            for step in range(begun, until):
                objects["w"] += np.arange(200_000)
                objects["own"] += cluster.rank
                run.step(step, loss=1.0)
        return begun, objects["w"], objects["own"]

    return together(clusters, one)


@pytest.mark.parametrize("how", ["read", "broadcast", None])
def test_a_run_resumes_from_what_was_passed_on(three: list[Cluster], small: None, how: str | None) -> None:
    trained(far := Far(), three, 4)
    found = trained(far, three, 6, how)
    for rank, (begun, weights, own) in enumerate(found):
        assert begun == 4
        np.testing.assert_array_equal(weights, 6.0 * np.arange(200_000))
        np.testing.assert_array_equal(own, np.full(5, 6.0 * rank))


@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_that_cannot_open_a_version_holds_nobody_up(
    three: list[Cluster], small: None, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.checkpoints import trials

    trained(far := Far(), three, 4)
    opening = trials.open_version

    def opened(repo: Any, version: Any) -> Any:
        if version.number == 2 and repo.storage._rank == rank:
            raise DamagedError(f"{version}: bytes differ")
        return opening(repo, version)

    monkeypatch.setattr(trials, "open_version", opened)
    with pytest.warns(UserWarning, match="resumed from run@1"):
        found = trained(far, three, 4)
    assert [each[0] for each in found] == [2] * 3, found


def test_all_go_back_if_one_reads_wrong_bytes(three: list[Cluster], small: None) -> None:
    trained(far := Far(), three, 4)
    far.wrong = 1
    found = trained(far, three, 4)
    assert [type(each) for each in found] == [DamagedError] * 3, found
    assert all("can be resumed" in str(each) for each in found)
