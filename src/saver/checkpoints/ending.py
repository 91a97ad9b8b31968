"""Runs that are still open when the process ends, because their `with` block was never left: training in a
daemon thread, a notebook. What they have staged is written. If a save failed, the process ends with exit
code 1.
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
    """Call `flush` when the process ends, unless the run is closed before."""
    _open[run] = flush


def closed(run: object) -> None:
    """The run was closed in the normal way."""
    _open.pop(run, None)


def is_failure(error: BaseException) -> bool:
    """Whether a process that ends with this exception has another exit code than 0."""
    return not (
        isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0))
    )


def _flush() -> None:
    """Called while threads can still be started."""
    for flush in tuple(_open.values()):
        try:
            flush()
        except BaseException as error:
            traceback.print_exception(error)
            _failed.append(error)


def _end() -> None:
    """`os._exit` is the only way to set the exit code of an interpreter that is ending."""
    if _failed:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(1)


def _forked() -> None:
    """A child process has no writing threads, and does not own its parent's runs."""
    _open.clear()
    _failed.clear()


getattr(threading, "_register_atexit", atexit.register)(_flush)
atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
