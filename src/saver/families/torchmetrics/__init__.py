"""TorchMetrics: metrics and collections, stored as PyTorch's modules are, with what they have seen."""

from __future__ import annotations

from saver.family import Change, Family

FAMILY = Family(
    name="torchmetrics",
    packages=("torchmetrics",),
    classes="saver.families.torchmetrics:classes.json",
    checks="saver.families.torchmetrics.checks",
    references="saver.families.torchmetrics.references",
    # each instance wraps its own methods, as its constructor does
    anew=frozenset(("update", "compute", "_update_signature")),
    change=Change("warning", "note", "ok", "a metric may count in another way, or keep other states"),
)
