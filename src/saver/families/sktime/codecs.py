"""Estimators of sktime and what they hold, by their attributes.

There are too many of them to review each, and some call functions, open files or fetch networks when they
are used, as they say. So all need trust.
"""

from __future__ import annotations

from typing import Any

from sktime.base import BaseObject

from saver import uses
from saver.codec import Codec, own_dict
from saver.families.python.attributes import AttributesCodec


class ObjectCodec(AttributesCodec):
    """Such objects; no code of their classes runs."""

    name = "sktime.object"
    by_attributes = True
    names = frozenset(
        (
            "sktime.datatypes._vectorize:VectorizedDF",
            "sktime.dists_kernels.base.adapters._sklearn:_SklearnDistanceAdapter",
            "sktime.forecasting.base._fh:ForecastingHorizon",
            "sktime.forecasting.base.adapters._generalised_statsforecast:StatsForecastBackAdapter",
            "sktime.pipeline.step:Step",
        )
    )

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, BaseObject) or super().accepts(cls)

    def check(self, obj: Any) -> None:
        uses.check(own_dict(obj), {}, False)


CODECS: tuple[Codec, ...] = (ObjectCodec(),)
