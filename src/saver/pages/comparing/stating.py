"""The document of a comparison, made of what was found."""

from __future__ import annotations

import math
from typing import cast

from saver import documents
from saver.documents.charts import ComparedLayer, Heat, HeatMap, WeightChange, Weights
from saver.pages.comparing.computing import Found, Seen
from saver.pages.comparing.figures import Change, Floats
from saver.reading.arrays import Array


def number(value: float) -> documents.Number:
    """A value for JSON."""
    return value if math.isfinite(value) else cast(documents.Number, str(value))


def stated(found: Found) -> ComparedLayer:
    """A layer as the document has it."""
    layer, seen = found.layer, found.seen
    drawn = [each.histogram for each in seen.values() if each.histogram is not None]
    weights = []
    for at, (array, group) in enumerate(zip(layer.arrays, layer.groups, strict=True)):
        if array is None or group is None or group not in seen:
            weights.append(None if array is None else _unread(array))
            continue
        weights.append(_weights(array, at, group, seen))
    low, high = (number(drawn[0].low), number(drawn[0].high)) if drawn else (None, None)
    return ComparedLayer(path=layer.path, low=low, high=high, weights=tuple(weights), trouble=found.trouble)


def _weights(array: Array, at: int, group: int, seen: dict[int, Seen]) -> Weights:
    sums, histogram, changed = seen[group]
    first = min(seen)
    some = sums.finite > 0
    base = seen[first].sums.norm
    return Weights(
        dtype=array.form.name, shape=array.shape, same_as=_same_as(at, group, seen),
        entries=sums.entries, nan=sums.nan, above=sums.above, below=sums.below, zeros=sums.zeros,
        low=number(sums.low) if some else None, high=number(sums.high) if some else None,
        mean=number(sums.mean) if some else None,
        deviation=None if sums.deviation is None else number(sums.deviation),
        norm=number(sums.norm) if some else None,
        histogram=() if histogram is None else histogram.counts,
        counted=0 if histogram is None else histogram.counted,
        change=_change(Change() if group == first and at != first else changed, base),
    )  # fmt: skip


def _same_as(at: int, group: int, seen: dict[int, Seen]) -> int | None:
    """An earlier version with equal entries: known by hashes, or found out by reading."""
    if group != at:
        return group
    change = seen[group].change
    return min(seen) if change is not None and not change.changed else None


def _change(found: Change | None, base: float) -> WeightChange | None:
    if found is None:
        return None
    relative = number(found.norm / base) if base else None
    return WeightChange(
        changed=found.changed, norm=number(found.norm), relative=relative, largest=number(found.largest)
    )


def _unread(array: Array) -> Weights:
    return Weights(
        dtype=array.form.name, shape=array.shape, same_as=None, entries=array.count, nan=0, above=0, below=0,
        zeros=0, low=None, high=None, mean=None, deviation=None, norm=None, histogram=(), counted=0,
        change=None,
    )  # fmt: skip


def heat_of(path: str, maps: list[tuple[Array, Floats | str] | None]) -> Heat:
    """Heat maps as the document has them; a text says why there is none."""
    return Heat(path=path, maps=tuple(None if each is None else _map(*each) for each in maps))


def _map(array: Array, found: Floats | str) -> HeatMap:
    if isinstance(found, str):
        return HeatMap(shape=array.shape, cells=(), trouble=found)
    cells = tuple(tuple(None if math.isnan(x) else number(x) for x in row) for row in found.tolist())
    return HeatMap(shape=array.shape, cells=cells, trouble="")
