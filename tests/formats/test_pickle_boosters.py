"""Pickles of XGBoost and LightGBM are read as what a save would write."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from formats.pickles import make_boosters
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.formats.pickle.writing import Writer
from saver.pickled import Pairs

pytest.importorskip("sklearn")

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.frameworks]

_RANDOM = np.random.default_rng(0)
X = _RANDOM.uniform(size=(60, 3))
Y = (X[:, 0] > 0.5).astype(int)
THREE = np.digitize(X[:, 1], [0.3, 0.6])


def _xgboost(name: str, target: Any = Y, **options: Any) -> Any:
    library = pytest.importorskip("xgboost")
    fit = {"group": [20, 20, 20]} if name == "XGBRanker" else {}
    return getattr(library, name)(n_estimators=3, max_depth=2, n_jobs=1, **options).fit(X, target, **fit)


def _lightgbm(name: str, target: Any = Y, **options: Any) -> Any:
    library = pytest.importorskip("lightgbm")
    fit = {"group": [20, 20, 20]} if name == "LGBMRanker" else {}
    settings = {"n_estimators": 3, "num_leaves": 4, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
    return getattr(library, name)(**settings | options).fit(X, target, **fit)


def _categories(make: Callable[..., Any], **options: Any) -> Any:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical.from_codes(THREE, list("xyz"))})
    return make(n_estimators=3, **options).fit(frame, Y)


MODELS: dict[str, Callable[[], Any]] = {
    "XGBClassifier": lambda: _xgboost("XGBClassifier"),
    "XGBClassifier to three": lambda: _xgboost("XGBClassifier", THREE),
    "XGBClassifier, linear": lambda: _xgboost("XGBClassifier", booster="gblinear"),
    "XGBClassifier, dart": lambda: _xgboost("XGBClassifier", booster="dart", rate_drop=0.5),
    "XGBRegressor": lambda: _xgboost("XGBRegressor", X[:, 2], objective="reg:absoluteerror"),
    "XGBRegressor to two": lambda: _xgboost("XGBRegressor", X[:, :2], multi_strategy="multi_output_tree"),
    "XGBRFClassifier": lambda: _xgboost("XGBRFClassifier"),
    "XGBRanker": lambda: _xgboost("XGBRanker"),
    "XGBClassifier of categories": lambda: _categories(
        pytest.importorskip("xgboost").XGBClassifier, enable_categorical=True
    ),
    "LGBMClassifier": lambda: _lightgbm("LGBMClassifier"),
    "LGBMClassifier to three": lambda: _lightgbm("LGBMClassifier", THREE),
    "LGBMClassifier, dart": lambda: _lightgbm("LGBMClassifier", boosting_type="dart"),
    "LGBMClassifier, forest": lambda: _lightgbm(
        "LGBMClassifier", boosting_type="rf", subsample=0.5, subsample_freq=1
    ),
    "LGBMRegressor": lambda: _lightgbm("LGBMRegressor", X[:, 2]),
    "LGBMRegressor, linear": lambda: _lightgbm("LGBMRegressor", X[:, 2], linear_tree=True),
    "LGBMRanker": lambda: _lightgbm("LGBMRanker"),
    "LGBMClassifier of categories": lambda: _categories(
        pytest.importorskip("lightgbm").LGBMClassifier, verbose=-1, min_child_samples=5
    ),
}


def _booster(model: Any) -> Any:
    return model.booster_ if hasattr(model, "booster_") else model.get_booster()


@pytest.mark.parametrize("part", ["estimator", "booster"])
@pytest.mark.parametrize("name", MODELS)
def test_a_pickle_is_read_as_what_a_save_would_write(name: str, part: str, tmp_path: Path) -> None:
    model = MODELS[name]()
    value = model if part == "estimator" else _booster(model)
    path, same = tmp_path / "model.pkl", tmp_path / "model.saver"
    saver.dump(value, same)
    for protocol in (2, 4, 5):
        path.write_bytes(pickle.dumps(value, protocol))
        hashes = [[part.hash for part in saver.describe(each).parts] for each in (path, same)]
        assert hashes[0] == hashes[1]
    found = saver.load(path)
    assert type(found) is type(value)
    if part == "estimator" and "categories" not in name:
        assert np.array_equal(found.predict(X), model.predict(X))


@pytest.mark.parametrize("name", ["XGBClassifier", "LGBMClassifier"])
def test_models_lie_beside_others_in_files_of_joblib(name: str, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    pipeline = pytest.importorskip("sklearn.pipeline").make_pipeline
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler
    model = MODELS[name]()
    whole = pipeline(scaler(), model).fit(X, Y)
    joblib.dump({"model": whole, "rows": X}, tmp_path / "model.joblib", compress=3)
    found = saver.load(tmp_path / "model.joblib")
    assert np.array_equal(found["model"].predict_proba(found["rows"]), whole.predict_proba(X))


@pytest.mark.parametrize(("name", "library"), [("XGBClassifier", "xgboost"), ("LGBMClassifier", "lightgbm")])
def test_the_library_is_not_imported_to_show_one(name: str, library: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(MODELS[name]()))
    program = (
        "import sys, saver; print(saver.describe(sys.argv[1]).parts[0].kind); "
        "print(sorted({'xgboost', 'lightgbm', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{library}.sklearn.{name}", "[]"]


HERE = Path(__file__).parent / "pickles"


@cache
def golden() -> dict[str, bytes]:
    """The files of old environments, by library and version, and name."""
    with tarfile.open(HERE / "boosters.tar.xz") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


FOLDERS = sorted({name.partition("/")[0] for name in golden()})


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_model_of_an_old_version_answers_as_it_did(folder: str) -> None:
    library = pytest.importorskip(folder.partition("-")[0])
    titles = [name[:-5] for name in golden() if name.startswith(f"{folder}/") and name.endswith(".json")]
    assert len(titles) >= 5
    for title in titles:
        model = saver.loads(golden()[f"{title}.pkl"])
        for method, expected in json.loads(golden()[f"{title}.json"]).items():
            found = getattr(model, method)(make_boosters.X[: make_boosters.ASKED])
            np.testing.assert_allclose(found, expected, rtol=1e-6, err_msg=title)
        assert model.get_params()  # which older ones have fewer of
        booster = saver.loads(golden()[f"{title}_booster.pkl"])
        assert type(booster) is library.Booster


def _margin(model: Any, xgboost: Any) -> Any:
    return model.predict(xgboost.DMatrix(make_boosters.X), output_margin=True)


def test_old_models_are_trained_on_as_they_were() -> None:
    """Each form that XGBoost's pickles have had: structs, JSON, and its binary form."""
    xgboost = pytest.importorskip("xgboost")
    found = []
    for version in ("0.90", "1.2.1", "1.3.3", "1.7.6", "2.0.3"):
        old = saver.loads(golden()[f"xgboost-{version}/classifier_booster.pkl"])
        data = xgboost.DMatrix(make_boosters.X, label=make_boosters.Y2)
        grown = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 1, xgb_model=old)
        assert grown.num_boosted_rounds() == old.num_boosted_rounds() + 1
        found.append(_margin(grown, xgboost) - _margin(old, xgboost))
    assert all(np.any(step) for step in found)


def test_classes_that_are_not_numbers_are_refused() -> None:
    """Classifiers had names for their classes until 1.5; today's have not."""
    pytest.importorskip("xgboost")
    golden_one = golden()["xgboost-1.3.3/classifier.pkl"]
    root = run(Machine(memoryview(golden_one)))
    state = dict(root.state.items)
    classes = run(Machine(memoryview(pickle.dumps(np.array(["no", "yes"], object), 4))))
    root.state = Pairs([*(state | {"classes_": classes}).items()])
    data = b"".join(piece for piece in Writer(4).pieces(root) if isinstance(piece, bytes))
    with pytest.raises(saver.IncompatibleError, match="name the classes yourself"):
        saver.loads(data)
