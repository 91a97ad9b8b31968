"""sktime: objects of every kind answer the same once they are loaded, with trust and none of their code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("sktime")

import numpy as np
import pandas as pd
import sktime_models as small
from sktime.forecasting.base import ForecastingHorizon
from sktime.forecasting.naive import NaiveForecaster
from sktime.registry import all_estimators
from sktime.transformations.series.func_transform import FunctionTransformer

import saver
from saver.errors import CannotSaveError, IncompatibleError, UntrustedError
from saver.testing import CodecTests
from saver.testing.codecs import StoredObject, bytes_of, load

pytestmark = [pytest.mark.xdist_group("sktime"), pytest.mark.filterwarnings("ignore")]

TRUST = ("sktime.*",)


@pytest.mark.shows("sktime", "save", "load")
@pytest.mark.slow
def test_every_kind_answers_the_same_in_a_fresh_process(tmp_path: Path) -> None:
    for kind, make in small.KINDS.items():
        made, ask = make()
        saver.dump(made, tmp_path / f"{kind}.saver")
        saver.dump(ask(made), tmp_path / f"{kind}.answer")
    program = (
        "import sys, saver\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import sktime_models as small\nfrom saver.testing.codecs import bytes_of\n"
        "for kind in small.KINDS:\n"
        f"    found = saver.load(f'{tmp_path}/{{kind}}.saver', trust={list(TRUST)})\n"
        f"    expected = bytes_of(saver.load(f'{tmp_path}/{{kind}}.answer'))\n"
        "    assert bytes_of(small.answer(kind, found)) == expected, kind\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


class TestObjects(CodecTests):
    family = "sktime"
    trust = TRUST
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        "horizon": lambda: ForecastingHorizon([1, 2, 3], is_relative=True),
        "forecaster": lambda: NaiveForecaster(sp=3).fit(small.series(), fh=[1]),
        "transformer": lambda: small.KINDS["transformer"]()[0],
    }


def test_nothing_is_loaded_without_trust() -> None:
    with pytest.raises(UntrustedError, match="NaiveForecaster"):
        saver.loads(saver.dumps(NaiveForecaster()))


def test_a_loaded_forecaster_goes_on_to_learn() -> None:
    whole = small.series()
    made = NaiveForecaster(strategy="mean").fit(whole[:40], fh=[1, 2])
    found = saver.loads(saver.dumps(made), trust=TRUST)
    assert bytes_of(found.update(whole[40:]).predict()) == bytes_of(made.update(whole[40:]).predict())


def test_a_function_in_one_needs_trust_of_its_own() -> None:
    made = FunctionTransformer(np.log1p)
    assert saver.loads(saver.dumps(made), trust=TRUST).func is np.log1p
    with pytest.raises(CannotSaveError, match="lambda"):
        saver.dumps(FunctionTransformer(lambda x: x))


def test_a_function_in_the_place_of_a_class_is_refused() -> None:
    saved = StoredObject(NaiveForecaster())
    (node,) = (node for node in saved.nodes() if str(node.get("class")).endswith("NaiveForecaster"))
    node["class"] = "sktime.utils.validation.series:is_integer_index"
    with pytest.raises(IncompatibleError):
        load(saved, TRUST)


REFUSED = {"HMM"}
"""Those whose test object holds a method."""


@pytest.mark.slow
def test_every_object_comes_back_as_its_constructor_made_it() -> None:
    """All of the kinds whose constructors load no large library."""
    tried = 0
    for kind in ("transformer", "splitter", "metric", "param_est", "clusterer", "aligner", "detector"):
        for name, cls in all_estimators(kind, return_names=True):
            if name in REFUSED or "torch" in str(cls.get_class_tag("python_dependencies")):
                continue
            try:
                made = cls.create_test_instance()
            except Exception:  # it needs a library that is missing
                continue
            found = saver.loads(saver.dumps(made), trust=(*TRUST, "pandas.*", "sklearn.*"))
            assert bytes_of(found) == bytes_of(made), name
            tried += 1
    assert tried > 200


def test_a_saved_index_keeps_its_frequency() -> None:
    made = NaiveForecaster().fit(small.series(), fh=[1])
    found = saver.loads(saver.dumps(made), trust=TRUST)
    assert isinstance(found.cutoff, pd.PeriodIndex)
    assert found.cutoff.freq == made.cutoff.freq
