"""Boosters as XGBoost wrote them until 1.2: structs of its memory, one behind the other.

What is read has the form of its later JSON. Structs: `LearnerModelParamLegacy` in src/learner.cc,
`GBTreeModelParam` in src/gbm/gbtree_model.h, `TreeParam` and `RegTree::Node` in include/xgboost/tree_model.h.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from saver.families.xgboost import alike

CONFIG = b"CONFIG-offset:"
"""What comes before a model and the settings of its training, since 1.0."""

_MARK = b"binf"
_NODE = np.dtype(
    [(name, "<i4") for name in ("parent", "left", "right")] + [("split", "<u4"), ("value", "<f4")]
)
_STATISTICS = np.dtype([(name, "<f4") for name in ("gain", "hessian", "weight")] + [("leaves", "<i4")])
_LOW = 0x7FFFFFFF
_SETTINGS = ("SAVED_PARAM_", "count_poisson_max_delta_step", "metrics", "objective")
"""How attributes begin that XGBoost itself wrote, of what is among the settings since 1.0."""

_FIELDS = {
    "left_children": np.int32, "right_children": np.int32, "parents": np.int32, "split_indices": np.int32,
    "default_left": np.uint8, "split_conditions": np.float32, "loss_changes": np.float32,
    "sum_hessian": np.float32, "base_weights": np.float32,
}  # fmt: skip


def read(raw: bytes) -> dict[str, Any]:
    """The model and the settings. Raises ValueError or struct.error for what XGBoost never writes."""
    if not raw.startswith(CONFIG):
        return {"Model": _Reader(raw).model(), "Config": None}
    start = len(CONFIG) + 8
    end = start + struct.unpack_from("<q", raw, len(CONFIG))[0]
    if not start <= end <= len(raw):
        raise ValueError("the settings of a booster lie outside of it")
    return {"Model": _Reader(raw[start:end]).model(), "Config": json.loads(raw[end:])}


class _Reader:
    """Reads on from a place."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = len(_MARK) if data.startswith(_MARK) else 0

    def numbers(self, form: str, size: int) -> tuple[Any, ...]:
        """The first numbers of a struct of this size."""
        return struct.unpack(form, self.take(size)[: struct.calcsize(form)])

    def take(self, size: int) -> bytes:
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError("the structs of a booster are cut off")
        self.at += size
        return self.data[self.at - size : self.at]

    def length(self) -> int:
        found: int = self.numbers("<Q", 8)[0]
        return found

    def text(self) -> str:
        return self.take(self.length()).decode()

    def array(self, dtype: Any, count: int) -> Any:
        return np.frombuffer(self.take(count * np.dtype(dtype).itemsize), dtype)

    def model(self) -> dict[str, Any]:
        score, features, classes, has_more, has_metrics, major, minor = self.numbers("<fIiiiII", 136)
        objective, name = self.text(), self.text()
        booster = self._linear() if name == "gblinear" else self._trees()
        if name == "dart":
            drops = self.array("<f4", self.length()) if booster["model"]["tree_info"] else []
            booster = {"name": name, "gbtree": booster, "weight_drop": drops}
        attributes = {self.text(): self.text() for _ in range(self.length())} if has_more else {}
        metrics = []
        if not major:
            if objective == "count:poisson":
                self.text()  # the largest step, as in the attributes
            metrics = [self.text() for _ in range(self.length())] if has_metrics else []
        if self.at != len(self.data):
            raise ValueError("the structs of a booster are followed by other bytes")
        if not major:
            score = _of_margin(objective, score)
        elif objective == "binary:logitraw":
            score = math.log(score) - math.log1p(-score)  # of a raw score, this is the margin since 1.3
        sizes = {"base_score": repr(score), "num_class": str(classes), "num_feature": str(features)}
        return {
            "version": [major, minor, 0],
            "learner": {
                "learner_model_param": sizes, "objective": {"name": objective}, "gradient_booster": booster,
                "metrics": metrics,
                "attributes": {k: v for k, v in attributes.items() if not k.startswith(_SETTINGS)},
            },
        }  # fmt: skip

    def _linear(self) -> dict[str, Any]:
        self.take(136)
        return {"name": "gblinear", "model": {"weights": self.array("<f4", self.length())}}

    def _trees(self) -> dict[str, Any]:
        (count,) = self.numbers("<i", 160)
        if not 0 <= count <= len(self.data) // 148:
            raise ValueError("a booster has an impossible number of trees")
        columns: dict[str, list[bytes]] = {name: [] for name in _FIELDS}
        last = [self._tree(columns) for _ in range(count)]
        table = alike.table(columns, {name: np.dtype(dtype) for name, dtype in _FIELDS.items()}, last)
        groups = self.array("<i4", count).tolist()
        return {"name": "gbtree", "model": {"trees": table, "tree_info": groups}}

    def _tree(self, columns: dict[str, list[bytes]]) -> dict[str, str]:
        """Add a tree to the columns."""
        _, count, deleted, _, _, vectors = self.numbers("<6i", 148)
        if vectors:
            raise ValueError("a tree has leaf vectors, which XGBoost 1 did not make")
        nodes, statistics = self.array(_NODE, count), self.array(_STATISTICS, count)
        found = {
            "left_children": nodes["left"], "right_children": nodes["right"],
            "parents": nodes["parent"] & _LOW, "split_indices": nodes["split"] & _LOW,
            "default_left": nodes["split"] >> 31, "split_conditions": nodes["value"],
            "loss_changes": statistics["gain"], "sum_hessian": statistics["hessian"],
            "base_weights": statistics["weight"],
        }  # fmt: skip
        for name, dtype in _FIELDS.items():
            columns[name].append(found[name].astype(dtype).tobytes())
        return {"num_nodes": str(count), "num_deleted": str(deleted)}


def _of_margin(objective: str, score: float) -> float:
    """The base score of which a booster before 1.0 has the margin."""
    if objective in ("binary:logistic", "reg:logistic"):
        return 1 / (1 + math.exp(-score))
    if objective in ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"):
        return math.exp(score)
    if objective in ("binary:logitraw", "reg:linear", "reg:squarederror") or objective[:5] in (
        "multi",
        "rank:",
    ):
        return score
    raise ValueError(f"{objective:.40} of XGBoost before 1.0 keeps another base score than today's")
