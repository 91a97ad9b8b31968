"""What a pickle describes, as data that cannot run, and what families know of the pickles of their libraries.

The format (`formats/pickle`) reads opcodes into these values. A family that knows pickled forms of its
library names a module in `Family.pickles`, which does not import the library. It may have:

- `READERS`: for classes and functions that pickles call, by name (`module:name`), what their calls become.
- `home(name)`: where a class or function is today that older versions had under this name.
- `reader(name)`: what calls of other names become; None for what must not be called.
- `value(name)`: what a class or function becomes that is held as a value, if it stands for something else.
- `claims(call)`: what a call becomes, by its arguments; `strangers(call)`, what an instance of a class of no
  known library becomes, by its state.
- `notes(call)`: versions of packages that a call records, by import name.
- `WRITERS`: for codecs, by name, the pickled form of a node; raises NotReadError if it has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, TypeAlias

from saver.codec import Codec, Decoder, Encoder
from saver.errors import LimitExceededError
from saver.tensors import Bytes
from saver.tree import Node, Value

LITERALS = frozenset((str, int, float, bool, type(None), bytes, bytearray, complex))
"""The types of values that pickles hold as themselves; lists and tuples hold others of this module."""


@dataclass(frozen=True, slots=True)
class Global:
    """A class or function that a pickle names. It was not imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Pairs:
    """A dict: its items in order, of which later ones replace earlier ones with the same key."""

    items: list[tuple[Any, Any]] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Elements:
    """A set or a frozenset."""

    items: list[Any] = field(default_factory=list)
    frozen: bool = False


@dataclass(eq=False, slots=True)
class Call:
    """A call that a pickle asks for, and what it does to the result: set its state, append items, set pairs.

    `made` says that the class's `__new__` is called, and not the class or function itself.
    """

    function: Global
    args: tuple[Any, ...] = ()
    kwargs: Pairs | None = None
    made: bool = False
    state: Any = None
    items: list[Any] = field(default_factory=list)
    pairs: list[tuple[Any, Any]] = field(default_factory=list)
    has_state: bool = False
    marks: set[str] = field(default_factory=set)
    """What the reader of an object around it found out about this one."""
    result: Any = None
    """What it stands for, where a family makes that once for all that refer to it: a dtype."""


@dataclass(eq=False, slots=True)
class Storage:
    """Numbers that lie outside of the pickle: the name of their type, their bytes, and the device that they
    were on. `calls` are those that take it as an argument."""

    kind: Global
    key: str
    count: int
    device: str
    data: Bytes | None = None
    calls: list[Call] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Chunks:
    """A tensor that lies in several boxes: its dtype, and by the offsets of each box the shape of the box,
    and its elements as bytes, in C order."""

    dtype: str
    shape: tuple[int, ...]
    boxes: Mapping[tuple[int, ...], tuple[tuple[int, ...], Bytes]]


Inert: TypeAlias = Any
"""A literal, a list or tuple of inert values, or an instance of a class above."""


class Pickled(Codec):
    """Encodes a pickled form as the state of the codec called `name`, which decodes and checks it."""

    def decode(self, node: Node, decoder: Decoder) -> NoReturn:
        """Nothing is decoded here: nodes are decoded by the codec that has this name in files."""
        raise NotImplementedError


class NotReadError(ValueError):
    """Why a pickled form cannot be read, or written."""


class Repeats:
    """What is written anew each time that it occurs. It is bounded, since a pickle takes a few bytes to refer
    to a value again: a walk has one, `encoder.shared(Repeats)`."""

    def __init__(self) -> None:
        self._seen = set[int]()
        self._room = 1 << 20

    def charge(self, value: Any, size: int) -> None:
        """Count the items of a value that was there before. If they are too many for what occurred once,
        raises LimitExceededError, which ends the walk."""
        self._room += -size if id(value) in self._seen else 4 * size
        self._seen.add(id(value))
        if self._room < 0:
            raise LimitExceededError(
                "long values occur so often that together they exceed what its size warrants"
            )


class Making(Protocol):
    """The walk that makes pickled forms of nodes."""

    decoder: Decoder
    """For nodes and batches whose codecs build nothing but data."""

    def whole(self, value: Any, place: str) -> Inert:
        """The pickled form of a value. Raises NotReadError if it, or anything in it, has none."""

    def fields(self, state: Any, place: str) -> Pairs:
        """The same for the items or attributes that a state has by name."""

    def ndarray(self, array: Any) -> Inert:
        """The pickled form of an array."""

    def version(self, package: str) -> str | None:
        """The version of a package under which the objects were saved."""


def fields_of(value: Inert, what: str) -> dict[str, Any]:
    """The items of a dict whose keys are all strings. Raises NotReadError for anything else."""
    found = {}
    for key, item in value.items if type(value) is Pairs else [(None, None)]:
        if type(key) is not str:
            raise NotReadError(f"{what} is not a dict with names")
        found[key] = item
    return found


def attributes_of(call: Call) -> dict[str, Any]:
    """The attributes of an instance, which its state is: a dict, or a dict and one of slots."""
    state = call.state
    if not call.has_state or state is None:
        return {}
    if type(state) is tuple and len(state) == 2:
        first, second = (fields_of(each, "a state") if each is not None else {} for each in state)
        return first | second
    return fields_of(state, f"the state of {call.function}")


class InstancePickled(Pickled):
    """Instances by their class and their attributes, as the codec of this name has them."""

    early = True

    def class_of(self, obj: Any) -> str:
        return f"{obj.function.module}:{obj.function.name}"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.fields(attributes_of(obj))


def sequence(value: Inert, what: str) -> list[Any]:
    """The items of a list or tuple."""
    if type(value) not in (list, tuple):
        raise NotReadError(f"{what} is not a list")
    return list(value)
