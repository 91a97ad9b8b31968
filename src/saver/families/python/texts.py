"""What a short text makes again: patterns, loggers, addresses, and what gets an item or an attribute."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from operator import attrgetter, itemgetter
from typing import Any
from uuid import UUID

from saver.codec import Codec, Decoder, Encoder, added
from saver.errors import kind_of
from saver.tree import Node, Value

_DEBUG = int(re.DEBUG)
_FLAGS = sum(map(int, (re.IGNORECASE, re.LOCALE, re.MULTILINE, re.DOTALL, re.UNICODE, re.VERBOSE, re.ASCII)))
_COMPILED = 1_000_000
"""The steps that compiling one pattern may take, about a tenth of a second: half of what any file may use."""


def _cost(text: str | bytes, flags: int) -> int:
    """A bound of the steps in which Python compiles a pattern, from measurements of its worst cases: sets of
    characters beyond Latin-1, each of which makes a table of 65,536, and alternatives that begin alike."""
    found = text if isinstance(text, str) else text.decode("latin-1")
    sets = found.count("[") + found.count("-")
    wide = sets and (max(found) > "\xff" or re.search(r"\\[uUN]", found) is not None)
    folded = flags & re.IGNORECASE or re.search(r"\(\?\w*i", found) is not None
    longest = max(map(len, found.split("|"))) if "|" in found else 0
    each = (180_000 if folded else 65_000) if wide else 500
    return 30 * len(found) + each * sets + longest**2 // 250


def _check_pattern(text: Any, flags: Any) -> None:
    """Raise ValueError unless compiling them is quick and prints nothing."""
    if type(text) not in (str, bytes):
        raise ValueError(f"a pattern is {kind_of(text)}, not a str or bytes")
    if type(flags) is not int or flags & ~_FLAGS:
        raise ValueError("a pattern was compiled with other flags than those for matching, such as re.DEBUG")
    if _cost(text, flags) > _COMPILED:
        raise ValueError(
            "the pattern takes too long to compile; hold its text, and compile it where it is used"
        )


class UUIDCodec(Codec):
    """32 hexadecimal digits."""

    name = "stdlib.UUID"
    types = (UUID,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return obj.hex  # type: ignore[no-any-return]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = UUID(hex=node.state)
        if found.hex != node.state:
            raise ValueError("a UUID is 32 lower-case hexadecimal digits")
        return found


class PatternCodec(Codec):
    """A compiled regular expression: its text and its flags, compiled again."""

    name = "stdlib.Pattern"
    types = (re.Pattern,)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_check_pattern, obj.pattern, obj.flags)
        return [encoder(obj.pattern), obj.flags]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state, flags = node.state
        text = decoder(state)
        _check_pattern(text, flags)
        decoder.budget.charge(steps=_cost(text, flags))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets such as "[[a]": it was given when it was saved
            return re.compile(text, flags)


_NAME_LIMIT = 200


def _check_logger(name: Any) -> None:
    if type(name) is not str or len(name) > _NAME_LIMIT:
        raise ValueError(f"the name of a logger is a string of at most {_NAME_LIMIT} characters")


class LoggerCodec(Codec):
    """A logger by its name: `logging.getLogger` gives the one of the process, with its own handlers."""

    name = "stdlib.Logger"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, logging.Logger)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        known: dict[str, Any] = {**logging.Logger.manager.loggerDict}
        if id(obj) not in (id(logging.root), id(known.get(obj.name))):
            encoder.refuse("a logger that logging.getLogger did not make has no name; use one that it made")
        encoder.check(_check_logger, obj.name)
        return None if obj is logging.root else obj.name

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if node.state is None:
            return logging.root
        name: Any = node.state
        _check_logger(name)
        decoder.budget.charge(bytes=1000 * (2 + name.count(".")))  # one for each dot, which stay
        return logging.getLogger(name)


_MERGES = ("merge_extra",) if sys.version_info >= (3, 13) else ()
"""Whether an adapter keeps what a call adds to the record beside its own."""


class LoggerAdapterCodec(Codec):
    """A logger and what is added to its records."""

    name = "stdlib.LoggerAdapter"
    types = (logging.LoggerAdapter,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "logger", "extra", *_MERGES)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        merges = [each for each in (vars(obj).get(name, False) for name in _MERGES) if each is not False]
        encoder.check(_check_adapter, obj.logger, obj.extra, merges)
        return [encoder(obj.logger, "logger"), encoder(obj.extra, "extra"), *merges]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        logger, extra, *merges = node.state
        logger, extra = decoder(logger), decoder(extra)
        _check_adapter(logger, extra, merges)
        if merges and not _MERGES:
            raise ValueError("the adapter merges what is added, which Python does since 3.13")
        options: dict[str, Any] = {"merge_extra": True} if merges else {}
        return logging.LoggerAdapter(logger, extra, **options)


def _check_adapter(logger: Any, extra: Any, merges: Any) -> None:
    if merges not in ([], [True]):
        raise ValueError("merge_extra of an adapter is neither True nor False")
    if not isinstance(logger, logging.Logger) or type(extra) not in (dict, type(None)):
        raise ValueError("an adapter needs a logger and a dict")


_ADDRESSES = {
    cls.__name__: cls
    for cls in (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network)
}


_KEPT = (
    "broadcast_address", "hostmask", "hosts", "netmask", "network", "network_address", "_ip", "_prefixlen",
    "_scope_id",
)  # fmt: skip
"""What these classes keep in the dict of an instance."""


class AddressCodec(Codec):
    """Addresses, networks and interfaces of the Internet Protocol, by their text."""

    name = "stdlib.address"
    types = tuple(_ADDRESSES.values())

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_KEPT)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        encoder.check(_address, type(obj).__name__, str(obj))
        return [type(obj).__name__, str(obj)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        return _address(*node.state)


def _address(kind: str, text: Any) -> Any:
    if type(text) is not str or len(text) > _NAME_LIMIT:
        raise ValueError(f"the text of an address has more than {_NAME_LIMIT} characters")
    found = _ADDRESSES[kind](text)
    if str(found) != text:
        raise ValueError(f"{text!r} is not how Python writes the address {found}")
    return found


def _check_items(items: Any) -> None:
    if type(items) is not tuple or not items:
        raise ValueError("what gets items needs at least one")


def _check_names(names: Any) -> None:
    """Raise ValueError unless all are names of public attributes: others lead into Python itself."""
    _check_items(names)
    steps = [step for name in names if type(name) is str for step in name.split(".")]
    if len(steps) < len(names) or not all(step.isidentifier() and step[0] != "_" for step in steps):
        raise ValueError("only public attributes can be got by what was saved; write a function")


class GetterCodec(Codec):
    """`operator.itemgetter` and `attrgetter`: what they get."""

    name = "stdlib.getter"
    types = (itemgetter, attrgetter)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kind, asked = obj.__reduce__()
        encoder.check(_check_items if kind is itemgetter else _check_names, asked)
        return [kind.__name__, encoder(asked)]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        kind, state = node.state
        asked = decoder(state)
        if kind == "itemgetter":
            _check_items(asked)
            return itemgetter(*asked)
        if kind != "attrgetter":
            raise ValueError(f"{kind!r} gets nothing")
        _check_names(asked)
        return attrgetter(*asked)


CODECS: tuple[Codec, ...] = (
    UUIDCodec(), PatternCodec(), LoggerCodec(), LoggerAdapterCodec(), AddressCodec(), GetterCodec(),
)  # fmt: skip
