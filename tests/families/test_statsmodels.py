"""statsmodels: results come back and say the same; what would evaluate a formula is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("statsmodels")

import statsmodels.api as sm
import statsmodels.formula.api as formulas
import statsmodels_models as small

import saver
from saver.errors import CannotSaveError, IncompatibleError
from saver.families.statsmodels.codecs import ObjectCodec
from saver.testing import CodecTests
from saver.testing.codecs import StoredObject, load

pytestmark = [pytest.mark.xdist_group("statsmodels"), pytest.mark.filterwarnings("ignore")]


def said(found: Any) -> str:
    return repr([(name, small.plain(value)) for name, value in small.answers(found)])


@pytest.mark.parametrize("kind", small.FITTED)
def test_results_say_the_same_again(kind: str) -> None:
    made = small.FITTED[kind]()
    fresh = saver.loads(saver.dumps(made))
    assert said(fresh) == said(made)
    assert said(saver.loads(saver.dumps(made))) == said(made), "also after all of it was computed"
    assert object.__getattribute__(fresh, "__doc__") == object.__getattribute__(made, "__doc__")


@pytest.mark.shows("statsmodels", "save", "load")
@pytest.mark.slow
def test_a_fresh_process_says_the_same(tmp_path: Path) -> None:
    for kind, make in small.FITTED.items():
        made = make()
        saver.dump(made, tmp_path / f"{kind}.saver")
        saver.dump(said(made), tmp_path / f"{kind}.said")
    program = (
        "import sys, saver\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import statsmodels_models as small\n"
        "for kind in small.FITTED:\n"
        f"    found = saver.load(f'{tmp_path}/{{kind}}.saver')\n"
        "    made = repr([(name, small.plain(value)) for name, value in small.answers(found)])\n"
        f"    assert made == saver.load(f'{tmp_path}/{{kind}}.said'), kind\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)


class TestResults(CodecTests):
    family = "statsmodels"
    samples: ClassVar[dict[str, Callable[[], Any]]] = {
        kind: small.FITTED[kind] for kind in ("OLS", "GLM binomial", "RLM HuberT")
    }


def test_what_was_made_from_a_formula_is_refused() -> None:
    features, target = small.data(True)
    made = formulas.ols("target ~ age", features.assign(target=target)).fit()
    with pytest.raises(CannotSaveError, match="formula"):
        saver.dumps(made)


@pytest.mark.parametrize("name", ["formula", "model_spec", "design_info", "restore_model_spec"])
def test_a_model_cannot_bring_a_formula(name: str) -> None:
    for part in ("model", "data"):
        made = small.FITTED["OLS"]()
        vars(made.model if part == "model" else made.model.data)[name] = "__import__('os').system('true')"
        with pytest.raises(CannotSaveError, match="formula"):
            saver.dumps(made)
        with pytest.raises(ValueError, match="formula"):
            ObjectCodec().check(made.model if part == "model" else made.model.data)


def test_a_wrapper_wraps_a_result() -> None:
    saved = StoredObject(small.FITTED["OLS"]())
    node = next(node for node in saved.nodes() if str(node.get("class")).endswith("ResultsWrapper"))
    node["state"]["attributes"]["_results"] = 3
    with pytest.raises(IncompatibleError, match="not a result"):
        load(saved, ())


def test_state_space_models_are_refused_and_the_message_says_what_to_save() -> None:
    made = sm.tsa.ARIMA(small.data()[1], order=(1, 0, 0)).fit()
    with pytest.raises(CannotSaveError, match="smooth"):
        saver.dumps(made)
