"""A file whose library is not installed: every door names the package, and the line that installs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
pytest.importorskip("sklearn")
pytest.importorskip("torch")

import pandas as pd
import pyarrow as pa
import scipy.sparse
import scipy.special
import torch
from sklearn.linear_model import LinearRegression

import saver
from saver import registry, trust
from saver.codec.absent import absent

SAMPLES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: pd.Series([1.0]),
    "pyarrow": lambda: pa.array([1]),
    "scikit-learn": LinearRegression,
    "scipy": lambda: scipy.sparse.eye_array(2).tocsr(),
    "torch": lambda: torch.nn.Linear(1, 1),
}
"""For each library, by its name for pip, an object of it."""

PROGRAM = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in PACKAGES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

PACKAGES = sys.argv[2].split(",")
sys.meta_path.insert(0, Nothing())

import numpy as np
import saver

path, store = sys.argv[1], saver.Saver(sys.argv[3])
sys.path[:0] = sys.argv[4:]
doors = {
    "load": lambda: saver.load(path),
    "lazy": lambda: saver.load(path, lazy=True),
    "restore": lambda: saver.restore(path, {"m": {"a": 0}}, strict=False),
    "store.load": lambda: store.load("m"),
}
for door, call in doors.items():
    try:
        call()
    except saver.SaverError as error:
        print(door, type(error).__name__, error, sep="|")
"""


def told(path: Path, packages: str, store: Path, *folders: Path) -> dict[str, str]:
    """What each door says in a process that lacks these packages, and imports from these folders first."""
    run = [sys.executable, "-c", PROGRAM, str(path), packages, str(store), *map(str, folders)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True)
    return dict(line.split("|", 1) for line in done.stdout.splitlines())


def saved(obj: Any, folder: Path) -> tuple[Path, Path]:
    parts = {"m": {"a": obj}}
    saver.dump(parts, folder / "m.saver")
    saver.Saver(folder / "store").save("m", parts)
    return folder / "m.saver", folder / "store"


@pytest.mark.parametrize("library", SAMPLES)
def test_a_missing_library_is_named_at_every_door(library: str, tmp_path: Path) -> None:
    path, store = saved(SAMPLES[library](), tmp_path)
    package = {"scikit-learn": "sklearn"}.get(library, library)
    found = told(path, package, store)
    assert found.keys() >= {"load", "lazy", "restore", "store.load"}
    for door, sentence in found.items():
        assert sentence.startswith("IncompatibleError|"), door
        assert f"needs {library}, which is not installed here: pip install {library}" in sentence


@pytest.mark.parametrize("error", ["OSError", "NameError", "RuntimeError", "SyntaxError"])
@pytest.mark.parametrize("library", ["pandas", "torch", "scipy"])
def test_a_library_that_breaks_when_it_is_imported_is_named_at_every_door(
    library: str, error: str, tmp_path: Path
) -> None:
    """As LightGBM does without libgomp, and any library that is older than its Python."""
    path, store = saved(SAMPLES[library](), tmp_path)
    (tmp_path / "broken" / library).mkdir(parents=True)
    (tmp_path / "broken" / library / "__init__.py").write_text(f"raise {error}('broken')\n")
    for door, sentence in told(path, "", store, tmp_path / "broken").items():
        assert sentence.startswith("IncompatibleError|"), door
        assert f"needs {library}, which cannot be used here ({error}: broken" in sentence, sentence


def test_a_module_that_breaks_when_it_is_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text("undefined\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(saver.NotFoundError, match=r"cannot be imported on this machine .NameError: name"):
        trust.resolve("broken_module:Thing")


def test_all_missing_libraries_are_named_at_once(tmp_path: Path) -> None:
    path, store = saved([make() for make in SAMPLES.values()], tmp_path)
    found = told(path, "torch,pandas,pyarrow", store)
    assert (
        "needs pandas, pyarrow, torch, which are not installed here: pip install pandas pyarrow torch"
        in (found["load"])
    )


def test_a_function_of_a_missing_library_says_what_to_install(tmp_path: Path) -> None:
    path, store = saved(scipy.special.expit, tmp_path)
    assert told(path, "scipy", store)["load"].endswith("; pip install scipy")


def test_a_library_that_cannot_be_imported_is_distinguished_from_a_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = saved(pd.Series([1.0]), tmp_path)
    monkeypatch.setattr("saver.codec.lookup._by_name", {})
    monkeypatch.setitem(sys.modules, "saver.families.pandas.codecs", None)
    with pytest.raises(
        saver.IncompatibleError, match=r"pandas, which cannot be used here .*reinstall pandas"
    ):
        saver.load(path)


def test_show_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from saver.cli import program

    path, _ = saved(pd.Series([1.0]), tmp_path)
    assert "Missing" not in CliRunner().invoke(program, ["show", str(path)]).output
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "pip install pandas" in CliRunner().invoke(program, ["show", str(path)]).output


def test_only_libraries_that_saver_knows_are_named_to_pip() -> None:
    assert absent(["nowhere", "os", "numpy", "list"]) == []
    own = {family.packages[0] for family in registry.families()}
    assert set(absent(own)) <= {family.distribution or family.packages[0] for family in registry.families()}
    assert np.__name__ in own
    with pytest.raises(saver.NotFoundError) as caught:
        trust.resolve("nowhere_at_all.module:Thing")
    assert "pip" not in str(caught.value)
