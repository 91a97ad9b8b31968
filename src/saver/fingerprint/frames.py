"""Hashes of frames (pandas, PyArrow), column by column.

Neither library is imported: whoever has a frame has done so. Columns of one NumPy dtype are read together,
in runs of rows, so that a table whose columns lie interleaved in memory is read once and not once for
each column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.fingerprint.arrays import PARALLEL, PIECE, absorb, dtype_name, new_hasher, no_value, processors
from saver.fingerprint.elements import NoValue, encode

LISTED = 256
"""Columns of a frame that are listed one by one; of a wider one only the whole hash is kept."""

ROWS = 1024
"""Rows that are read together, at least."""

Run: TypeAlias = Sequence[Any] | NDArray[Any]
"""Consecutive rows of a column, or something that is said of them."""

Told: TypeAlias = dict[str, str]
"""Name, dtype and hash of a column."""


class Columns(NamedTuple):
    """Columns that are read together: a function gives the rows from start to stop, of each column as one
    or more runs (values, and which of them are there).

    `fixed` belongs to all rows: the categories of a categorical column.
    """

    names: list[str]
    dtype: str
    read: Callable[[int, int], Sequence[tuple[Run, ...]]]
    fixed: bytes = b""


def is_a(obj: Any, package: str, *names: str) -> bool:
    """Whether `obj` is an instance of a class of that package, which need not be imported to know."""
    return any(
        cls.__name__ in names and cls.__module__.partition(".")[0] == package for cls in type(obj).__mro__
    )


def frame_fingerprint(obj: Any, where: str) -> dict[str, Any] | None:
    """Columns, shape and hash of a pandas or PyArrow object; None for anything else.

    The hash covers the names, dtypes and values of the columns in their order, and those of the index.
    """
    if is_a(obj, "pandas", "DataFrame"):
        return _frame(obj, where)
    if is_a(obj, "pandas", "Series"):
        return _column(_pandas(obj.name, obj.array), _index(obj.index), len(obj), where)
    if is_a(obj, "pandas", "Index"):
        return _fingerprint("column", [len(obj)], _hashes(_index(obj), len(obj), where), [])
    if is_a(obj, "pandas", "ExtensionArray"):
        return _column(_pandas("", obj), [], len(obj), where)
    if is_a(obj, "pyarrow", "Table", "RecordBatch"):
        columns = [_arrow(name, column) for name, column in zip(obj.column_names, obj.columns, strict=True)]
        told = _hashes(columns, obj.num_rows, where)
        return _fingerprint("frame", [obj.num_rows, obj.num_columns], told, [])
    if is_a(obj, "pyarrow", "Array", "ChunkedArray"):
        return _column(_arrow("", obj), [], len(obj), where)
    return None


def _column(column: Columns, index: list[Columns], rows: int, where: str) -> dict[str, Any]:
    told = _hashes([column], rows, where)
    return _fingerprint("column", [rows], told, _hashes(index, rows, where))


def _frame(frame: Any, where: str) -> dict[str, Any]:
    rows, labels = len(frame), [_name(label) for label in frame.columns]
    columns: list[Columns] = []
    order: list[int] = []
    for dtype, places in _by_dtype(frame.dtypes).items():
        if isinstance(dtype, np.dtype) and dtype.kind in "biufcmM" and dtype.char not in "gG":
            share = -(-len(places) // processors()) if rows * len(places) * 8 >= PARALLEL else len(places)
            for first in range(0, len(places), share):
                some = places[first : first + share]
                columns.append(_together(frame, some, [labels[at] for at in some], dtype))
        else:
            columns += [_pandas(labels[at], frame.iloc[:, at].array) for at in places]
        order += places
    told = _hashes([*columns, *_index(frame.index)], rows, where)
    placed = sorted(zip(order, told, strict=False), key=lambda pair: pair[0])
    return _fingerprint("frame", [rows, len(order)], [each for _, each in placed], told[len(order) :])


def _by_dtype(dtypes: Any) -> dict[Any, list[int]]:
    """The places of the columns of each dtype."""
    found: dict[Any, list[int]] = {}
    for at, dtype in enumerate(dtypes):
        found.setdefault(dtype, []).append(at)
    return found


def _together(frame: Any, places: list[int], names: list[str], dtype: np.dtype[Any]) -> Columns:
    """Columns of one NumPy dtype."""
    neighbours = places[-1] - places[0] == len(places) - 1
    part = frame.iloc[:, places[0] : places[-1] + 1] if neighbours else frame
    chosen: Any = slice(None) if neighbours else places

    def read(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        rows = part.iloc[start:stop, chosen].to_numpy()
        return [(column,) for column in np.ascontiguousarray(rows.T)]

    return Columns(names, dtype_name(dtype), read)


def _fingerprint(kind: str, shape: list[int], columns: list[Told], index: list[Told]) -> dict[str, Any]:
    whole = blake3(msgspec.json.encode([columns, index])).hexdigest()
    found: dict[str, Any] = {"kind": kind, "shape": shape, "hash": whole}
    if len(columns) <= LISTED:
        found["columns"] = columns
    if index:
        found["index"] = index
    return found


def _hashes(groups: list[Columns], rows: int, where: str) -> list[Told]:
    """The hashes of all columns, in the order of the groups, which threads share when they are large."""
    if rows * sum(len(group.names) for group in groups) * 8 < PARALLEL or len(groups) == 1:
        return [told for group in groups for told in _hash_group(group, rows, where, alone=True)]
    with ThreadPoolExecutor(processors()) as pool:
        results = pool.map(lambda group: _hash_group(group, rows, where, alone=False), groups)
        return [told for result in results for told in result]


def _hash_group(group: Columns, rows: int, where: str, alone: bool) -> list[Told]:
    """The hashes of the columns of a group; `alone` is told to one that no thread works beside."""
    count = len(group.names)
    step = max(ROWS, PIECE // (8 * count))
    size = rows * 8 if alone and count == 1 else 0
    hashers: list[list[blake3]] = [[] for _ in group.names]
    for start in range(0, max(rows, 1), step):
        for at, runs in enumerate(group.read(start, min(start + step, rows))):
            own = hashers[at]
            own.extend(new_hasher(size) for _ in runs[len(own) :])
            try:
                for run, hasher in zip(runs, own, strict=True):
                    absorb(run, hasher) if isinstance(run, np.ndarray) else hasher.update(encode(run))
            except (NoValue, RecursionError) as error:
                raise no_value(error, f"{where}[{group.names[at]!r}]") from None
    return [
        {"name": name, "dtype": group.dtype, "hash": _digest(group.fixed, own)}
        for name, own in zip(group.names, hashers, strict=True)
    ]


def _digest(fixed: bytes, hashers: list[blake3]) -> str:
    """The hash of plain values is that of an array of them."""
    if len(hashers) == 1 and not fixed:
        return hashers[0].hexdigest()
    return blake3(b"".join((fixed, *(hasher.digest() for hasher in hashers)))).hexdigest()


def _name(label: Any) -> str:
    return "" if label is None else str(label).encode(errors="backslashreplace").decode()


def _index(index: Any) -> list[Columns]:
    if is_a(index, "pandas", "RangeIndex"):  # its array would take memory

        def read(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
            return [(np.asarray(index[start:stop], np.int64),)]

        return [Columns([_name(index.name)], "int64", read)]
    if is_a(index, "pandas", "MultiIndex"):
        levels = zip(index.names, map(index.get_level_values, range(index.nlevels)), strict=True)
        return [_pandas(label, level.array) for label, level in levels]
    return [_pandas(index.name, index.array)]


def _pandas(label: Any, array: Any) -> Columns:
    """A column of pandas, by the kind of its array."""
    names, dtype = [_name(label)], array.dtype
    kind, plain = type(dtype).__name__, getattr(dtype, "numpy_dtype", None)
    if isinstance(dtype, np.dtype) or kind == "NumpyEADtype":
        values = np.asarray(array)
        return Columns(names, dtype_name(values.dtype), lambda i, j: [(values[i:j],)])
    if kind == "ArrowDtype":
        return _arrow(label, array.__arrow_array__())
    if kind == "CategoricalDtype":
        return _categorical(names, array)
    if kind == "StringDtype":  # equal strings are equal, wherever pandas keeps them
        return Columns(names, str(dtype), lambda i, j: [(array[i:j].to_numpy(object, na_value=None),)])
    if kind == "DatetimeTZDtype":
        utc = f"datetime64[{dtype.unit}]"
        return Columns(names, str(dtype), lambda i, j: [(np.asarray(array[i:j], utc),)])
    if kind == "SparseDtype" and isinstance(dtype.subtype, np.dtype):
        return Columns(names, str(dtype), lambda i, j: [(np.asarray(array[i:j], dtype.subtype),)])
    if isinstance(plain, np.dtype) and plain.kind in "biuf":
        zero = plain.type(0)

        def read(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
            run = array[start:stop]
            return [(run.to_numpy(plain, na_value=zero), np.logical_not(run.isna()))]

        return Columns(names, str(dtype), read)
    return Columns(names, str(dtype), lambda i, j: [(np.asarray(array[i:j].astype(object), object),)])


def _categorical(names: list[str], array: Any) -> Columns:
    """Categories by their values, then the code of each row."""
    dtype = array.dtype
    codes, categories = np.asarray(array.codes), _pandas("", dtype.categories.array)
    (told,) = _hash_group(categories, len(dtype.categories), f"categories of {names[0]!r}", alone=True)
    text = f"category[{categories.dtype}{', ordered' if dtype.ordered else ''}]"
    return Columns(names, text, lambda i, j: [(codes[i:j],)], bytes.fromhex(told["hash"]))


_ARROW_NUMBERS = frozenset(
    (
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
        "halffloat", "float", "double",
    )
)  # fmt: skip


def _arrow(label: Any, array: Any) -> Columns:
    """A column of PyArrow: numbers and times as they lie there, anything else as Python's values."""
    names, dtype = [_name(label)], str(array.type)
    zero: Any = False if dtype == "bool" else 0

    def numbers(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        run = array.slice(start, stop - start)
        there = run.is_valid()
        filled = run.fill_null(zero) if run.null_count else run
        return [(_numpy(filled), _numpy(there))]

    def times(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        return [(_numpy(array.slice(start, stop - start)),)]

    def values(start: int, stop: int) -> Sequence[tuple[Run, ...]]:
        return [(array.slice(start, stop - start).to_pylist(),)]

    if dtype in _ARROW_NUMBERS:
        return Columns(names, dtype, numbers)
    return Columns(names, dtype, times if dtype.startswith(("timestamp[", "duration[")) else values)


def _numpy(array: Any) -> NDArray[Any]:
    found: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return found
