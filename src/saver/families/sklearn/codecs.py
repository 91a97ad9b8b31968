"""scikit-learn: every estimator, fitted or not, and the objects in estimators.

An estimator is stored as its class and its attributes. Its class must be a `BaseEstimator`; the other Python
classes that estimators hold are listed in `_BASES`; compiled ones have codecs of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils import Bunch

from saver import trust
from saver.codec import Codec, Decoder, Encoder, added, rules_of
from saver.families.python.attributes import AttributesCodec
from saver.families.python.items import encode_items, fill_items, refused_names
from saver.families.python.restoring import ObjectRestorer
from saver.families.sklearn import callables, callbacks, checks
from saver.families.sklearn.birch import BirchNodeCodec
from saver.families.sklearn.columns import RemainderCodec
from saver.families.sklearn.neighbors import DistanceCodec, NeighborTreeCodec
from saver.families.sklearn.trees import PredictorCodec, TreeCodec
from saver.restoring import Restorer
from saver.tree import Node, Value

_BASES = frozenset(
    (
        "sklearn._loss.link:BaseLink",
        "sklearn._loss.link:Interval",
        "sklearn._loss.loss:BaseLoss",
        "sklearn.calibration:_CalibratedClassifier",
        "sklearn.cluster._bisect_k_means:_BisectingTree",
        "sklearn.compose._column_transformer:make_column_selector",
        "sklearn.gaussian_process.kernels:Kernel",
        "sklearn.metrics._scorer:_BaseScorer",
        "sklearn.metrics._scorer:_MultimetricScorer",
        "sklearn.metrics._scorer:_PassthroughScorer",
        "sklearn.model_selection._search:ParameterGrid",
        "sklearn.model_selection._search:ParameterSampler",
        "sklearn.model_selection._split:BaseCrossValidator",
        "sklearn.model_selection._split:BaseShuffleSplit",
        "sklearn.model_selection._split:_RepeatedSplits",
        "sklearn.neural_network._stochastic_optimizers:BaseOptimizer",
        "sklearn.utils._metadata_requests:MetadataRequest",
        "sklearn.utils._metadata_requests:MetadataRouter",
        "sklearn.utils._metadata_requests:MethodMapping",
        "sklearn.utils._metadata_requests:MethodMetadataRequest",
    )
)
"""Plain Python classes that estimators hold; their subclasses too."""


class ListedClassCodec(AttributesCodec):
    """Instances of the listed classes, by their attributes; no code of the class runs."""

    name = "sklearn.object"

    def accepts(self, cls: type) -> bool:
        return any(f"{base.__module__}:{base.__qualname__}" in _BASES for base in cls.__mro__)

    def check(self, obj: Any) -> None:
        """Raise ValueError for values that must not be called, or with which compiled code could crash."""
        callables.check(obj)
        checks.check_response(vars(obj).get("_response_method"), "_response_method")


_ADDRESS = "_stop_words_id"
"""Where a vectorizer notes the address of the stop words that it checked last. In another process it means
nothing, and equal vectorizers would have other hashes; scikit-learn checks them again without it."""


class EstimatorCodec(ListedClassCodec):
    """Estimators by their attributes, checked as a whole for the assumptions of compiled code."""

    name = "sklearn.estimator"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, BaseEstimator)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = super().encode(obj, encoder)
        if isinstance(state, dict) and type(obj.__dict__.get(_ADDRESS)) is int:
            del state[_ADDRESS]
        return state

    def claim(self, obj: Any) -> None:
        checks.claim(obj)

    def check(self, obj: Any) -> None:
        super().check(obj)
        checks.check(obj)
        for rule in rules_of(type(obj), "CHECKS"):
            rule(obj)


class EstimatorRestorer(ObjectRestorer):
    """Estimators of the same class get the saved attributes, also within others: a pipeline, a search."""

    codecs = frozenset(("sklearn.estimator",))
    looks = True

    def check(self, target: Any, fresh: dict[str, Any]) -> None:
        whole: Any = object.__new__(type(target))
        whole.__dict__ = fresh
        checks.claim(whole)
        callables.check(whole)
        checks.check(whole)
        for rule in rules_of(type(target), "CHECKS"):
            rule(whole)


class BunchCodec(Codec):
    """`Bunch`, a dict that shows its items as attributes."""

    name = "sklearn.bunch"
    types = (Bunch,)
    early = True

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "_deprecated_key_to_warnings")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        for why in refused_names(type(obj), obj):
            encoder.refuse(f"{why}; rename the item")
        return encode_items(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        found = Bunch()
        decoder.keep(node, found)
        fill_items(node.state, decoder, found)
        for why in refused_names(type(found), found):
            raise ValueError(why)
        return found


_LOSSES = frozenset(
    (
        "sklearn._loss._loss:CyLossFunction",
        "sklearn._loss._loss:CyHalfMultinomialLoss",
        "sklearn.linear_model._sgd_fast:LossFunction",  # before 1.6
    )
)


class LossCodec(Codec):
    """Compiled loss functions: a class and a few numbers."""

    name = "sklearn.loss"

    def accepts(self, cls: type) -> bool:
        return any(name in _LOSSES for base in cls.__mro__ for name in trust.names_of(base))

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        maker, arguments, *state = obj.__reduce__()
        if maker is not type(obj):  # Cython's own: the class, a checksum of its fields, their values or None
            arguments = arguments[2] if arguments[2] is not None else state[0]
        return [encoder(argument) for argument in arguments]

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        arguments = [decoder(argument) for argument in node.state]
        if not (isinstance(cls, type) and self.accepts(cls)) or not all(
            isinstance(argument, (int, float)) for argument in arguments
        ):
            raise ValueError(f"{cls!r} is not a loss function")
        return cls(*arguments)


CODECS: tuple[Codec, ...] = (
    EstimatorCodec(), ListedClassCodec(), BunchCodec(), LossCodec(), BirchNodeCodec(), TreeCodec(),
    PredictorCodec(), NeighborTreeCodec(), DistanceCodec(), RemainderCodec(), *callbacks.CODECS,
)  # fmt: skip

RESTORERS: tuple[Restorer, ...] = (EstimatorRestorer(),)
