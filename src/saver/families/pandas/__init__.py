"""pandas: frames, series, indexes, and their arrays and scalars."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="pandas",
    packages=("pandas",),
    extra="pandas",
    codecs="saver.families.pandas.codecs",
    predicting="saver.families.pandas.predicting",
    references="saver.families.pandas.references",
    pickles="saver.families.pandas.pickles",
    fingerprints="saver.families.pandas.fingerprints",
    frames="saver.families.pandas.frames",
    change=Change(
        "warning",
        "note",
        "ok",
        "values are the same; dtypes may not be (pandas 3 gave strings their own dtype)",
    ),
    instead={
        "pandas.DataFrame": "save pandas.DataFrame(it), and its own attributes beside it",
        "pandas.Series": "save pandas.Series(it), and its own attributes beside it",
        "pandas.core.frame.DataFrame": "save pandas.DataFrame(it), and its own attributes beside it",
        "pandas.core.series.Series": "save pandas.Series(it), and its own attributes beside it",
    },
)
