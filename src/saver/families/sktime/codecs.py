"""Estimators of sktime and what they hold, by their attributes.

There are too many of them to review each, and some call functions, open files or fetch networks when they
are used, as they say. So all need trust.
"""

from __future__ import annotations

from typing import Any

from sktime.base import BaseObject

from saver import trust, uses
from saver.codec import Codec, Decoder, Encoder, own_dict
from saver.tree import Node, Value


class ObjectCodec(Codec):
    """Such objects; no code of their classes runs."""

    name = "sktime.object"
    bare = True
    early = True
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

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.attributes(obj)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a class that this codec builds")
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        decoder.fill_attributes(obj, node.state)
        return obj

    def check(self, obj: Any) -> None:
        uses.check(own_dict(obj), {}, False)


CODECS: tuple[Codec, ...] = (ObjectCodec(),)
