"""A rank of torch.distributed, as a process: restores what another one passes on, and is struck meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import torch
import torch.distributed as dist

import saver
from saver.clusters.torch import TorchCluster
from saver.distributed import exchange, passing
from saver.distributed.session import Session

PIECE = 64 << 10


def main(notes: str, store: str, rank: int, size: int, moment: str, kind: str) -> dict[str, Any]:
    dist.init_process_group("gloo", init_method=f"file://{notes}", rank=rank, world_size=size)
    cluster = TorchCluster(lost_after=2.0, arrive_within=30.0)
    passing.PIECE = PIECE
    target = {"a": torch.zeros(300, 1000), "b": torch.zeros(7)}
    saver.Saver(store).restore("m", target, cluster=cluster, shared="broadcast")
    assert torch.equal(target["a"], torch.arange(300_000.0).reshape(300, 1000))
    for each in target.values():
        each.zero_()
    network, read, receive = Session.network, exchange.Exchange._read, exchange.Exchange._receive

    def when(name: str) -> None:
        if name == moment:
            os.kill(os.getpid(), signal.SIGKILL if kind == "kill" else signal.SIGSTOP)

    def connects(self: Session) -> Any:
        when("connecting")
        return network(self)

    def reads(self: Any, tag: int, piece: Any) -> Any:
        when("reading")
        yield from read(self, tag, piece)
        when("sent")

    def receives(self: Any, tag: int, piece: Any) -> Any:
        found = receive(self, tag, piece)
        when("received")
        return found

    Session.network = connects  # type: ignore[method-assign]
    exchange.Exchange._read, exchange.Exchange._receive = reads, receives  # type: ignore[method-assign]
    began = time.monotonic()
    try:
        saver.Saver(store).restore("m", target, cluster=cluster, shared="broadcast")
        found: dict[str, Any] = {"restored": True}
    except saver.SaverError as error:
        found = {"error": type(error).__name__, "message": str(error), "rank": getattr(error, "rank", None)}
    changed = any(bool(each.any()) for each in target.values())
    return {**found, "took": time.monotonic() - began, "changed": changed}


if __name__ == "__main__":
    notes, store, rank, size, moment, kind = sys.argv[1:]
    torch.set_num_threads(1)
    print(json.dumps(main(notes, store, int(rank), int(size), moment, kind)), flush=True)
    os._exit(0)
