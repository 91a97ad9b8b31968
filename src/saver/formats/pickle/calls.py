"""The few calls that Python itself uses to write values in pickles, and what messages call values."""

from __future__ import annotations

from typing import Any

from saver.pickled import Call, Elements, Global


class Malformed(ValueError):
    """The bytes are no pickle, or one that no library writes."""


def length(value: Any) -> int:
    """How many bytes a text, bytes or an integer takes; 0 for other values."""
    if type(value) is int:
        return value.bit_length() // 8
    return len(value) if type(value) in (str, bytes) else 0


OLD_MODULES = {
    "__builtin__": "builtins", "copy_reg": "copyreg", "exceptions": "builtins", "posix": "os", "nt": "os",
}  # fmt: skip
"""Modules of Python 2, and those that `os` takes its functions from."""


READ = "read"
"""The mark of a call that was read already: nothing is to be made of it."""

_METHODS = frozenset(((Global("zoneinfo", "ZoneInfo"), "_unpickle"),))
"""Methods of classes that pickles name by `getattr`."""


def method_of(function: Global, args: tuple[Any, ...]) -> Global | None:
    """The method that a call of `getattr` names, if it is one of the few that libraries name so."""
    if (function.module, function.name) != ("builtins", "getattr") or len(args) != 2:
        return None
    owner, name = args
    if type(owner) is not Global or type(name) is not str or (owner, name) not in _METHODS:
        return None
    return Global(owner.module, f"{owner.name}.{name}")


def applied(function: Any, args: Any) -> tuple[Any, Any, Any]:
    """The function, the arguments and the named arguments of a call of `functools.partial(…)`, as pickles
    write named arguments before protocol 4; other functions as they are."""
    if type(function) is not Call or function.function != Global("functools", "partial"):
        return function, args, None
    held = function.state if function.has_state else (*function.args[:1], function.args[1:], None, None)
    if type(held) is not tuple or len(held) != 4 or type(held[1]) is not tuple or type(args) is not tuple:
        raise Malformed("it calls a partial without its parts")
    return held[0], held[1] + args, held[2]


def kind_of(value: Any) -> str:
    """What messages call a value."""
    if type(value) is Call:
        return f"the result of {value.function}"
    return str(value)[:80] if type(value) is Global else f"a {type(value).__name__.lower()}"


def plain(function: Global, args: tuple[Any, ...]) -> Any:
    """What the functions return that protocols 0 to 2 use for bytes and sets; None if it is another call."""
    first = args[0] if args else None
    if (function.module, function.name) == ("_codecs", "encode"):
        if type(first) is not str or args[1:] not in (("latin1",), ("latin-1",)):
            return None
        try:
            return first.encode("latin-1")
        except UnicodeEncodeError:
            raise Malformed("bytes are written as a text that is not of bytes") from None
    if function.module == "builtins" and len(args) <= 1:
        if function.name in ("set", "frozenset") and type(first) in (list, type(None)):
            return Elements(first or [], function.name == "frozenset")
        if function.name in ("bytes", "bytearray") and type(first) in (bytes, type(None)):
            return bytes(first or b"") if function.name == "bytes" else bytearray(first or b"")
    return None
