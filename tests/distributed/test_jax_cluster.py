"""What processes of JAX hold, saved as one version, and restored into any other mesh."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")
pytest.importorskip("flax")

import numpy as np

import saver

RANKS = Path(__file__).parent / "jax_ranks.py"

pytestmark = pytest.mark.xdist_group("jax")


def run(size: int, what: str, spec: str, store: Path) -> None:
    """Do this in so many processes. What several of them need is read by one, which passes it on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(RANKS), what, spec, str(store), str(rank), str(size), str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
        )
        for rank in range(size)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * size, "\n".join(said)[-4000:]
    assert ("passed on" in "".join(said)) == (what == "restore" and size > 1)


@pytest.mark.parametrize(
    ("saved_by", "spec", "others"),
    [
        (2, "both", [(1, "rows"), (3, "columns")]),
        pytest.param(3, "rows", [(2, "hybrid"), (1, "copies")], marks=pytest.mark.long),
        pytest.param(1, "columns", [(2, "rows"), (2, "copies")], marks=pytest.mark.long),
        pytest.param(2, "copies", [(2, "both"), (3, "hybrid")], marks=pytest.mark.long),
        pytest.param(2, "hybrid", [(1, "both"), (2, "columns")], marks=pytest.mark.long),
    ],
)
def test_any_mesh_restores_what_any_mesh_saved(
    tmp_path: Path, saved_by: int, spec: str, others: list[tuple[int, str]]
) -> None:
    from jax_ranks import numbers

    run(saved_by, "save", spec, tmp_path / "models")
    for size, other in others:
        run(size, "restore", other, tmp_path / "models")
    found = saver.Saver(tmp_path / "models").load("m")["arrays"]["of"]
    for name, array in numbers().items():
        assert np.asarray(found[name]).tobytes() == array.tobytes(), name


def test_processes_of_a_sealed_store_meet_with_their_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pytest.importorskip("saver.keys.files")
    pytest.importorskip("pyrage")
    made.new_key_file(str(tmp_path / "own.key"))
    saver.Saver(tmp_path / "models", key=str(tmp_path / "own.key")).create()
    monkeypatch.setenv("SAVER_KEY", str(tmp_path / "own.key"))
    run(2, "save", "rows", tmp_path / "models")
    run(2, "restore", "columns", tmp_path / "models")


def test_a_process_alone_has_no_cluster_of_jax(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cluster='jax': .*jax\.distributed\.initialize"):
        saver.Saver(tmp_path).save("m", [1], cluster="jax")
