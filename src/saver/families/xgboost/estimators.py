"""XGBoost's estimators, by all their attributes; the booster in them is one of these."""

from __future__ import annotations

from typing import Any

import xgboost
from xgboost.sklearn import XGBModel

from saver.codec import Codec
from saver.families.sklearn.codecs import EstimatorCodec, EstimatorRestorer
from saver.restoring import Restorer


def check(attributes: dict[str, Any]) -> None:
    """Raise ValueError unless the booster is one."""
    if "_Booster" in attributes and type(attributes["_Booster"]) is not xgboost.Booster:
        raise ValueError("the booster of an estimator is not a Booster")


class XGBModelCodec(EstimatorCodec):
    """`XGBClassifier` and its kin."""

    name = "xgboost.estimator"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, XGBModel)

    def check(self, obj: Any) -> None:
        super().check(obj)
        check(vars(obj))


class XGBModelRestorer(EstimatorRestorer):
    """The same estimators in place."""

    codecs = frozenset(("xgboost.estimator",))

    def check(self, target: Any, fresh: dict[str, Any]) -> None:
        super().check(target, fresh)
        check(fresh)


CODECS: tuple[Codec, ...] = (XGBModelCodec(),)

RESTORERS: tuple[Restorer, ...] = (XGBModelRestorer(),)
