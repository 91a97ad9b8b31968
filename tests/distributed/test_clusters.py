"""The clusters that Saver has keep the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

import saver
from saver.cluster import Cluster
from saver.clusters.memory import MemoryCluster
from saver.clusters.storage import StorageCluster
from saver.testing import ClusterTests


class TestMemoryCluster(ClusterTests):
    def ranks(self, size: int, tmp_path: Path) -> list[Cluster]:
        return [*MemoryCluster.all(size)]


class TestStorageCluster(ClusterTests):
    def ranks(self, size: int, tmp_path: Path) -> list[Cluster]:
        return [StorageCluster(tmp_path / "notes", rank=rank, size=size) for rank in range(size)]


@pytest.mark.parametrize(
    "bad",
    [{"rank": 3}, {"rank": -1}, {"size": 0}, {"rank": "1"}, {"lost_after": "x"}, {"arrive_within": -1}],
    ids=str,
)
def test_a_bad_argument_is_named(tmp_path: Path, bad: dict[str, object]) -> None:
    (name,) = bad
    good = {"rank": 0, "size": 3, "lost_after": 1, "arrive_within": 1}
    with pytest.raises((TypeError, ValueError), match=name):
        StorageCluster(tmp_path, **good | bad)  # type: ignore[arg-type]


def test_a_process_alone_has_no_cluster_of_torch(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"cluster='torch': .*init_process_group"):
        saver.Saver(tmp_path).save("m", [1], cluster="torch")
