"""Python's collector of garbage, which rests while very many objects are made.

For every 700 new containers it looks at the youngest ones, and again and again at all that there are. While
trees are written, parsed or turned into objects, none of that is garbage: with 20,000 tensors it took a
quarter of a load and two fifths of a save.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_resting: list[None] = []
"""One item for each call that has switched the collector off."""


def uncollected(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the function returns or raises; meanwhile no garbage is collected, in any thread.

    A call that found the collector on switches it on again. So it is on once all of them have ended, in
    whatever order, unless it was off before.
    """
    if not gc.isenabled():
        return function(*args, **kwargs)
    try:
        _resting.append(None)
        gc.disable()
        return function(*args, **kwargs)
    finally:
        gc.enable()
        if _resting:
            _resting.pop()


def _in_child() -> None:
    """In a forked child, the threads that would switch it on again are gone."""
    if _resting:
        _resting.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
