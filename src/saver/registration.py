"""`@saver.register`: for a class of your own whose attributes are its whole state."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

from saver import codec, trust
from saver.errors import CannotSaveError, kind_of

T = TypeVar("T")


def register(cls: T) -> T:
    """Save instances of `cls` by their attributes, and trust it in this process. Usable as a decorator.

    Loading makes the object without calling `__init__` or `__setstate__`, and sets the attributes. In a
    process that has not registered it, pass `trust=["module.Class"]`. Raises CannotSaveError for a class that
    is local to a function, or that derives from one whose state is not in attributes: a class written in C,
    or one that has a data form of its own.

    A class of locks (`threading.Lock`, `Event`, `Condition` …) has no state to save: registered, its
    instances are saved too, and come back as new ones, open and unset. Loading those takes no trust.
    """
    found: Any = _FACTORIES.get(cls, cls) if callable(cls) else cls
    if not isinstance(found, type):
        raise TypeError(f"cls: {kind_of(cls)} is not a class; write @saver.register above a class")
    if not codec.registers(found):
        raise CannotSaveError(_refusal(found))
    trust.register(found)
    codec.forget_codecs()
    return cls


_FACTORIES: dict[Any, type] = {make: type(make()) for make in (threading.Lock, threading.RLock)}
"""What makes the locks whose classes have no public name."""


def _refusal(cls: type) -> str:
    native = codec.native_base(cls)
    if native is not None:
        return (
            f"{cls.__qualname__} inherits from {native.__module__}.{native.__qualname__}, whose state is not "
            "in attributes; write a codec for it (docs/codecs.md)"
        )
    if codec.codec_for(cls) is not None:
        return f"{cls.__qualname__} has a data form already, and needs no trust; leave the registration out"
    base = next(base for base in cls.__mro__[1:] if codec.codec_for(base) is not None)
    return (
        f"{cls.__qualname__} inherits from {base.__module__}.{base.__qualname__}, which is saved in a form "
        f"of its own; hold a {base.__qualname__} in an attribute, or write a codec (docs/codecs.md)"
    )
