"""A real Slurm of two nodes: a job that is requeued goes on to the bit, also with fewer nodes."""

from __future__ import annotations

import os
import random
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import slurm
from slurm_rank import STEPS

import saver
from saver.clusters.slurm import SlurmCluster
from saver.keys.files import new_key_file

TASK = {"SLURM_PROCID": "1", "SLURM_NTASKS": "3", "SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}


def test_rank_and_size_are_those_of_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    first = SlurmCluster(tmp_path)
    assert (first.rank, first.size) == (1, 3)
    first.put("a", b"1")
    assert SlurmCluster(str(tmp_path)).get("a") == b"1"
    for other in ("SLURM_RESTART_COUNT", "SLURM_JOB_ID", "SLURM_STEP_ID"):
        with monkeypatch.context() as changed:
            changed.setenv(other, "1")
            assert SlurmCluster(tmp_path).get("a") is None


@pytest.mark.parametrize("name", TASK)
@pytest.mark.parametrize("value", [None, "", "x", "1.5"])
def test_a_process_that_srun_did_not_start_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str | None
) -> None:
    for each, good in TASK.items():
        monkeypatch.setenv(each, good)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} is .*: this process is not a task that srun started"):
        SlurmCluster(tmp_path)


JOB = """#!/bin/bash
#SBATCH --ntasks=2 --nodes=2 --requeue --open-mode=append
srun --nodes=$SLURM_JOB_NUM_NODES --ntasks=$SLURM_JOB_NUM_NODES {python} {script} {folder}
if [ $? = 143 ]; then scontrol requeue "$SLURM_JOB_ID"; fi
"""


SEALS = None not in (find_spec("cryptography"), find_spec("pyrage"))
ONE = ("NumNodes=1-1", "NumTasks=1", "NumCPUs=1")


@pytest.mark.parametrize(
    ("ended", "changes"),
    [
        pytest.param(("scontrol", "requeue"), ONE, id="requeued, with one node"),
        pytest.param(("scancel", "--signal=TERM"), (), id="signalled", marks=pytest.mark.long),
    ],
)
def test_a_job_that_is_ended_goes_on_to_the_bit(
    tmp_path: Path, ended: tuple[str, ...], changes: tuple[str, ...]
) -> None:
    """By Slurm, which requeues it, in a sealed store; or by a signal before its time is over, after which it
    does so itself, in a plain one."""
    key = None
    if changes and SEALS:
        new_key_file(key := str(tmp_path / "team.key"))
    script = Path(__file__).with_name("slurm_rank.py")
    (tmp_path / "job.sh").write_text(JOB.format(python=sys.executable, script=script, folder=tmp_path))
    output = tmp_path / "output.txt"
    os.environ.setdefault("PYTHONPATH", "")
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(slurm.started())
        except slurm.Unavailable as why:
            pytest.skip(str(why))
        job = cluster.ask(
            "sbatch", "--parsable", "--export=ALL", "-o", output, "-D", tmp_path, tmp_path / "job.sh"
        )
        cluster.wait_until_made(job, tmp_path / "2-1-5")
        cluster.ask(*ended, job)
        cluster.begin_again(job, *changes)
        try:
            cluster.wait_for(job, "COMPLETED")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{output.read_text()[-4000:]}") from None
    store = saver.Saver(tmp_path / "store", key=key)
    first, last = store.versions("net")
    assert first.step < STEPS - 1 == last.step
    ranks = 1 if changes else 2
    assert {each.name.split("-")[0] for each in tmp_path.glob(f"*-0-{STEPS - 1}")} == {str(ranks)}
    expected = np.arange(6000.0).reshape(60, 100)
    for step in range(STEPS):
        expected *= 1 + random.Random(step).random() / 100
    model = store.load("net")["model"]
    assert model["steps"] == [STEPS - 1]
    assert np.array_equal(model["weights"], expected)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
    clear = [each for each in (b"weights", b'"loss"', expected[:4].tobytes()) if each in stored]
    assert bool(clear) == (key is None)
