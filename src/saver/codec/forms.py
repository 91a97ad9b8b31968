"""The forms that states share: base64, and lists of a known length."""

from __future__ import annotations

import re
from binascii import Error, a2b_base64, b2a_base64
from typing import Any

from saver.rules import Broken

_BITS = re.compile("[0-9a-f]{16}")


def octets(text: str) -> bytes:
    """The bytes of base64 as RFC 4648 has it, with padding and unused bits of zero, so that equal bytes have
    equal texts. Raises ValueError for any other text."""
    try:
        found = a2b_base64(text, strict_mode=True)
    except (Error, ValueError) as error:
        raise Broken("3.04", f"not base64: {error}") from None
    if b2a_base64(found, newline=False) != text.encode():
        raise Broken("3.04", "base64 with other unused bits than zeros, or other padding")
    return found


def bits(text: Any) -> bytes:
    """The 8 bytes of a float, from 16 lower-case hexadecimal digits. Raises ValueError."""
    if type(text) is not str or _BITS.fullmatch(text) is None:
        raise Broken("3.03" if type(text) is str else "3.01", "a float is 16 hexadecimal digits")
    return bytes.fromhex(text)


def listed(state: Any, *lengths: int) -> list[Any]:
    """A state that is a list of one of these lengths. Raises ValueError for any other."""
    if type(state) is not list or len(state) not in lengths:
        raise ValueError(f"it is not a list of {' or '.join(map(str, lengths))} items")
    return state


def keyed(state: Any, *keys: str) -> dict[str, Any]:
    """A state that is an object with exactly these keys. Raises ValueError for any other."""
    if type(state) is not dict or state.keys() != {*keys}:
        raise ValueError(f"it is not an object of {', '.join(keys)}")
    return state


def nothing(state: Any) -> None:
    """Raise ValueError unless the state is null."""
    if state is not None:
        raise ValueError("it has a state, and needs none")
