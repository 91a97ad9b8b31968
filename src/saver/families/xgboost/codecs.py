"""XGBoost: boosters of every kind, and the estimators around them.

A booster is stored as a small tree and a few arrays, and is made from bytes that Saver writes; XGBoost's own
are never stored, because its parsers crash on changed ones.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from saver.codec import Codec, Decoder, Encoder, added
from saver.families.python.whole import WholeRestorer
from saver.families.xgboost import learner, settings
from saver.families.xgboost.learner import Model
from saver.restoring import Restorer
from saver.tree import Node, Value


def split(booster: Any) -> tuple[Model, dict[str, Any]]:
    """A booster's model and the settings of its training. Raises ValueError if it has none yet."""
    try:
        raw, config = _bytes_of(booster), booster.save_config()
    except xgboost.core.XGBoostError as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"XGBoost cannot write this booster ({why}); train it first") from error
    try:
        model, found = learner.read(raw), settings.read(config)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"XGBoost {xgboost.__version__} writes this booster in another form") from error
    learner.check(model)
    settings.check(found, model.booster, learner.has_vectors(model))
    return model, found


def _bytes_of(booster: Any) -> bytes:
    """What `save_raw("ubj")` returns, copied once, where that takes a tenth longer."""
    length, found = xgboost.core.c_bst_ulong(), ctypes.c_void_p()
    core = xgboost.core
    core._check_call(
        core._LIB.XGBoosterSaveModelToBuffer(
            booster.handle, b'{"format":"ubj"}', ctypes.byref(length), ctypes.byref(found)
        )
    )
    return ctypes.string_at(found, length.value)


def joined(model: Model, found: dict[str, Any]) -> Any:
    """The booster with this model and these settings, which have been checked."""
    booster = xgboost.Booster()
    booster.load_model(learner.write(model))
    booster.load_config(settings.write(found, _form(model.booster), learner.settings(model)))
    return booster


@cache
def _form(booster: str) -> str:
    """The settings of a booster of this kind that has learned nothing: one with trees would need as long to
    write its settings as to be loaded."""
    found: str = xgboost.Booster({"booster": booster, "num_feature": 1, "nthread": 1}).save_config()
    return found


class BoosterCodec(Codec):
    """`xgboost.Booster`: gbtree, dart and gblinear, with one tree for each output or vector leaves."""

    name = "xgboost.booster"
    types = (xgboost.Booster,)

    def unsaved(self, obj: Any) -> Iterable[str]:
        return added(obj, "handle")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        try:
            model, found = split(obj)
        except ValueError as error:
            encoder.refuse(str(error))
        return learner.state_of(model, found, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        state: Any = node.state
        arrays = {name: _array(decoder, ref) for name, ref in state["arrays"].items()}
        texts = {name: decoder.own(state[name]) for name in learner.TEXTS}
        plain = {name: state[name] for name in learner.PLAIN}
        expected = {
            "attributes": dict,
            "names": list,
            "types": list,
            "encoders": list,
            "rounds": int,
            "booster": str,
        }
        for name, cls in expected.items():
            if type({**texts, **plain}[name]) is not cls:
                raise ValueError(f"{name} is not a {cls.__name__}")
        model, found = Model(**plain, **texts, arrays=arrays), state["settings"]
        learner.check(model, decoder.budget.charge)
        settings.check(found, model.booster, learner.has_vectors(model))
        decoder.budget.charge(steps=sum(array.size for array in arrays.values()) // 4)
        return joined(model, found)


def _array(decoder: Decoder, ref: Any) -> NDArray[Any]:
    """A tensor, in memory of its own."""
    return np.array(decoder.array(ref))


def become(target: Any, found: Any) -> None:
    """Let a booster be another one, which is not used any more."""
    target.handle, found.handle = found.handle, target.handle


def _estimators() -> tuple[tuple[Codec, ...], tuple[Restorer, ...]]:
    """What needs scikit-learn; nothing without it."""
    if not xgboost.compat.SKLEARN_INSTALLED:
        return (), ()
    from saver.families.xgboost import estimators

    return estimators.CODECS, estimators.RESTORERS


CODECS: tuple[Codec, ...] = (BoosterCodec(), *_estimators()[0])

RESTORERS: tuple[Restorer, ...] = (
    WholeRestorer(xgboost.Booster, BoosterCodec.name, become),
    *_estimators()[1],
)
