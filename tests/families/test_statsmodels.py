"""statsmodels: results come back and say the same; what would evaluate a formula is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("statsmodels")

import numpy as np
import statsmodels.api as sm
import statsmodels.formula.api as formulas
import statsmodels_models as small

import saver
from saver.errors import CannotSaveError, IncompatibleError
from saver.families.statsmodels.codecs import ObjectCodec
from saver.families.statsmodels.statespace import SpaceCodec
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
        kind: small.FITTED[kind]
        for kind in ("OLS", "GLM binomial", "RLM HuberT", "SARIMAX", "ConditionalPoisson")
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


def _space(made: Any) -> dict[str, Any]:
    """What is saved of the representation of a state-space model."""
    return vars(made.model.ssm)


def _check_spaces(space: Any) -> None:
    """What a load checks of a representation and of what initializes it."""
    start = vars(space)["initialization"]
    SpaceCodec().check(space)
    for each in (start, *vars(start)["blocks"].values()):
        SpaceCodec().check(each)


CHANGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "fewer states": lambda own: own.update(k_states=1),
    "more states": lambda own: own.update(k_states=2**30),
    "no states": lambda own: own.update(k_states=0),
    "more disturbances": lambda own: own.update(k_posdef=9),
    "more periods": lambda own: own.update(nobs=10**6),
    "the number of periods is text": lambda own: own.update(nobs="60"),
    "a smaller design": lambda own: own.update(_design=own["_design"][:, :1]),
    "a longer selection": lambda own: own.update(_selection=np.repeat(own["_selection"], 7, axis=2)),
    "a matrix of whole numbers": lambda own: own.update(_transition=own["_transition"].astype(int)),
    "no matrix": lambda own: own.update(_state_cov=None),
    "shorter data": lambda own: own.update(endog=own["endog"][:, :5]),
    "another shape is written down": lambda own: own["shapes"].update(transition=(99, 99, 1)),
    "states before the first": lambda own: _reblock(own, (-1,)),
    "states behind the last": lambda own: _reblock(own, (10**6,)),
    "states with gaps": lambda own: _reblock(own, (0, 2)),
    "something else is a block": lambda own: vars(own["initialization"])["blocks"].update({(0,): 3}),
    "another kind of beginning": lambda own: vars(own["initialization"]).update(initialization_type="known!"),
    "shorter beginning": lambda own: vars(own["initialization"]).update(constant=np.zeros(1)),
    "states in another order": lambda own: vars(own["initialization"]).update(_states=(2, 1, 0)),
    "nothing begins": lambda own: own.update(initialization=5),
}
"""Changes with which compiled code would read or write elsewhere."""


def _reblock(own: dict[str, Any], numbers: tuple[int, ...]) -> None:
    blocks = vars(own["initialization"])["blocks"]
    blocks[numbers] = blocks.pop(next(iter(blocks)))


@pytest.mark.shows("statsmodels", "hostile files tried")
@pytest.mark.parametrize("change", CHANGED)
def test_a_representation_whose_sizes_do_not_fit_is_refused(change: str, record_property: Any) -> None:
    """On both sides: what a file says is built and checked as what is saved is."""
    made = sm.tsa.SARIMAX(small.series(), order=(1, 1, 1)).fit(disp=0)
    CHANGED[change](_space(made))
    with pytest.raises(CannotSaveError):
        saver.dumps(made)
    with pytest.raises((ValueError, KeyError)):
        _check_spaces(made.model.ssm)
    record_property("hostile files", 1)


@pytest.mark.parametrize("name", ["_statespaces", "_kalman_filters", "prefix_statespace_map"])
def test_a_file_has_nothing_that_is_compiled(name: str) -> None:
    saved = StoredObject(sm.tsa.SARIMAX(small.series(), order=(1, 0, 0)).fit(disp=0))
    node: Any = next(each for each in saved.nodes() if str(each.get("class")).endswith("SimulationSmoother"))
    assert name in node["state"]["apart"]
    node["state"]["apart"].remove(name)
    node["state"]["apart"].append("k_states")
    with pytest.raises(IncompatibleError, match="apart"):
        load(saved, ())


@pytest.mark.parametrize("change", [{"seasonal_periods": 10**9}, {"seasonal_periods": 0}, {"nobs": 10**6}])
def test_the_season_and_the_data_of_a_smoothing_fit(change: dict[str, int]) -> None:
    made = small.FITTED["ETS"]()
    vars(made.model).update(change)
    with pytest.raises(CannotSaveError):
        saver.dumps(made)


def test_a_result_that_is_loaded_takes_up_new_data() -> None:
    made = small.FITTED["SARIMAX of months"]()
    found = saver.loads(saver.dumps(made))
    more = small.series(frames=True)[-6:]
    more.index = more.index + 6
    assert found.extend(more).forecast(4).tolist() == made.extend(more).forecast(4).tolist()


@pytest.mark.parametrize("kind", [*small.COUNTS, *small.CONDITIONAL, *small.REGIMES])
def test_a_model_that_is_loaded_is_fitted_to_the_same(kind: str) -> None:
    made = small.FITTED[kind]()
    found = saver.loads(saver.dumps(made))
    again, first = (small.fitted(each.model, disp=0, maxiter=9) for each in (found, made))
    assert again.tolist() == first.tolist()


@pytest.mark.parametrize("kind", small.COUNTS)
def test_another_distribution_is_refused(kind: str) -> None:
    made = small.FITTED[kind]()
    models = (made.model, *(vars(made.model).get(name) for name in ("model1", "model2")))
    tried = 0
    for own in map(vars, filter(None, models)):
        for name in ("distribution", "model_dist", "_hessian_inflate"):
            if own.get(name) is not None:
                before, own[name] = own[name], len
                with pytest.raises(CannotSaveError, match=name):
                    saver.dumps(made)
                own[name] = before
                tried += 1
    assert tried or kind.startswith(("OrderedModel", "TruncatedLFGeneralizedPoisson"))


TEXT, OBJECT = np.array(["a"]), np.array([None])


@pytest.mark.parametrize("groups", [None, 3, [3], [np.zeros(2)], [TEXT.flat], [OBJECT.flat]])
def test_groups_that_are_not_numbers_are_not_saved(groups: Any) -> None:
    made = small.FITTED["ConditionalPoisson"]()
    made.model._endog_grp = groups
    with pytest.raises(CannotSaveError, match="_endog_grp"):
        saver.dumps(made)


@pytest.mark.parametrize("groups", [None, 3, [3], [np.zeros((2, 2))], [TEXT], [OBJECT], [[1.0]]])
def test_groups_that_are_not_numbers_are_not_loaded(groups: Any) -> None:
    saved = StoredObject([small.FITTED["ConditionalPoisson"](), groups])
    node = next(each for each in saved.nodes() if str(each.get("class")).endswith("ConditionalPoisson"))
    node["state"]["groups"] = saved.trees[0]["state"][1]
    with pytest.raises(IncompatibleError):
        load(saved, ())


@pytest.mark.shows("statsmodels", "hostile files tried")
@pytest.mark.parametrize("kind", small.REGIMES)
@pytest.mark.parametrize(
    ("name", "value"), [("order", -5), ("order", "1"), ("k_regimes", None), ("order", True)]
)
def test_an_order_of_which_the_compiled_filter_would_read_elsewhere_is_refused(
    kind: str, name: str, value: Any, record_property: Any
) -> None:
    saved, tried = StoredObject(small.FITTED[kind]()), 0
    for node in saved.nodes():
        if "regime_switching" in str(node.get("class")) and name in (node["state"].get("attributes") or {}):
            before = node["state"]["attributes"][name]
            node["state"]["attributes"][name] = value
            if str(node["class"]).endswith(("Regression", "Autoregression", "SmootherResults")):
                with pytest.raises(IncompatibleError, match="regimes or the order"):
                    load(saved, ())
                tried += 1
            node["state"]["attributes"][name] = before
    assert tried == 2, "the model, and what its smoother gave"
    record_property("hostile files", tried)


def test_an_inflation_that_statsmodels_does_not_have_is_refused() -> None:
    saved = StoredObject(small.FITTED["ZeroInflatedPoisson"]())
    node: Any = next(
        each for each in saved.nodes() if str(each.get("class")).endswith("count_model:ZeroInflatedPoisson")
    )
    node["state"]["attributes"]["infl"] = "gradient"
    with pytest.raises(IncompatibleError, match="inflation"):
        load(saved, ())
