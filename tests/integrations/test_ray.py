"""Ray: ranks on two nodes, one of which is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ray = pytest.importorskip("ray")
torch = pytest.importorskip("torch")

from ray_nodes import STEPS, net, taught  # noqa: E402

from saver.cluster import Cluster  # noqa: E402
from saver.clusters.ray import RayCluster  # noqa: E402
from saver.errors import IncompatibleError, LostRankError  # noqa: E402
from saver.testing import ClusterTests  # noqa: E402

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def started() -> Any:
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        object_store_memory=100_000_000,
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.mark.usefixtures("started")
class TestRayCluster(ClusterTests):
    def ranks(self, size: int, tmp_path: Path) -> list[Cluster]:
        return [RayCluster(tmp_path.name, rank=rank, size=size) for rank in range(size)]

    def test_a_rank_that_found_the_board_of_an_earlier_start_moves_on_to_the_new_one(self) -> None:
        _, stale = (RayCluster("moves", rank=rank, size=2) for rank in range(2))
        stale.put("mine", b"1")
        stale.put("gone", b"2")
        stale.delete("gone")
        first = RayCluster("moves", rank=0, size=2)
        assert stale.get("other") is None
        assert first.get("mine") == b"1"
        assert first.get("gone") is None

    def test_rank_0_must_come(self) -> None:
        with pytest.raises(LostRankError, match=r"rank 0 of 'alone' did not come within 0\.2 s"):
            RayCluster("alone", rank=1, size=2, arrive_within=0.2)

    def test_only_a_worker_of_ray_train_has_the_cluster_without_a_name(self, tmp_path: Path) -> None:
        import saver

        with pytest.raises(ValueError, match="cluster='ray': this process is not a worker of Ray Train"):
            saver.Saver(tmp_path).save("m", [1], cluster="ray")


def act(what: str, folder: Path) -> dict[str, Any]:
    """What `ray_nodes.py` prints."""
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_V2_ENABLED": "1",
        "PYTHONPATH": os.pathsep.join([*filter(None, sys.path), str(Path(__file__).parent)]),
    }
    script = Path(__file__).with_name("ray_nodes.py")
    done = subprocess.run(
        [sys.executable, script, what, folder],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_plain_actors_on_two_nodes_and_one_is_killed(tmp_path: Path) -> None:
    """And before that, both save into one sealed store."""
    found = act("plain", tmp_path)
    assert found["sealed"] == ["sealed@1"] * 2
    assert found["opened"] == {"stage0": [1.0] * 4, "stage1": [1.0] * 4}
    assert found["clear"] == []
    assert found["first"] == ["plain@1"] * 2
    assert found["lost"].startswith("rank 1 (process ")
    assert "is lost: it has given no sign of life" in found["lost"]
    assert found["versions"] == ["plain@1"]
    assert found["again"] == ["plain@2"] * 2
    assert found["values"] == {"stage0": [5.0] * 4, "stage1": [5.0] * 4}


def test_workers_of_ray_train_go_on_to_the_bit_after_their_node_is_killed(tmp_path: Path) -> None:
    found = act("trained", tmp_path)
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = [taught(step, model, optimizer) for step in range(STEPS)]
    assert found["processes"] == 4, "two were started again"
    assert found["values"] == {name: value.tolist() for name, value in model.state_dict().items()}
    assert found["metrics"] == {"step": STEPS - 1, "loss": losses[-1], "ranks": 2}
    assert found["ref"] == found["reported"][-1] == f"net@{STEPS // 2}"
    assert set(found["reported"]) <= set(found["versions"])


def test_a_checkpoint_that_names_no_version_is_refused(tmp_path: Path) -> None:
    from ray.train import Checkpoint

    from saver.integrations.ray import ref_of

    checkpoint = Checkpoint.from_directory(tmp_path)
    for content in (
        None,
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"ref": 1}',
        b"\xff",
        b"[" * 100_000,
        b'"' + b"x" * 20_000,
    ):
        if content is not None:
            (tmp_path / "saver.json").write_bytes(content)
        with pytest.raises(IncompatibleError, match=r"saver\.json"):
            ref_of(checkpoint)
    (tmp_path / "saver.json").write_text('{"ref": "net@3"}')
    assert ref_of(checkpoint) == "net@3"
