"""Estimators of other libraries: their attributes, with an object of the library in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from saver import uses
from saver.families.sklearn.callables import ALLOWED
from saver.families.sklearn.codecs import EstimatorCodec, EstimatorRestorer

_NONE: frozenset[str] = frozenset()


class HoldingCodec(EstimatorCodec):
    """Estimators that derive from `base`, by their attributes.

    `holds` are attributes that are None or an object of exactly this class; `functions` are those that may
    be functions which the user trusts, and of Saver's reviewed ones none.
    """

    base: ClassVar[type]
    holds: ClassVar[Mapping[str, type]]
    functions: ClassVar[frozenset[str]] = _NONE

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, self.base)

    def check(self, obj: Any) -> None:
        super().check(obj)
        self.check_attributes(vars(obj))

    def check_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Raise ValueError unless the attributes hold what they may."""
        for name, cls in self.holds.items():
            if attributes.get(name) is not None and type(attributes[name]) is not cls:
                raise ValueError(f"the attribute {name} of an estimator is not a {cls.__name__}")
        uses.check(attributes, {**ALLOWED, **dict.fromkeys(self.functions, _NONE)}, closed=True)


class HoldingRestorer(EstimatorRestorer):
    """The same estimators in place."""

    def __init__(self, codec: HoldingCodec) -> None:
        self.codecs = frozenset((codec.name,))
        self._codec = codec

    def check(self, target: Any, fresh: dict[str, Any]) -> None:
        super().check(target, fresh)
        self._codec.check_attributes(fresh)
