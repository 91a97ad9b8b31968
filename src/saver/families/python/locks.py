"""Locks, which have no state that outlives a process: for those who ask, they come back as new ones."""

from __future__ import annotations

import threading
from typing import Any

from saver import trust
from saver.codec import Codec, Decoder, Encoder
from saver.tree import Node, Value

_NEW = {
    type(threading.Lock()): "Lock",
    type(threading.RLock()): "RLock",
    threading.Condition: "Condition",
    threading.Event: "Event",
    threading.Semaphore: "Semaphore",
    threading.BoundedSemaphore: "BoundedSemaphore",
    threading.Barrier: "Barrier",
}
_MOST = 1 << 31


def _check_lock(lock: Any) -> None:
    if _NEW.get(type(lock)) not in ("Lock", "RLock"):
        raise ValueError("a condition needs a lock")


def _check_number(number: Any) -> None:
    if type(number) is not int or number > _MOST:
        raise ValueError(f"a semaphore or a barrier has a whole number, not more than {_MOST}")
    if number < 1:
        raise ValueError("a semaphore or a barrier of 0 would come back blocking for ever; release it first")


def _check_timeout(timeout: Any) -> None:
    if timeout is None:
        return
    if type(timeout) not in (int, float) or not 0 <= timeout <= threading.TIMEOUT_MAX:
        raise ValueError(f"a barrier's timeout is None or a number from 0 to {threading.TIMEOUT_MAX:g}")


class LockCodec(Codec):
    """Locks of `threading`, as new ones: open, with nobody waiting. Only of classes that the user registered,
    since nobody can know whether a lock is held for a reason."""

    name = "stdlib.lock"

    def accepts(self, cls: type) -> bool:
        return cls in _NEW and trust.is_registered(cls)

    def registers(self, cls: type) -> bool:
        return cls in _NEW

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind = _NEW[type(obj)]
        if kind == "Condition":
            encoder.check(_check_lock, obj._lock)
            return [kind, encoder(obj._lock, "lock")]
        if kind in ("Semaphore", "BoundedSemaphore"):
            number = obj._value if kind == "Semaphore" else obj._initial_value
            encoder.check(_check_number, number)
            return [kind, number]
        if kind == "Barrier":
            if obj._action is not None:
                encoder.refuse("a barrier with an action has no data form; leave it out, and make it again")
            encoder.check(_check_number, obj.parties)
            encoder.check(_check_timeout, obj._timeout)
            return [kind, obj.parties, encoder(obj._timeout, "timeout")]
        return [kind]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, *rest = node.state
        if kind in ("Lock", "RLock", "Event") and not rest:
            return getattr(threading, kind)()
        if kind == "Barrier":
            parties, timed = rest
            timeout = decoder(timed)
            _check_number(parties)
            _check_timeout(timeout)
            return threading.Barrier(parties, timeout=timeout)
        (held,) = rest
        if kind == "Condition":
            lock = decoder(held)
            _check_lock(lock)
            return threading.Condition(lock)
        if kind not in ("Semaphore", "BoundedSemaphore"):
            raise ValueError(f"{kind!r} is not a lock")
        _check_number(held)
        return getattr(threading, kind)(held)


CODECS: tuple[Codec, ...] = (LockCodec(),)
