"""The machine for which pickles are written, with inert values: no name is imported, no function called.

What is refused, since no library writes it for a model: extension codes, states of anything but instances,
calls of results of calls, out-of-band buffers.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from saver.formats.pickle.calls import (
    OLD_MODULES,
    READ,
    Malformed,
    applied,
    kind_of,
    length,
    method_of,
    plain,
)
from saver.pickled import Call, Elements, Global, Pairs

HIGHEST = 5
NAME_LIMIT = 500
FLOOR, FACTOR = 64 << 20, 16
"""How many bytes texts may take that occur again: at least, and times the size of a larger pickle."""

_LONG = 512
_WRITTEN = frozenset((str, bytes, int))


class Machine:
    """The stack, the marks and the memo of one run through a pickle, which begins at `at` in `data`.

    `persistent(id)` stands for an object outside; `built(call, at)` is called after an instance got its
    state, with the position behind, and returns what takes its place and the new position: the arrays of
    joblib follow their wrapper. `calls` and `names` are all that the pickle calls and names, as far as it
    was read.
    """

    def __init__(
        self,
        data: memoryview,
        at: int = 0,
        persistent: Callable[[Any], Any] | None = None,
        built: Callable[[Call, int], tuple[Any, int]] = lambda call, at: (call, at),
    ) -> None:
        self.data, self.at = data, at
        self.protocol = 0
        self.calls: list[Call] = []
        self.names: dict[Global, None] = {}
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self._persistent, self._built = persistent, built
        self._room = max(FLOOR, FACTOR * len(data))

    def take(self, size: int) -> memoryview:
        """The next bytes."""
        start = self.at
        if size > len(self.data) - start:
            raise Malformed(f"it is cut off: {size:,} bytes at {start:,} are not there")
        self.at = start + size
        return self.data[start : self.at]

    def number(self, size: int) -> int:
        """The next bytes as a number without a sign."""
        return int.from_bytes(self.take(size), "little")

    def octet(self) -> int:
        """The next byte. Raises IndexError at the end."""
        found = self.data[self.at]
        self.at += 1
        return found

    def line(self) -> bytes:
        """The bytes up to the end of the line."""
        start = self.at
        while True:
            piece = bytes(self.data[self.at : self.at + 256])
            if not piece:
                raise Malformed("it is cut off within a line")
            found = piece.find(b"\n")
            if found >= 0:
                self.at += found + 1
                return bytes(self.data[start : self.at - 1])
            self.at += len(piece)

    # values

    def text(self, size: int) -> None:
        try:
            self.stack.append(str(self.take(size), "utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise Malformed("a text is not UTF-8") from None

    def old_text(self, size: int) -> None:
        """A string of Python 2: bytes, most of which are text."""
        self.stack.append(str(self.take(size), "latin-1"))

    def octets(self, size: int) -> None:
        self.stack.append(bytes(self.take(size)))

    def quoted(self) -> None:
        """A string of Python 2 as its `repr`."""
        line = self.line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b'"', b"'"):
            raise Malformed("a text is not in quotes")
        try:
            octets: bytes = codecs.escape_decode(line[1:-1])[0]
        except ValueError:
            raise Malformed("a text is not written as one") from None
        self.stack.append(octets.decode("latin-1"))

    def escaped(self) -> None:
        try:
            self.stack.append(codecs.raw_unicode_escape_decode(self.line())[0])
        except UnicodeDecodeError:
            raise Malformed("a text is not written as one") from None

    def integer(self) -> None:
        """An integer, or a bool, in decimal digits."""
        line = self.line()
        try:
            self.stack.append(line == b"01" if line in (b"00", b"01") else int(line.rstrip(b"L")))
        except ValueError:
            raise Malformed("an integer is not written as one") from None

    def long(self, size: int) -> None:
        self.stack.append(int.from_bytes(self.take(size), "little", signed=True))

    def decimal(self) -> None:
        try:
            self.stack.append(float(self.line()))
        except ValueError:
            raise Malformed("a float is not written as one") from None

    def persistent(self, ident: Any) -> None:
        if self._persistent is None:
            raise Malformed("it refers to something outside, as only files of PyTorch do")
        self.stack.append(self._persistent(ident))

    # the stack

    def to_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def put(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def get(self, key: int) -> None:
        self.again(self.memo[key])

    def again(self, value: Any) -> None:
        """Push a value that was there before. Texts are written anew each time that they occur."""
        kind = type(value)
        if kind in _WRITTEN and (kind is int or len(value) > _LONG):
            size = length(value)
            if size > _LONG:
                self._room -= size
            if self._room < 0:
                raise Malformed("long texts occur so often that together they exceed what its size warrants")
        self.stack.append(value)

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.to_mark()

    # names and calls

    def name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise Malformed("it names a class by other than two texts")
        if not module or not name or len(module) + len(name) > NAME_LIMIT:
            raise Malformed(f"it names {module[:80]!r} {name[:80]!r}, which cannot be a class or function")
        found = Global(OLD_MODULES.get(module, module), name)
        self.names[found] = None
        self.stack.append(found)

    def named_in_lines(self) -> None:
        try:
            module, name = self.line().decode(), self.line().decode()
        except UnicodeDecodeError:
            raise Malformed("a name is not UTF-8") from None
        self.name(module, name)

    def call(self, function: Any, args: Any, made: bool = False, kwargs: Any = None) -> None:
        if type(function) is Call:
            function, args, kwargs = applied(function, args)
        if type(function) is not Global:
            raise Malformed(f"it calls {kind_of(function)}, which is not a class or function that it names")
        if type(args) is not tuple:
            raise Malformed(f"it calls {function} with {kind_of(args)} in place of arguments")
        found = plain(function, args)
        self.stack.append(self._called(function, args, made, kwargs) if found is None else found)

    def _called(self, function: Global, args: tuple[Any, ...], made: bool, kwargs: Any) -> Call | Global:
        call = Call(function, args, kwargs, made)
        method = method_of(function, args)
        if method is not None:
            call.marks.add(READ)
        if function.module == "copyreg" and args and type(args[0]) is Global:
            if function.name == "__newobj__":
                call = Call(args[0], args[1:], None, True)
            elif function.name == "_reconstructor" and len(args) == 3:
                call = Call(args[0], () if args[2] is None else args[2:], None, True)
        self.calls.append(call)
        return method or call

    def reduce(self) -> None:
        args = self.stack.pop()
        self.call(self.stack.pop(), args)

    def new(self) -> None:
        args = self.stack.pop()
        self.call(self.stack.pop(), args, True)

    def new_with_names(self) -> None:
        kwargs, args = self.stack.pop(), self.stack.pop()
        if type(kwargs) is not Pairs:
            raise Malformed("it calls a class with named arguments that have no names")
        self.call(self.stack.pop(), args, True, kwargs)

    def old_instance(self) -> None:
        args = tuple(self.to_mark())
        self.named_in_lines()
        self.call(self.stack.pop(), args, not args)

    def old_object(self) -> None:
        function, *args = self.to_mark() or [None]
        self.call(function, tuple(args), not args)

    def build(self) -> None:
        state = self.stack.pop()
        call = self.stack[-1]
        if type(call) is not Call:
            raise Malformed(f"it sets the state of {kind_of(call)}, which is not an instance")
        if call.has_state:
            raise Malformed(f"it sets the state of an instance of {call.function} twice")
        call.state, call.has_state = state, True
        self.stack[-1], self.at = self._built(call, self.at)

    # containers

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target += items
        elif type(target) is Call:
            target.items += items
        else:
            raise Malformed(f"it appends to {kind_of(target)}")

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if len(items) % 2:
            raise Malformed("a key has no value")
        pairs = zip(items[::2], items[1::2], strict=True)
        if type(target) is Pairs:
            target.items.extend(pairs)
        elif type(target) is Call:
            target.pairs.extend(pairs)
        else:
            raise Malformed(f"it sets items of {kind_of(target)}")

    def add(self) -> None:
        items = self.to_mark()
        target = self.stack[-1]
        if type(target) is not Elements or target.frozen:
            raise Malformed(f"it adds elements to {kind_of(target)}")
        target.items += items

    def row(self, size: int) -> None:
        items = self.stack[-size:]
        if len(items) < size:
            raise Malformed("a tuple lacks items")
        self.stack[-size:] = [(*items,)]

    def mapping(self) -> None:
        items = self.to_mark()
        self.stack.append(Pairs())
        self.set_items(items)

    def protocol_of(self) -> None:
        self.protocol = self.number(1)
        if self.protocol > HIGHEST:
            raise Malformed(f"it has the protocol {self.protocol}, and Saver reads up to {HIGHEST}")

    def refuse(self, what: str) -> None:
        raise Malformed(f"it has {what}, which Saver does not read")
