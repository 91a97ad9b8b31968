# ruff: noqa: E501
"""Objects of libraries as nodes, from which the files of layer 4 are made."""

from __future__ import annotations

import copy
import struct
from typing import Any

from pieces import Pack, b64, node

LINEAR = "torch.nn.modules.linear:Linear"
SGD = "torch.optim.sgd:SGD"
REGRESSOR = "sklearn.tree._classes:DecisionTreeRegressor"
GRADIENTS = "sklearn.linear_model._base:LinearRegression"


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def longs(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


class Torch:
    """A pack in which tensors of torch are."""

    def __init__(self) -> None:
        self.pack = Pack()

    def tensor(
        self, data: bytes, shape: list[int] | None = None, dtype: str = "F32", **more: Any
    ) -> dict[str, Any]:
        """A `torch.Tensor`; `id` is that of its node."""
        ident = {"id": more.pop("id")} if "id" in more else {}
        size = {"F32": 4, "I64": 8, "U8": 1, "BOOL": 1, "BF16": 2, "F64": 8}[dtype]
        named = self.pack.tensor(
            f"t{len(self.pack.tensors)}", dtype, [len(data) // size] if shape is None else shape, data
        )
        return node("torch.Tensor", {"data": named, **more}, **ident)

    def bytes(self, value: Any) -> bytes:
        self.pack.tree = value
        return self.pack.bytes()

    def view(self, changed: dict[str, Any] | None = None) -> bytes:
        """A tensor of six numbers, and a view of the last four."""
        view = {"base": {"$ref": 1}, "dtype": "float32", "offset": 2, "shape": [4], "stride": [1]} | (
            changed or {}
        )
        return self.bytes(node("list", [self.tensor(floats(*range(6)), id=1), node("torch.Tensor", view)]))

    def sparse(self, at: bytes = longs(0, 1, 0, 1), shape: Any = (2, 2), **changed: Any) -> bytes:
        """A diagonal matrix of two ones."""
        state = {
            "layout": "sparse_coo", "shape": list(shape), "coalesced": True,
            "indices": self.tensor(at, [2, len(at) // 16], "I64"), "values": self.tensor(floats(1, 1)),
        }  # fmt: skip
        return self.bytes(node("torch.Tensor", state | changed))

    def compressed(self, rows: bytes = longs(0, 1, 2), columns: bytes = longs(0, 1)) -> bytes:
        """The same matrix by rows."""
        state = {
            "layout": "sparse_csr", "shape": [2, 2], "crow_indices": self.tensor(rows, dtype="I64"),
            "col_indices": self.tensor(columns, dtype="I64"), "values": self.tensor(floats(1, 1)),
        }  # fmt: skip
        return self.bytes(node("torch.Tensor", state))

    def module(self, **ids: int) -> dict[str, Any]:
        """A linear layer from two numbers to one."""
        return node("torch.Module", {
            "attributes": {"_is_full_backward_hook": None, "in_features": 2, "out_features": 1, "training": True},
            "parameters": {
                "bias": self.tensor(floats(0.5), parameter=True, **({"id": ids["bias"]} if ids else {})),
                "weight": self.tensor(floats(1, 2), [1, 2], parameter=True, **({"id": ids["weight"]} if ids else {})),
            },
        }, LINEAR)  # fmt: skip

    def optimizer(self, **changed: Any) -> bytes:
        """A layer and its optimizer, which has momentum."""
        options = {
            "dampening": 0, "differentiable": False, "foreach": None, "fused": None, "lr": 0.125, "maximize": False,
            "momentum": 0.5, "nesterov": False, "weight_decay": 0,
        }  # fmt: skip
        module = self.module(weight=1, bias=2)
        group = node("dict", options | {"params": node("list", [{"$ref": 1}, {"$ref": 2}])})
        state = {
            "attributes": {"defaults": node("dict", options)}, "param_groups": node("list", [group]), "scheduled": False,
            "state": [[{"$ref": 1}, node("dict", {"momentum_buffer": self.tensor(floats(3, 4), [1, 2])})]], "torch": "2.13.0",
        }  # fmt: skip
        return self.bytes(node("list", [module, node("torch.Optimizer", state | changed, SGD)]))


NODES: dict[str, tuple[str, bytes]] = {
    "feature": ("I32", struct.pack("<3i", 0, -2, -2)), "impurity": ("F64", struct.pack("<3d", 0.25, 0, 0)),
    "left_child": ("I32", struct.pack("<3i", 1, -1, -1)), "missing_go_to_left": ("U8", b"\0\0\0"),
    "n_node_samples": ("I32", struct.pack("<3i", 2, 1, 1)), "right_child": ("I32", struct.pack("<3i", 2, -1, -1)),
    "threshold": ("F64", struct.pack("<3d", 0.5, -2, -2)), "weighted_n_node_samples": ("F64", struct.pack("<3d", 2, 1, 1)),
}  # fmt: skip
"""A root with two leaves."""


def tree_of(
    nodes: dict[str, tuple[str, bytes]] | None = None, table: bytes = longs(3, 1, 1, 1), values: int = 3,
    classes: bytes = longs(1), state: Any = ("model/sklearn.tree", 0), width: int = 4,
) -> bytes:  # fmt: skip
    """A regressor of one tree, of which some is changed."""
    pack = Pack()
    columns = NODES | (nodes or {})

    def held(name: str, dtype: str, shape: list[int], data: bytes) -> dict[str, str]:
        return pack.tensor(f"model/sklearn.tree.{name}", dtype, shape, data)

    size = {"I32": 4, "F64": 8, "U8": 1, "I64": 8}
    batch = {
        "nodes": {name: held(name, dtype, [len(data) // size[dtype]], data) for name, (dtype, data) in columns.items()},
        "values": held("values", "F64", [values], struct.pack(f"<{values}d", *range(values))),
        "trees": held("trees", "I64", [len(table) // 8 // width, width], table),
        "classes": held("classes", "I64", [len(classes) // 8], classes),
    }  # fmt: skip
    pack.parts = {
        "model": {
            "tree": node(
                "sklearn.estimator", REGRESSION | {"tree_": node("sklearn.tree", list(state))}, REGRESSOR
            ),
            "batches": {"model/sklearn.tree": batch},
        }
    }
    return pack.bytes()


ZERO = {"$float": 0}
REGRESSION = {
    "ccp_alpha": ZERO, "criterion": "squared_error", "max_depth": 1, "max_features": None, "max_features_": 1,
    "max_leaf_nodes": None, "min_impurity_decrease": ZERO, "min_samples_leaf": 1, "min_samples_split": 2,
    "min_weight_fraction_leaf": ZERO, "monotonic_cst": None, "n_features_in_": 1, "n_outputs_": 1, "random_state": None,
    "splitter": "best",
}  # fmt: skip


def array(dtype: str, shape: list[int], data: bytes) -> dict[str, Any]:
    return node("numpy.array", {"dtype": dtype, "shape": shape, "data": b64(data)})


def numbers(*values: int) -> dict[str, Any]:
    return array("<i8", [len(values)], longs(*values))


def labels(*values: Any) -> dict[str, Any]:
    """An index of these objects."""
    held = node("numpy.array", {"dtype": "|O", "shape": [len(values)], "items": list(values)})
    return node("pandas.Index", {"values": held, "name": None})


def range_of(count: int) -> dict[str, Any]:
    return node("pandas.RangeIndex", [0, count, 1, None])


FRAME: dict[str, Any] = {
    "blocks": [
        [array("<f8", [1, 2], struct.pack("<2d", 1, 2)), numbers(0)],
        [array("<i8", [2, 2], longs(1, 2, 3, 4)), numbers(2, 1)],
    ],
    "index": range_of(2), "columns": labels("a", "b", "c"),
}  # fmt: skip
"""Two rows of three columns: one of floats, and two of integers in the other order."""

SERIES: dict[str, Any] = {"values": numbers(1, 2), "index": range_of(2), "name": "s"}


def frame(**changed: Any) -> dict[str, Any]:
    return node("pandas.DataFrame", copy.deepcopy(FRAME) | changed)


def series(**changed: Any) -> dict[str, Any]:
    return node("pandas.Series", copy.deepcopy(SERIES) | changed)


def category(*codes: int) -> dict[str, Any]:
    """Codes of two categories."""
    dtype = node("pandas.dtype", ["category", labels("x", "y"), False])
    return node(
        "pandas.Categorical", [array("|i1", [len(codes)], struct.pack(f"{len(codes)}b", *codes)), dtype]
    )


def multi(*codes: int) -> dict[str, Any]:
    """An index of two levels, whose second has these codes."""
    first = array("|i1", [len(codes)], bytes(len(codes)))
    second = array("|i1", [len(codes)], struct.pack(f"{len(codes)}b", *codes))
    state = {
        "levels": [labels("a"), labels("b", "c")],
        "codes": [first, second],
        "names": [None, "n"],
        "sortorder": None,
    }
    return node("pandas.MultiIndex", state)


def masked(name: str, values: dict[str, Any], mask: bytes) -> dict[str, Any]:
    return node("pandas.masked", [name, values, array("|b1", [len(mask)], mask)])


__all__ = [
    "GRADIENTS",
    "NODES",
    "SERIES",
    "Torch",
    "array",
    "category",
    "floats",
    "frame",
    "labels",
    "longs",
    "masked",
    "multi",
    "numbers",
    "range_of",
    "series",
    "tree_of",
]
