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
            return [kind, encoder(obj._lock, "lock")]
        if kind == "BoundedSemaphore":
            return [kind, obj._initial_value]
        if kind == "Semaphore":
            return [kind, obj._value]
        if kind == "Barrier":
            if obj._action is not None:
                encoder.refuse("a barrier with an action has no data form; leave it out, and make it again")
            return [kind, obj.parties]
        return [kind]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, *rest = node.state
        if kind in ("Lock", "RLock", "Event") and not rest:
            return getattr(threading, kind)()
        (held,) = rest
        if kind == "Condition":
            lock = decoder(held)
            if _NEW.get(type(lock)) not in ("Lock", "RLock"):
                raise ValueError("a condition needs a lock")
            return threading.Condition(lock)
        if kind not in ("Semaphore", "BoundedSemaphore", "Barrier"):
            raise ValueError(f"{kind!r} is not a lock")
        if type(held) is not int or not 0 <= held <= _MOST:
            raise ValueError("a semaphore or a barrier needs a number")
        return getattr(threading, kind)(held)


CODECS: tuple[Codec, ...] = (LockCodec(),)
