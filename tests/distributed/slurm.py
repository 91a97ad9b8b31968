"""A Slurm of two nodes on this machine: its three servers, started for a test and stopped after it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "scontrol", "sinfo", "squeue")

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
KillWait=30
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=100
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=100
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class Unavailable(Exception):
    """Slurm is not installed, or this machine does not let it run; the message says which."""


class Slurm:
    """The commands of a Slurm that runs."""

    def __init__(self, configuration: Path) -> None:
        self._environment = os.environ | {"SLURM_CONF": str(configuration)}
        self._folder = configuration.parent

    def ask(self, *command: object) -> str:
        """What a command prints."""
        done = subprocess.run(
            [*map(str, command)],
            env=self._environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def wait_until_idle(self, seconds: float = 60) -> None:
        """Wait until both nodes wait for jobs."""
        until, said = time.monotonic() + seconds, ""
        while said.strip() != "idle 2":
            if time.monotonic() > until:
                raise Unavailable(f"Slurm does not start here: {said}")
            time.sleep(0.2)
            done = subprocess.run(
                ["sinfo", "-h", "-o", "%T %D"],
                env=self._environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            said = done.stdout + done.stderr

    def state(self, job: str) -> str:
        """The state of a job, such as RUNNING."""
        fields = self.ask("scontrol", "-o", "show", "job", job).split()
        return next(each.partition("=")[2] for each in fields if each.startswith("JobState="))

    def wait_until_made(self, job: str, path: Path, seconds: float = 120) -> None:
        """Wait until a job has made this file."""
        until = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < until, self.ask("scontrol", "show", "job", job) + self._logged()
            time.sleep(0.1)

    def _logged(self) -> str:
        return "".join(f"\n{each.name}:\n{each.read_text()}" for each in self._folder.glob("*.log"))

    def wait_for(self, job: str, *states: str, seconds: float = 120) -> None:
        """Wait until a job has one of these states."""
        until = time.monotonic() + seconds
        while (now := self.state(job)) not in states:
            assert now != "FAILED", self.ask("scontrol", "show", "job", job) + self._logged()
            assert time.monotonic() < until, f"job {job} is {now}"
            time.sleep(0.2)

    def begin_again(self, job: str, *changes: str, seconds: float = 120) -> None:
        """Let a job that is requeued begin at once, with these changes."""
        self.wait_for(job, "PENDING")
        time.sleep(2)  # a node that has just ended the job refuses it for a second: "already killed"
        until = time.monotonic() + seconds
        while self.state(job) == "PENDING":  # for two minutes, otherwise
            assert time.monotonic() < until, f"job {job} does not begin again"
            self.ask("scontrol", "update", f"JobId={job}", "StartTime=now", *changes)
            time.sleep(0.5)


@contextmanager
def started() -> Iterator[Slurm]:
    """Start a Slurm. Raises Unavailable."""
    if os.geteuid() != 0:
        raise Unavailable("only root can start Slurm's servers")
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        raise Unavailable(f"not installed: {', '.join(lacking)}")
    # slurmd makes a socket in its spool folder; a socket's path has at most 107 bytes, and pytest's are long
    with TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder, _serving(Path(folder)) as slurm:
        yield slurm


@contextmanager
def _serving(folder: Path) -> Iterator[Slurm]:
    munge = folder / "munge"
    for each in (folder / "state", munge):
        each.mkdir()
    (munge / "key").write_bytes(secrets.token_bytes(64))
    (munge / "key").chmod(0o400)
    munge.chmod(0o700)
    host = socket.gethostname().partition(".")[0]
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, ports=_ports(3)))
    slurm = Slurm(configuration)
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={munge / name}" for option, name in files.items()]
    with ExitStack() as stack:
        for command in (
            ["munged", "--foreground", "--force", *options],
            ["slurmctld", "-D", "-L", folder / "slurmctld.log"],
            ["slurmd", "-D", "-N", "n1", "-L", folder / "n1.log"],
            ["slurmd", "-D", "-N", "n2", "-L", folder / "n2.log"],
        ):
            stack.enter_context(_running(command, slurm._environment))
            _wait_for(munge / "socket")
        slurm.wait_until_idle()
        try:
            yield slurm
        finally:  # what a failed test has left
            slurm.ask("scancel", "--user=root", "--signal=KILL")
            slurm.ask("scancel", "--user=root")
            until = time.monotonic() + 20
            while slurm.ask("squeue", "-h") and time.monotonic() < until:
                time.sleep(0.2)


@contextmanager
def _running(command: list[Any], environment: dict[str, str]) -> Iterator[None]:
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(command, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > until:
            raise Unavailable(f"Slurm's munged does not start here: there is no {path}")
        time.sleep(0.05)


def _ports(count: int) -> list[int]:
    """Ports that nobody uses now."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            each = stack.enter_context(socket.socket())
            each.bind(("127.0.0.1", 0))
            found.append(each.getsockname()[1])
        return found
