"""Checks the arguments of a run before it trains for days."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from numbers import Real
from typing import Any

from saver import arguments
from saver.checkpoints.events import Event
from saver.errors import kind_of, quoted
from saver.policy import Policy, Retention


def check(every: Any, keep: Any, objects: Any, busy: Any, grace: Any, total: Any) -> None:
    """Raise TypeError or ValueError for a wrong argument; the message says what to write instead."""
    if not isinstance(every, Policy):
        raise TypeError(f"every={every!r} is not a policy; write every=Every(steps=1000) | OnSignal()")
    if keep is not None and not isinstance(keep, Retention):
        raise TypeError(
            f"keep={keep!r} is not a policy; write keep=Keep(last=3), or leave it out to keep all"
        )
    if not isinstance(objects, Mapping):
        raise TypeError(f"objects: {kind_of(objects)} has no names; write {{'model': net, 'optimizer': opt}}")
    if not objects:
        raise ValueError("objects: there are none; write {'model': net, 'optimizer': opt}")
    for name in objects:
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= 100 or "/" in name:
            raise ValueError(
                f"objects: {name!r} is not a name for a part; use 1 to 100 printable characters without '/'"
            )
    if busy not in ("wait", "skip"):
        raise ValueError(f"busy={busy!r} is not a choice; write busy='wait' or busy='skip'")
    if not isinstance(grace, Real) or isinstance(grace, bool) or not 0 <= float(grace) < math.inf:
        raise ValueError(f"grace={grace!r} is not a number of seconds; write grace=30")
    if total is not None and (not isinstance(total, int) or isinstance(total, bool) or total < 1):
        raise ValueError(f"total={total!r} is not a number of steps; write total=100_000, or leave it out")


def check_per_rank(names: Any, together: bool, objects: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the objects of which each rank has its own."""
    found = arguments.per_rank(names, True if together else None)
    for name in found:
        if name not in objects:
            raise ValueError(f"per_rank: {quoted(name)} is not among the objects: {', '.join(objects)}")
    return found


def number_of_step(model: str, step: Any, epoch: Any) -> int:
    """The step as an `int`, from any kind of whole number; `epoch` must be a number or None."""
    _check_epoch(model, epoch)
    try:
        if isinstance(step, bool):
            raise TypeError
        return int(operator.index(step))
    except TypeError:
        raise TypeError(f"{model}: step {step!r} is not a whole number; count steps from 0") from None


def _check_epoch(model: str, epoch: Any) -> None:
    """Raise TypeError or ValueError unless this is the number of an epoch, or None."""
    if epoch is None:
        return
    if isinstance(epoch, bool) or not isinstance(epoch, Real):
        raise TypeError(
            f"{model}: epoch {quoted(epoch)} is not a number; count epochs from 0, or leave it out"
        )
    if not 0 <= float(epoch) < math.inf:
        raise ValueError(f"{model}: epoch {epoch} is out of range; count epochs from 0, or leave it out")


def check_reason(model: str, reason: Any) -> None:
    """Raise TypeError or ValueError unless this can be the reason of a save."""
    if not isinstance(reason, str):
        raise TypeError(f"{model}: reason: {quoted(reason)} is not a text; say why, as in 'requested'")
    if not 0 < len(reason) <= REASON_LIMIT or not reason.isprintable():
        raise ValueError(
            f"{model}: reason: {quoted(reason)} is not 1 to {REASON_LIMIT} printable characters; say why, as "
            "in 'requested'"
        )


def check_listener(model: str, listener: Any, kinds: tuple[Any, ...]) -> None:
    """Raise TypeError unless this can listen to events of these kinds."""
    if not callable(listener):
        raise TypeError(
            f"{model}: listener: {quoted(listener)} cannot be called; pass a function of an event"
        )
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Event):
            raise TypeError(
                f"{model}: kinds: {quoted(kind)} is not a kind of event; see saver.checkpoints.events"
            )


REASON_LIMIT = 200
