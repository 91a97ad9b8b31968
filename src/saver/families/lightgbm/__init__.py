"""LightGBM: boosters of every kind, and the estimators around them."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="lightgbm",
    packages=("lightgbm",),
    extra="lightgbm",
    classes="saver.families.lightgbm:classes.json",
    codecs="saver.families.lightgbm.codecs",
    pickles="saver.families.lightgbm.pickles",
    change=Change("warning", "note", "ok", "another version may read parameters of training differently"),
    instead={
        "lightgbm.basic.Dataset": "it is data, not a model: save the arrays or frames that it was made of, "
        "or their fingerprint (data=)",
        "lightgbm.engine.CVBooster": "save its boosters, a list: CVBooster.boosters",
    },
)
