"""Processes that fork while their threads save and load, pools of them, and threads that share one Saver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from beginning import Before
from living import Life

Promised = Callable[[Path, Before, Life], bool]

PATIENCE = 100

COMMON = """
import faulthandler, json, multiprocessing, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: that is what is tried
sys.path.insert(0, {here!r})
import saver
from judging import state_of, value

store = saver.Saver({folder!r})

def save(seed, model="m"):
    print_line(what="try", act="save", model=model, seed=seed)
    version = store.save(model, value(seed), notes=str(seed))
    print_line(what="done", act="save", model=model, seed=seed, ref=str(version))
    return version

def load(ref="m"):
    version = store.version(ref)
    assert state_of(store.load(str(version))) == state_of(value(int(version.notes))), version

def print_line(**line):
    os.write(1, (json.dumps(line) + "\\n").encode())
"""

FORKS = """
save(1)  # what is imported when it is first needed, Python itself lets a child wait for
load()
stop = threading.Event()

def busy(number):
    seed = 1000 * number
    while not stop.is_set():
        seed += 1
        save(seed)
        load()

threads = [threading.Thread(target=busy, args=(number,)) for number in (1, 2, 3)]
for thread in threads:
    thread.start()
late = 0
for child in range(24):
    process = os.fork()
    if process == 0:
        faulthandler.dump_traceback_later(15)  # where it hangs
        try:
            load()
            save(10_000 + child)
            load()
            os._exit(0)
        except BaseException as error:
            print_line(what="wrong", text=f"in a child: {{error!r}}")
            os._exit(1)
    end = time.monotonic() + 20
    while os.waitpid(process, os.WNOHANG) == (0, 0):
        time.sleep(0.002)
        if time.monotonic() > end:
            os.kill(process, 9)
            os.waitpid(process, 0)
            print_line(what="wrong", text=f"child {{child}} hangs")
            late += 1
            break
    if late > 1:
        break
stop.set()
for thread in threads:
    thread.join()
"""

POOLS = """
def both(seed):
    save(seed)
    load()
    return seed

if __name__ == "__main__":
    for number, kind in enumerate(("fork", "spawn", "forkserver")):
        with multiprocessing.get_context(kind).Pool(3) as pool:
            seeds = range(1000 * (number + 1), 1000 * (number + 1) + 12)
            assert pool.map(both, seeds, chunksize=1) == [*seeds]
"""

THREADS = """
sys.setswitchinterval(5e-5)

def busy(number):
    for seed in range(1000 * number, 1000 * number + 8):
        version = save(seed)
        load(str(version))
        store.tag(str(version), f"of-{{number}}")
        store.gc(grace=0)
        store.check()

threads = [threading.Thread(target=busy, args=(number,)) for number in range(1, 7)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


def run(program: str, folder: Path, place: Path) -> Life:
    """What a program tells, which has a store open."""
    here = str(Path(__file__).parent)
    script = place / "program.py"
    script.write_text((COMMON + program).format(here=here, folder=str(folder)))
    paths = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=PATIENCE, check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sys.stderr.write(done.stderr)
    return Life([json.loads(line) for line in done.stdout.splitlines()], 0)


@pytest.mark.parametrize("program", [POOLS, THREADS], ids=["pools", "threads"])
def test_pools_of_processes_and_threads_share_a_saver(
    program: str, few: Before, place: Path, promised: Promised
) -> None:
    folder = few.copy(place / "shared")
    life = run(program, folder, place)
    assert len(life.done("save")) in (36, 48)
    assert promised(folder, few, life)


def test_children_load_and_save_whatever_threads_of_their_parent_were_doing(
    few: Before, place: Path, promised: Promised
) -> None:
    folder = few.copy(place / "forked")
    life = run(FORKS, folder, place)
    assert not [line["text"] for line in life.heard if line["what"] == "wrong"]
    assert len({line["seed"] for line in life.done("save")} & {*range(10_000, 10_024)}) == 24
    assert promised(folder, few, life)
