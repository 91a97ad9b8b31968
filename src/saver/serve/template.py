"""The template of a generation: a process that loads and checks one version, starts no thread, and forks
workers when the server says so. Started as `python -m saver.serve.template DESCRIPTOR`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import Any

from saver.errors import SaverError, printable
from saver.serve import channel
from saver.serve.loading import load
from saver.serve.worker import forked, rehearsed

SETTLED = 5.0
"""Seconds in which threads of a load have ended."""


OF_ALLOCATORS = ("jemalloc_bg_thd",)
"""Threads that stop and start around a fork by themselves."""


def threads() -> list[str]:
    """The names of the threads of this process beside its own, those of native libraries too; empty where
    the system does not say."""
    found = []
    try:
        for number in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{number}/comm", encoding="utf-8", errors="replace") as file:
                name = file.read().strip()
            if int(number) != os.getpid() and name not in OF_ALLOCATORS:
                found.append(name)
    except FileNotFoundError:  # another system; or a thread ended meanwhile, and the next look is exact
        return found
    return found


def main(descriptor: int) -> None:
    control = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = channel.receive(control)
    if order is None:  # the server was ended before it said what to load
        return
    try:
        model = load(order)
        end = time.monotonic() + SETTLED
        while threads() and time.monotonic() < end:
            time.sleep(0.01)
        report = _report(model, order)
    except BaseException as error:
        kind = "" if isinstance(error, SaverError) else f"{type(error).__name__}: "
        text = printable(f"{kind}{error}")[:2000]
        _say(control, {"ready": False, "text": text})
        if not isinstance(error, Exception):
            raise
        return
    if _say(control, report) and report["ready"]:
        _serve(control, model)


def _say(control: socket.socket, message: dict[str, Any]) -> bool:
    """Send a message; False if the server was ended meanwhile, and with it all that this process is for."""
    try:
        channel.send(control, message)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _report(model: Any, order: dict[str, Any]) -> dict[str, Any]:
    others = threads()
    if others:
        return {
            "ready": False,
            "text": f"after loading, threads run ({', '.join(sorted({*others}))}), so that forked workers "
            "could hang; find the part whose library starts them",
        }
    try:
        checked = rehearsed(model, order["seconds"], order["accept"])
    except TimeoutError:
        checked = {"ok": False, "text": "a forked worker did not answer in time; it may hang for ever"}
    if checked is None:
        checked = {"ok": False, "text": "a forked worker died while it predicted"}
    if checked.get("quick"):
        model.hurry()
    return {"ready": checked["ok"], "text": checked["text"], "pid": os.getpid(), **model.described()}


def _serve(control: socket.socket, model: Any) -> None:
    """Fork a worker for each socket that arrives; end when the server does."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the server sees by their sockets that workers ended
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        for each in descriptors:
            end = socket.socket(fileno=each)
            process = forked(model, end, [control])
            end.close()
            if not _say(control, {"forked": process}):
                return


if __name__ == "__main__":
    main(int(sys.argv[1]))
