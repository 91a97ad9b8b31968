"""statsmodels: regressions, generalized linear, discrete and robust models, and their results."""

from __future__ import annotations

from saver.family import Change, Family

_STATE_SPACE = (
    "its filters are compiled objects; save model.endog, the model's arguments and results.params, and make "
    "it again with model.smooth(params)"
)

FAMILY = Family(
    name="statsmodels",
    packages=("statsmodels",),
    classes="saver.families.statsmodels:classes.json",
    codecs="saver.families.statsmodels.codecs",
    data=frozenset(("_cache",)),
    change=Change(
        "warning",
        "warning",
        "note",
        "results keep private state, which another version may read differently: compare summaries",
    ),
    instead={
        "statsmodels.tsa.statespace.representation.Representation": _STATE_SPACE,
        "statsmodels.tsa.statespace.mlemodel.MLEModel": _STATE_SPACE,
        "statsmodels.tsa.statespace.mlemodel.MLEResults": _STATE_SPACE,
        "statsmodels.tsa.statespace.mlemodel.MLEResultsWrapper": _STATE_SPACE,
        "patsy.design_info.DesignInfo": "a formula is code; make the matrices with patsy, and fit the model "
        "to those",
    },
)
