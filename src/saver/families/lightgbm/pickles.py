"""How LightGBM's boosters and estimators lie in pickles: a booster is LightGBM's own text, read here.

It is that of LightGBM since 2.3, whose forms Saver knows; older ones are refused.
"""

from __future__ import annotations

from typing import Any

from saver import registry
from saver.codec import Codec, Encoder
from saver.families.lightgbm import parameters, text
from saver.pickled import InstancePickled, NotReadError, Pairs, Pickled, attributes_of, fields_of
from saver.tree import Value

_RENAMED = {"handle": "_handle", "network": "_network"}
_GONE = frozenset(("_Booster__attr", "_Booster__is_manually_set"))
"""Attributes of boosters before 4: those with another name today, and those that are gone."""

_KEPT = ("params", "best_iteration", "best_score", "pandas_categorical", "train_data_name", "valid_names")


class BoosterPickled(Pickled):
    """Boosters: the text of their model, and what they keep in Python."""

    name = "lightgbm.booster"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = attributes_of(obj)
        own = {_RENAMED.get(key, key): value for key, value in own.items() if key not in _GONE}
        foreign = own.keys() - {*_KEPT, *text.ATTRIBUTES.values(), *text.OF_TRAINING}
        if foreign:
            raise NotReadError(f"a booster has an attribute {min(foreign)[:80]!r} of its own")
        kept = {name: own.get(text.ATTRIBUTES.get(name, name)) for name in _KEPT}
        given = fields_of(kept["params"], "the parameters of a booster")
        kept["params"] = Pairs([*parameters.without_places(given).items()])
        kept["valid_names"] = kept["valid_names"] or []
        return text.state_of(_model(own.get("_handle")), kept, encoder)


def _model(written: Any) -> text.Model:
    if type(written) is not str:
        raise NotReadError("a booster has no text")
    try:
        model = text.read(written.encode())
        text.check(model)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise NotReadError(
            f"a booster has another form than LightGBM writes since 2.3 ({type(error).__name__}: {error}); "
            "save it there with save_model, and load that file with this LightGBM"
        ) from None
    return model


class EstimatorPickled(InstancePickled):
    """`LGBMClassifier` and its kin, by their attributes."""

    name = "lightgbm.estimator"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.fields(_renewed(attributes_of(obj)))


def _renewed(own: dict[str, Any]) -> dict[str, Any]:
    """The attributes that an estimator has today."""
    kept = {name: value for name, value in own.items() if name not in ("silent", "_fobj")}
    if kept.get("_Booster") is None:
        return kept
    known = {"_n_classes": -1, "_best_iteration": 0, "_evals_result": Pairs()}
    kept |= {name: value for name, value in known.items() if kept.get(name) is None}
    made = {"_fitted_with_feature_names": False, "fitted_": True, "_n_features_in": kept.get("_n_features")}
    return kept | {name: value for name, value in made.items() if name not in kept}


READERS: dict[str, Codec] = {"lightgbm.basic:Booster": BoosterPickled()}
_ESTIMATOR = EstimatorPickled()


def reader(name: str) -> Pickled | None:
    """What instances of the estimators become that the family lists."""
    return _ESTIMATOR if registry.family("lightgbm").admits(_ESTIMATOR.name, name) else None
