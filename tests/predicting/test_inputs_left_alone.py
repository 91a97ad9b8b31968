"""Some models work where their input is: each of their outputs is that for the rows as they came."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import saver
from saver.predicting import open_predictor
from saver.serve.channel import packed, unpacked
from saver.serve.loading import Model
from saver.serve.worker import _answer

X = np.random.default_rng(3).normal(3, 2, size=(40, 4))
Y = np.digitize(X[:, 0], [2, 4])


class Centred(ClassifierMixin, BaseEstimator):
    """Takes a number from its input, where that is."""

    def fit(self, rows: Any, classes: Any) -> Centred:
        self.middle_ = float(np.mean(rows))
        return self

    def predict(self, rows: Any) -> Any:
        rows -= self.middle_
        return np.asarray(rows)[:, 0] > 0

    def predict_proba(self, rows: Any) -> Any:
        rows -= self.middle_
        return np.array(rows)


TRUST = [f"{__name__}.Centred"]
MODELS: dict[str, Callable[[], Any]] = {
    "a scaler without a copy": lambda: make_pipeline(StandardScaler(copy=False), LogisticRegression()),
    "another": lambda: make_pipeline(MinMaxScaler(copy=False), LogisticRegression()),
    "a model of one's own": Centred,
}


def frame(rows: Any) -> Any:
    return pytest.importorskip("pandas").DataFrame(rows, columns=list("abcd"))


@pytest.mark.parametrize("container", [np.array, frame], ids=["array", "frame"])
@pytest.mark.parametrize("name", MODELS)
def test_each_output_is_that_for_the_rows_as_they_came(name: str, container: Any, tmp_path: Path) -> None:
    model, example = MODELS[name]().fit(container(X.copy()), Y), container(X.copy())
    saver.dump(model, tmp_path / "a.saver", example=example)
    assert np.array_equal(example, X)
    predictor = open_predictor(tmp_path / "a.saver", trust=TRUST)
    wanted = {"prediction": model.predict(container(X.copy())),
              "probability": model.predict_proba(container(X.copy()))}  # fmt: skip
    found = predictor.predict(predictor.from_rows(X.tolist()))
    for output, values in wanted.items():
        assert found[output].tobytes() == np.asarray(values).tobytes(), output


def test_a_worker_gives_a_model_arrays_that_it_may_change(tmp_path: Path) -> None:
    saver.dump(Centred().fit(X, Y), tmp_path / "a.saver", example=X)
    predictor = open_predictor(tmp_path / "a.saver", trust=TRUST)
    came = msgspec.msgpack.decode(msgspec.msgpack.encode(packed({"input": X})))
    answer: Any = _answer(Model(predictor), 1, came, ())
    _, _, found, error = answer
    assert error is None
    assert unpacked(found)["probability"].tobytes() == (X - X.mean()).tobytes()
