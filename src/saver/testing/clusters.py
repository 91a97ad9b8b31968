"""The contract of a cluster, as tests: subclass `ClusterTests`, and a cluster is tested."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

import saver
from saver.cluster import Cluster, Network
from saver.distributed.members import leave


class ClusterTests(ABC):
    """Implement `ranks`, and pytest runs the rest."""

    @abstractmethod
    def ranks(self, size: int, tmp_path: Any) -> list[Cluster]:
        """All ranks of a new cluster; here, each is for a thread of its own."""

    def test_the_ranks_are_numbered(self, tmp_path: Any) -> None:
        ranks = self.ranks(3, tmp_path)
        assert [(each.rank, each.size) for each in ranks] == [(0, 3), (1, 3), (2, 3)]

    def test_a_note_is_read_by_all_and_replaced(self, tmp_path: Any) -> None:
        first, second = self.ranks(2, tmp_path)
        assert second.get("a/b-1") is None
        for data in (b"", b"one", b"\x00\xff" * 50_000):
            first.put("a/b-1", data)
            assert first.get("a/b-1") == second.get("a/b-1") == data
        assert first.get("a/b") is None
        assert first.get("a/b-10") is None

    def test_notes_are_taken_away(self, tmp_path: Any) -> None:
        first, second = self.ranks(2, tmp_path)
        first.put("a", b"1")
        second.put("b", b"2")
        first.delete("a", "never-there")
        assert second.get("a") is None
        assert first.get("b") == b"2"
        first.put("a", b"3")
        assert second.get("a") == b"3"

    def test_threads_leave_notes_at_the_same_time(self, tmp_path: Any) -> None:
        ranks = self.ranks(4, tmp_path)

        def write(each: Cluster) -> None:
            for number in range(20):
                each.put(f"of/{each.rank}", b"%d" % number)

        threads = [threading.Thread(target=write, args=(each,)) for each in ranks]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert all((ranks[0].get(f"of/{rank}") or b"0").isdigit() for rank in range(4))
        assert [ranks[0].get(f"of/{rank}") for rank in range(4)] == [b"19"] * 4

    def test_bytes_are_passed_on_between_all_at_the_same_time(self, tmp_path: Any) -> None:
        """If the cluster has a network."""
        ranks = self.ranks(3, tmp_path)
        found: list[bool] = []

        def act(each: Cluster) -> None:
            if each.network is None:
                return
            network = each.network("n/1")
            others = [rank for rank in range(3) if rank != each.rank]
            data = {rank: np.full(100_000 + each.rank, 10 * each.rank + rank, np.uint8) for rank in others}
            waits = [network.send(rank, data[rank], tag) for rank in others for tag in (each.rank, 7)]
            for tag in (7, None):
                for rank in others:
                    memory = np.zeros(100_000 + rank, np.uint8)
                    network.receive(rank, memory, rank if tag is None else tag)
                    found.append(bool((memory == 10 * rank + each.rank).all()))
            for wait in waits:
                wait()

        _together(ranks, act)
        assert all(found)
        assert len(found) == (0 if ranks[0].network is None else 12)

    def test_a_network_that_is_closed_ends_what_waits(self, tmp_path: Any) -> None:
        """If the cluster has one."""
        ranks = self.ranks(2, tmp_path)
        closed = threading.Event()
        ended: list[int] = []

        def act(each: Cluster) -> None:
            if each.network is None:
                return
            network = each.network("n/1")
            if each.rank == 1:
                closed.wait(30)
                return
            waiting = threading.Thread(target=wait, args=(network,))
            waiting.start()
            waiting.join(0.1)
            network.close()
            waiting.join(30)
            closed.set()

        def wait(network: Network) -> None:
            try:
                network.receive(1, np.zeros(9, np.uint8), 1)
            except Exception:
                ended.append(1)

        _together(ranks, act)
        assert ended == [] if ranks[0].network is None else [1]

    def test_all_save_and_restore_together_also_after_they_began_anew(self, tmp_path: Any) -> None:
        for again in range(2):
            found: dict[int, Any] = {}

            def act(each: Cluster, again: int = again, found: dict[int, Any] = found) -> None:
                store = saver.Saver(tmp_path / "models")
                version = store.save("m", {"a": [again]}, cluster=each)
                target = [9]
                store.restore("m", {"a": target}, cluster=each)
                found[each.rank] = str(version), target

            ranks = self.ranks(3, tmp_path)
            _together(ranks, act)
            for each in ranks:
                leave(each)
            assert found == dict.fromkeys(range(3), (f"m@{again + 1}", [again]))


def _together(ranks: list[Cluster], act: Callable[[Cluster], None]) -> None:
    threads = [threading.Thread(target=act, args=(each,)) for each in ranks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
