"""A schema as data: the fields that go into a model and those that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np

from saver.errors import IncompatibleError, quoted
from saver.page import Page, Said, Shown, Table
from saver.schema.natives import fault_of, is_library
from saver.strict import decodable

Scalar: TypeAlias = bool | int | float | str
"""A category."""

Container: TypeAlias = Literal["array", "arrays", "frame", "column", "texts"]
"""What the model takes: one array (or tensor), several by name, a table with named columns, one column of
values, or a list of texts."""

PLAIN = {"bfloat16": "float32", "str": "object"}
"""The NumPy dtype in which values of another one are passed on."""


class Seen(Said, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an example held of a field: the smallest and the largest number, quantiles from 0 to 1 in equal
    steps, how many values there were, and how many of them were missing (NaN, None) or infinite.

    Numbers are None, and quantiles empty, for texts and for values that were all missing.
    """

    count: int = 0
    missing: int = 0
    infinite: int = 0
    low: float | None = None
    high: float | None = None
    quantiles: tuple[float, ...] = ()

    def _line(self) -> str:
        numbers = "" if self.low is None or self.high is None else f" from {self.low:.4g} to {self.high:.4g}"
        missing = f", {self.missing:,} missing" if self.missing else ""
        return f"{self.count:,} values{numbers}{missing}"


@decodable
class Field(Said, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input or output: a column, an array or a tensor.

    `dtype` is a name of NumPy's (`float64`, `int64`, `bool`, `str`, `datetime64[ns]`), or `bfloat16`;
    `native` is what the library of the container calls it, if that says more (`category`, `Int64`). `shape`
    has None for each axis of any length; the first one counts rows. With `categories`, no other value is
    accepted; `ordered` says that they are in an order. `each` is what was seen in each column of an array
    with two axes.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] = (None,)
    native: str = ""
    categories: tuple[Scalar, ...] = ()
    ordered: bool = False
    seen: Seen = Seen()
    each: tuple[Seen, ...] = ()
    unit: str = ""
    description: str = ""

    @property
    def plain(self) -> np.dtype[Any]:
        """The NumPy dtype of its values, as `Schema.check` returns them."""
        return _plain(self.dtype)

    @property
    def kind(self) -> str:
        """What its values are: `float`, `int`, `bool`, `str`, `time` or `other`."""
        return _kind(self.dtype)

    def text(self) -> str:
        """As a line of text: `float64 (rows, 30)`."""
        axes = ", ".join(
            "rows" if at == 0 else "any" if n is None else str(n) for at, n in enumerate(self.shape)
        )
        return f"{self.native or self.dtype} ({axes})"

    def _line(self) -> str:
        return f"{self.name[:80]}: {self.text()}"

    def seen_text(self) -> str:
        """What the example held, as text: `0.1 … 7.9`, or the categories."""
        if self.categories:
            more = ", …" * (len(self.categories) > 5)
            return ", ".join(str(each) for each in self.categories[:5]) + more
        if self.seen.low is None or self.seen.high is None:
            return ""
        return f"{self.seen.low:.4g} … {self.seen.high:.4g}"


@lru_cache(64)
def _plain(dtype: str) -> np.dtype[Any]:
    return np.dtype(PLAIN.get(dtype, dtype))


@lru_cache(64)
def _kind(dtype: str) -> str:
    return _KINDS.get(_plain(dtype).kind, "other") if dtype != "str" else "str"


_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "M": "time", "O": "str", "U": "str"}

DTYPES = frozenset(
    ["float16", "float32", "float64", "bfloat16", "bool", "str", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + [f"datetime64[{unit}]" for unit in ("s", "ms", "us", "ns", "D")]
    + [f"timedelta64[{unit}]" for unit in ("s", "ms", "us", "ns")]
)
"""The dtypes that a field may have."""


@decodable
class Schema(Shown, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What goes into a model and what comes out. `library` is the name of the family whose `container` the
    model takes: `numpy` for plain arrays."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...] = ()
    container: Container = "array"
    library: str = "numpy"

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""
        return tuple(field.name for field in self.inputs)

    def _line(self) -> str:
        names = ", ".join(self.names[:8]) + ", …" * (len(self.names) > 8)
        return f"{self.container} of {names} → {', '.join(field.name for field in self.outputs)}"

    def _page(self) -> Page:
        return [_table("Goes in", self.inputs), _table("Comes out", self.outputs)]

    def input(self, name: str) -> Field:
        """The input with this name. Raises KeyError."""
        return {field.name: field for field in self.inputs}[name]

    def check(
        self, inputs: Mapping[str, Any], *, missing: Literal["seen", "accept", "refuse"] = "seen"
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Inputs by name, which are arrays or nested lists, as arrays of the schema's dtypes, in its order.

        Where integers, booleans or texts may be missing, the array is one of objects, with None for them.
        `missing` says whether missing values are accepted: by default in the fields in which the example had
        some. Raises BadInputError, which lists what is wrong by row and column.
        """
        from saver.schema.checking import checked

        return checked(self, inputs, missing)

    def from_rows(
        self, rows: Any, *, missing: Literal["seen", "accept", "refuse"] = "seen"
    ) -> dict[str, np.ndarray[Any, Any]]:
        """Rows of decoded JSON as `check` returns them: objects by column, lists in the order of the columns,
        or single values. Raises BadInputError."""
        from saver.schema.rows import from_rows

        return self.check(from_rows(self, rows), missing=missing)

    def from_csv(
        self, text: str, *, missing: Literal["seen", "accept", "refuse"] = "seen"
    ) -> dict[str, np.ndarray[Any, Any]]:
        """CSV as `check` returns it; an empty cell is a missing value. The first line names the columns;
        for an array it may be left out, unless its first row is `0,1,2` and so on, which counts columns.
        Raises BadInputError."""
        from saver.schema.rows import from_csv

        return self.check(from_csv(self, text), missing=missing)


SHOWN = 50
"""So many inputs or outputs are shown."""


def _table(title: str, fields: Sequence[Field]) -> Table:
    """Inputs or outputs, as a table; the first of very many."""
    columns = ("name", "dtype", "range seen", ">missing", "unit", "description")
    rows = [
        (
            field.name,
            field.text(),
            field.seen_text(),
            f"{field.seen.missing:,}" if field.seen.missing else "",
            field.unit,
            field.description,
        )
        for field in fields[:SHOWN]
    ]
    more = f" (the first {SHOWN} of {len(fields):,})" if len(fields) > SHOWN else ""
    return Table(f"{title}{more}", columns, rows, ("description", "unit")).filled()


def schema_of(document: Any, where: str) -> Schema:
    """A schema from decoded JSON, which need not be trusted. Raises IncompatibleError."""
    try:
        found = msgspec.convert(document, Schema)
    except (msgspec.ValidationError, RecursionError) as error:
        raise IncompatibleError(f"{where}: the schema is malformed: {error}") from None
    fields = (*found.inputs, *found.outputs)
    for field in fields:
        fault = fault_of(field) if field.dtype in DTYPES else "has no sound dtype"
        if fault:
            raise IncompatibleError(f"{where}: the field {quoted(field.name)} {fault}")
    if not is_library(found.library):
        raise IncompatibleError(f"{where}: the schema has no sound name of a library")
    for side in (found.inputs, found.outputs):
        if len({field.name for field in side}) != len(side):
            raise IncompatibleError(f"{where}: the schema has two fields of one name")
    if not found.inputs or (found.container in ("array", "column", "texts") and len(found.inputs) != 1):
        raise IncompatibleError(f"{where}: a schema of kind {found.container} has one input")
    return found
