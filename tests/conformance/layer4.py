# ruff: noqa: E501
"""Profiles: the objects of libraries, of which a reader may know some. These files need pandas and SciPy, or a reader
that shows their nodes as they are."""

from __future__ import annotations

from collections.abc import Iterator

from layer1 import Case
from layer2 import tree
from pieces import dumps, node


def valid() -> Iterator[Case]:
    yield "pandas-RangeIndex", None, tree(node("pandas.RangeIndex", [0, 10, 2, None])), "an index of pandas"


def invalid() -> Iterator[Case]:
    for at, state in enumerate((None, [], 5, "a", {}, [0, 10], ["a", 1, 1, None])):
        yield (
            f"pandas-RangeIndex-{at}",
            "4.01",
            tree(node("pandas.RangeIndex", state)),
            f"an index of {dumps(state)}",
        )


__all__ = ["invalid", "valid"]
