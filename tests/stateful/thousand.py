"""A thousand saves in a process of its own: what it holds on to is the saves' alone, never another test's.

Prints, as JSON, its memory in bytes, threads and open files: before, after each hundred saves, at the end.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path

import numpy as np

import saver
from saver import Every, Keep
from saver.disk.files import Files
from saver.storages.local import LocalStorage


class Hasty(Files):
    """Never waits for the disk: what is looked for here is left in the process."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, path: str) -> None:
        pass


def held() -> tuple[int, int, int]:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), threading.active_count(), len(os.listdir("/proc/self/fd"))


def train(folder: Path) -> list[tuple[int, int, int]]:
    weights, seen = np.zeros(1000), [held()]
    store = saver.Saver(LocalStorage(folder, Hasty()))
    run = store.checkpoints("run", {"weights": weights}, every=Every(steps=1), keep=Keep(last=3))
    with run:
        for step in range(1000):
            weights += step
            run.step(step, loss=1 / (step + 1))
            if step % 100 == 99:
                run.flush()
                seen.append(held())
    return seen


if __name__ == "__main__":
    seen = train(Path(sys.argv[1]))
    print(json.dumps([*seen, held()]))  # the store is gone, and what it held with it
