"""A worker: forked from a template, it predicts one batch after another until the server is gone."""

from __future__ import annotations

import gc
import os
import signal
import socket
import time
from typing import Any

from saver.errors import printable
from saver.serve.channel import packed, receive, send, unpacked
from saver.serve.loading import Model


def work(model: Model, end: socket.socket) -> None:
    """Answer what comes. Returns when the server closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the server decides when it ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # what the template made stays in pages that all workers share
    while (message := receive(end)) is not None:
        number, items, only = message
        send(end, _answer(model, number, items, tuple(only)))


def _answer(model: Model, number: int, items: object, only: tuple[str, ...]) -> object:
    begin = time.perf_counter()
    try:
        given = {name: array.copy() for name, array in unpacked(items).items()}  # which a model may change
        found = model.predict(given, only)
        return (number, time.perf_counter() - begin, packed(found), None)
    except Exception as error:  # of the model: its batch fails, and the worker goes on
        text = printable(f"{type(error).__name__}: {error}")[:500]
        return (number, time.perf_counter() - begin, None, text)


def forked(model: Model, end: socket.socket, others: list[socket.socket]) -> int:
    """Fork a worker; return its process id. `others` are sockets that it must not hold."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        for each in others:
            each.close()
        work(model, end)
        code = 0
    except (BrokenPipeError, ConnectionResetError):
        code = 0  # the server has gone while an answer was on its way
    finally:
        os._exit(code)


def rehearsed(model: Model, seconds: float, accept: bool) -> Any:
    """Check golden predictions in a forked child, as workers are: what the child reports. A child that hangs,
    as after a fork with threads, is killed, and raises TimeoutError."""
    here, there = socket.socketpair()
    process = os.fork()
    if not process:
        try:
            here.close()
            send(there, _checked(model, accept))
        finally:
            os._exit(0)
    there.close()
    here.settimeout(seconds)
    try:
        found = receive(here)
    except TimeoutError:
        os.kill(process, signal.SIGKILL)
        raise
    finally:
        here.close()
        os.waitpid(process, 0)
    return found


def _checked(model: Model, accept: bool) -> object:
    try:
        return model.check(accept)
    except Exception as error:
        return {"ok": False, "text": printable(f"{type(error).__name__}: {error}")[:500]}
