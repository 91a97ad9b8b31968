"""Curves that coincide, such as those of equal runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from saver.plotting.lines import Floats, Steps

COMPARED = 1000
"""How many points of a curve, spread evenly, decide whether it coincides with another one."""


class Turn(NamedTuple):
    """A curve's turn among those that coincide: all are drawn in turns, piece by piece. `number` counts them
    from 0, the longest; `of` is how many there are, 1 for a curve that coincides with no other."""

    number: int
    of: int


def turns(curves: Sequence[tuple[Steps, Floats]]) -> list[Turn]:
    """Finds curves that coincide: their values are equal at half of the steps of the shorter one."""
    order = sorted(range(len(curves)), key=lambda at: -len(curves[at][0]))
    groups: list[list[int]] = []
    for at in order:
        group = next((group for group in groups if _lie_together(curves[at], curves[group[0]])), None)
        if group is None:
            groups.append([at])
        else:
            group.append(at)
    found = {at: Turn(number, len(group)) for group in groups for number, at in enumerate(group)}
    return [found[at] for at in range(len(curves))]


def _lie_together(shorter: tuple[Steps, Floats], longer: tuple[Steps, Floats]) -> bool:
    if not len(shorter[0]):
        return False
    some = np.linspace(0, len(shorter[0]) - 1, min(len(shorter[0]), COMPARED)).astype(np.int64)
    steps, values = shorter[0][some], shorter[1][some]
    there = np.minimum(longer[0].searchsorted(steps), len(longer[0]) - 1)
    known = np.isfinite(values)
    equal = known & (longer[0][there] == steps) & (longer[1][there] == values)
    return 2 * int(equal.sum()) >= int(known.sum()) > 0
