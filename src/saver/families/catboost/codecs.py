"""CatBoost: models as CatBoost's own bytes (`cbm`), which only a user who trusts the file's author loads.

CatBoost reads them by compiled code that believes them, and has no other form that holds all of a model
(JSON has neither texts nor embeddings). So the node that has the bytes asks for `catboost.core.CatBoost`,
whatever the class of the model is, and the audit refuses the file unless `trust` names that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import catboost
import numpy as np

from saver import trust
from saver.codec import Codec, Decoder, Encoder
from saver.families.python.restoring import ObjectRestorer
from saver.restoring import Restorer
from saver.tree import Node, Value

_Native = type(catboost.CatBoost()._object)
"""The compiled class that holds a model."""

_CACHE = "_canonized_params"
"""What CatBoost computes from the parameters when it needs it: None before."""


class ModelCodec(Codec):
    """The compiled part of a model: what it has learned, its parameters and evaluations.

    What it predicted for its evaluation sets (`get_test_evals`) is not in CatBoost's bytes, and CatBoost 1.2
    takes only empty lists of that back.
    """

    name = "catboost.model"
    asks = True
    types = (_Native,)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(catboost.CatBoost)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        """CatBoost writes other bytes after it has read a model for the first time, so it does that here:
        what is loaded is saved as the same bytes again. One with texts it can write once only."""
        model = _bytes_of(obj)
        if not obj._get_text_feature_indices():
            model = _bytes_of(_read(model))
        elif not obj._get_n_features_in():  # which CatBoost knows of what it trained, not of what it read
            encoder.refuse(
                "this model with text features was loaded, and CatBoost cannot write such a model again: "
                "what it writes ends the process that reads it; keep the file that it came from"
            )
        return encoder.tensor(np.frombuffer(model, np.uint8), "model") if model != _EMPTY else None

    def decode(self, node: Node, decoder: Decoder) -> Any:
        if decoder.cls(node) is not catboost.CatBoost:
            raise ValueError("a model asks for another class than CatBoost")
        if node.state is None:
            return _Native()
        return _read(decoder.array(node.state, "U8", 1).tobytes())


def _bytes_of(native: Any) -> bytes:
    found: bytes = native._serialize_model()
    return found


def _read(model: bytes) -> Any:
    native = _Native()
    try:
        native._deserialize_model(model)
    except catboost.CatBoostError as error:
        raise ValueError(f"CatBoost cannot read the model: {error}") from error
    return native


_EMPTY = _bytes_of(_Native())
"""The bytes of a model that was not trained."""


class CatBoostCodec(Codec):
    """`CatBoostClassifier` and its kin, by their attributes."""

    name = "catboost.estimator"
    bare = True
    early = True

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, catboost.CatBoost)

    def class_of(self, obj: Any) -> str:
        return trust.class_name(type(obj))

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return {**encoder.attributes(obj, frozenset((_CACHE,))), _CACHE: None}

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and issubclass(cls, catboost.CatBoost)):
            raise ValueError(f"{cls!r} is not a model of CatBoost")
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        decoder.fill_attributes(obj, node.state)
        return obj

    def check(self, obj: Any) -> None:
        _check(vars(obj))


def _check(attributes: dict[str, Any]) -> None:
    """Raise ValueError unless the parts of a model are there."""
    if type(attributes.get("_object")) is not _Native or type(attributes.get("_init_params")) is not dict:
        raise ValueError("a model of CatBoost has no compiled part, or no parameters")
    if type(attributes.get(_CACHE)) not in (dict, type(None)):
        raise ValueError(f"{_CACHE} of a model of CatBoost is not a dict")


class CatBoostRestorer(ObjectRestorer):
    """The same models in place."""

    codecs = frozenset(("catboost.estimator",))

    def check(self, target: Any, fresh: dict[str, Any]) -> None:
        _check(fresh)


CODECS: tuple[Codec, ...] = (CatBoostCodec(), ModelCodec())

RESTORERS: Iterable[Restorer] = (CatBoostRestorer(),)
