"""Rows of JSON and CSV, to and from arrays by name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saver.schema.cells import cell_of
from saver.schema.moments import moment
from saver.schema.problems import LIMIT, Problem, refuse

if TYPE_CHECKING:
    from saver.schema.fields import Field, Schema


def from_rows(schema: Schema, rows: Any) -> dict[str, list[Any]]:
    """Rows of decoded JSON as lists by name, not yet checked. Raises BadInputError."""
    if not isinstance(rows, (list, tuple)):
        raise refuse([Problem(None, "rows", "a list of rows", "something else")])
    names = schema.names
    if all(type(row) is dict for row in rows):
        problems = list(_unlike(names, rows))
        if problems:
            raise refuse(problems)
        return {name: [row[name] for row in rows] for name in names}
    if len(names) == 1:
        return {names[0]: list(rows)}
    bad = [
        Problem(at, "row", f"an object, or a list of {len(names)} values", _kind(row))
        for at, row in enumerate(rows)
        if not isinstance(row, (list, tuple)) or len(row) != len(names)
    ]
    if bad:
        raise refuse(bad[: LIMIT + 1])
    return {name: [row[at] for row in rows] for at, name in enumerate(names)}


def _unlike(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterable[Problem]:
    """Columns that rows lack, and those that they have beside the schema's."""
    wanted, found = {*names}, 0
    for at, row in enumerate(rows):
        if row.keys() == wanted:
            continue
        absent = [Problem(at, name, "a value", "nothing") for name in names if name not in row]
        more = [Problem(at, str(key)[:80], "no such column", "a value") for key in row if key not in wanted]
        for problem in (*absent, *more):
            found += 1
            if found > LIMIT:
                return
            yield problem


def _kind(row: Any) -> str:
    if isinstance(row, (list, tuple)):
        return f"a list of {len(row)} values"
    return "an object" if isinstance(row, dict) else "a single value"


def from_csv(schema: Schema, text: str) -> dict[str, Any]:
    """CSV as lists by name, not yet checked. Raises BadInputError."""
    plain = text.removeprefix("\ufeff")  # the mark with which spreadsheets begin a file
    try:
        lines = list(csv.reader(io.StringIO(plain, newline=""), strict=True))
    except csv.Error as error:
        raise refuse([Problem(None, "rows", "CSV", f"{error}")]) from None
    lines = [line for line in lines if line]
    if not lines:
        raise refuse([Problem(None, "rows", "at least one row", "none")])
    header = header_of(schema, lines[0])
    return from_cells(schema, header, lines if header is None else lines[1:])


def header_of(schema: Schema, line: Sequence[str]) -> list[str] | None:
    """The names of the columns in the first line of CSV; None if it is a row of an array already.

    For an array, a line is a header if it holds something else than values, if it is the name of the input,
    or if it counts the columns from 0, as tables without names are written: `0,1,2`.
    """
    if schema.container in ("frame", "arrays", "column", "texts"):
        return list(line)
    only = schema.inputs[0]
    if list(line) in ([only.name], [str(at) for at in range(len(line))]):
        return list(line)
    return None if all(_is_value(only, cell) for cell in line) else list(line)


def _is_value(field: Field, cell: str) -> bool:
    if field.kind == "str":
        return False
    found = cell_of(field, cell)
    if field.kind == "time" and isinstance(found, str):
        found = moment(found, field.plain)
        return found is not None
    return not isinstance(found, str)


def from_cells(
    schema: Schema, header: Sequence[str] | None, lines: Sequence[Sequence[str]], first: int = 0
) -> dict[str, Any]:
    """Lines of CSV as lists by name, in which each cell has become what its column holds, if it can. Rows are
    counted from `first`. Raises BadInputError."""
    width = len(header) if header is not None else len(lines[0])
    bad = [
        Problem(first + at, "row", f"{width} cells", f"{len(line)}")
        for at, line in enumerate(lines)
        if len(line) != width
    ]
    if header is not None and len({*header}) != width:
        bad.append(Problem(None, "header", "each column once", "one of them twice"))
    if bad:
        raise refuse(bad[: LIMIT + 1])
    only = schema.inputs[0]
    if schema.container == "array":
        rows = [[cell_of(only, cell) for cell in line] for line in lines]
        return {only.name: rows if len(only.shape) > 1 else [row[0] for row in rows]}
    if schema.container in ("texts", "column") and width == 1:
        return {only.name: [cell_of(only, line[0]) for line in lines]}
    fields = {field.name: field for field in schema.inputs}
    columns = zip(header or (), zip(*lines, strict=True) if lines else [()] * width, strict=True)
    return {
        name: [cell_of(fields[name], cell) for cell in cells] if name in fields else list(cells)
        for name, cells in columns
    }


def to_rows(outputs: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Outputs as rows for JSON, each an object by name. Numbers that are not finite are None, as JSON has
    none of them; times and complex numbers are texts."""
    columns = {name: _listed(values) for name, values in outputs.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _listed(values: NDArray[Any]) -> list[Any]:
    found: list[Any] = values.tolist()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        plain = values.astype(object)
        plain[~np.isfinite(values)] = None
        found = plain.tolist()
    if values.dtype.kind in "Mmc":
        plain = values.astype(str).astype(object)
        plain[~np.isfinite(values)] = None
        found = plain.tolist()
    return found
