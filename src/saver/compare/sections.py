"""A difference as tables and as text. Its characters that cannot be printed are escaped already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from saver.compare.difference import Amount, ArrayChange, ArrayInfo, Difference, Field, Number
from saver.page import Facts, Page, Row, Table

MISSING = "-"
ELLIPSIS = "…"
ALIKE = 3
"""From this many on, fields that differ only in an index, and changed in the same way, are one row."""

MANY = 10
"""Of more fields than this that differ in an index only, and changed in different ways, a few are shown."""

NAMED = 3
"""How many metrics a summary names."""


def sections(difference: Difference) -> list[Table]:
    """The difference as tables; empty tables are left out."""
    changes = [(array, _values(array)) for array in difference.arrays]
    values = [field for _, field in changes if field is not None]
    measured = [array for array, field in changes if field is None and _is_measured(array)]
    others = [array for array, field in changes if field is None and not _is_measured(array)]
    found = [
        Table("Parts", ("part", ">old", ">new", ""), tuple(_parts(difference))),
        Table("Metrics", ("metric", ">old", ">new", ">change"), tuple(_metrics(difference))),
        _plain("Fields", _together([*difference.fields, *values])),
        _measures(measured),
        Table(
            "Tensors added, removed or reshaped", (*_PLAIN, ">both have"), tuple(_alike(map(_shapes, others)))
        ),
        Table("Data", (*_PLAIN, ""), tuple(_data(difference))),
        _plain("Environment", difference.environment),
        _plain("Facts", difference.facts),
    ]
    return [section for section in found if section.rows]


_PLAIN = ("", "old", "new")


def _plain(title: str, fields: Iterable[Field]) -> Table:
    rows = (
        (field.path, *(MISSING if side is None else side for side in (field.old, field.new)))
        for field in fields
    )
    return Table(title, _PLAIN, tuple(_alike(rows)))


def _together(fields: Iterable[Field]) -> list[Field]:
    """The fields, with those of one object next to each other."""
    owners: dict[str, list[Field]] = {}
    for field in fields:
        owners.setdefault(field.path.rpartition(".")[0], []).append(field)
    return [field for owned in owners.values() for field in owned]


def _parts(difference: Difference) -> Iterator[Row]:
    for part in difference.parts:
        versions = (part.old_version, part.new_version)
        yield part.name, *(MISSING if version is None else str(version) for version in versions), part.status


def _metrics(difference: Difference) -> Iterator[Row]:
    for metric in difference.metrics:
        delta = MISSING if metric.delta is None else digits(metric.delta, "+.4g")
        yield metric.name, digits(metric.old, ".6g"), digits(metric.new, ".6g"), delta


def _values(array: ArrayChange) -> Field | None:
    """An array of few entries as a field; None for others."""
    old, new = (None if info is None else info.values for info in (array.old, array.new))
    return None if old is None or new is None or old == new else Field(array.path, old, new)


def _is_measured(array: ArrayChange) -> bool:
    same_shape = array.old is not None and array.new is not None and array.old.shape == array.new.shape
    return array.amount is not None and same_shape


def _measures(arrays: Sequence[ArrayChange]) -> Table:
    rows = []
    amounts = [(array, array.new, array.amount) for array in arrays]
    lost = any(amount is not None and any(amount.not_finite) for *_, amount in amounts)
    for array, info, amount in amounts:
        if info is None or amount is None:
            continue
        size = digits(amount.norm, ".3g"), digits(amount.relative, ".2g"), digits(amount.largest, ".2g")
        row = (array.path, info.dtype, _shape(info.shape), *size, share(amount))
        rows.append((*row, "{} -> {}".format(*amount.not_finite)) if lost else row)
    columns = ("", "dtype", ">shape", ">change", ">relative", ">largest", ">entries")
    spare = ("largest", "shape", "dtype")
    return Table("Tensors", (*columns, ">not finite") if lost else columns, tuple(rows), spare)


def _shapes(array: ArrayChange) -> Row:
    both = MISSING if array.amount is None else f"{share(array.amount)} changed"
    return array.path, _described(array.old), _described(array.new), both


def _described(info: ArrayInfo | None) -> str:
    return MISSING if info is None else f"{info.dtype} {_shape(info.shape)}"


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def share(amount: Amount) -> str:
    """The share of the entries that changed; `100%` means all of them, and `0%` none."""
    percent = f"{100 * amount.share:.3g}%"
    if percent == "100%" and amount.changed < amount.entries:
        return "99.9%"
    return percent


def digits(value: Number | None, form: str) -> str:
    """A number with the digits of `form`."""
    return MISSING if value is None else value if isinstance(value, str) else format(value, form)


def _data(difference: Difference) -> Iterator[Row]:
    for item in difference.data:
        yield item.name, item.old or MISSING, item.new or MISSING, item.status


def _alike(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows, each of which begins with a path. Rows whose paths differ only in an index become one if they
    are equal otherwise; of many that are not, such as the seeds of a forest's trees, the first are kept."""
    groups: dict[str, dict[Row, list[str]]] = {}
    for path, *rest in rows:
        pattern = re.sub(r"\.\d+(?=\.|$)", ".*", re.sub(r"\[\d+\]", "[*]", path))
        groups.setdefault(pattern, {}).setdefault(tuple(rest), []).append(path)
    for pattern, changes in groups.items():
        found: list[Row] = []
        for same, paths in changes.items():
            named = [f"{pattern} ({len(paths)} times)"] if len(paths) >= ALIKE else paths
            found += [(path, *same) for path in named]
        yield from found if len(found) <= MANY else found[:ALIKE]
        if len(found) > MANY:
            yield f"{pattern} ({len(found) - ALIKE} more)", *(ELLIPSIS for _ in found[0][1:])


def summary(difference: Difference) -> str:
    """The difference in one line."""
    parts = [part for part in difference.parts if part.status != "same"]
    texts = [f"{part.name} {part.status}" for part in parts[:NAMED]]
    if len(parts) > NAMED:
        texts = [f"{len(parts)} of {len(difference.parts)} parts differ"]
    if difference.fields:
        texts.append(_count(len(difference.fields), "field"))
    if difference.arrays:
        total = len(difference.arrays) + difference.unchanged
        texts.append(f"{len(difference.arrays):,} of {_count(total, 'array')}")
    for metric in difference.metrics[:NAMED]:
        texts.append(f"{metric.name} {digits(metric.old, '.4g')} -> {digits(metric.new, '.4g')}")
    if len(difference.metrics) > NAMED:
        texts.append(f"{len(difference.metrics) - NAMED} more metrics")
    others = {
        "data": any(item.status != "same" for item in difference.data),
        "environment": bool(difference.environment),
        **{fact.path: True for fact in difference.facts},
    }
    texts += [f"other {name}" for name, differs in others.items() if differs]
    return ", ".join(texts) or "no difference"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def page(difference: Difference) -> Page:
    """The difference as people read it: the summary, then the tables."""
    title = f"{difference.old} -> {difference.new}: {summary(difference)}"
    return [Facts(title, {}), *sections(difference)]
