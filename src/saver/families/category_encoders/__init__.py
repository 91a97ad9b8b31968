"""category_encoders: encoders of categories. Stored as scikit-learn's estimators are."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="category_encoders",
    packages=("category_encoders",),
    classes="saver.families.category_encoders:classes.json",
    data=frozenset(("composite_members_", "invariant_cols")),
    checks="saver.families.category_encoders.checks",
    change=Change(
        "warning",
        "warning",
        "note",
        "fitted estimators keep private state, which another version may read differently: compare results",
    ),
)
