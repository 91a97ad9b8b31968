"""Data frames made of columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandas import DataFrame


def frame_of(columns: Mapping[str, Any]) -> DataFrame:
    """A frame with these columns, in their order."""
    return DataFrame(columns)
