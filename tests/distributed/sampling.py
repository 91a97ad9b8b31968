"""Cases of real processes, which take seconds each: some run always, the others are long."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[tuple[Any, ...]], sample: Collection[tuple[Any, ...]]) -> list[Any]:
    """The cases as parameters of a test, named by what is in them; those of the sample are not long."""
    return [
        pytest.param(
            *case, marks=pytest.mark.slow if case in sample else pytest.mark.long, id="-".join(map(str, case))
        )
        for case in cases
    ]
