"""Functions that tell when they are called. To a worker of the fuzzer they are reviewed functions, one of
each kind, and one of a kind that no place takes: who calls it found a way around the review.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

KINDS = (
    "nowhere", "elementwise", "combining", "array", "number", "metric", "scores", "distance", "kernel",
    "pairwise", "activation", "loss", "type", "factory", "check", "splitter", "internal",
)  # fmt: skip
NAMES = tuple(f"canaries:{kind}" for kind in KINDS)

heard: list[Callable[[str], None]] = []
"""Who hears of a call."""


def _canary(kind: str) -> Callable[..., Any]:
    def called(*arguments: Any, **keywords: Any) -> Any:
        for listener in heard:
            listener(kind)
        return arguments[0] if arguments else 0.0

    called.__name__ = called.__qualname__ = kind
    return called


globals().update({kind: _canary(kind) for kind in KINDS})


def admit() -> None:
    """Let files name them, in this process."""
    from saver import trust
    from saver.family import Reference

    for kind in KINDS:
        trust.references()[f"canaries:{kind}"] = Reference(frozenset((kind,)), "tells when it is called")  # type: ignore[index]
