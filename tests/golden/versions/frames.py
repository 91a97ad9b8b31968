"""Values of pandas, each with a text that every version of pandas gives it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def values() -> dict[str, Any]:
    """Parts: each value, under its name, and under `texts` what is in it."""
    dates = pd.date_range("2024-03-30", periods=5, freq="12h")
    found = {
        "numbers": pd.Series([0.1, -0.0, np.nan, 1e300, 2.0]),
        "words": pd.Series(["a", "b", None, "", "a"]),
        "strings": pd.Series(["a", None, "c"], dtype="string"),
        "categories": pd.Series(pd.Categorical(list("abcab"), ordered=True)),
        "integers": pd.Series([1, None, 3], dtype="Int64"),
        "dates": pd.Series(dates),
        "zoned": pd.Series(dates.tz_localize("Europe/Rome")),
        "utc": pd.Series(dates.tz_localize("UTC")),
        "durations": pd.Series(pd.timedelta_range("1s", periods=4, freq="90s")),
        "periods": pd.Series(pd.period_range("2024Q1", periods=4, freq="Q-NOV")),
        "intervals": pd.Series(pd.interval_range(0, 4)),
        "moment": pd.Series([pd.Timestamp("2024-07-01 02:30", tz="US/Eastern")], dtype=object),
        "levels": pd.Series(
            range(4), index=pd.MultiIndex.from_product([["a", "b"], [1, 2]], names=["x", None])
        ),
    }
    frame = pd.DataFrame({name: found[name] for name in ("numbers", "words", "categories", "zoned", "dates")})
    return {**found, "frame": frame, "texts": {name: text(value) for name, value in found.items()}}


def text(series: Any) -> list[list[str]]:
    """The labels and values of a series; a missing value is "-"."""
    entries = zip(series.index.tolist(), series.tolist(), strict=True)
    return [[str(label), "-" if pd.isna(value) else str(value)] for label, value in entries]
