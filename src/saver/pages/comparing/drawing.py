"""Histograms and heat maps as the numbers of which a template draws an SVG."""

from __future__ import annotations

import math

from saver import documents
from saver.documents.charts import Heat, HeatMap, Weights
from saver.repo.version import number_of

HEIGHT = 40
STEPS = 9
"""How many shades a heat map has: more could not be distinguished."""


def bars(weights: Weights) -> list[tuple[int, float, float]]:
    """The bars of a histogram that is `HEIGHT` high: number, upper edge, height. A range with few entries
    has a bar that can be seen, and one without entries has none."""
    most = max(weights.histogram, default=0)
    return [
        (at, round(HEIGHT - height, 2), round(height, 2))
        for at, count in enumerate(weights.histogram)
        if (height := max(1.0, HEIGHT * count / most) if count else 0.0)
    ]


def cells(heat: Heat, found: HeatMap) -> list[tuple[int, int, int, str]]:
    """The cells of a heat map: row, column, shade from 0 to `STEPS`, text. All maps of a layer are shaded
    alike; a cell without finite entries has the shade -1."""
    known = [number_of(x) for each in heat.maps if each for row in each.cells for x in row if x is not None]
    top = max(filter(math.isfinite, known), default=0.0)
    shaded = []
    for at, row in enumerate(found.cells):
        for column, value in enumerate(row):
            size = -1.0 if value is None else number_of(value)
            shade = -1 if size < 0 else STEPS if size > top else round(STEPS * size / top) if top else 0
            shaded.append((at, column, shade, "no finite entry" if value is None else text(value)))
    return shaded


def text(value: documents.Number | None, digits: int = 4) -> str:
    """A number as a table shows it."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def share(weights: Weights) -> str:
    """How many of the entries changed, in percent; never 0 or 100 unless that is exact."""
    if weights.change is None or not weights.entries:
        return "-"
    changed, entries = weights.change.changed, weights.entries
    if changed in (0, entries):
        return "0 %" if not changed else "100 %"
    return f"{min(max(100 * changed / entries, 0.001), 99.999):.3g} %".replace("100 %", "99.99 %")
