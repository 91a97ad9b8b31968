"""Functions and distributions that models hold, which their class and settings decide: they are not data."""

from __future__ import annotations

from typing import Any

from statsmodels.discrete.count_model import (
    GenericZeroInflated,
    ZeroInflatedGeneralizedPoisson,
    ZeroInflatedNegativeBinomialP,
    ZeroInflatedPoisson,
)
from statsmodels.discrete.truncated_model import TruncatedLFNegativeBinomialP, TruncatedLFPoisson, _RCensored
from statsmodels.distributions import discrete
from statsmodels.tsa.exponential_smoothing import _ets_smooth
from statsmodels.tsa.exponential_smoothing.ets import ETSModel

from saver.codec import own_dict

_DISTRIBUTIONS: tuple[tuple[type, str, Any], ...] = (
    (ZeroInflatedPoisson, "distribution", discrete.zipoisson),
    (ZeroInflatedGeneralizedPoisson, "distribution", discrete.zigenpoisson),
    (ZeroInflatedNegativeBinomialP, "distribution", discrete.zinegbin),
    (TruncatedLFPoisson, "model_dist", discrete.truncatedpoisson),
    (_RCensored, "model_dist", discrete.truncatedpoisson),
    (TruncatedLFNegativeBinomialP, "model_dist", discrete.truncatednegbin),
)

_INFLATIONS = ("logit", "probit")


def of(obj: Any) -> dict[str, Any]:
    """What belongs into which attributes of an object. Raises ValueError for settings that statsmodels does
    not have."""
    own = own_dict(obj)
    found = {name: given for cls, name, given in _DISTRIBUTIONS if isinstance(obj, cls)}
    if isinstance(obj, GenericZeroInflated):
        if (kind := own.get("infl")) not in _INFLATIONS:
            raise ValueError("the inflation of a model is neither logit nor probit")
        found["_hessian_inflate"] = getattr(GenericZeroInflated, f"_hessian_{kind}").__get__(obj)
    if isinstance(obj, ETSModel):
        kinds = ("mul" if own.get(name) == "mul" else "add" for name in ("trend", "seasonal"))
        found["_smoothing_func"] = getattr(_ets_smooth, f"_ets_smooth_{'_'.join(kinds)}")
    return found


def check(obj: Any) -> dict[str, Any]:
    """The other attributes. Raises ValueError unless these hold what belongs into them."""
    own, anew = own_dict(obj), of(obj)
    for name, given in anew.items():
        if own.get(name) != given:
            raise ValueError(f"{name} of a model is not what statsmodels gives it")
    return {name: value for name, value in own.items() if name not in anew}
