"""The opcodes of pickles, protocols 0 to 5, and the loop through them.

Specification: the module pickletools of Python, which describes each opcode.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.machine import Machine
from saver.pickled import Elements, Inert, Pairs

Step: TypeAlias = Callable[[Machine], Any]


def run(machine: Machine) -> Inert:
    """The value that a pickle describes; the machine is then behind its end. Raises Malformed. Time and
    memory are in proportion to the bytes."""
    data, end = machine.data, len(machine.data)
    try:
        while machine.at < end:
            code = data[machine.at]
            machine.at += 1
            if code == _STOP:
                if machine.marks or len(machine.stack) != 1:
                    raise Malformed("it ends with other than one value")
                return machine.stack.pop()
            step = _TABLE[code]
            if step is None:
                raise Malformed(f"the byte {code:#04x} at {machine.at - 1:,} is not an opcode")
            step(machine)
    except (IndexError, KeyError):
        raise Malformed(f"the opcode before byte {machine.at:,} takes a value that is not there") from None
    raise Malformed("it is cut off: there is no end")


def run_whole(machine: Machine) -> Inert:
    """The same for a pickle behind which nothing follows."""
    found = run(machine)
    if machine.at != len(machine.data):
        raise Malformed(f"{len(machine.data) - machine.at:,} bytes follow its end")
    return found


def inside(machine: Machine, data: memoryview, at: int = 0) -> Machine:
    """A machine for a pickle that lies within another one: what it calls and names, the outer one knows."""
    inner = Machine(data, at)
    inner.calls, inner.names = machine.calls, machine.names
    return inner


def _number(form: str) -> Step:
    reads = struct.Struct(form)
    return lambda machine: machine.stack.append(reads.unpack(machine.take(reads.size))[0])


def _constant(value: Any) -> Step:
    return lambda machine: machine.stack.append(value)


def _sized(step: Callable[[Machine, int], None], size: int) -> Step:
    if size == 1:
        return lambda machine: step(machine, machine.octet())
    return lambda machine: step(machine, machine.number(size))


def _get(machine: Machine) -> None:
    """For a number of the memo in one byte: the most frequent opcode of all."""
    value = machine.memo[machine.data[machine.at]]
    machine.at += 1
    machine.again(value)


def _signed(step: Callable[[Machine, int], None]) -> Step:
    """For a length of four bytes with a sign."""

    def take(machine: Machine) -> None:
        size = machine.number(4)
        if size >= 1 << 31:
            raise Malformed("a length is negative")
        step(machine, size)

    return take


def _keyed(step: Callable[[Machine, int], None]) -> Step:
    """For a number of the memo in decimal digits."""

    def take(machine: Machine) -> None:
        text = machine.line()
        if not text.isdigit() or len(text) > 20:
            raise Malformed("a number of the memo is not one")
        step(machine, int(text))

    return take


def _popped(step: Callable[..., Any], count: int) -> Step:
    def take(machine: Machine) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        step(machine, items[::-1])

    return take


def _made(make: Callable[[list[Any]], Any]) -> Step:
    """For a value of everything above the mark."""

    def take(machine: Machine) -> None:
        items = machine.to_mark()  # which brings back the stack below
        machine.stack.append(make(items))

    return take


def _refused(what: str) -> Step:
    return lambda machine: machine.refuse(what)


_STOP = ord(".")
_M = Machine
_STEPS: dict[str, Step] = {
    "(": _M.mark, "0": _M.pop, "1": _M.to_mark, "2": lambda m: m.again(m.stack[-1]),
    "F": _M.decimal, "I": _M.integer, "L": _M.integer,
    "J": _number("<i"), "K": lambda m: m.stack.append(m.octet()), "M": _number("<H"), "G": _number(">d"),
    "N": _constant(None), "\x88": _constant(True), "\x89": _constant(False),
    "\x8a": _sized(_M.long, 1), "\x8b": _signed(_M.long),
    "S": _M.quoted, "T": _signed(_M.old_text), "U": _sized(_M.old_text, 1), "V": _M.escaped,
    "X": _sized(_M.text, 4), "\x8c": _sized(_M.text, 1), "\x8d": _sized(_M.text, 8),
    "B": _sized(_M.octets, 4), "C": _sized(_M.octets, 1), "\x8e": _sized(_M.octets, 8),
    "\x96": lambda m: m.stack.append(bytearray(m.take(m.number(8)))),
    ")": _constant(()), "t": _made(tuple),
    "\x85": lambda m: m.row(1), "\x86": lambda m: m.row(2), "\x87": lambda m: m.row(3),
    "]": lambda m: m.stack.append([]), "l": _made(list),
    "a": _popped(_M.append, 1), "e": lambda m: m.append(m.to_mark()),
    "}": lambda m: m.stack.append(Pairs()), "d": _M.mapping,
    "s": _popped(_M.set_items, 2), "u": lambda m: m.set_items(m.to_mark()),
    "\x8f": lambda m: m.stack.append(Elements()), "\x90": _M.add,
    "\x91": _made(lambda items: Elements(items, True)),
    "p": _keyed(_M.put), "q": _sized(_M.put, 1), "r": _sized(_M.put, 4),
    "\x94": lambda m: m.put(len(m.memo)),
    "g": _keyed(_M.get), "h": _get, "j": _sized(_M.get, 4),
    "c": _M.named_in_lines, "\x93": _popped(lambda m, names: m.name(*names), 2),
    "R": _M.reduce, "b": _M.build, "i": _M.old_instance, "o": _M.old_object,
    "\x81": _M.new, "\x92": _M.new_with_names,
    "P": lambda m: m.persistent(m.line().decode("latin-1")), "Q": lambda m: m.persistent(m.stack.pop()),
    "\x80": _M.protocol_of, "\x95": lambda m: m.take(8),
    **dict.fromkeys("\x82\x83\x84", _refused("a code of the extension registry")),
    **dict.fromkeys("\x97\x98", _refused("a buffer outside of it")),
}  # fmt: skip

_TABLE: list[Step | None] = [_STEPS.get(chr(code)) for code in range(256)]
