"""What the training of a booster depends on that is not in the booster."""

from __future__ import annotations

from collections.abc import Mapping

from lightgbm import Booster

from saver.families.lightgbm import text

_ENDS = "so a resumed training will not equal the uninterrupted one"


def inexact(booster: Booster) -> list[str]:
    """Why a resumed training of this booster, which is about to be trained, will not equal the uninterrupted
    one. Raises ValueError if it cannot be resumed at all."""
    found = text.read(booster.model_to_string(num_iteration=-1).encode()).parameters
    numbers = {name: float(found.get(name) or 0) for name in _NUMBERS}
    if found["boosting"] == "rf":
        raise ValueError(
            "LightGBM cannot continue a random forest; train it at once, and save what that returns"
        )
    position = found["objective"] == "lambdarank" and getattr(booster.train_set, "position", None) is not None
    costs = found.get("cegb_penalty_feature_lazy") or found.get("cegb_penalty_feature_coupled")
    drawn = _drawn(found, numbers)
    free = numbers["num_threads"] != 1 and not numbers["force_col_wise"] and not numbers["force_row_wise"]
    reasons = {
        f"{' and '.join(drawn)}: LightGBM draws random numbers and cannot save where it was, {_ENDS}": drawn,
        f"linear_tree: LightGBM trains on 32-bit features and predicts on 64-bit ones, {_ENDS}": (
            numbers["linear_tree"] == 1
        ),
        f"cegb_penalty_feature: which features were paid for is not saved, {_ENDS}": costs,
        f"lambdarank with positions: their biases are not saved, {_ENDS}": position,
        "LightGBM measures in which order to add numbers, so a resumed training may not equal the "
        "uninterrupted one; set force_col_wise=True": free,
    }
    return [why for why, holds in reasons.items() if holds]


_NUMBERS = (
    "bagging_freq", "bagging_fraction", "pos_bagging_fraction", "neg_bagging_fraction", "feature_fraction",
    "feature_fraction_bynode", "extra_trees", "use_quantized_grad", "stochastic_rounding", "linear_tree",
    "num_threads", "force_col_wise", "force_row_wise",
)  # fmt: skip


def _drawn(found: Mapping[str, str], numbers: Mapping[str, float]) -> list[str]:
    """What draws random numbers, or depends on earlier rounds as they were trained."""
    fractions = [numbers[f"{kind}bagging_fraction"] for kind in ("", "pos_", "neg_")]
    random = {
        "bagging": numbers["bagging_freq"] > 0 and min(fractions) < 1,
        "GOSS": "goss" in (found["boosting"], found["data_sample_strategy"]),
        "dart": found["boosting"] == "dart",
        "feature_fraction": min(numbers["feature_fraction"], numbers["feature_fraction_bynode"]) < 1,
        "extra_trees": numbers["extra_trees"] == 1,
        "stochastic_rounding": numbers["use_quantized_grad"] == numbers["stochastic_rounding"] == 1,
        "rank_xendcg": found["objective"] == "rank_xendcg",
    }
    return [name for name, draws in random.items() if draws]
