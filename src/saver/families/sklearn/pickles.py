"""How scikit-learn's estimators lie in pickles, in all versions since 0.17.

What older versions did differently is in `migrations.py`, applied to the attributes before they are encoded.
"""

from __future__ import annotations

from typing import Any

from saver import registry
from saver.codec import Codec, Encoder
from saver.families.python.pickled_stdlib import encode_pairs
from saver.families.sklearn import migrations
from saver.families.sklearn.migrations import home, version_of
from saver.families.sklearn.old_estimators import INTERPOLATION
from saver.families.sklearn.pickled_birch import BirchNodePickled, SubclusterPickled
from saver.families.sklearn.pickled_trees import (
    DistancePickled,
    NeighborsPickled,
    PredictorPickled,
    TreePickled,
)
from saver.families.sklearn.written import WRITERS
from saver.pickled import Call, Global, NotReadError, Pickled, attributes_of, sequence
from saver.tree import Value


def notes(call: Call) -> dict[str, str]:
    """The version that an estimator records."""
    version = version_of(call)
    return {} if version is None else {"sklearn": version}


class _Named(Pickled):
    def class_of(self, obj: Any) -> str:
        return home(f"{obj.function.module}:{obj.function.name}")


class EstimatorPickled(_Named):
    """Estimators by their attributes, as their class of today has them."""

    name = "sklearn.estimator"
    early = True

    def class_of(self, obj: Any) -> str:
        return migrations.current(super().class_of(obj), version_of(obj), attributes_of(obj))[0]

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = attributes_of(obj)
        state.pop("_sklearn_version", None)
        return encoder.fields(migrations.current(super().class_of(obj), version_of(obj), state)[1])


class ListedPickled(EstimatorPickled):
    """Other classes by their attributes: losses, kernels, scorers."""

    name = "sklearn.object"


class BunchPickled(Pickled):
    """`Bunch`, a dict."""

    name = "sklearn.bunch"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return encode_pairs(obj.pairs, encoder)


class WarningDictPickled(BunchPickled):
    """Dicts that warn of some of their keys, in 0.19 to 0.20 and 1.0 to 1.1."""

    name = "dict"


class RemainderPickled(Pickled):
    """Columns that fall to the remainder, in 1.5 and 1.6."""

    name = "sklearn.remainder"
    early = True

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = attributes_of(obj)
        columns = sequence(state.get("data"), "the remaining columns")
        options = (state.get("future_dtype"), False, False)
        return [[encoder(column, "data", at) for at, column in enumerate(columns)], *map(encoder, options)]


class LossPickled(_Named):
    """Compiled losses: a class and a few numbers."""

    name = "sklearn.loss"

    def class_of(self, obj: Any) -> str:
        named = obj.args[0] if obj.args and type(obj.args[0]) is Global else obj.function
        return home(f"{named.module}:{named.name}")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        values: Any = obj.args
        if obj.function.name.startswith("__pyx_unpickle_"):  # the class, a checksum of its fields, the values
            values = obj.state if obj.has_state else (*obj.args, None, None, None)[2]
        return [encoder(value) for value in sequence(values or (), "the numbers of a loss")]


_ESTIMATOR, _LISTED, _LOSS = EstimatorPickled(), ListedPickled(), LossPickled()
_BY_CODEC: dict[str, Pickled] = {
    "sklearn.estimator": _ESTIMATOR, "sklearn.object": _LISTED, "sklearn.loss": _LOSS,
}  # fmt: skip


class InterpolationPickled(Pickled):
    """The linear interpolation of an isotonic regression, as SciPy's codec takes it."""

    name = "scipy.interp1d"

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        state = attributes_of(obj)
        return {
            "kind": "linear", "x": encoder(state.get("x"), "x"), "y": encoder(state.get("y"), "y"), "axis": 0,
            "copy": True, "bounds_error": state.get("bounds_error") is True,
            "fill_value": encoder(float("nan"), "fill_value"),
        }  # fmt: skip


class TripletPickled(_Named):
    """What an iterative imputer keeps of each step: a named tuple."""

    name = "namedtuple"
    _fields = ("feat_idx", "neighbor_feat_idx", "estimator")

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        if len(obj.args) != len(self._fields):
            raise NotReadError("a step of an iterative imputer lacks parts")
        return {name: encoder(item, name) for name, item in zip(self._fields, obj.args, strict=True)}


READERS: dict[str, Codec] = {
    "sklearn.impute._iterative:_ImputerTriplet": TripletPickled(),
    INTERPOLATION: InterpolationPickled(),
    "sklearn.tree._tree:Tree": TreePickled(),
    "sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor": PredictorPickled(),
    "sklearn.utils.deprecation:DeprecationDict": WarningDictPickled(),
    "sklearn.covariance._graph_lasso:_DictWithDeprecatedKeys": WarningDictPickled(),
    "sklearn.compose._column_transformer:_RemainderColsList": RemainderPickled(),
    "sklearn.cluster._birch:_CFNode": BirchNodePickled(),
    "sklearn.cluster._birch:_CFSubcluster": SubclusterPickled(),
    "sklearn.utils._bunch:Bunch": BunchPickled(),
    "sklearn.utils:Bunch": BunchPickled(),
    **{f"sklearn.neighbors._{kind}_tree:newObj": NeighborsPickled() for kind in ("kd", "ball")},
    "sklearn.metrics._dist_metrics:newObj": DistancePickled(),
}


def strangers(call: Call) -> Pickled | None:
    """Compiled losses, which 1.5 to 1.8 name by a module `_loss`."""
    return (
        reader(home(f"{call.function.module}:{call.function.name}"))
        if call.function.module == "_loss"
        else None
    )


def reader(name: str) -> Pickled | None:
    """What calls of a class become: that of the codec for which the family lists it, else an estimator, for
    which loading asks trust."""
    module, _, what = name.partition(":")
    if what.startswith("__pyx_unpickle_Cy") and module == "sklearn._loss._loss":
        return _LOSS
    family = registry.family("sklearn")
    for codec, found in _BY_CODEC.items():
        if family.admits(codec, name):
            return found
    return None


__all__ = ["READERS", "WRITERS", "home", "notes", "reader", "strangers"]
