"""feature-engine: transformers and selectors of features. Stored as scikit-learn's estimators are."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="feature_engine",
    packages=("feature_engine",),
    distribution="feature-engine",
    classes="saver.families.feature_engine:classes.json",
    checks="saver.families.feature_engine.checks",
    change=Change(
        "warning",
        "warning",
        "note",
        "fitted estimators keep private state, which another version may read differently: compare results",
    ),
)
