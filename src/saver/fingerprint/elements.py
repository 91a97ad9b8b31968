"""Python values as bytes: equal values give equal bytes, in every process and on every machine.

The form is MessagePack, one value after another, so that it does not matter in how many calls they were
written. A value for which MessagePack has no type is an extension: a letter for its kind, and its content.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from saver import registry

_PACKED = msgspec.msgpack.Encoder()
_NATIVE = frozenset((str, bytes, bool, type(None), int, float))

_TEXT: dict[type, Callable[[Any], str]] = {
    **dict.fromkeys((datetime.date, datetime.datetime, datetime.time), lambda item: item.isoformat()),
    **dict.fromkeys((datetime.timedelta, Decimal, Fraction, UUID, complex, range), repr),
    **dict.fromkeys((PosixPath, PurePosixPath, WindowsPath, PureWindowsPath), lambda item: item.as_posix()),
}
"""Types whose text is the whole value, and the function that returns it."""


class NoValue(Exception):
    """Raised for an object without a value that could be compared. The message is its type."""


def encode(items: Sequence[Any]) -> bytes:
    """The bytes of the values, one after another. Raises NoValue for an item that is not a plain value."""
    if _NATIVE.issuperset(map(type, items)):
        # The sign and payload of a nan are not part of its value.
        items = [item if item == item else math.nan for item in items]
        try:
            return _joined(items)
        except (OverflowError, UnicodeEncodeError):  # beyond 64 bits; half a surrogate pair
            pass
    return _joined([_plain(item) for item in items])


def _joined(items: Sequence[Any]) -> bytes:
    """MessagePack of a list, without the 1, 3 or 5 bytes that say how long it is."""
    packed = _PACKED.encode(items)
    return packed[1 if len(items) < 16 else 3 if len(items) < 1 << 16 else 5 :]


def _plain(item: Any) -> Any:
    """`item` as a value that MessagePack has; items of different types or values stay different."""
    kind = type(item)
    if kind is str:
        return item if _is_utf8(item) else _extension("s", item.encode(errors="surrogatepass"))
    if kind is int:
        return item if -(1 << 63) <= item < 1 << 64 else _extension("i", f"{item:x}".encode())
    if kind in _NATIVE:
        return item if item == item else math.nan
    if kind in _TEXT:
        return _extension("t", encode((kind.__name__, _TEXT[kind](item))))
    if isinstance(item, np.ndarray):
        return _extension("a", encode((item.dtype.str, *item.shape)) + _array_bytes(item))
    if isinstance(item, np.generic) and item.dtype.kind not in "VO":
        return _extension("g", encode((item.dtype.str,)) + np.asarray(item).tobytes())
    if kind in _CONTAINERS:
        letter, parts = _CONTAINERS[kind]
        return _extension(letter, b"".join(parts(item)))
    if kind.__name__ in _values_of(kind.__module__.partition(".")[0]):
        return _extension("t", encode((kind.__name__, str(item))))
    raise NoValue(f"{kind.__module__}.{kind.__qualname__}")


@cache
def _values_of(root: str) -> frozenset[str]:
    """The classes of a package whose instances are fully described by their text."""
    module = registry.family(root).module("fingerprints") if registry.is_own(root) else None
    return getattr(module, "VALUES", frozenset())


def _extension(letter: str, content: bytes) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(ord(letter), content)


_CONTAINERS: dict[type, tuple[str, Callable[[Any], Iterable[bytes]]]] = {
    list: ("l", lambda items: (encode(items),)),
    tuple: ("u", lambda items: (encode(items),)),
    **dict.fromkeys((set, frozenset), ("e", lambda items: sorted(encode((item,)) for item in items))),
    dict: ("d", lambda items: sorted(encode(pair) for pair in items.items())),
}


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _array_bytes(array: NDArray[Any]) -> bytes:
    if array.dtype.hasobject or array.dtype.kind in "VT":
        return encode(array.ravel().tolist())
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
