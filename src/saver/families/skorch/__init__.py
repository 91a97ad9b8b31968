"""skorch: networks of PyTorch as estimators, with their history, callbacks and optimizers."""

from __future__ import annotations

from saver.family import Change, Family

_WRITES = "it writes files while it trains; save the network itself, and pass the callback again"

FAMILY = Family(
    name="skorch",
    packages=("skorch",),
    classes="saver.families.skorch:classes.json",
    codecs="saver.families.skorch.codecs",
    checks="saver.families.skorch.checks",
    references="saver.families.skorch.references",
    # networks list their own modules and optimizers beside those of their class
    data=frozenset(("_criteria", "_modules", "_optimizers", "cuda_dependent_attributes_", "prefixes_")),
    change=Change("warning", "warning", "note", "a fitted network keeps private state: compare predictions"),
    instead={
        "skorch.callbacks.training.Checkpoint": _WRITES,
        "skorch.callbacks.training.TrainEndCheckpoint": _WRITES,
        "skorch.callbacks.training.LoadInitState": _WRITES,
    },
)
