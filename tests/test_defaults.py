"""Default arguments are read from the source of a library, without importing it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import pytest

from saver.defaults import default_arguments


def estimators() -> list[Any]:
    utils = pytest.importorskip("sklearn.utils")
    return [cls for _, cls in utils.all_estimators()]


def test_they_are_those_that_the_constructor_has():
    """Of every estimator; a default that is not a plain value is left out."""
    found = 0
    for cls in estimators():
        name = f"{cls.__module__}:{cls.__qualname__}"
        parameters = inspect.signature(cls.__init__).parameters.values()
        known = {each.name: repr(each.default) for each in parameters if each.default is not each.empty}
        read = default_arguments(name)
        assert read.items() <= known.items(), name
        found += len(read)
    assert found > 1000


@pytest.mark.parametrize(
    "name",
    [
        "sklearn.nowhere:Nothing", "sklearn:Nothing", "sklearn.tree._classes:Nothing", "sklearn", ":", "",
        "sklearn...:X", "sklearn/../os:X", "sklearn.tree._classes:.*", "subprocess:Popen", "nowhere.at.all:X",
        "sklearn.tree._tree:Tree", "numpy:ndarray", "sklearn." + "a." * 5000 + "b:C", "sklearn.\x00:C",
    ],
)  # fmt: skip
def test_what_is_not_found_has_none(name):
    assert default_arguments(name) == {}


def test_nothing_is_imported():
    pytest.importorskip("sklearn")
    code = (
        "import sys; from saver.defaults import default_arguments as d;"
        "assert d('sklearn.linear_model._logistic:LogisticRegression')['C'] == '1.0';"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
