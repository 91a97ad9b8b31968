"""Pickles of old environments, most of which today's joblib cannot open, answer what they did there."""

from __future__ import annotations

import json
import re
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from formats.pickles import make, parameters

sklearn = pytest.importorskip("sklearn")

HERE = Path(__file__).parent / "pickles"
VERSIONS = (
    "0.19.2", "0.20.4", "0.21.3", "0.22.2.post1", "0.23.2", "0.24.2", "1.0.2", "1.1.3", "1.2.2",
    "1.3.2", "1.4.2", "1.5.2", "1.6.1", "1.7.2", "1.8.0", "1.9.1",
)  # fmt: skip
GONE = frozenset((
    "DPGMM", "GMM", "VBGMM", "GaussianProcess", "LSHForest", "RandomizedLasso",
    "RandomizedLogisticRegression", "RandomizedPCA", "GeneralizedLinearRegressor",
))  # fmt: skip
"""Classes that were removed without a successor."""

REFUSED: tuple[tuple[str, tuple[int, int], str], ...] = (
    ("AdaBoostClassifier(_to_.*)?", (1, 6), "SAMME.R"),
    ("AdaBoostClassifier_SAMME", (1, 3), "SAMME"),
    ("LogisticRegression(CV)?_multinomial", (1, 8), "multinomial"),
    ("LinearDiscriminantAnalysis_to_three", (0, 21), "discriminant"),
    ("(MiniBatch)?SparsePCA", (0, 22), "sparse components"),
)
"""What today's version would answer otherwise: models, since which version, and the reason."""

OTHERWISE: tuple[tuple[str, str, tuple[int, int]], ...] = (
    ("GradientBoostingClassifier_to_three", "decision_function", (1, 4)),  # moved by a number for each sample
    ("IsolationForest.*", "decision_function", (0, 22)),  # moved, so that outliers are below zero
    ("EllipticEnvelope.*", "decision_function", (0, 20)),  # of another power, and moved
    ("(Nu)?SVC_to_three|OneVsOneClassifier.*", "decision_function", (0, 21)),  # votes, and less of distances
    ("OneClassSVM.*", "decision_function", (0, 20)),  # had a second axis
    ("RidgeClassifierCV_to_marks", "predict", (1, 0)),  # knew no several marks
    ("TfidfTransformer_plain", "transform", (1, 0)),  # recorded nothing of what it was fitted to
)
"""Which answers of which models are others since that version, while their predictions are the same."""

ROUGHLY: dict[str, float] = {"kneighbors": 1e-7, "QuantileTransformer": 2e-7, "from_a_model": 1e-6}
"""Tolerances, by a part of the name of a model or method: some took single precision in between."""

pytestmark = pytest.mark.filterwarnings("ignore")


@cache
def _files() -> dict[str, bytes]:
    with tarfile.open(HERE / "estimators.tar.xz") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


def _titles(version: str) -> list[str]:
    names = (name.partition("/") for name in _files() if name.endswith(".json"))
    return sorted(name.removesuffix(".json") for folder, _, name in names if folder == version)


def _number(version: str) -> tuple[int, int]:
    first, second = version.split(".")[:2]
    return int(first), int(second)


def _why_refused(title: str, version: str) -> str | None:
    """A part of the message, if the model is to be refused."""
    if title.split("_")[0] in GONE:
        return "asks for code to be run"
    reasons = (why for form, since, why in REFUSED if re.fullmatch(form, title) and _number(version) < since)
    return next(reasons, None)


def _same(found: Any, expected: Any, tolerance: float) -> bool:
    """Whether answers are the same, up to the rounding of another NumPy."""
    found, expected = np.asarray(make.plain(found)), np.asarray(expected)
    if found.shape != expected.shape:
        return False
    if found.dtype.kind in "biuf" and expected.dtype.kind in "biuf":
        numbers = found.astype(float), expected.astype(float)
        return np.allclose(*numbers, rtol=1e-9, atol=tolerance, equal_nan=True)
    return bool(np.array_equal(found, expected))


