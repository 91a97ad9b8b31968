"""The categories of data frames that a booster was trained on, by feature."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import numpy as np

_BOUNDS = {
    9: (-(2**7), 2**7),
    10: (0, 2**8),
    11: (-(2**15), 2**15),
    13: (-(2**31), 2**31),
    15: (-(2**63), 2**63),
}
"""XGBoost's number of an integer type → the range of its values."""


def read(found: Any) -> list[dict[str, Any]]:
    """The categories of each feature, as XGBoost writes them: `values` and `order`, with `offsets` for texts,
    or the number of the `type`. None of them if there are none."""
    if not found or not found["enc"]:
        return []
    bounds, order = found["feature_segments"].tolist(), found["sorted_idx"].tolist()
    return [
        {
            **{name: each if name == "type" else each.tolist() for name, each in encoder.items()},
            "order": order[start:end],
        }
        for encoder, (start, end) in zip(found["enc"], pairwise(bounds), strict=True)
    ]


_TYPES = {9: np.int8, 10: np.uint8, 11: np.int16, 13: np.int32, 15: np.int64}


def write(encoders: list[dict[str, Any]]) -> dict[str, Any]:
    """The same as XGBoost reads them."""
    ends = list(accumulate((len(encoder["order"]) for encoder in encoders), initial=0)) if encoders else []
    return {
        "enc": [_written(encoder) for encoder in encoders],
        "feature_segments": np.array(ends, np.int32),
        "sorted_idx": np.array([index for encoder in encoders for index in encoder["order"]], np.int32),
    }


def _written(encoder: dict[str, Any]) -> dict[str, Any]:
    if "type" in encoder:
        return {"type": encoder["type"], "values": np.array(encoder["values"], _TYPES[encoder["type"]])}
    return {
        "offsets": np.array(encoder["offsets"], np.int32),
        "values": np.array(encoder["values"], np.int8),
    }


def check(encoders: list[dict[str, Any]], features: int) -> None:
    """Raise ValueError unless there are categories for each feature, or none at all."""
    if type(encoders) is not list or len(encoders) not in (0, features):
        raise ValueError("there are not categories for each feature")
    for encoder in encoders:
        if type(encoder) is not dict or encoder.keys() not in (
            {"offsets", "values", "order"}, {"type", "values", "order"},
        ):  # fmt: skip
            raise ValueError("categories have another form than XGBoost writes")
        values, order = encoder["values"], encoder["order"]
        lists = [value for value in encoder.values() if type(value) is list]
        if any(type(number) is not int for each in lists for number in each):
            raise ValueError("categories are not numbers")
        if len(lists) != len(encoder) - ("type" in encoder):
            raise ValueError("categories are not lists")
        if "type" in encoder:
            kind = encoder["type"]
            if type(kind) is not int or kind not in _BOUNDS:
                raise ValueError("categories have a type that XGBoost does not have")
            low, high = _BOUNDS[kind]
            count = len(values)
        else:
            offsets = encoder["offsets"]
            low, high = -128, 128
            count = max(0, len(offsets) - 1)
            whole = offsets or [0]
            if whole[0] != 0 or whole[-1] != len(values) or any(a > b for a, b in pairwise(whole)):
                raise ValueError("the texts of categories do not follow each other")
        if any(not low <= value < high for value in values):
            raise ValueError("a category is out of the range of its type")
        if sorted(order) != list(range(count)):
            raise ValueError("the order of categories is not an order of them")
