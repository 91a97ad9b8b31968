"""LightGBM: boosters of every kind, and the estimators around them.

A booster is stored as a small tree and a few arrays, and is made from text that Saver writes; LightGBM's own
text is never stored, because its parser crashes on changed ones.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import lightgbm
import numpy as np
from lightgbm import compat
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder, added
from saver.errors import with_article
from saver.families.lightgbm import parameters, text
from saver.families.lightgbm.text import Model
from saver.families.python.whole import WholeRestorer
from saver.restoring import Restorer
from saver.tree import Node, Value

_KEPT = {
    "params": dict,
    "best_iteration": int,
    "best_score": dict,
    "pandas_categorical": list,
    "train_data_name": str,
    "valid_names": list,
}
"""What a booster keeps in Python, and of what class it is; the categories may be None."""


def split(booster: Any) -> Model:
    """A booster's model. Raises ValueError if it has a form that Saver does not know."""
    try:
        model = text.read(_text_of(booster))
    except lightgbm.basic.LightGBMError as error:
        raise ValueError(f"LightGBM cannot write this booster ({error}); train it first") from error
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"LightGBM {lightgbm.__version__} writes this booster in another form") from error
    text.check(model)
    return model


_BUFFER = 1 << 26
"""Bytes for the text of a booster. LightGBM writes all of it anew if a buffer is too short, and that of
`model_to_string` is 1 MiB; what is not used of this one is never in memory."""


def _text_of(booster: Any) -> bytes:
    """The text of a booster, without the categories of data frames, which Python adds."""
    length, written = _BUFFER, ctypes.c_int64(0)
    while True:
        buffer: NDArray[np.uint8] = np.empty(length, np.uint8)
        lightgbm.basic._safe_call(
            lightgbm.basic._LIB.LGBM_BoosterSaveModelToString(
                booster._handle, 0, -1, 0, ctypes.c_int64(length), ctypes.byref(written),
                buffer.ctypes.data_as(ctypes.c_char_p),
            )
        )  # fmt: skip
        if written.value <= length:
            return buffer[: written.value - 1].tobytes()  # it ends with a null character
        length = written.value


def joined(model: Model) -> Any:
    """The booster with this model, which has been checked."""
    return lightgbm.Booster(model_str=text.write(model))


class BoosterCodec(Codec):
    """`lightgbm.Booster` of every kind: what it has learned, without the data that it is trained on."""

    name = "lightgbm.booster"
    types = (lightgbm.Booster,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, *_KEPT, *text.ATTRIBUTES.values(), *text.OF_TRAINING)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        kept = {name: getattr(obj, text.ATTRIBUTES.get(name, name), None) for name in _KEPT}
        if type(kept["params"]) is dict:
            kept["params"] = parameters.without_places(kept["params"])
        kept["valid_names"] = kept["valid_names"] or []
        try:
            model = split(obj)
            _check_kept(kept)
        except ValueError as error:
            encoder.refuse(str(error))
        return text.state_of(model, kept, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        arrays = {name: np.array(decoder.array(ref)) for name, ref in state["arrays"].items()}
        texts = {name: decoder.own(state[name]) for name in text.TEXTS}
        kept = {name: decoder(value) for name, value in state["kept"].items()}
        kept["params"] = decoder.own(state["params"])
        model = Model(**{name: state[name] for name in text.PLAIN}, **texts, arrays=arrays)
        text.check(model)
        _check_kept(kept)
        decoder.budget.charge(steps=sum(array.size for array in arrays.values()) // 4)
        booster = joined(model)
        for name, value in kept.items():
            setattr(booster, text.ATTRIBUTES.get(name, name), value)
        return booster


def _check_kept(kept: Any) -> None:
    """Raise ValueError unless these are what a booster keeps in Python."""
    if type(kept) is not dict or kept.keys() != _KEPT.keys():
        raise ValueError("a booster keeps other attributes than LightGBM's")
    for name, cls in _KEPT.items():
        fits = isinstance(kept[name], cls) and type(kept[name]) is not bool
        if not fits and not (name == "pandas_categorical" and kept[name] is None):
            raise ValueError(f"{name} of a booster is not {with_article(cls.__name__)}")
    parameters.check_values(kept["params"])
    if any(callable(value) for value in kept["params"].values()):
        raise ValueError("a parameter of a booster is a function; take it out of booster.params")
    for columns in kept["pandas_categorical"] or ():
        if type(columns) is not list or not all(isinstance(each, _CATEGORIES) for each in columns):
            raise ValueError("the categories of a data frame are not lists of texts and numbers")


_CATEGORIES = (str, int, float, np.generic)


def become(target: Any, found: Any) -> None:
    """Let a booster be another one, which is not used any more."""
    target.__dict__, found.__dict__ = found.__dict__, target.__dict__


def refusal(target: Any) -> str:
    """Why a booster cannot become another one: LightGBM would go on with the data of the first."""
    if "train_set" not in vars(target):
        return ""
    return (
        "LightGBM cannot give a booster that is being trained other trees; pass what `load` returns as "
        "init_model, or train with saver.integrations.lightgbm"
    )


def _estimators() -> tuple[tuple[Codec, ...], tuple[Restorer, ...]]:
    """What needs scikit-learn; nothing without it."""
    if not compat.SKLEARN_INSTALLED:
        return (), ()
    from saver.families.lightgbm import estimators

    return estimators.CODECS, estimators.RESTORERS


CODECS: tuple[Codec, ...] = (BoosterCodec(), *_estimators()[0])

RESTORERS: tuple[Restorer, ...] = (
    WholeRestorer(lightgbm.Booster, BoosterCodec.name, become, refusal),
    *_estimators()[1],
)
