"""scikit-learn: every estimator, fitted or not, and the objects in estimators."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="sklearn",
    packages=("sklearn",),
    distribution="scikit-learn",
    extra="sklearn",
    classes="saver.families.sklearn:classes.json",
    codecs="saver.families.sklearn.codecs",
    zips=("skops",),
    misnamed={"_loss": "sklearn._loss._loss"},  # before 1.7
    references="saver.families.sklearn.references",
    reading="saver.families.sklearn.reading",
    change=Change(
        "warning",
        "warning",
        "note",
        "fitted estimators keep private state, which another version may read differently: "
        "compare predictions",
        exact=True,
    ),
    version_bound=True,
    instead={
        "joblib.memory.Memory": "set memory to the path of its folder, which means the same to scikit-learn",
        "joblib.memory.MemorizedFunc": "hold the function itself, and cache it again after loading",
    },
)