def _wrong(title: str, version: str, model: Any, told: dict[str, Any]) -> list[str]:
    """The methods that answer otherwise, of those that today's class has."""
    data, wrong = make.INPUTS[told["input"]], []
    try:
        repr(model.get_params())
    except AttributeError as error:
        wrong.append(f"get_params: {error!r}")
    for method, expected in told["answers"].items():
        if any(re.fullmatch(form, title) and method == name and _number(version) < since
               for form, name, since in OTHERWISE):  # fmt: skip
            continue
        if method not in make.ATTRIBUTES and not hasattr(type(model), method):
            continue
        tolerance = max(
            (value for part, value in ROUGHLY.items() if part in f"{title} {method}"), default=1e-12
        )
        try:
            member = getattr(model, method)
            found = member[: make.ASKED] if method in make.ATTRIBUTES else member(data[: make.ASKED])
            if not _same(found, expected, tolerance):
                wrong.append(method)
        except Exception as error:
            wrong.append(f"{method}: {error!r}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_estimator_of_an_old_version_answers_as_it_did(version: str) -> None:
    """Or it is refused, if today's class is another one or would answer otherwise."""
    if _number(version) > _number(sklearn.__version__):
        pytest.skip(f"needs scikit-learn {version}")
    wrong: dict[str, Any] = {}
    for title in _titles(version):
        why = _why_refused(title, version)
        told = json.loads(_files()[f"{version}/{title}.json"])
        try:
            model = saver.loads(_files()[f"{version}/{title}.joblib"])
        except saver.SaverError as error:
            if why is None or why not in str(error):
                wrong[title] = str(error)
            continue
        if why is not None:
            wrong[title] = "it is read"
        elif found := _wrong(title, version, model, told):
            wrong[title] = found
    assert wrong == {}
    assert len(_titles(version)) > 380


@pytest.mark.slow
def test_the_table_of_new_parameters_is_what_its_script_writes() -> None:
    """A newer scikit-learn may have more of them: then `parameters.py` is to be run."""
    if _number(sklearn.__version__) < (1, 9):
        pytest.skip("the table has what scikit-learn 1.9 added")
    assert parameters.text() == parameters.TABLE.read_text()


@pytest.mark.parametrize(
    "title", ["RandomForestClassifier", "GradientBoostingClassifier", "Pipeline", "SVC", "KMeans"]
)
@pytest.mark.parametrize("version", ["0.19.2", "0.24.2", "1.3.2", "1.7.2"])
def test_common_models_answer_as_they_did(version: str, title: str) -> None:
    model = saver.loads(_files()[f"{version}/{title}.joblib"])
    assert _wrong(title, version, model, json.loads(_files()[f"{version}/{title}.json"])) == []


@pytest.mark.parametrize(("title", "version"), [
    ("GradientBoostingClassifier_to_three", "0.24.2"), ("IsolationForest", "0.20.4"),
    ("SVC_to_three", "0.19.2"),
])  # fmt: skip
def test_where_scores_are_others_predictions_are_not(title: str, version: str) -> None:
    told = json.loads(_files()[f"{version}/{title}.json"])
    assert {"predict", "decision_function"} <= told["answers"].keys()
    model, data = saver.loads(_files()[f"{version}/{title}.joblib"]), make.INPUTS[told["input"]][: make.ASKED]
    assert model.predict(data).tolist() == told["answers"]["predict"]


def test_several_classes_one_against_the_rest_have_the_same_probabilities() -> None:
    """As another class, since that of before answers otherwise."""
    name = "0.20.4/LogisticRegression_to_three"
    model, told = saver.loads(_files()[f"{name}.joblib"]), json.loads(_files()[f"{name}.json"])
    assert type(model).__name__ == "OneVsRestClassifier"
    found = model.predict_proba(make.X[: make.ASKED])
    np.testing.assert_allclose(found, told["answers"]["predict_proba"], rtol=1e-9)


@pytest.mark.parametrize("version", VERSIONS[:-1:3])
def test_the_version_is_recorded_and_loading_warns_of_it(version: str) -> None:
    data = _files()[f"{version}/RandomForestClassifier.joblib"]
    with pytest.warns(saver.VersionWarning, match=re.escape(version)):
        saver.loads(data)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


JOBLIB = sorted(
    path.name for path in (HERE / "joblib").iterdir() if not path.name.endswith((".npy", ".npy.z"))
)


@pytest.mark.parametrize("name", JOBLIB)
@pytest.mark.shows("joblib", "load")
def test_every_layout_of_joblib_is_read(name: str) -> None:
    found = saver.load(HERE / "joblib" / name)
    assert list(map(_plain, found[:3])) == [[*range(5)], [*range(5)], [1, "abc", {"a": 1, "b": 2}]]


def test_arrays_beside_a_file_need_its_path() -> None:
    data = (HERE / "joblib" / "joblib_0.9.2_pickle_py35_np19.pkl").read_bytes()
    with pytest.raises(saver.IncompatibleError, match="in a file beside it"):
        saver.loads(data)
