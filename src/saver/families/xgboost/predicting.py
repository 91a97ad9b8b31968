"""Boosters answer arrays in place; the estimators answer as scikit-learn's do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xgboost

from saver.predicting.contract import Method, Predicting


class _XGBoost(Predicting):
    def methods(self, model: Any) -> Mapping[str, Method]:
        if type(model) is not xgboost.Booster:
            return {}
        return {"prediction": lambda inputs: xgboost.Booster.inplace_predict(model, inputs)}


PREDICTING = _XGBoost()
