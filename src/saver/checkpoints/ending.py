"""Runs that are still open when the process ends, as nobody left their `with`: training in a daemon thread, a
notebook. What they have staged is written, and a process with a save that failed ends with exit code 1.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import traceback
from collections.abc import Callable

_open: dict[object, Callable[[], None]] = {}
_failed: list[BaseException] = []


def opened(run: object, flush: Callable[[], None]) -> None:
    """Have `flush` called, unless the run is closed before."""
    _open[run] = flush


def closed(run: object) -> None:
    """It was left as it should be."""
    _open.pop(run, None)


def _flush() -> None:
    """While threads can still be started."""
    for flush in tuple(_open.values()):
        try:
            flush()
        except BaseException as error:
            traceback.print_exception(error)
            _failed.append(error)


def _end() -> None:
    """Nothing but this sets the exit code of an interpreter that is ending."""
    if _failed:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(1)


def _forked() -> None:
    """A child has no threads that write, and its parent's runs are none of its own."""
    _open.clear()
    _failed.clear()


getattr(threading, "_register_atexit", atexit.register)(_flush)
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
