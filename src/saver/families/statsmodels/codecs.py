"""Models and results by their attributes. What was made from a formula is refused: a formula is code, which
statsmodels evaluates when such a model predicts."""

from __future__ import annotations

from typing import Any

import numpy as np
from statsmodels.base.data import ModelData
from statsmodels.base.model import LikelihoodModelResults, Model, Results
from statsmodels.base.wrapper import ResultsWrapper
from statsmodels.discrete.conditional_models import _ConditionalModel
from statsmodels.genmod.families import Family
from statsmodels.genmod.families.links import Link
from statsmodels.genmod.families.varfuncs import (
    Binomial as BinomialVariance,
)
from statsmodels.genmod.families.varfuncs import (
    NegativeBinomial as NegativeBinomialVariance,
)
from statsmodels.genmod.families.varfuncs import (
    Power,
    VarianceFunction,
)
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.robust.norms import RobustNorm
from statsmodels.tsa.ar_model import AROrderSelectionResults
from statsmodels.tsa.arima.params import SARIMAXParams
from statsmodels.tsa.arima.specification import SARIMAXSpecification
from statsmodels.tsa.deterministic import DeterministicProcess, DeterministicTerm
from statsmodels.tsa.exponential_smoothing.ets import ETSModel
from statsmodels.tsa.regime_switching.markov_switching import (
    HamiltonFilterResults,
    MarkovSwitching,
    MarkovSwitchingParams,
)
from statsmodels.tsa.seasonal import DecomposeResult
from statsmodels.tsa.statespace.representation import FrozenRepresentation
from statsmodels.tsa.vector_ar.var_model import VARProcess
from statsmodels.tsa.vector_ar.vecm import VECMResults

from saver import uses
from saver.codec import Codec, Decoder, Encoder, own_dict
from saver.errors import kind_of
from saver.families.python.attributes import AttributesCodec
from saver.families.statsmodels import anew, statespace
from saver.tree import Value

_BASES = (
    Model, Results, ResultsWrapper, ModelData, Family, Link, VarianceFunction, Power, BinomialVariance,
    NegativeBinomialVariance, RobustNorm, DeterministicProcess, DeterministicTerm, FrozenRepresentation,
    SARIMAXParams, SARIMAXSpecification, VARProcess, VECMResults, DecomposeResult, AROrderSelectionResults,
    MarkovSwitchingParams, HamiltonFilterResults,
)  # fmt: skip

_FORMULA = frozenset(("formula", "model_spec", "design_info", "restore_model_spec"))
_COVARIANCE = "normalized_cov_params"
"""A matrix, a number or None, in the place of a method of that name."""

_SETTINGS, _LIVE = "mle_settings", ("callback", "cov_params_func")
"""How a result was fitted; two of the settings are functions, which statsmodels does not pickle either."""

_SCRATCH = "_tmp_like_exog"
"""Memory like that of `exog`, which a model writes before it reads."""

_GROUPS = "_endog_grp"
"""The observations of each group, as flat iterators."""

_DATA = frozenset(("_cache", "variance", "link", "links", "safe_links", "valid", "data_attr"))
"""What instances hold though their class has a value for it."""

ALLOWED: dict[str, frozenset[str]] = {
    "dtype": frozenset(("type",)),
    **dict.fromkeys(
        (
            "_results_class",
            "_results_wrapper",
            "result_class",
            "result_class_reg",
            "result_class_reg_wrapper",
            "result_class_wrapper",
            "results_class",
        ),
        frozenset(("internal",)),
    ),
}
"""Which attributes hold classes, and of what kind: those that results are made of."""

_APART = frozenset(("__doc__", _COVARIANCE, _SETTINGS, _SCRATCH, "_summary_cache"))
"""The first is what a wrapper takes from the class of what it wraps."""


