"""Objects that are reset in a forked child.

`fork` copies the memory, but only one thread. A lock that another thread held stays locked forever in the
child, and what that thread was changing stays half changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_known: WeakKeyDictionary[object, Callable[[object], None]] = WeakKeyDictionary()


def begin_anew(obj: T, begin: Callable[[T], None]) -> None:
    """Have `begin(obj)` called in every forked child, as long as `obj` lives."""
    _known[obj] = begin  # type: ignore[assignment]


def _in_child() -> None:
    for obj, begin in list(_known.items()):
        begin(obj)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
