"""The contract of a codec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeGuard

import numpy as np
from numpy.typing import NDArray

from saver.tree import Node, Value

if TYPE_CHECKING:
    from saver.codec.decoder import Decoder
    from saver.codec.encoder import Encoder

INLINE_BYTES = 512
"""Values up to this many bytes are stored in the tree; a separate tensor would cost more than that."""


class Codec(ABC):
    """Turns one kind of object into data and back.

    A codec belongs to the family of the library whose classes it knows: the family's codec module
    (`saver.family.Family.codecs`) lists an instance of it in `CODECS`.
    """

    name: ClassVar[str]
    """`root.kind`, as it is written in files: `numpy.array`."""

    version: ClassVar[int] = 1
    """The version of the state's form. `decode` must accept every version up to this one; newer ones are
    refused."""

    types: tuple[type, ...] = ()
    """The classes whose direct instances this codec takes."""

    names: frozenset[str] = frozenset()
    """More such classes, as `module:qualname`, so that their modules need not be imported."""

    shared: ClassVar[bool] = True
    """Whether identity matters: an object that occurs twice comes back as one object. False for plain
    leaves."""

    bare: ClassVar[bool] = False
    """Whether `decode` makes the object without a constructor and sets its attributes. The walk refuses an
    object whose class derives from one that was made in C as well, such as dict."""

    early: ClassVar[bool] = False
    """Whether `decode` announces the object with `Decoder.keep` before it decodes its content, so that the
    object can be part of a cycle."""

    by_attributes: ClassVar[bool] = False
    """Whether the state is nothing but the attributes, so that it would also carry a derived class."""

    asks: ClassVar[bool] = False
    """Whether the class that a node names is not that of what is built: it only asks for the user's trust."""

    careful: ClassVar[bool] = False
    """Whether the codec looks at an object whole, by `check`, `unsaved` or `bare`; found by itself."""

    checks: ClassVar[bool] = False
    """Whether the codec looks at a loaded object whole, by `claim` or `check`; found by itself."""

    def __init_subclass__(cls) -> None:
        cls.checks = cls.check is not Codec.check or cls.claim is not Codec.claim
        looks = cls.check is not Codec.check or cls.unsaved is not Codec.unsaved
        cls.careful = looks or cls.bare

    def accepts(self, cls: type) -> bool:
        """Whether this codec takes direct instances of `cls`."""
        return any(cls is each for each in self.types) or f"{cls.__module__}:{cls.__qualname__}" in self.names

    def registers(self, cls: type) -> bool:
        """Whether this codec would take direct instances of `cls` if the user registered it."""
        return False

    def class_of(self, obj: Any) -> str | None:
        """The name of the class that `decode` will need; None if it needs none."""
        return None

    def held(self, node: Node) -> Mapping[Any, Value] | Sequence[Value] | None:
        """The items of a plain container, each of which a lazy load builds on first use; None if the object
        is built whole. `node` may come from an attacker."""
        return None

    def unsaved(self, obj: Any) -> Iterable[str]:
        """The names of attributes that somebody set on `obj` and that `encode` has no place for. The walk
        refuses an object with any, which would come back without them."""
        return ()

    def claim(self, obj: Any) -> None:  # noqa: B027  most need not
        """Give a loaded object copies of its own of what `check` relies on, so that nothing else that was
        loaded can change it afterwards. Called before `check`, once everything is built."""

    def check(self, obj: Any) -> None:  # noqa: B027  most have checked all in `decode`
        """Raise ValueError, saying what is wrong, unless the object is sound as a whole. Changes nothing.

        Both walks ask: before an object is saved, and once all that was loaded is there (a cycle may have put
        something into it after `decode`). So what is refused when it is loaded is not saved either.
        """

    @abstractmethod
    def encode(self, obj: Any, encoder: Encoder) -> Value:
        """The state of `obj`. Raise CannotSaveError, through `encoder.refuse`, if something has no data
        form."""

    @abstractmethod
    def decode(self, node: Node, decoder: Decoder) -> Any:
        """The object again. `node.state` may come from an attacker: check everything that native code will
        trust.

        Any TypeError, ValueError or similar error from here is reported as IncompatibleError, with the
        place and the versions.
        """


class BatchCodec(Codec):
    """A codec for small objects that occur in large numbers, whose arrays are stored together.

    Instead of a state of its own, each object is an index into a batch that the whole part shares.
    """

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return list(encoder.batch(self, obj))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, index = node.state
        return decoder.batch(self, name)[_index(index)]

    @abstractmethod
    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        """The state of all `objects` of a part. Have `encoder.check` call what `decode_batch` checks."""

    @abstractmethod
    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        """The objects of a batch, in their order."""


def is_array(value: Any) -> TypeGuard[NDArray[Any]]:
    """Whether it is an array of NumPy's own class. In a subclass, `min`, `any` or `==` may cover only some
    elements: a masked array hides elements that native code still reads."""
    return type(value) is np.ndarray or type(value) is np.memmap


def shown(value: Any) -> str:
    """A value that a file made, for a message: its first characters if it is plain, otherwise its class. The
    text of a tuple, each of whose items holds the next one twice, would take exponential time."""
    if type(value) in (int, float, bool, str, type(None)):
        return repr(value)[:80]
    if isinstance(value, np.integer):
        return str(int(value))
    return f"of the type {type(value).__name__}"


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not an index")
    return value
