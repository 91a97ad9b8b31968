"""statsmodels: regressions, generalized linear, discrete and robust models, models of time series, and their
results."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="statsmodels",
    packages=("statsmodels",),
    classes="saver.families.statsmodels:classes.json",
    codecs="saver.families.statsmodels.codecs",
    predicting="saver.families.statsmodels.predicting",
    references="saver.families.statsmodels.references",
    data=frozenset(("_cache",)),
    change=Change(
        "warning",
        "warning",
        "note",
        "results keep private state, which another version may read differently: compare summaries",
    ),
    instead={
        "patsy.design_info.DesignInfo": "a formula is code; make the matrices with patsy, and fit the model "
        "to those",
    },
)
