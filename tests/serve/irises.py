"""A store with a small model in three versions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import saver

X = np.random.default_rng(7).normal(size=(120, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def parts(strength: float) -> dict[str, object]:
    scaler = StandardScaler().fit(X)
    return {"scaler": scaler, "model": LogisticRegression(C=strength).fit(scaler.transform(X), Y)}


def filled(folder: Path) -> saver.Saver:
    """A store with three versions of iris; iris@production is the first."""
    store = saver.Saver(folder)
    for strength in (1.0, 0.1, 0.01):
        store.save("iris", parts(strength), example=X[:40], pipeline="scaler | model")
    store.tag("iris@1", "production")
    return store
