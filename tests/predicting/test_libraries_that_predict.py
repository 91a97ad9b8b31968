"""Models of each library answer their golden predictions again, in the containers that the library takes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from saver.predicting import open_predictor

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def xgboost() -> Any:
    found = pytest.importorskip("xgboost")
    yield found.XGBClassifier(n_estimators=5).fit(X, Y), X, ("prediction", "probability")
    yield found.train({}, found.DMatrix(X, Y), 5), X, ("prediction",)


def lightgbm() -> Any:
    found = pytest.importorskip("lightgbm")
    yield found.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y), X, ("prediction", "probability")
    yield found.train({"verbose": -1}, found.Dataset(X, Y), 5), X, ("prediction",)


def catboost() -> Any:
    found = pytest.importorskip("catboost")
    yield found.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False).fit(X, Y), X, (
        "prediction", "probability",
    )  # fmt: skip


def keras() -> Any:
    found = pytest.importorskip("keras")
    layers = found.layers
    yield found.Sequential([found.Input((4,)), layers.Dense(3), layers.Dropout(0.5)]), X, ("output",)
    one, other = found.Input((4,), name="a"), found.Input((2,), name="b")
    joined = found.Model({"a": one, "b": other}, {"s": layers.Dense(2)(layers.Concatenate()([one, other]))})
    yield joined, {"a": X, "b": X[:, :2].copy()}, ("s",)


def statsmodels() -> Any:
    found = pytest.importorskip("statsmodels.api")
    inputs = np.column_stack([np.ones(60), X])
    yield found.OLS(Y, inputs).fit(), inputs, ("prediction",)


def skorch() -> Any:
    torch, found = pytest.importorskip("torch"), pytest.importorskip("skorch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Softmax(-1))
    model = found.NeuralNetClassifier(net, max_epochs=1, verbose=0, train_split=None).fit(
        X, Y.astype(np.int64)
    )
    yield model, X, ("prediction", "probability")


def transformers() -> Any:
    torch, found = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = found.BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=50
    )
    tokens = {
        "input_ids": torch.randint(0, 50, (6, 8)),
        "attention_mask": torch.ones(6, 8, dtype=torch.int64),
    }
    yield found.BertForSequenceClassification(config), tokens, ("logits",)


def scipy() -> Any:
    sparse = pytest.importorskip("scipy.sparse")
    linear = pytest.importorskip("sklearn.linear_model")
    for kind in (sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array):
        yield linear.LinearRegression().fit(X, Y), kind(X * (X > 0)), ("prediction",)


def torch() -> Any:
    found = pytest.importorskip("torch")
    yield found.nn.GRU(4, 3, batch_first=True), found.randn(9, 5, 4), None  # whose states lack the rows' axis
    yield found.nn.Embedding(9, 3), found.arange(9), ("output",)


LIBRARIES: dict[str, Callable[[], Any]] = {
    each.__name__: each
    for each in (xgboost, lightgbm, catboost, keras, statsmodels, skorch, transformers, scipy, torch)
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("library", LIBRARIES)
def test_models_of_a_library_answer_to_the_bit(library: str, tmp_path: Path) -> None:
    for model, example, outputs in LIBRARIES[library]():
        if outputs is None:
            with pytest.raises(saver.CannotSaveError, match="row for each"):
                saver.dumps(model, example=example)
            continue
        saver.dump(model, tmp_path / "a.saver", example=example)
        predictor = open_predictor(tmp_path / "a.saver", trust=["*"], check=True)
        assert predictor.outputs == outputs
        found = predictor.predict(predictor.schema.check(arrays(example)))
        golden = predictor.check()
        assert golden.identical == golden.rows
        assert all(len(each) == len(next(iter(found.values()))) for each in found.values())
        assert sys.modules["saver.schema"].to_rows(found)


def arrays(example: Any) -> dict[str, Any]:
    if not isinstance(example, dict):
        example = {"input": example}
    return {
        name: np.asarray(each.toarray() if hasattr(each, "toarray") else each)
        for name, each in example.items()
    }
