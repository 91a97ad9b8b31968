"""What a family says of predictions: which inputs its library has, and how its models answer.

A family names a module as its `predicting`; the `PREDICTING` of that module is an instance of a subclass of
`Predicting`. Everything that it does not say is as for plain Python and NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec
from numpy.typing import NDArray

from saver.schema import Container, Schema

Method: TypeAlias = Callable[[Any], Any]
"""Takes a batch of inputs, in the container that the model takes, and answers."""


class Column(msgspec.Struct, frozen=True):
    """The values of one field of an example: an array of its dtype, or of objects with None for missing ones.
    The other fields are those of `saver.schema.Field`."""

    values: NDArray[Any]
    dtype: str
    native: str = ""
    categories: tuple[Any, ...] = ()
    ordered: bool = False


class Taken(msgspec.Struct, frozen=True):
    """An example, taken apart: its columns by name, and `take(rows)`, a copy of these rows (their
    numbers, in order) in its own container."""

    container: Container
    columns: Mapping[str, Column]
    rows: int
    take: Callable[[NDArray[Any]], Any]


class Quick(msgspec.Struct, frozen=True):
    """How a model answers without what its library does around that: the same bits for arrays that need no
    check; any other input is given to the library. Outputs that are not among `methods` are the library's."""

    methods: Mapping[str, Method] = {}
    transform: Method | None = None


class Predicting:
    """What a family knows. Objects of other libraries get None, or no methods."""

    def taken(self, example: Any) -> Taken | None:
        """An example of inputs, or a container of outputs, that this library has."""
        return None

    def made(self, schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> Any:
        """A batch in the container of the schema, from arrays by name as `Schema.check` returns them."""
        raise NotImplementedError

    def array(self, value: Any) -> NDArray[Any] | None:
        """An output of the library as an array."""
        return None

    def methods(self, model: Any) -> Mapping[str, Method]:
        """How a model answers, by the name of the output; a method that returns a mapping has several
        outputs. Empty if it does not predict."""
        return {}

    def transform(self, model: Any) -> Method | None:
        """How an object changes inputs for the next step; None if it does not."""
        return None

    def quick(self, model: Any) -> Quick | None:
        """How a model answers quickly; None if that is not known."""
        return None

    def settle(self, model: Any) -> None:
        """Make a model that nobody else uses ready to answer, once."""
