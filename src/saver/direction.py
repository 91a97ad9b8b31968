"""Which way a metric is better, as far as its name tells."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["min", "max"]
"""Whether less or more of a metric is better."""

GROWING = frozenset({
    "acc", "accuracy", "ap", "auc", "auprc", "auroc", "bleu", "dice", "f1", "iou", "kappa", "map", "mcc",
    "miou", "precision", "psnr", "r2", "recall", "return", "reward", "rouge", "score", "ssim",
})  # fmt: skip
"""Words in names of metrics for which more is almost always better."""

SHRINKING = frozenset({
    "bpc", "bpd", "brier", "cer", "crossentropy", "deviance", "divergence", "eer", "error", "fid", "kl",
    "logloss", "loss", "mae", "mape", "mse", "nll", "perplexity", "ppl", "rmse", "rmsle", "smape", "wer",
})  # fmt: skip
"""Words for which less is."""


def better(name: str) -> Mode | None:
    """The direction that the words of a name tell; None if they tell none, or both."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    grows, shrinks = bool(words & GROWING), bool(words & SHRINKING)
    if grows == shrinks:
        return None
    return "max" if grows else "min"
