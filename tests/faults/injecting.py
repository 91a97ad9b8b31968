"""System calls of a process that fail, or kill it, at the Nth: by strace, attached before its first act."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from living import Life, Line, Lives

WRITING = ("ENOSPC", "EDQUOT", "EIO")

FAULTS: dict[str, tuple[str, ...]] = {
    "openat": ("EIO", "EMFILE", "ENOSPC", "ESTALE", "EINTR", "EACCES"),
    "pread64": ("EIO", "ESTALE", "EINTR"),
    "preadv": ("EIO", "ESTALE", "EINTR"),
    "preadv2": ("EIO", "EAGAIN"),
    "pwrite64": (*WRITING, "EINTR"),
    "fallocate": (*WRITING, "EINTR", "EOPNOTSUPP"),
    "ftruncate": ("EIO", "EINTR"),
    "fsync": (*WRITING, "EINTR"),
    "fdatasync": WRITING,
    "linkat": (*WRITING, "ESTALE"),
    "unlinkat": ("EIO", "EACCES", "ESTALE"),
    "mkdirat": WRITING,
    "mkdir": WRITING,
    "renameat": WRITING,
    "getdents64": ("EIO", "ESTALE"),
    "newfstatat": ("EIO", "ESTALE"),
    "fstat": ("EIO", "ESTALE"),
    "close": ("EIO", "EINTR", "ENOSPC", "EDQUOT"),
    "mmap": ("ENOMEM",),
    "clone3": ("EAGAIN",),
    "clone": ("EAGAIN",),
}
"""The calls by which a store is read and written, and what each may fail with."""

KILL, INTERRUPT = "signal=KILL", "signal=INT"

STRUCK = re.compile(rb"\(INJECTED\)|\+\+\+ killed by SIGKILL|--- SIGINT")


class Fault(NamedTuple):
    """What happens at the Nth of a call (of each thread): `error=EIO`, `signal=KILL`."""

    call: str
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}:{self.kind}:when={self.number}"


class Struck(NamedTuple):
    """A life with a fault in it, whether that took place, and what strace saw."""

    life: Life
    struck: bool
    trace: bytes


def refused() -> str | None:
    """Why no system call can be made to fail here; None, where it can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "there is no strace; on Debian: apt-get install strace"
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"the kernel refuses ptrace: {done.stderr.strip()[-200:]}"


def traced(
    lives: Lives, task: dict[str, Any], log: Path, *options: str, during: Callable[[int], None] | None = None
) -> Life:
    """A life under strace, which sees it from its first act on. `during` is called with the process's number
    while it acts.
    """
    tracers: list[subprocess.Popen[str]] = []

    def attach(line: Line) -> None:
        if line["what"] != "waits":
            return
        command = ["strace", "-f", "-o", str(log), *options, "-p", str(line["pid"])]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        tracers.append(tracer)
        assert tracer.stderr is not None
        seen = tracer.stderr.readline()
        assert "attached" in seen, seen
        lives.say("go")
        if during is not None:
            during(line["pid"])

    life = lives.live({**task, "wait": True}, attach)
    for tracer in tracers:
        tracer.communicate(timeout=60)
    return life


def counted(lives: Lives, task: dict[str, Any], log: Path) -> Counter[str]:
    """How often each call occurs in a life that nothing happens to: in the thread that has most of them."""
    life = traced(lives, task, log, "-e", "trace=" + ",".join(f"?{call}" for call in FAULTS))
    assert not life.failures(), life.failures()
    counts: dict[bytes, Counter[str]] = {}
    for thread, call in re.findall(rb"^(\d+) +(\w+)\(", log.read_bytes(), re.MULTILINE):
        counts.setdefault(thread, Counter())[call.decode()] += 1
    most: Counter[str] = Counter()
    for count in counts.values():
        most |= count
    return most


def struck(lives: Lives, task: dict[str, Any], fault: Fault, log: Path) -> Struck:
    """A life with a fault in it."""
    life = traced(lives, task, log, "-e", f"trace={fault.call}", "-e", f"inject={fault}")
    trace = log.read_bytes()
    return Struck(life, STRUCK.search(trace) is not None, trace)


def kinds(call: str) -> Iterator[str]:
    """Everything that may happen to a call."""
    yield from (f"error={error}" for error in FAULTS[call])
    yield from (KILL, INTERRUPT)


def sampled(count: int, counts: Counter[str], calls: Iterable[str], seed: int) -> list[Fault]:
    """So many faults: calls in turn, each with a random kind and number; the same for the same seed."""
    chance, here = random.Random(seed), [call for call in calls if counts[call]]
    if not here:
        return []
    return [
        Fault(call, chance.choice([*kinds(call)]), chance.randint(1, counts[call]))
        for call in (here[at % len(here)] for at in range(count))
    ]
