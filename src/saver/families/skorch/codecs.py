"""Networks of skorch as estimators, and their callbacks and splits, by their attributes."""

from __future__ import annotations

from typing import Any

from skorch.callbacks import (
    BatchScoring,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
)
from skorch.dataset import Dataset, ValidSplit
from skorch.net import NeuralNet
from torch import nn, optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

from saver import uses
from saver.codec import Codec, Decoder, Encoder, door, own_dict
from saver.families.python.attributes import AttributesCodec
from saver.families.python.whole import AttributesRestorer
from saver.families.sklearn.codecs import EstimatorCodec
from saver.families.skorch.checks import check_objects
from saver.restoring import Restorer
from saver.tree import Node, Value

_CLASSES = (
    BatchScoring, EarlyStopping, EpochScoring, EpochTimer, GradientNormClipping, LRScheduler,
    PassthroughScoring, PrintLog, ValidSplit,
)  # fmt: skip
"""Those that write no files. A class that derives from one may do anything, and needs trust as its own."""

_NAMED: dict[str, Any] = {
    "print": print,
    **{
        cls.__name__: cls
        for cls in (
            DataLoader, Dataset, nn.BCELoss, nn.BCEWithLogitsLoss, nn.CrossEntropyLoss, nn.HuberLoss,
            nn.KLDivLoss, nn.L1Loss, nn.MSELoss, nn.NLLLoss, nn.SmoothL1Loss, optim.SGD, optim.Adam,
            optim.AdamW, optim.Adagrad, optim.Adadelta, optim.Adamax, optim.NAdam, optim.RAdam, optim.RMSprop,
            lr_scheduler.StepLR, lr_scheduler.MultiStepLR, lr_scheduler.ExponentialLR,
            lr_scheduler.CosineAnnealingLR, lr_scheduler.CyclicLR, lr_scheduler.OneCycleLR,
            lr_scheduler.ReduceLROnPlateau,
        )
    },
}  # fmt: skip
"""What a network or a callback makes objects of when it is fitted, and where it prints. What is the user's
own needs trust, as a value."""


_HELD = dict.fromkeys(
    ("X_indexing", "X_indexing_", "target_extractor", "y_indexing", "y_indexing_"), frozenset(("internal",))
)
"""Which attributes of callbacks hold functions, and of what kind."""


def _by_name(obj: Any) -> dict[str, str]:
    """The attributes that are one of these, and which."""
    own = own_dict(obj)
    names = {name: getattr(own[name], "__name__", None) for name in sorted(own)}
    return {name: made for name, made in names.items() if type(made) is str and _NAMED.get(made) is own[name]}


def _encode(obj: Any, encoder: Encoder) -> Value:
    named = _by_name(obj)
    return {"attributes": encoder.attributes(obj, frozenset(named)), "named": dict(named)}


def _fill(obj: Any, state: Any, decoder: Decoder) -> None:
    decoder.fill_attributes(obj, state["attributes"])
    for name, made in state["named"].items():
        if door(type(obj)).refusal(name) is not None:
            raise ValueError(f"{name!r:.60} cannot be a class or a function")
        own_dict(obj)[name] = _NAMED[made]


class ObjectCodec(AttributesCodec):
    """Such objects; no code of their classes runs."""

    name = "skorch.object"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, _CLASSES)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return _encode(obj, encoder)

    def fill(self, obj: Any, state: Any, decoder: Decoder) -> None:
        _fill(obj, state, decoder)

    def check(self, obj: Any) -> None:
        uses.check(own_dict(obj), _HELD, uses.is_listed(type(obj)))
        check_objects(obj)


class NetCodec(EstimatorCodec):
    """`NeuralNet` and its kin, fitted or not: with the module, the optimizer, the criterion, and what
    callbacks have seen."""

    name = "skorch.net"

    def accepts(self, cls: type) -> bool:
        return issubclass(cls, NeuralNet)

    def encode(self, obj: Any, encoder: Encoder) -> Value:
        return _encode(obj, encoder)

    def decode(self, node: Node, decoder: Decoder) -> Any:
        cls = decoder.cls(node)
        if not (isinstance(cls, type) and self.accepts(cls)):
            raise ValueError(f"{cls!r} is not a network of skorch")
        obj: Any = object.__new__(cls)
        decoder.keep(node, obj)
        _fill(obj, node.state, decoder)
        return obj


CODECS: tuple[Codec, ...] = (NetCodec(), ObjectCodec())

RESTORERS: tuple[Restorer, ...] = (AttributesRestorer((NeuralNet,), NetCodec.name),)
