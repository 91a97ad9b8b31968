"""Holes, made on purpose in a worker: what the fuzzer must be able to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def _door() -> None:
    """Attributes may have any name, and hold any function."""
    _uses()
    from saver.codec import attributes

    attributes.Door._judge = lambda self, name: None  # type: ignore[method-assign]
    attributes._doors.clear()


def _budget() -> None:
    """A load may take whatever it asks for."""
    from saver.codec.budget import Budget

    Budget.charge = Budget.exceeded = lambda self, *_, **__: None  # type: ignore[method-assign,assignment]


def _sparse() -> None:
    """Indices of sparse matrices are believed."""
    from saver.families.scipy import sparse

    checks = [name for name in vars(sparse) if name.startswith("check_")]
    assert checks, "the checks of sparse matrices have other names"
    for name in checks:
        setattr(sparse, name, _nothing)


def _uses() -> None:
    """A function may be used as anything."""
    from saver import uses

    uses.check = _nothing
    uses.may_be = lambda *_: True


def _nothing(*_: Any, **__: Any) -> None: ...


PLANTS: dict[str, Callable[[], None]] = {"door": _door, "budget": _budget, "sparse": _sparse, "uses": _uses}