class ObjectCodec(AttributesCodec):
    """Such objects; no code of their classes runs."""

    name = "statsmodels.object"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, _BASES)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = own_dict(obj)
        apart = anew.of(obj)
        if isinstance(obj, _ConditionalModel):
            encoder.check(_check_groups, own)
            apart = {**apart, _GROUPS: own[_GROUPS]}
        state: dict[str, Value] = {"attributes": encoder.attributes(obj, _APART.union(apart), _DATA)}
        if _GROUPS in apart:
            state["groups"] = encoder.own([each.copy() for each in own[_GROUPS]], _GROUPS)
        if own.get(_COVARIANCE) is not None:
            state["covariance"] = encoder(own[_COVARIANCE], _COVARIANCE)
        if type(own.get(_SETTINGS)) is dict:
            plain = {name: None if name in _LIVE else value for name, value in own[_SETTINGS].items()}
            state["settings"] = encoder.own(plain, _SETTINGS)
        return state

    def fill(self, obj: Any, state: Any, decoder: Decoder) -> None:
        decoder.fill_attributes(obj, state["attributes"], _DATA)
        own = own_dict(obj)
        if "covariance" in state:
            own[_COVARIANCE] = _matrix(decoder(state["covariance"]))
        elif isinstance(obj, LikelihoodModelResults):
            own[_COVARIANCE] = None
        if "settings" in state:
            own[_SETTINGS] = decoder(state["settings"])
        if isinstance(obj, _ConditionalModel):
            own[_GROUPS] = [_flat(each) for each in decoder(state["groups"])]

    def claim(self, obj: Any) -> None:
        if isinstance(obj, ResultsWrapper):
            own = own_dict(obj)
            own["__doc__"] = type(own.get("_results")).__doc__
        elif isinstance(obj, GLM) and isinstance(exog := own_dict(obj).get("exog"), np.ndarray):
            own_dict(obj)[_SCRATCH] = np.zeros_like(exog, dtype=np.float64)
        own_dict(obj).update(anew.of(obj))

    def check(self, obj: Any) -> None:
        own = own_dict(obj)
        if not _FORMULA.isdisjoint(own):
            raise ValueError(
                "it was made from a formula, which is code that statsmodels evaluates; make the matrices "
                "with patsy, and fit the model to those"
            )
        if own.get(_COVARIANCE) is not None:
            _matrix(own[_COVARIANCE])
        if type(own.get(_SETTINGS, {})) is not dict:
            raise ValueError(f"{_SETTINGS} is not a dict")
        if isinstance(obj, ResultsWrapper) and not isinstance(own.get("_results"), (Results, VARProcess)):
            raise ValueError("what a wrapper wraps is not a result")
        if isinstance(obj, _ConditionalModel):
            _check_groups(own)
        elif isinstance(obj, ETSModel):
            _check_smoothing(obj)
        elif isinstance(obj, (MarkovSwitching, HamiltonFilterResults)):
            _check_regimes(own)
        uses.check(anew.check(obj), ALLOWED, uses.is_listed(type(obj)))


def _check_regimes(own: Any) -> None:
    """Raise ValueError unless the compiled filter, which derives all other sizes, finds periods where it
    looks for them."""
    if type(own.get("k_regimes")) is not int or type(own.get("order")) is not int or own["order"] < 0:
        raise ValueError("the number of regimes or the order of a model is not a number of things")


def _check_smoothing(obj: Any) -> None:
    """Raise ValueError unless the compiled function finds data where it looks for them."""
    own = own_dict(obj)
    data, season = own.get("endog"), own.get("seasonal_periods")
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.float64
        or data.ndim != 1
        or obj.nobs != len(data)
        or not len(data)
    ):
        raise ValueError("the data of a model are not as many numbers as it says")
    if type(season) is not int or not 1 <= season <= 2 * len(data):
        raise ValueError("the season of a model is longer than its data")


def _check_groups(own: Any) -> None:
    """Raise ValueError unless the observations of each group are numbers."""
    groups = own.get(_GROUPS)
    if type(groups) is not list or not all(type(each) is np.flatiter for each in groups):
        raise ValueError(f"{_GROUPS} is not a list of flat iterators")
    for each in groups:
        _flat(each.copy())


def _flat(found: Any) -> Any:
    if type(found) is not np.ndarray or found.ndim != 1 or found.dtype.kind not in "biuf":
        raise ValueError(f"{_GROUPS} has something else than numbers")
    return found.flat


def _matrix(found: Any) -> Any:
    if type(found) is not float and not isinstance(found, (np.ndarray, np.floating)):
        raise ValueError(f"{_COVARIANCE} is {kind_of(found)}, not an array")
    return found


CODECS: tuple[Codec, ...] = (ObjectCodec(), *statespace.CODECS)
