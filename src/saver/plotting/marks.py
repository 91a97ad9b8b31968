"""Where runs were saved and resumed: whose marks a panel has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from saver.plotting.panels import Curves, Panel

MARKED = 5
"""Of more runs nobody could tell whose marks are whose, so there are none."""


def marked(runs: Mapping[str, Curves], panel: Panel) -> list[str]:
    """The runs whose marks belong to a panel, as they have a curve there; none where there are too many."""
    if crowded(runs):
        return []
    own = {curve.run for curve in panel.curves if np.isfinite(runs[curve.run][curve.metric][1]).any()}
    return [run for run, log in runs.items() if run in own and log.events]


def crowded(runs: Mapping[str, Curves]) -> str:
    """Why no marks are drawn; empty where they are."""
    count = sum(1 for log in runs.values() if log.events)
    return f"{count} runs are too many to mark where each was saved" if count > MARKED else ""


def spaced(steps: Iterable[int], gap: float) -> list[int]:
    """Those of some steps, falling, that lie so far apart; the last one is always among them."""
    kept: list[int] = []
    for step in sorted(set(steps), reverse=True):
        if not kept or kept[-1] - step >= gap:
            kept.append(step)
    return kept
