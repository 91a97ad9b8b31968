"""What matches its hash and is not understood here is incompatible, and never damage."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from forge import File, forged
from sklearn.preprocessing import StandardScaler

import saver


@pytest.fixture
def scaler(tmp_path: Path) -> File:
    """A fitted scaler in a file."""
    fitted = StandardScaler().fit(np.arange(12.0).reshape(6, 2))
    return forged(tmp_path, fitted)


def _incompatible(path: Path) -> str:
    with pytest.raises(saver.IncompatibleError) as error:
        saver.load(path)
    return str(error.value)


def _broken(file: File, then: str | None) -> File:
    """The same with state that no scikit-learn here can take, recorded as of the version `then`."""
    file.tree["state"] = [1, 2, 3]
    packages = file.manifest["environment"]["packages"]
    del packages["sklearn"]
    if then is not None:
        packages["sklearn"] = then
    return file


@pytest.mark.filterwarnings("ignore::saver.VersionWarning")
def test_state_of_another_version_names_both_versions_and_the_way_out(scaler: File, tmp_path: Path) -> None:
    path = _broken(scaler, "0.99.1").write(tmp_path / "old.saver")
    error = _incompatible(path)
    assert f"saved under scikit-learn 0.99.1 (here: {sklearn.__version__})" in error
    assert "install scikit-learn==0.99.1" in error


def test_state_of_the_same_version_that_is_not_understood_says_that_too(scaler: File, tmp_path: Path) -> None:
    path = _broken(scaler, sklearn.__version__).write(tmp_path / "same.saver")
    error = _incompatible(path)
    assert f"saved under scikit-learn {sklearn.__version__}, the same as here" in error
    assert "install" not in error


@pytest.mark.filterwarnings("ignore::saver.VersionWarning")
def test_where_no_version_is_known_none_is_named(scaler: File, tmp_path: Path) -> None:
    path = _broken(scaler, None).write(tmp_path / "unknown.saver")
    assert "saved under" not in _incompatible(path)


@pytest.mark.filterwarnings("ignore::saver.VersionWarning")
def test_restoring_names_the_versions_too(scaler: File, tmp_path: Path) -> None:
    file = _broken(scaler, "0.99.1")
    store = saver.Saver("memory://restoring-names-the-versions")
    version = store.import_(file.write(tmp_path / "old.saver"), "scaler")
    with pytest.raises(saver.SaverError, match=r"0\.99\.1") as error:
        store.restore(str(version), into=StandardScaler())
    assert isinstance(error.value, saver.IncompatibleError)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a tree that can be replaced."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield value, key
        yield from _places(item)


STRANGE = [None, True, -1, 10**30, "x", [], {}, {"$": "list"}, {"$tensor": "no"}, {"$ref": 99}]


@pytest.mark.filterwarnings("ignore::saver.VersionWarning")
def test_whatever_stands_behind_a_right_hash_it_is_never_damage(scaler: File, tmp_path: Path) -> None:
    chance = random.Random(5)
    seen = set()
    count = len(list(_places(scaler.manifest)))
    for number in range(count):
        file = copy.deepcopy(scaler)
        container, key = list(_places(file.manifest))[number]
        container[key] = chance.choice(STRANGE)
        path = file.write(tmp_path / "strange.saver")
        try:
            saver.load(path)
        except saver.SaverError as error:
            seen.add(type(error))
    assert saver.IncompatibleError in seen
    assert saver.DamagedError not in seen


def test_changed_bytes_are_damage_or_no_saver_file_any_more(scaler: File, tmp_path: Path) -> None:
    path = scaler.write(tmp_path / "good.saver")
    good = path.read_bytes()
    chance = random.Random(7)
    places = [*range(8), *chance.sample(range(8, len(good)), 100)]
    for at in places:
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << chance.randrange(8))]) + good[at + 1 :])
        beginning = at < 64
        with pytest.raises(
            (saver.DamagedError, saver.IncompatibleError) if beginning else saver.DamagedError
        ):
            saver.load(path)
