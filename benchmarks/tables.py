"""Tables of times: figures computed from them, and their output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """Seconds of each round. `touched`, for loads, includes reading every page; `lazy` loads are judged only
    by that. `bytes` were added on disk in each round. `note` replaces the times of a row without any."""

    what: str
    seconds: tuple[float, ...]
    touched: tuple[float, ...] = ()
    lazy: bool = False
    note: str = ""
    bytes: tuple[int, ...] = ()

    @property
    def whole(self) -> tuple[float, ...]:
        """Seconds until every byte was read or written."""
        return self.touched if self.lazy else self.seconds


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to one question. `size` in bytes gives GB/s; ratios are to `baseline` and `limit`, if the
    table has these rows, taken round by round; their median is shown."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    baseline: str = ""
    limit: str = ""
    size: int = 0
    unit: str = "s"
    extra: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()
    bytes_are: str = "MB added"

    def row(self, what: str) -> Row:
        """The row called `what`. Raises KeyError if there is none."""
        for row in self.rows:
            if row.what == what:
                return row
        raise KeyError(what)

    def faster(self, what: str, than: str) -> float:
        """How many times faster a row is than another, all pages read."""
        mine, other = self.row(what), self.row(than)
        return ratio(other.touched or other.seconds, mine.touched or mine.seconds)

    def of_limit(self, what: str) -> float:
        """The share of the limit's speed that a row reaches."""
        return ratio(self.row(self.limit).seconds, self.row(what).whole)

    def gigabytes(self, what: str) -> float:
        """GB/s at the median."""
        return self.size / median(self.row(what).whole) / 1e9

    def head(self) -> list[str]:
        """The titles of the columns."""
        unit = self.unit
        loads = any(row.touched for row in self.rows)
        head = ["", f"best, {unit}", f"median, {unit}"]
        head += [f"all read, {unit}"] if loads else []
        head += ["GB/s"] if self.size else []
        head += [f"{self.baseline} = 1"] if self.baseline else []
        head += ["of the limit"] if self.limit else []
        head += [self.bytes_are] if self._adds() else []
        return head + list(self.extra)

    def _adds(self) -> bool:
        return any(row.bytes for row in self.rows)

    def lines(self) -> list[list[str]]:
        """The cells, row by row."""
        loads = any(row.touched for row in self.rows)
        lines = []
        for number, row in enumerate(self.rows):
            extra = [f"{fmean(row.bytes) / 1e6:.3f}" if row.bytes else ""] if self._adds() else []
            extra += self.cells[number] if self.cells else ()
            if not row.seconds:
                line = [row.what, row.note]
                lines.append(line + [""] * (len(self.head()) - len(extra) - len(line)) + extra)
                continue
            line = [row.what, self._show(min(row.seconds)), self._show(median(row.seconds))]
            if loads:
                line.append(self._show(median(row.touched)) if row.touched else "")
            if self.size:
                line.append(f"{self.gigabytes(row.what):.2f}")
            if self.baseline:
                line.append(f"{self.faster(row.what, self.baseline):.2f}")
            if self.limit:
                line.append(f"{self.of_limit(row.what):.2f}")
            lines.append(line + extra)
        return lines

    def _show(self, seconds: float) -> str:
        scale, digits = {"s": (1, 3), "ms": (1e3, 1), "µs": (1e6, 0)}[self.unit]
        return f"{seconds * scale:.{digits}f}"


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the ratios within each round."""
    return median(a / b for a, b in zip(over, under, strict=True))


def plain(table: Table) -> str:
    """For the terminal."""
    cells = [table.head(), *table.lines()]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    shown = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]
    rule = "-" * max(map(len, shown))
    return "\n".join((table.title, table.about, "", shown[0], rule, *shown[1:], ""))


def markdown(table: Table) -> str:
    """For RESULTS.md."""
    head = table.head()
    rule = ["---"] + ["---:"] * (len(head) - 1)
    rows = "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *table.lines()))
    return f"### {table.title}\n\n{table.about}\n\n{rows}\n"


def raw(table: Table) -> dict[str, Any]:
    """For other programs: every time of every round."""
    return {
        "name": table.name,
        "title": table.title,
        "bytes": table.size,
        "baseline": table.baseline,
        "limit": table.limit,
        "rows": [
            {
                "what": row.what,
                "seconds": row.seconds,
                "touched": row.touched,
                "bytes": row.bytes,
                "note": row.note,
            }
            for row in table.rows
        ],
    }
