"""CatBoost: models come back to the bit under trust, and CatBoost's bytes are never read without it."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes

import saver
from saver.errors import CannotSaveError, IncompatibleError, UntrustedError
from saver.testing import CodecTests
from saver.testing.codecs import StoredObject, bytes_of, load

catboost = pytest.importorskip("catboost")

pytestmark = [
    pytest.mark.xdist_group("catboost"),
    pytest.mark.filterwarnings("ignore:.*has not reviewed"),
]

TRUST = ("catboost.*",)
SMALL = {
    "iterations": 4, "depth": 3, "thread_count": 1, "verbose": 0, "allow_writing_files": False,
    "random_seed": 1,
}  # fmt: skip

LOSSES = {
    "CatBoostRegressor": (
        "RMSE", "MAE", "MAPE", "Poisson", "Quantile:alpha=0.3", "MultiQuantile:alpha=0.2,0.8",
        "Expectile:alpha=0.3", "LogLinQuantile", "Lq:q=3", "Huber:delta=2", "Tweedie:variance_power=1.5",
        "RMSEWithUncertainty", "LogCosh",
    ),
    "CatBoostClassifier": (
        "Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll",
        "Focal:focal_alpha=0.5;focal_gamma=1",
    ),
    "CatBoostRanker": (
        "YetiRank", "PairLogit", "QueryRMSE", "QuerySoftMax", "YetiRankPairwise",
        "PairLogitPairwise",
    ),
    "CatBoost": ("RMSE", "Logloss"),
}  # fmt: skip
"""The objectives of each estimator."""


def rows() -> tuple[Any, Any]:
    features, target = load_diabetes(return_X_y=True)
    return features[:90], target[:90]


@cache
def trained(name: str, loss: str) -> Any:
    """A model of diabetes. Made once: CatBoost gives each model an identifier of its own."""
    features, target = rows()
    more: dict[str, Any] = {}
    if "Multi" in loss and name == "CatBoostClassifier":
        target = np.digitize(target, [90, 160])
    elif name != "CatBoostRegressor" and loss != "RMSE":
        target = (target > 100).astype(float)
    if name == "CatBoostRanker":
        more["group_id"] = np.repeat(np.arange(9), 10)
    settings = {"loss_function": loss, **SMALL}
    model = catboost.CatBoost(settings) if name == "CatBoost" else getattr(catboost, name)(**settings)
    return model.fit(features, target, **more)


def frame() -> Any:
    """A data frame with categories, texts and numbers."""
    features, _ = rows()
    words = np.array(["red", "blue", "green"])
    return pd.DataFrame(
        {
            "kind": words[np.arange(90) * 7 % 3],
            "text": [" ".join(words[[i % 3, i * 5 % 3]]) for i in range(90)],
            "x": features[:, 2],
        }
    )


@cache
def with_categories() -> Any:
    model = catboost.CatBoostClassifier(**SMALL, cat_features=["kind"], text_features=["text"])
    return model.fit(frame(), rows()[1] > 100)


def again(model: Any, trusted: tuple[str, ...] = TRUST) -> Any:
    return saver.loads(saver.dumps(model), trust=trusted)


class TestModels(CodecTests):
    family = "catboost"
    trust = TRUST
    samples: ClassVar[dict[str, Any]] = {
        "classifier": lambda: trained("CatBoostClassifier", "MultiClass"),
        "not fitted": lambda: catboost.CatBoostRanker(iterations=3),
    }


@pytest.mark.parametrize(("name", "loss"), [(name, loss) for name in LOSSES for loss in LOSSES[name]])
def test_every_objective_comes_back_and_trains_on_the_same(name: str, loss: str) -> None:
    made, (features, _) = trained(name, loss), rows()
    found = again(made)
    assert type(found) is type(made)
    assert found.predict(features).tobytes() == made.predict(features).tobytes()
    assert found == made
    assert found.get_params() == made.get_params()
    best = made.get_best_score().get("learn", {})  # CatBoost writes some numbers with 15 digits
    assert found.get_best_score().get("learn", {}) == {
        name: pytest.approx(value, 1e-9) for name, value in best.items()
    }
    assert found.n_features_in_ == made.n_features_in_
    assert np.array_equal(found.feature_importances_, made.feature_importances_)


def test_training_goes_on_as_from_a_model_that_catboost_read() -> None:
    """It goes on otherwise from a model that it has just trained, but only the first time."""
    (features, target), made = rows(), trained("CatBoostRegressor", "RMSE")

    def more(start: Any) -> bytes:
        model = catboost.CatBoostRegressor(**SMALL).fit(features, target, init_model=start)
        return bytes(model.predict(features).tobytes())

    assert more(again(made)) == more(made.copy())


def test_categories_and_texts_come_back() -> None:
    found = again(with_categories())
    assert found.predict_proba(frame()).tobytes() == with_categories().predict_proba(frame()).tobytes()
    assert found.feature_names_ == ["kind", "text", "x"]
    with pytest.raises(CannotSaveError, match="text features was loaded"):
        saver.dumps(found)


def test_what_was_loaded_is_saved_as_the_same_bytes() -> None:
    made = trained("CatBoostClassifier", "Logloss")
    assert made._serialize_model() != again(made)._serialize_model()  # its first reload changes the bytes
    assert bytes_of(made) == bytes_of(again(made)) == bytes_of(again(again(made)))


@pytest.mark.shows("CatBoost", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_predicts_the_same_bits(tmp_path: Path) -> None:
    features, _ = rows()
    names = {name: trained(name, losses[0]) for name, losses in LOSSES.items()}
    for name, made in names.items():
        saver.dump(made, tmp_path / f"{name}.saver")
        np.save(tmp_path / f"{name}.npy", made.predict(features))
    np.save(tmp_path / "features.npy", features)
    program = (
        f"import numpy as np, saver\nfolder = {str(tmp_path)!r}\n"
        "features = np.load(f'{folder}/features.npy')\n"
        f"for name in {list(names)!r}:\n"
        "    found = saver.load(f'{folder}/{name}.saver', trust=['catboost.*']).predict(features)\n"
        "    assert found.tobytes() == np.load(f'{folder}/{name}.npy').tobytes(), name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_nothing_of_it_is_read_without_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saver.dumps(trained("CatBoostRegressor", "RMSE"))
    monkeypatch.setattr("saver.families.catboost.codecs._read", lambda model: pytest.fail("it was read"))
    with pytest.raises(UntrustedError, match=r"catboost\.core\.CatBoost\b"):
        saver.loads(data)


class Own(catboost.CatBoostRegressor):  # type: ignore[misc]
    pass


def test_trust_in_a_derived_class_is_not_trust_in_bytes_for_catboost() -> None:
    features, target = rows()
    model = Own(**SMALL).fit(features, target)
    with pytest.raises(UntrustedError, match=r"for catboost\.core\.CatBoost,"):
        again(model, (f"{__name__}.*",))
    found = again(model, (f"{__name__}.*", "catboost.core.CatBoost"))
    assert found.predict(features).tobytes() == model.predict(features).tobytes()


def test_the_bytes_of_a_model_cannot_name_a_class_that_is_trusted() -> None:
    saved = StoredObject(trained("CatBoostRegressor", "RMSE"))
    for node in saved.nodes():
        if node["$"] == "catboost.model":
            node["class"] = f"{__name__}:Own"
    with pytest.raises(IncompatibleError, match="another class than CatBoost"):
        load(saved, (f"{__name__}.*", "catboost.core.CatBoostRegressor"))


@pytest.mark.shows("CatBoost", "restore")
def test_a_model_is_restored_in_place(tmp_path: Path) -> None:
    features, target = rows()
    made, other = trained("CatBoostRegressor", "MAE"), catboost.CatBoostRegressor(**SMALL)
    store = saver.Saver(tmp_path)
    store.save("model", {"trees": made})
    with pytest.raises(UntrustedError):
        store.restore("model", {"trees": other})
    store.restore("model", {"trees": other.fit(features, target)}, trust=TRUST)
    assert other == made
    assert other.get_params() == made.get_params()


def test_data_is_refused_and_the_message_says_what_to_save() -> None:
    with pytest.raises(CannotSaveError, match="it is data, not a model"):
        saver.dumps(catboost.Pool(*rows()))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CatBoost writes into the working directory."""
    monkeypatch.chdir(tmp_path)
