"""Estimators are written in ONNX, and ONNX Runtime predicts as they do; what cannot be written is refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

from sklearn.base import is_classifier  # noqa: E402
from sklearn.linear_model import Ridge  # noqa: E402

import saver  # noqa: E402
from families.estimators import named_instances  # noqa: E402
from saver.errors import IncompatibleError  # noqa: E402

pytestmark = [pytest.mark.xdist_group("onnx"), pytest.mark.filterwarnings("ignore")]

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"

DRAW = np.random.default_rng(0)
X = DRAW.uniform(0.1, 1, (60, 4)).astype(np.float32)
Y = (X[:, 0] > 0.4).astype(int) + (X[:, 1] > 0.6)
TEXTS = np.array(["one two three", "two three", "four one", "three three", "five one two"] * 12)

INPUTS: dict[str, Any] = {
    **dict.fromkeys(("CountVectorizer", "HashingVectorizer", "TfidfVectorizer"), TEXTS),
    **dict.fromkeys(("LabelBinarizer", "LabelEncoder"), Y),
    "IsotonicRegression": X[:, :1], "KernelCenterer": X @ X.T,
    **dict.fromkeys(("CategoricalNB", "OneHotEncoder", "OrdinalEncoder"), (X * 4).astype(np.int64)),
}  # fmt: skip
"""What is not fitted on a matrix of floats."""

TARGETS: dict[str, Any] = {
    **dict.fromkeys(("ClassifierChain", "MultiOutputClassifier"), np.stack([Y > 0, Y > 1], 1).astype(int)),
    **dict.fromkeys(
        (
            "FixedThresholdClassifier", "GaussianProcessClassifier", "NuSVC", "TunedThresholdClassifierCV",
            "LabelPropagation",
        ),
        (X[:, 0] > np.median(X[:, 0])).astype(int),
    ),
    "GammaRegressor": X[:, 0] + 1, "TargetEncoder": X[:, 0],
}  # fmt: skip


def fitted(name: str, estimator: Any) -> Any:
    """The estimator, and its input; None if it takes something else than what is here."""
    x, y = INPUTS.get(name, X), TARGETS.get(name, Y)
    if x is TEXTS:  # which ONNX Runtime turns into lower case only where the system has the locale for it
        estimator.set_params(lowercase=False)
    attempts = [(x, y), (x,), (x, y[:, None]), (x, np.stack([y, y], 1) if y.ndim == 1 else y)]
    for arguments in attempts:
        try:
            return estimator.fit(*arguments), x
        except Exception:
            continue
    return None


def expected(model: Any, x: Any) -> Iterator[tuple[bool, Any]]:
    """What the outputs should be, in their order, and whether they are labels. What selects features is
    written as that."""
    labels = is_classifier(model) or hasattr(model, "fit_predict")
    names = ("predict_proba", "decision_function", "transform")
    if hasattr(model, "predict") and not hasattr(model, "ranking_"):
        yield labels, model.predict(x)
        for name in names if labels else ():
            if hasattr(model, name):
                yield False, getattr(model, name)(x)
                return
    elif hasattr(model, "transform"):
        found = model.transform(x)
        yield False, found.toarray() if hasattr(found, "toarray") else found


def agree(model: Any, x: Any, file: Path) -> bool:
    """Whether ONNX Runtime says the same. Outputs have no dicts."""
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    given = x.astype("U").astype(object) if x.dtype.kind == "U" else x
    found = session.run(None, {session.get_inputs()[0].name: given})
    assert not any(isinstance(each, list) and isinstance(each[0], dict) for each in found)
    compared = 0
    for (labels, wanted), each in zip(expected(model, x), found, strict=False):
        wanted, each = np.asarray(wanted), np.asarray(each)
        if labels:
            if not np.array_equal(wanted.reshape(-1), each.reshape(-1).astype(wanted.dtype)):
                return False
        elif wanted.size == each.size:  # of two classes, ONNX has both decisions
            wide = wanted.astype(float)
            if not np.allclose(wide.reshape(each.shape), each, rtol=1e-3, atol=1e-3, equal_nan=True):
                return False
        else:
            continue
        compared += 1
    return compared > 0


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What became of the instances of each estimator: the same predictions, other ones, or why not."""
    folder, found = tmp_path_factory.mktemp("onnx"), dict[str, list[str]]()
    warnings.simplefilter("ignore")
    for numbered, estimator in named_instances(Ridge().fit(X, Y)):
        name = numbered.rpartition("-")[0]
        made = fitted(name, estimator)
        if made is None:
            found.setdefault(name, []).append("not fitted")
            continue
        model, x = made
        saver.dump(model, folder / "a.saver")
        try:
            saver.export(folder / "a.saver", folder / "a.onnx", example=x[:2])
        except IncompatibleError as error:
            known = "skl2onnx" in str(error) or "cannot be written as ONNX" in str(error)
            found.setdefault(name, []).append("refused" if known else f"refused, not clearly: {error}")
            continue
        try:
            same = agree(model, x, folder / "a.onnx")
            found.setdefault(name, []).append("same" if same else "other")
        except Exception as error:
            found.setdefault(name, []).append(f"not run: {str(error)[:200]}")
    return found


@pytest.mark.slow
def test_what_is_written_predicts_the_same(outcomes: dict[str, list[str]]) -> None:
    wrong = {name: each for name, each in outcomes.items() if {*each} - {"same", "refused", "not fitted"}}
    assert wrong == {}
    assert sum("same" in each for each in outcomes.values()) > 100


@pytest.mark.slow
def test_the_docs_list_what_is_not_written(outcomes: dict[str, list[str]]) -> None:
    if not (version("skl2onnx").startswith("1.20.") and version("scikit-learn").startswith("1.9.")):
        pytest.skip("the list is for skl2onnx 1.20 and scikit-learn 1.9")
    missing = sorted(name for name, each in outcomes.items() if "same" not in each)
    text = DOCS.read_text(encoding="utf-8")
    listed = text.partition("<!-- not in ONNX -->")[2].partition("<!-- end -->")[0]
    assert re.findall(r"\w+", listed) == missing
