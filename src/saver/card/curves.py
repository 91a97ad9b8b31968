"""The curves of the training logs in a version, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from saver.description import Description
from saver.opened import Opened

KIND = "saver.TrainingLog"
WIDTH = 80

PANELS = 8
"""So many panels are drawn; the others are counted."""


OWN = frozenset({KIND, "float", "int", "str"})
"""What a log consists of."""


def is_alone(opened: Opened, part: str) -> bool:
    """Whether a part is a log and nothing else. Of another one, libraries would be imported, for seconds,
    before it turns out that no Saver wrote it."""
    nodes: list[Any] = [each for each in opened.trees[part].items if hasattr(each, "codec")]
    return all(each.codec in OWN and each.cls is None for each in nodes)


def curves(opened: Opened, described: Description) -> Iterator[tuple[str, list[str]]]:
    """The title of each panel, with its lines. Reads the logs, and no other part."""
    names = [part.name for part in described.parts if part.kind == KIND and is_alone(opened, part.name)]
    if not names:
        return
    from saver.plotting import charts, panels

    logs: dict[str, Any] = opened.load((), names)
    found = panels(logs)
    for chart in charts(logs, found[:PANELS], WIDTH, fine=False):
        yield chart.title, ["".join(span.text for span in line).rstrip() for line in chart.lines]
    if len(found) > PANELS:
        yield f"and {len(found) - PANELS:,} more", []
