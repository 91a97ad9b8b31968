"""Estimators that keep callbacks, as scikit-learn has them since 1.9."""

from __future__ import annotations

import numpy as np
import pytest

import saver

pytest.importorskip("sklearn")
from sklearn.linear_model import LogisticRegression

callback = pytest.importorskip("sklearn.callback", reason="this scikit-learn has no callbacks")

X, Y = np.random.default_rng(0).random((20, 2)), np.arange(20) % 2


def test_a_progress_bar_comes_back_with_its_estimator() -> None:
    made = LogisticRegression().set_callbacks(callback.ProgressBar(max_propagation_depth=2)).fit(X, Y)
    found = saver.loads(saver.dumps(made))
    (bar,) = found._skl_callbacks
    assert type(bar) is callback.ProgressBar
    assert bar.max_propagation_depth == 2
    assert found.predict(X).tolist() == made.predict(X).tolist()
    assert found.fit(X, Y).predict(X).tolist() == made.predict(X).tolist()


def test_a_monitor_which_listens_on_a_socket_says_what_to_save_instead() -> None:
    monitor = callback.ScoringMonitor(scoring="accuracy")
    made = LogisticRegression().set_callbacks(monitor).fit(X, Y)
    with pytest.raises(saver.CannotSaveError, match=r"get_logs\(\).*set_callbacks\(\)"):
        saver.dumps(made)
    assert saver.loads(saver.dumps(made.set_callbacks())).predict(X).tolist() == made.predict(X).tolist()
