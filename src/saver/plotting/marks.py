"""The marks of a panel: where its runs were saved and resumed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from saver.plotting.panels import Curves, Panel

MARKED = 5
"""The largest number of runs with marks: with more, nobody could distinguish them."""


def marked(runs: Mapping[str, Curves], panel: Panel) -> list[str]:
    """The runs whose marks a panel has, because they have a curve there; empty if there are too many runs."""
    if crowded(runs):
        return []
    own = {curve.run for curve in panel.curves if np.isfinite(runs[curve.run][curve.metric][1]).any()}
    return [run for run, log in runs.items() if run in own and log.events]


def crowded(runs: Mapping[str, Curves]) -> str:
    """Why no marks are drawn; empty if they are drawn."""
    count = sum(1 for log in runs.values() if log.events)
    return f"{count} runs are too many to mark where each was saved" if count > MARKED else ""


def spaced(steps: Iterable[int], gap: float) -> list[int]:
    """Those of `steps`, in falling order, that are at least `gap` apart, always with the last step."""
    kept: list[int] = []
    for step in sorted(set(steps), reverse=True):
        if not kept or kept[-1] - step >= gap:
            kept.append(step)
    return kept
