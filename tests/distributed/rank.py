"""A rank as a process: saves twice, and is struck at a moment of the second save."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import numpy as np

import saver
from saver.clusters.storage import StorageCluster
from saver.distributed import saving
from saver.distributed.session import Session
from saver.repo import commit as commits


def strike(kind: str) -> None:
    """What happens to the process here."""
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind == "end":
        sys.exit(3)


def main(place: str, store: str, rank: int, size: int, moment: str, kind: str) -> dict[str, Any]:
    cluster = StorageCluster(place, rank=rank, size=size, lost_after=5.0, arrive_within=30.0)
    saves = saver.Saver(store)
    saves.save("m", {"a": np.full((600, 1000), 1.0)}, cluster=cluster)
    doing, commit, gather, take = Session.doing, saving.commit, Session.gather, commits._Commit._append

    left = [moment]

    def when(name: str) -> None:
        if name in left:
            left.remove(name)
            strike(kind)

    def staged(self: Session, key: str, *rest: Any) -> Any:
        if key == "staged-0":
            when("staged")
        found = gather(self, key, *rest)
        if key == "staged-0":
            when("reported")
        return found

    def appended(self: Any, record: Any) -> Any:
        when("before the record")
        found = take(self, record)
        when("after the record")
        return found

    def does(self: Session, stage: str, *sizes: int) -> None:
        when(stage)
        doing(self, stage, *sizes)

    Session.doing, Session.gather = does, staged  # type: ignore[method-assign]
    saving.commit, commits._Commit._append = commit, appended  # type: ignore[method-assign]
    began = time.monotonic()
    try:
        version = saves.save("m", {"a": np.full((600, 1000), 2.0)}, cluster=cluster)
        return {"version": str(version), "took": time.monotonic() - began}
    except saver.SaverError as error:
        return {
            "error": type(error).__name__, "message": str(error), "took": time.monotonic() - began,
            "rank": getattr(error, "rank", None),
        }  # fmt: skip


if __name__ == "__main__":
    place, store, rank, size, moment, kind = sys.argv[1:]
    print(json.dumps(main(place, store, int(rank), int(size), moment, kind)))
