"""Files written under the oldest and the newest version of a library are read under the installed one."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("pandas")

import numpy as np
import pandas
import sklearn
from sklearn.base import clone

FOLDER = Path(__file__).parent
sys.path += [str(FOLDER), str(FOLDER.parents[1] / "families")]

import fitted
import frames

import saver

ESTIMATORS = [
    pytest.param(path, part.name, id=f"{part.name} of {path.stem.rpartition('-')[2]}")
    for path in sorted(FOLDER.glob("scikit-learn-*.saver"))
    for part in saver.describe(path).parts
    if part.name != fitted.DATA
]
FRAMES = sorted(FOLDER.glob("pandas-*.saver"))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("path", "name"), ESTIMATORS)
def test_an_estimator_of_another_version_predicts_the_same_or_is_named(path: Path, name: str) -> None:
    features, recorded = saver.load(path, parts=[fitted.DATA])[fitted.DATA][name]
    then, here, model, told = path.stem.rpartition("-")[2], sklearn.__version__, None, ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model = saver.load(path, parts=[name])[name]
        except (saver.IncompatibleError, saver.NotFoundError) as error:
            told = str(error)
    told += " ".join(str(each.message) for each in caught if each.category is saver.VersionWarning)
    assert (then == here) == (told == "")
    if told:
        assert_names(told, then, here)
    if model is None:
        assert f"{name} of {then} will not load under {here}" in told
        return
    if f"{name} of {then} cannot be cloned or shown under {here}" in told:
        for act in (clone, repr):
            with pytest.raises(AttributeError):
                act(model)
    elif " cannot be cloned " not in told and "will not predict" not in told:
        clone(model)
    if "will not predict" not in told:
        assert_answers(model, features, recorded)
    elif f"{name} of {then} will not predict under {here}" in told:  # not only one that it is made of
        with pytest.raises((AssertionError, AttributeError, ValueError)):
            assert_answers(model, features, recorded)


def assert_names(told: str, then: str, here: str) -> None:
    assert then != here
    assert then in told
    assert here in told


def assert_answers(model: Any, features: Any, recorded: dict[str, Any]) -> None:
    for method, answer in recorded.items():
        np.testing.assert_allclose(
            fitted.answer_of(model, method, features.copy()), answer, rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_values_of_another_pandas_are_read_or_refused_by_both_versions(path: Path) -> None:
    then, here = path.stem.rpartition("-")[2], pandas.__version__
    texts = saver.load(path, parts=["texts"])["texts"]
    for name, text in texts.items():
        try:
            found = saver.load(path, parts=[name])[name]
        except saver.IncompatibleError as error:  # text of pandas 3 has a dtype that pandas 2.2 lacks
            assert_names(str(error), then, here)
        else:
            assert frames.text(found) == text


def test_there_are_files_of_two_versions() -> None:
    assert len(FRAMES) == len({path.values[0] for path in ESTIMATORS}) == 2
