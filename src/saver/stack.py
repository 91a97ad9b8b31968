"""Room on Python's stack that does not depend on how deep the caller stands.

Python counts the calls of each thread for itself and refuses more than `sys.getrecursionlimit()`: 1,000,
unless it was changed. So what needs more than a caller may have left runs in a thread of its own, while the
caller waits; the limit, which belongs to all threads, stays as it is.
"""

from __future__ import annotations

import contextvars
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SHALLOW = 100
"""Callers with fewer frames than this have enough room: a test, a notebook, or a server has 30 to 80."""

SEGMENT = 25
"""So many objects within objects share a stack. The codecs of this repository take 4 to 9 calls for each."""


def is_deep() -> bool:
    """Whether the caller has more than `SHALLOW` frames on its stack."""
    try:
        sys._getframe(SHALLOW)
    except ValueError:
        return False
    return True


def on_fresh_stack(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns or raises, called in a thread of its own, with the context of the caller.

    An interrupt that reaches the waiting caller is raised once the function is done, so that nothing goes on
    behind its back. Where no thread can be started, because a limit is reached or Python is about to exit,
    the function is called here; MemoryError if it needs more calls than are left.
    """
    context, results, errors = contextvars.copy_context(), list[T](), list[BaseException]()

    def run() -> None:
        try:
            results.append(context.run(function, *args, **kwargs))
        except BaseException as error:  # raised where the function was called
            errors.append(error)

    thread = threading.Thread(target=run, name="saver-deep", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return _here(error, function, *args, **kwargs)
    try:
        thread.join()
    except BaseException:
        thread.join()
        raise
    if errors:
        try:
            raise errors[0]
        finally:
            errors.clear()  # the error refers to this frame
    return results[0]


def on_any_stack(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns or raises, called on a fresh stack if the caller is deep."""
    return on_fresh_stack(function, *args, **kwargs) if is_deep() else function(*args, **kwargs)


def _here(why: RuntimeError, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns or raises, called on the stack of the caller."""
    try:
        return function(*args, **kwargs)
    except RecursionError:
        depth, limit = len(inspect.stack(0)), sys.getrecursionlimit()
        raise MemoryError(
            f"the objects are nested deeper than the stack has room for: {depth:,} of {limit:,} calls are "
            f"taken, and no thread with a stack of its own can be started ({why}); call Saver from fewer "
            "functions, or end some threads"
        ) from None


def anywhere(function: Callable[..., Any], *args: Any) -> Any:
    """The same for a function without effects, which is called again on a fresh stack only where this one is
    too small."""
    try:
        return function(*args)
    except RecursionError:
        return on_fresh_stack(function, *args)
