"""Texts and integers of NumPy in the places of Python's: scikit-learn takes either for the other, so the
checks do, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from forging import dump_unchecked

pytest.importorskip("sklearn")
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

X = np.random.default_rng(0).random((60, 4))
Y = np.arange(60) % 2

TEXTS = [str, np.str_]
INTEGERS = [np.dtype(code).type for code in "bBhHiIlLqQ"]


def refused(model: Any, folder: Path) -> None:
    """On both sides."""
    with pytest.raises(saver.CannotSaveError):
        saver.dump(model, folder / "m.saver")
    dump_unchecked(model, folder / "m.saver")
    with pytest.raises(saver.IncompatibleError):
        saver.load(folder / "m.saver")


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kind", [*TEXTS, np.bytes_, lambda name: [name], lambda name: np.array(name)])
def test_support_vectors_are_counted_whatever_names_the_kernel(
    kind: Callable[[str], Any], sparse: bool, tmp_path: Path
) -> None:
    sparse_arrays = pytest.importorskip("scipy.sparse")
    model = SVC(kernel="rbf").fit(sparse_arrays.csr_matrix(X) if sparse else X, Y)
    model.kernel = kind("rbf")
    model._BaseLibSVM__Xfit = np.zeros((60, 1))
    model.support_vectors_ = sparse_arrays.csr_matrix((0, 4)) if sparse else np.empty((0, 0))
    refused(model, tmp_path)


def test_a_kernel_that_a_search_chose_among_texts_of_numpy_is_kept(tmp_path: Path) -> None:
    model = SVC(kernel=np.str_("rbf")).fit(X, Y)
    saver.dump(model, tmp_path / "m.saver")
    found = saver.load(tmp_path / "m.saver")
    assert (type(found.kernel), found.predict(X).tolist()) == (np.str_, model.predict(X).tolist())


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize(
    ("metric", "effective"), [("precomputed", "euclidean"), ("euclidean", "precomputed")]
)
def test_the_two_metrics_of_neighbors_agree(
    metric: str, effective: str, kind: Callable[[str], Any], tmp_path: Path
) -> None:
    model = NearestNeighbors(algorithm="brute").fit(X)
    model.metric, model.effective_metric_ = kind(metric), kind(effective)
    refused(model, tmp_path)


@pytest.mark.parametrize("kind", INTEGERS)
def test_more_neighbors_than_samples_are_refused_in_any_integer(
    kind: Callable[[int], Any], tmp_path: Path
) -> None:
    model = KNeighborsClassifier(algorithm="brute", metric="manhattan").fit(X, Y)
    model.n_neighbors = kind(120)
    refused(model, tmp_path)
    model.n_neighbors = kind(5)
    saver.dump(model, tmp_path / "m.saver")
    assert (saver.load(tmp_path / "m.saver").predict(X) == model.predict(X)).all()


@pytest.mark.parametrize("kind", INTEGERS[2:])
def test_threads_are_counted_in_any_integer(kind: Callable[[int], Any], tmp_path: Path) -> None:
    model = KNeighborsClassifier().fit(X, Y)
    model.n_jobs = kind(32_000)
    refused(model, tmp_path)


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("text", ["{feature_name.__class__.__mro__}", "{feature_name:>1000000}", "{0}"])
def test_a_format_may_not_ask_for_more_than_names(
    text: str, kind: Callable[[str], Any], tmp_path: Path
) -> None:
    model = ColumnTransformer([("s", StandardScaler(), [0, 1])]).fit(X)
    model.verbose_feature_names_out = kind(text)
    refused(model, tmp_path)


@pytest.mark.parametrize("kind", TEXTS)
def test_a_path_does_not_lead_out_of_the_estimator(kind: Callable[[str], Any], tmp_path: Path) -> None:
    model = SelectFromModel(LogisticRegression()).fit(X, Y)
    model.importance_getter = kind("__class__.__init__.__globals__")
    refused(model, tmp_path)
