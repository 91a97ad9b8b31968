"""Tables as HTML, for notebooks. All text is escaped: it may come from files of strangers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from saver.errors import limited

ROWS = 200
"""A table shows this many rows and says how many more there are: a notebook keeps what it shows."""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table. Columns whose title begins with `>` are aligned to the right."""
    sides = ["right" if column.startswith(">") else "left" for column in columns]
    head = _row("th", sides, [column.removeprefix(">") for column in columns])
    lines = [_row("td", sides, row) for row in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f'<tr><td colspan="{len(columns)}">and {len(rows) - ROWS:,} more</td></tr>')
    return f"<table>{_caption(title)}<thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def facts(title: str, found: Mapping[str, str]) -> str:
    """A table of names and values; names without a value are left out."""
    lines = (
        f"<tr>{_cell('th', 'left', name)}{_cell('td', 'left', value)}</tr>"
        for name, value in found.items()
        if value
    )
    return f"<table>{_caption(title)}<tbody>{''.join(lines)}</tbody></table>"


def block(parts: Iterable[str]) -> str:
    """Tables below each other."""
    return f"<div>{''.join(parts)}</div>"


def _row(kind: str, sides: Sequence[str], cells: Sequence[str]) -> str:
    shown = (_cell(kind, side, text) for side, text in zip(sides, cells, strict=True))
    return f"<tr>{''.join(shown)}</tr>"


def _cell(kind: str, side: str, text: str) -> str:
    return f'<{kind} style="text-align:{side}">{_text(text)}</{kind}>'


def _caption(title: str) -> str:
    return f'<caption style="text-align:left;font-weight:bold">{_text(title)}</caption>' if title else ""


def _text(text: str) -> str:
    from html import escape  # which takes as long to import as the rest of Saver's base

    return escape(limited(text))
