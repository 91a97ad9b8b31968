"""Results of a fit answer; what one gets of it is a wrapper around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from statsmodels.base.wrapper import ResultsWrapper

from saver.predicting.contract import Method, Predicting
from saver.predicting.plain import PREDICTING as PLAIN


class _Statsmodels(Predicting):
    def methods(self, model: Any) -> Mapping[str, Method]:
        if not isinstance(model, ResultsWrapper):
            return {}
        return PLAIN.methods(object.__getattribute__(model, "_results"))


PREDICTING = _Statsmodels()
