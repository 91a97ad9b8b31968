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
    measured = [array for array, field in changes if field is None and _is_measured(array)]
    others = [array for array, field in changes if field is None and not _is_measured(array)]
    found = [
        Table("Parts", ("part", ">old", ">new", ""), tuple(_parts(difference))),
        Table("Metrics", ("metric", ">old", ">new", ">change"), tuple(_metrics(difference))),
        _plain("Fields", _fields(difference)),
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
    return Table(title, _PLAIN, tuple(_alike(rows, across=True)))


def _fields(difference: Difference) -> list[Field]:
    """The values that differ, few enough to be written out: also those of small arrays."""
    values = (field for array in difference.arrays if (field := _values(array)) is not None)
    return _together([*difference.fields, *values])


def _together(fields: Iterable[Field]) -> list[Field]:
    """The fields, with those of one object next to each other."""
    owners: dict[str, list[Field]] = {}
    for field in fields:
        owners.setdefault(re.sub(r"[./][^./]*$", "", field.path), []).append(field)
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


def _alike(rows: Iterable[Row], across: bool = False) -> Iterator[Row]:
    """The rows, each of which begins with a path. Rows whose paths differ only in an index become one if they
    are equal otherwise; of many that are not, such as the seeds of a forest's trees, the first are kept."""
    for pattern, changes in _groups(rows, across).items():
        found: list[Row] = []
        for same, paths in changes.items():
            named = [f"{pattern} ({len(paths)} times)"] if len(paths) >= ALIKE else paths
            found += [(path, *same) for path in named]
        yield from found if len(found) <= MANY else found[:ALIKE]
        if len(found) > MANY:
            yield f"{pattern} ({len(found) - ALIKE} more)", *(ELLIPSIS for _ in found[0][1:])


def _groups(rows: Iterable[Row], across: bool) -> dict[str, dict[Row, list[str]]]:
    """The paths of rows by their pattern, and within it by the rest of the row. `across` also puts what is
    equal together if it is the same field of different owners, such as `requires_grad` of many tensors."""
    patterns = [(re.sub(r"([./])\d+(?=\.|$)", r"\1*", row[0]), row) for row in rows]
    owners: dict[tuple[str, Row], set[str]] = {}
    for pattern, row in patterns if across else ():
        owners.setdefault((_across(pattern), row[1:]), set()).add(pattern)
    groups: dict[str, dict[Row, list[str]]] = {}
    for pattern, row in patterns:
        if len(owners.get((_across(pattern), row[1:]), ())) >= ALIKE:
            pattern = _across(pattern)
        groups.setdefault(pattern, {}).setdefault(row[1:], []).append(row[0])
    return groups


def _across(pattern: str) -> str:
    """The pattern with any owner: `net/*.requires_grad`."""
    part, _, rest = pattern.partition("/")
    _, dot, field = rest.rpartition(".")
    return f"{part}/*.{field}" if dot else pattern


def summary(difference: Difference) -> str:
    """The difference in one line."""
    parts = [part for part in difference.parts if part.status != "same"]
    texts = [f"{part.name} {part.status}" for part in parts[:NAMED]]
    if len(parts) > NAMED:
        texts = [f"{len(parts)} of {len(difference.parts)} parts differ"]
    fields = _groups(((each.path, each.old or "", each.new or "") for each in _fields(difference)), True)
    if fields:
        texts.append(_count(len(fields), "field"))
    tensors = sum(_values(array) is None for array in difference.arrays)
    if tensors:
        texts.append(f"{tensors:,} of {_count(tensors + difference.unchanged, 'tensor')}")
    for metric in difference.metrics[:NAMED]:
        texts.append(f"{metric.name} {digits(metric.old, '.4g')} -> {digits(metric.new, '.4g')}")
    if len(difference.metrics) > NAMED:
        texts.append(f"{len(difference.metrics) - NAMED} more metrics")
    texts += [*_other_data(difference), *_other_environment(difference), *map(_fact, difference.facts)]
    return ", ".join(texts) or "no difference"


def _other_data(difference: Difference) -> Iterator[str]:
    """What a version was trained on, if the other was not."""
    for item in [item for item in difference.data if item.status != "same"][:NAMED]:
        called = "data" if item.name == "data" else f"data {item.name}"
        old, new = ((side or "").rsplit(", ", 2)[0] for side in (item.old, item.new))
        if item.status != "changed":
            yield f"{called} {item.status}"
        else:
            yield f"{called} {old} -> {new}" if old != new else f"{called} with other values"


def _other_environment(difference: Difference) -> Iterator[str]:
    """The packages that have another version, by name; the rest is counted."""
    found = [
        (field.path.removeprefix("packages."), field) for field in difference.environment
        if field.path == "python" or field.path.startswith("packages.")
    ]  # fmt: skip
    for name, field in found[:NAMED]:
        yield f"{name} {field.old or MISSING} -> {field.new or MISSING}"
    left = len(difference.environment) - len(found[:NAMED])
    if left:
        yield f"{_count(left, 'other difference' if found else 'difference')} of the environment"


def _fact(fact: Field) -> str:
    return (
        "other notes"
        if fact.path == "notes"
        else f"{fact.path} {fact.old or MISSING} -> {fact.new or MISSING}"
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def page(difference: Difference) -> Page:
    """The difference as people read it: the summary, then the tables."""
    title = f"{difference.old} -> {difference.new}: {summary(difference)}"
    return [Facts(title, {}), *sections(difference)]
