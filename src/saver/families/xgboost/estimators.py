"""XGBoost's estimators, by all their attributes; the booster in them is one of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import xgboost
from xgboost.sklearn import XGBModel

from saver.codec import Codec
from saver.families.sklearn.holding import HoldingCodec, HoldingRestorer
from saver.restoring import Restorer


class XGBModelCodec(HoldingCodec):
    """`XGBClassifier` and its kin."""

    name = "xgboost.estimator"
    base = XGBModel
    holds: ClassVar[Mapping[str, type]] = {"_Booster": xgboost.Booster}
    functions = frozenset(("objective", "eval_metric", "callbacks"))


CODECS: tuple[Codec, ...] = (XGBModelCodec(),)

RESTORERS: tuple[Restorer, ...] = (HoldingRestorer(XGBModelCodec()),)
