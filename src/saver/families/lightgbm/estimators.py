"""LightGBM's estimators, by all their attributes; the booster in them is one of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import lightgbm
from lightgbm.compat import _LGBMLabelEncoder
from lightgbm.sklearn import LGBMModel

from saver.codec import Codec
from saver.families.lightgbm import parameters
from saver.families.sklearn.holding import HoldingCodec, HoldingRestorer
from saver.restoring import Restorer


class LGBMModelCodec(HoldingCodec):
    """`LGBMClassifier` and its kin."""

    name = "lightgbm.estimator"
    base = LGBMModel
    holds: ClassVar[Mapping[str, type]] = {
        "_Booster": lightgbm.Booster, "_class_map": dict, "_le": _LGBMLabelEncoder, "_other_params": dict,
    }  # fmt: skip
    functions = frozenset(("objective", "_objective", "metric", "eval_metric"))

    def check_attributes(self, attributes: Mapping[str, Any]) -> None:
        super().check_attributes(attributes)
        parameters.check_values(attributes)
        others = attributes.get("_other_params")
        if type(others) is dict:
            parameters.check_values(others)
            super().check_attributes(others)


CODECS: tuple[Codec, ...] = (LGBMModelCodec(),)

RESTORERS: tuple[Restorer, ...] = (HoldingRestorer(LGBMModelCodec()),)
