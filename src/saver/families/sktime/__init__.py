"""sktime: forecasters, transformers, classifiers and other objects of time series, by their attributes."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="sktime",
    packages=("sktime",),
    codecs="saver.families.sktime.codecs",
    user_codecs=("sktime.object",),
    # these set them anew from those of their class
    data=frozenset(("_config", "_fitted_param_names")),
    change=Change(
        "warning",
        "warning",
        "note",
        "fitted estimators keep private state, which another version may read differently: compare forecasts",
    ),
)
