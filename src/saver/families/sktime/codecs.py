"""Estimators of sktime and what they hold, by their attributes.

There are too many of them to review each, and some call functions, open files or fetch networks when they
are used, as they say, and which attributes hold functions is not known. So all need trust.
"""

from __future__ import annotations

from sktime.base import BaseObject

from saver.codec import Codec
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


CODECS: tuple[Codec, ...] = (ObjectCodec(),)
