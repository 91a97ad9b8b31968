"""Tables, facts and code as Markdown.

All text may come from files of strangers: it is escaped so that no Markdown, HTML or YAML begins in it, and
nothing of it controls a terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from saver.errors import limited
from saver.page import Facts, Page, Table

ROWS = 200
"""A table shows this many rows and says how many more there are."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "\\": "&#92;", "`": "&#96;"}
"""Written as references, which no reader of Markdown takes for structure: a bar would end the cell of a table
in some, even behind a backslash."""

_ESCAPES = str.maketrans(_ENTITIES | {char: f"\\{char}" for char in "*_[]()#!~{}$@:"})


def text(found: str) -> str:
    """`found` as plain text within a line."""
    return " ".join(limited(found).split()).translate(_ESCAPES)


def paragraph(found: str) -> str:
    """`found` as a paragraph: what would begin a list or a line at its start is escaped, too."""
    return re.sub(r"^([0-9]*)([-+=.])", r"\1\\\2", text(found))


def code(lines: Iterable[str], language: str = "") -> str:
    """Lines as they are, in a block whose fence is longer than any in them."""
    body = [limited(line) for line in lines]
    longest = max((len(run) for line in body for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join((f"{fence}{language}", *body, fence))


def page(blocks: Page) -> str:
    """Tables and facts below their titles."""
    return "\n\n".join(filter(None, map(_block, blocks)))


def _block(block: Table | Facts) -> str:
    if isinstance(block, Facts):
        rows: Sequence[Sequence[str]] = [fact for fact in block.facts.items() if fact[1]]
        columns: Sequence[str] = ("", "")
    else:
        filled = block.filled()
        rows, columns = filled.rows, filled.columns
    if not rows:
        return ""
    sides = ["---:" if column.startswith(">") else "---" for column in columns]
    head = [_row([column.removeprefix(">") for column in columns]), f"| {' | '.join(sides)} |"]
    lines = [*head, *map(_row, rows[:ROWS])]
    more = [f"\nand {len(rows) - ROWS:,} more"] if len(rows) > ROWS else []
    title = [f"## {text(block.title)}\n"] if block.title else []
    return "\n".join((*title, *lines, *more))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(text, cells))} |"
