"""`@saver.register`: for a class of your own whose attributes are its whole state."""

from __future__ import annotations

from typing import TypeVar

from saver import codec, trust
from saver.errors import CannotSaveError

T = TypeVar("T", bound=type)


def register(cls: T) -> T:
    """Save instances of `cls` by their attributes, and trust it in this process. Usable as a decorator.

    Loading makes the object without calling `__init__` or `__setstate__`, and sets the attributes. In a
    process that has not registered it, pass `trust=["module.Class"]`. Raises CannotSaveError for a class that
    is local to a function, or that inherits from a class written in C, whose state is not in attributes.
    """
    if not isinstance(cls, type):
        raise TypeError(f"cls: a {type(cls).__name__} is not a class; write @saver.register above a class")
    native = codec.native_base(cls)
    if native is not None:
        raise CannotSaveError(
            f"{cls.__qualname__} inherits from {native.__module__}.{native.__qualname__}, whose state is not "
            "in attributes; write a codec for it (docs/codecs.md)"
        )
    trust.register(cls)
    codec.forget_codecs()
    return cls
