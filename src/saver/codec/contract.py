"""What a codec is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from saver.tree import Node, Value

if TYPE_CHECKING:
    from saver.codec.decoder import Decoder
    from saver.codec.encoder import Encoder

INLINE_BYTES = 512
"""Values up to this size stand in the manifest; a tensor of its own would cost more than that."""


class Codec(ABC):
    """Turns one kind of object into data and back.

    A codec lives in a module of the folder `codecs` (or of an entry point) named like the root of the
    package whose classes it knows; the module lists its instances in `CODECS`.
    """

    name: ClassVar[str]
    """`root.kind`, as it stands in files: `numpy.array`."""

    version: ClassVar[int] = 1
    """Of the state's form. `decode` is given every version up to this one; newer ones are refused."""

    types: tuple[type, ...] = ()
    """The classes whose direct instances this codec takes."""

    names: frozenset[str] = frozenset()
    """More such classes, as `module:qualname`, so that their module need not be imported to know them."""

    shared: ClassVar[bool] = True
    """Whether identity matters: an object met twice comes back as one. False for plain leaves."""

    early: ClassVar[bool] = False
    """Whether `decode` announces the object with `Decoder.keep` before it decodes what lies within, so
    that the object can take part in a cycle."""

    def accepts(self, cls: type) -> bool:
        """Whether this codec takes direct instances of `cls`."""
        return cls in self.types or f"{cls.__module__}:{cls.__qualname__}" in self.names

    def class_of(self, obj: Any) -> str | None:
        """The name of the class that `decode` will need resolved; None when it needs none."""
        return None

    def held(self, node: Node) -> Mapping[Any, Value] | Sequence[Value] | None:
        """What a plain container holds, each to be built for itself when it is asked for in a lazy load; None
        for what is built whole. `node` may come from an enemy."""
        return None

    @abstractmethod
    def encode(self, obj: Any, encoder: Encoder) -> Value:
        """The state of `obj`. Raise CannotSaveError, through `encoder.refuse`, for what has no data form."""

    @abstractmethod
    def decode(self, node: Node, decoder: Decoder) -> Any:
        """The object again. `node.state` may come from an enemy: check what native code will trust.

        Any TypeError, ValueError or the like from here is reported as IncompatibleError, with the place and
        the versions.
        """


class BatchCodec(Codec):
    """A codec for small things of which there are many, whose arrays are stored together.

    Instead of a state of its own, each object is an index into a batch that the whole part shares.
    """

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return list(encoder.batch(self, obj))

    def decode(self, node: Node, decoder: Decoder) -> Any:
        name, index = node.state
        return decoder.batch(self, name)[_index(index)]

    @abstractmethod
    def encode_batch(self, objects: list[Any], encoder: Encoder) -> Value:
        """The state of all `objects` of a part."""

    @abstractmethod
    def decode_batch(self, state: Any, decoder: Decoder) -> Sequence[Any]:
        """The objects of a batch, in their order."""


def is_array(value: Any) -> TypeGuard[NDArray[Any]]:
    """Whether it is an array of NumPy's own class. Of a subclass, what is asked (`min`, `any`, `==`) may
    answer for some elements alone: a masked array hides what native code reads all the same."""
    return type(value) is np.ndarray or type(value) is np.memmap


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not an index")
    return value


class Tensors(Protocol):
    """Where a decoder finds the bytes of tensors: a pack, or anything like it."""

    def tensor(self, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
        """safetensors dtype, shape, and the bytes, flat. KeyError when there is none."""
