"""CatBoost: models as CatBoost's own bytes (`cbm`), which only a user who trusts the file's author loads."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="catboost",
    packages=("catboost", "_catboost"),
    extra="catboost",
    codecs="saver.families.catboost.codecs",
    user_codecs=("catboost.estimator", "catboost.model"),  # none of its classes loads without trust
    change=Change("warning", "note", "ok", "another version may read the bytes of a model differently"),
    instead={
        "catboost.core.Pool": "it is data, not a model: save the arrays or frames that it was made of, or "
        "their fingerprint (data=)",
    },
)
