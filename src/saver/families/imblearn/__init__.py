"""imbalanced-learn: samplers, ensembles and pipelines. Stored as scikit-learn's estimators are."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="imblearn",
    packages=("imblearn",),
    distribution="imbalanced-learn",
    classes="saver.families.imblearn:classes.json",
    checks="saver.families.imblearn.checks",
    change=Change(
        "warning",
        "warning",
        "note",
        "fitted estimators keep private state, which another version may read differently: compare results",
    ),
)
