"""How XGBoost's boosters and estimators lie in pickles: a booster is XGBoost's own bytes, read here.

They are those of XGBoost since 0.90, whose forms Saver knows; other ones are refused.
"""

from __future__ import annotations

import struct
from typing import Any

from saver import registry
from saver.codec import Codec, Encoder
from saver.families.xgboost import learner, older, settings
from saver.families.xgboost.words import numbers, whole
from saver.pickled import InstancePickled, NotReadError, Pickled, attributes_of
from saver.tree import Value

_OUTPUTS = 1 << 16
_ERRORS = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, struct.error)


class BoosterPickled(Pickled):
    """Boosters: their model and the settings of its training, in one row of bytes."""

    name = "xgboost.booster"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        own = attributes_of(obj)
        raw = own.pop("handle", None)
        foreign = own.keys() - {*older.OWN}
        if type(raw) not in (bytes, bytearray) or foreign:
            raise NotReadError(
                "a booster has no bytes, or attributes of its own; save it where it was made with "
                "save_model, and load that file with this XGBoost"
            )
        try:
            document = older.read(raw, own)
            model, found = learner.read_from(document["Model"]), settings.read_from(document["Config"])
            _spread(model.sizes)
            learner.check(model)
            settings.check(found, model.booster, learner.has_vectors(model))
        except _ERRORS as error:
            raise NotReadError(
                f"a booster has another form than XGBoost writes ({type(error).__name__}: {error}); save it "
                "where it was made with save_model, and load that file with this XGBoost"
            ) from None
        return learner.state_of(model, found, encoder)


def _spread(sizes: dict[str, str]) -> None:
    """Give each output the one base score that all had before 3.1."""
    outputs = max(whole(sizes["num_class"]), whole(sizes["num_target"]))
    if outputs > 1 and len(numbers(sizes["base_score"])) == 1:
        if outputs > _OUTPUTS:
            raise ValueError(f"the model has {outputs:,} outputs")
        sizes["base_score"] = f"[{','.join([sizes['base_score'].strip('[]')] * outputs)}]"


class EstimatorPickled(InstancePickled):
    """`XGBClassifier` and its kin, by their attributes."""

    name = "xgboost.estimator"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encoder.fields(older.attributes(attributes_of(obj)))


class LabelsPickled(Pickled):
    """What classifiers before 1.6 number their classes with. It has no form outside of those."""

    name = "xgboost.estimator"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        raise NotReadError("the labels of a classifier of XGBoost lie outside of it")


READERS: dict[str, Codec] = {
    "xgboost.core:Booster": BoosterPickled(),
    "xgboost.compat:XGBoostLabelEncoder": LabelsPickled(),
}
_ESTIMATOR = EstimatorPickled()


def reader(name: str) -> Pickled | None:
    """What instances of the estimators become that the family lists."""
    return _ESTIMATOR if registry.family("xgboost").admits(_ESTIMATOR.name, name) else None
