"""How LightGBM's boosters and estimators lie in pickles: a booster is LightGBM's own text, read here.

It is that of LightGBM 4, whose form Saver knows; older ones are refused.
"""

from __future__ import annotations

from typing import Any

from saver import registry
from saver.codec import Codec, Encoder
from saver.families.lightgbm import parameters, text
from saver.pickled import InstancePickled, NotReadError, Pairs, Pickled, attributes_of, fields_of
from saver.tree import Value

_KEPT = ("params", "best_iteration", "best_score", "pandas_categorical", "train_data_name", "valid_names")


class BoosterPickled(Pickled):
    """Boosters: the text of their model, and what they keep in Python."""

    name = "lightgbm.booster"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = attributes_of(obj)
        if "_handle" not in own:
            raise NotReadError(
                "a booster is one of LightGBM before 4, or has no text; save it there with save_model, and "
                "load that file with this LightGBM"
            )
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
        model = text.read(written)
        text.check(model)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise NotReadError(
            f"a booster has another form than LightGBM 4 writes ({type(error).__name__}: {error}); save it "
            "there with save_model, and load that file with this LightGBM"
        ) from None
    return model


class EstimatorPickled(InstancePickled):
    """`LGBMClassifier` and its kin, by their attributes."""

    name = "lightgbm.estimator"


READERS: dict[str, Codec] = {"lightgbm.basic:Booster": BoosterPickled()}
_ESTIMATOR = EstimatorPickled()


def reader(name: str) -> Pickled | None:
    """What instances of the estimators become that the family lists."""
    return _ESTIMATOR if registry.family("lightgbm").admits(_ESTIMATOR.name, name) else None
