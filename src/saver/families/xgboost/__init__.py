"""XGBoost: boosters of every kind, and the estimators around them."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="xgboost",
    packages=("xgboost",),
    extra="xgboost",
    classes="saver.families.xgboost:classes.json",
    codecs="saver.families.xgboost.codecs",
    predicting="saver.families.xgboost.predicting",
    pickles="saver.families.xgboost.pickles",
    change=Change(
        "warning",
        "note",
        "ok",
        "settings of training that one version has, and another has not, return to their defaults",
    ),
    instead=dict.fromkeys(
        (
            "xgboost.core.DMatrix",
            "xgboost.core.QuantileDMatrix",
            "xgboost.core.ExtMemQuantileDMatrix",
        ),
        "it is data, not a model: save the arrays or frames that it was made of, or their "
        "fingerprint (data=)",
    ),
)
