# ruff: noqa: E501
"""Profiles: the objects of libraries, of which a reader may know some. These files need torch, scikit-learn and pandas,
or a reader that shows their nodes as they are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import libraries
from layer1 import Case
from layer2 import tree
from pieces import dumps, node
from profiles import (
    GRADIENTS,
    NODES,
    Torch,
    array,
    category,
    floats,
    frame,
    labels,
    longs,
    masked,
    multi,
    numbers,
    range_of,
    series,
    tree_of,
)


def valid() -> Iterator[Case]:
    for name, value, what in of_pandas():
        yield f"pandas-{name}", None, tree(value), what
    yield from of_torch()
    yield from of_sklearn()
    yield from libraries.sound()


def of_pandas() -> Iterator[tuple[str, Any, str]]:
    yield "RangeIndex", node("pandas.RangeIndex", [0, 10, 2, None]), "an index of pandas"
    yield "Index", labels("a", 1), "an index of objects"
    yield (
        "Index-dates",
        node(
            "pandas.Index",
            {"name": "t", "values": node("pandas.datetime", [array("<M8[us]", [1], longs(1)), None])},
        ),
        "an index of dates",
    )
    yield "MultiIndex", multi(0, 1, -1), "an index of two levels, with a missing value"
    yield "Series", series(), "a series"
    yield "DataFrame", frame(), "a frame of two blocks"
    yield "Categorical", category(0, 1, -1), "two categories and a missing value"
    yield "masked", masked("Int64", numbers(1, 1), b"\0\1"), "an integer and a missing one"
    yield "interval", node("pandas.interval", [numbers(0, 1), numbers(1, 2), "right"]), "two intervals"
    yield "Timestamp", node("pandas.Timestamp", ["us", 1577836800000000, None, 0]), "a time"
    yield "Timedelta", node("pandas.Timedelta", ["ns", 5]), "a span of time"
    yield (
        "missing",
        node("list", [node("pandas.missing", "NA"), node("pandas.missing", "NaT")]),
        "missing values",
    )


def of_torch() -> Iterator[Case]:
    made = Torch()
    yield "torch-Tensor", None, made.bytes(made.tensor(floats(*range(6)), [2, 3])), "a tensor"
    made = Torch()
    yield (
        "torch-stride",
        None,
        made.bytes(made.tensor(floats(*range(6)), [3, 2], stride=[1, 3])),
        "a transposed tensor",
    )
    made = Torch()
    yield (
        "torch-complex",
        None,
        made.bytes(
            made.tensor(floats(1, 2), [1, 2], dtype="F32")
            | {"state": {"data": {"$tensor": "t0"}, "dtype": "complex64"}}
        ),
        "a complex number",
    )
    made = Torch()
    yield "torch-bfloat16", None, made.bytes(made.tensor(b"\xc0\x3f", dtype="BF16")), "a bfloat16"
    yield (
        "torch-digits",
        None,
        tree(node("torch.Tensor", {"data": "0000c03f", "dtype": "float32"})),
        "a number inline",
    )
    yield "torch-view", None, Torch().view(), "a view"
    yield (
        "torch-view-bytes",
        None,
        Torch().view({"dtype": "uint8", "offset": 5, "shape": [3], "stride": [2]}),
        "a view as bytes",
    )
    yield "torch-sparse", None, Torch().sparse(), "a sparse matrix"
    yield "torch-compressed", None, Torch().compressed(), "a sparse matrix by rows"
    made = Torch()
    yield "torch-Module", None, made.bytes(made.module()), "a linear layer"
    made = Torch()
    nested = node(
        "torch.Module",
        {
            "attributes": {"_is_full_backward_hook": None, "training": True},
            "modules": {"0": made.module(), "1": None},
        },
        "torch.nn.modules.container:Sequential",
    )
    yield "torch-modules", None, made.bytes(nested), "a layer in another, and a place without one"
    yield "torch-Optimizer", None, Torch().optimizer(), "a layer and its optimizer"
    small = {"constant": "torch.float32", "device": "cpu", "Size": [1, 2]}
    for name, state in small.items():
        yield f"torch-{name}", None, tree(node(f"torch.{name}", state)), f"a torch.{name}"


def of_sklearn() -> Iterator[Case]:
    fitted = {
        "coef_": array("<f8", [1], struct.pack("<d", 0.5)), "copy_X": True, "fit_intercept": True,
        "intercept_": node("numpy.scalar", ["<f8", 0.25]), "n_features_in_": 1, "n_jobs": None, "positive": False,
        "tol": 1e-06,
    }  # fmt: skip
    yield "sklearn-linear", None, tree(node("sklearn.estimator", fitted, GRADIENTS)), "a fitted linear model"
    yield (
        "sklearn-unfitted",
        None,
        tree(node("sklearn.estimator", {"fit_intercept": True}, GRADIENTS)),
        "one that is not fitted",
    )
    yield "sklearn-bunch", None, tree(node("sklearn.bunch", {"a": 1})), "a bunch"
    yield "sklearn-tree", None, tree_of(), "a tree of three nodes"
    both = {name: (dtype, data * 2) for name, (dtype, data) in NODES.items()}
    yield (
        "sklearn-trees",
        None,
        tree_of(both, longs(3, 1, 1, 1) * 2, 6, longs(1, 1), ("model/sklearn.tree", 1)),
        "the second tree of two",
    )


def invalid() -> Iterator[Case]:
    yield from states()
    yield from tensors()
    yield from views()
    yield from modules()
    yield from optimizers()
    yield from trees()
    yield from frames()
    yield from libraries.unsound()


STATES: list[Any] = [None, 5, "xyz", [], {}, {"a": 1}, [1]]
PANDAS = ("DataFrame", "Series", "Index", "MultiIndex", "Categorical", "masked", "strings", "datetime", "period", "interval",
          "Timestamp", "Timedelta", "missing")  # fmt: skip


def states() -> Iterator[Case]:
    for at, state in enumerate((None, [], 5, "a", {}, [0, 10], ["a", 1, 1, None])):
        yield (
            f"pandas-RangeIndex-{at}",
            "4.01",
            tree(node("pandas.RangeIndex", state)),
            f"an index of {dumps(state)}",
        )
    for codec in PANDAS:
        for at, state in enumerate(STATES):
            yield (
                f"pandas-{codec}-{at}",
                "4.01",
                tree(node(f"pandas.{codec}", state)),
                f"a pandas.{codec} of {dumps(state)}",
            )
    fine = {"Size": ([], [1]), "constant": (), "device": (), "Tensor": (), "Generator": ()}
    for codec, good in fine.items():
        for at, state in enumerate(STATES):
            if state not in good:
                yield (
                    f"torch-{codec}-{at}",
                    "4.01",
                    tree(node(f"torch.{codec}", state)),
                    f"a torch.{codec} of {dumps(state)}",
                )
    for at, state in enumerate(STATES):
        yield (
            f"torch-Module-{at}",
            "4.01",
            tree(node("torch.Module", state, "torch.nn.modules.linear:Linear")),
            f"a module of {dumps(state)}",
        )
        yield (
            f"torch-Optimizer-{at}",
            "4.01",
            tree(node("torch.Optimizer", state, "torch.optim.sgd:SGD")),
            f"an optimizer of {dumps(state)}",
        )
        if not isinstance(state, dict):
            yield (
                f"sklearn-estimator-{at}",
                "4.01",
                tree(node("sklearn.estimator", state, GRADIENTS)),
                f"an estimator of {dumps(state)}",
            )
    wrong: dict[str, list[Any]] = {
        "pandas.Timestamp": [["x", 1, None, 0], ["us", "1", None, 0], ["us", 1, "a", 0], ["us", 1, None]],
        "pandas.Timedelta": [["x", 1], ["ns", 1.5], ["ns"]], "pandas.missing": ["NAN", "nat"],
        "torch.Tensor": [{"data": "zz", "dtype": "float32"}, {"data": "00", "dtype": "float"}, {"data": "00"}, {"dtype": "float32"}],
        "torch.constant": ["float32", "torch.nn"], "torch.device": ["nowhere", "cpu:x"], "torch.Size": [["a"], [1.5]],
    }  # fmt: skip
    for codec, values in wrong.items():
        for at, state in enumerate(values):
            yield f"form-{codec}-{at}", "4.01", tree(node(codec, state)), f"a {codec} of {dumps(state)}"


def tensors() -> Iterator[Case]:
    for at, (data, dtype) in enumerate((("00", "float32"), ("0000c03f0000c03f", "float32"), ("", "uint8"))):
        yield (
            f"digits-{at}",
            "4.02",
            tree(node("torch.Tensor", {"data": data, "dtype": dtype})),
            f"{data!r} for a {dtype}",
        )
    six = floats(*range(6))
    for at, (more, what) in enumerate((
        ({"dtype": "int64"}, "six floats as integers"), ({"dtype": "complex64"}, "complex numbers of three floats"),
        ({"stride": [3]}, "one stride for two axes"), ({"stride": [1, 1]}, "strides that meet"),
        ({"stride": [6, 2]}, "strides with gaps"), ({"stride": [-3, 1]}, "a negative stride"), ({"stride": "x"}, "a text for strides"),
        ({"stride": [3.5, 1]}, "half a stride"),
    )):  # fmt: skip
        made = Torch()
        found = made.tensor(six, [2, 3])
        found["state"] |= more
        yield f"tensor-{at}", "4.02", made.bytes(found), what
    for at, changed in enumerate(
        (
            {"shape": [-4]},
            {"shape": "x"},
            {"stride": [1, 1]},
            {"offset": -1},
            {"shape": [2**52, 2**12], "stride": [0, 0]},
        )
    ):
        yield f"view-form-{at}", "4.02", Torch().view(changed), f"a view with {dumps(changed)}"


def views() -> Iterator[Case]:
    changes: list[dict[str, Any]] = [
        {"offset": 3}, {"shape": [5]}, {"stride": [2]}, {"dtype": "float64", "offset": 0}, {"base": 5}, {"base": None},
        {"base": node("list", [])}, {"offset": 2**52}, {"shape": [2, 2], "stride": [1, 4]},
    ]  # fmt: skip
    for at, changed in enumerate(changes):
        yield f"view-{at}", "4.03", Torch().view(changed), f"a view with {dumps(changed)[:60]}"
    for at, (indices, shape) in enumerate(
        (
            (longs(0, 2, 0, 1), (2, 2)),
            (longs(0, -1, 0, 1), (2, 2)),
            (longs(0, 1, 0, 1), (2, 1)),
            (longs(0, 0), (2, 2)),
        )
    ):
        yield (
            f"sparse-{at}",
            "4.04",
            Torch().sparse(indices, shape),
            f"indices beyond the shape {list(shape)}, or too few",
        )
    yield "sparse-values", "4.04", Torch().sparse(values=5), "values that are no tensor"
    yield "sparse-indices", "4.04", Torch().sparse(indices=node("list", [])), "indices that are no tensor"
    for at, (rows, columns) in enumerate(
        (
            (longs(0, 1, 3), longs(0, 1)),
            (longs(0, 2, 1), longs(0, 1)),
            (longs(0, 1, 2), longs(0, 2)),
            (longs(0, 1, 2), longs(0, -1)),
            (longs(0, 2), longs(0, 1)),
        )
    ):
        yield f"compressed-{at}", "4.04", Torch().compressed(rows, columns), "rows or columns that do not fit"


def modules() -> Iterator[Case]:
    for kind in ("parameters", "buffers", "modules"):
        for at, (name, value) in enumerate(
            (
                ("a", 5),
                ("a", "text"),
                ("a", node("list", [])),
                ("__class__", None),
                ("__array_interface__", None),
            )
        ):
            if kind != "modules" and at == 2:
                value = node("torch.Module", {"attributes": {}}, "torch.nn.modules.linear:Identity")
            if name.startswith("__array"):
                continue  # layer 2 refuses the key
            state = {"attributes": {"_is_full_backward_hook": None, "training": True}, kind: {name: value}}
            found = tree(node("torch.Module", state, "torch.nn.modules.linear:Identity"))
            yield f"module-{kind}-{at}", "4.05", found, f"{kind} with {name}: {dumps(value)[:50]}"
    for at, name in enumerate(
        ("_parameters", "_buffers", "_modules", "_forward_hooks", "_non_persistent_buffers_set")
    ):
        state = {"attributes": {name: None}}
        yield (
            f"module-field-{at}",
            "4.05",
            tree(node("torch.Module", state, "torch.nn.modules.linear:Identity")),
            f"the attribute {name}",
        )
    state = {"attributes": {}, "non_persistent": [5]}
    yield (
        "module-names",
        "4.05",
        tree(node("torch.Module", state, "torch.nn.modules.linear:Identity")),
        "a name that is a number",
    )


def optimizers() -> Iterator[Case]:
    yield (
        "optimizer-groups",
        "4.06",
        Torch().optimizer(param_groups=node("dict", {})),
        "groups that are a dict",
    )
    for at, group in enumerate(
        (
            5,
            node("list", []),
            node("dict", {}),
            node("dict", {"params": 5}),
            node("dict", {"params": node("list", [5])}),
        )
    ):
        yield (
            f"optimizer-group-{at}",
            "4.06",
            Torch().optimizer(param_groups=node("list", [group])),
            f"the group {dumps(group)}",
        )
    for at, state in enumerate(
        (
            [5, node("dict", {})],
            [node("list", []), node("dict", {})],
            [{"$ref": 1}, 5],
            [{"$ref": 1}, node("list", [])],
        )
    ):
        yield f"optimizer-state-{at}", "4.06", Torch().optimizer(state=[state]), f"the state {dumps(state)}"
    for at, attributes in enumerate(
        ({"defaults": 5}, {"defaults": node("list", [])}, {"state": 5}, {"param_groups": 5})
    ):
        yield (
            f"optimizer-attributes-{at}",
            "4.06",
            Torch().optimizer(attributes=attributes),
            f"the attributes {dumps(attributes)}",
        )


def trees() -> Iterator[Case]:
    def three(*values: int) -> tuple[str, bytes]:
        return "I32", struct.pack("<3i", *values)

    changes: list[tuple[dict[str, tuple[str, bytes]], str]] = [
        ({"left_child": three(0, -1, -1)}, "a node that is its own child"), ({"left_child": three(3, -1, -1)}, "a child beyond the tree"),
        ({"left_child": three(-5, -1, -1)}, "a child before the tree"), ({"left_child": three(2, -1, -1)}, "two parents"),
        ({"right_child": three(2, 2, -1)}, "a leaf with a right child"), ({"feature": three(1, -2, -2)}, "a feature that is not there"),
        ({"feature": three(-1, -2, -2)}, "a negative feature"), ({"right_child": three(-1, -1, -1)}, "one child alone"),
    ]  # fmt: skip
    for at, (changed, what) in enumerate(changes):
        yield f"tree-{at}", "4.07", tree_of(changed), what
    for at, (table, what) in enumerate(
        (
            (longs(3, 0, 1, 1), "less deep than it is"),
            (longs(3, 9, 1, 1), "deeper than its nodes"),
            (longs(3, 1, 0, 1), "without features"),
        )
    ):
        yield f"tree-declared-{at}", "4.07", tree_of(table=table), f"a tree that is declared {what}"
    yield (
        "tree-empty",
        "4.07",
        tree_of(table=longs(3, 1, 1, 1, 0, 0, 1, 1), classes=longs(1, 1)),
        "a tree of no nodes beside another",
    )
    batches: list[tuple[dict[str, Any], str]] = [
        ({"table": longs(2, 1, 1, 1)}, "fewer nodes declared"), ({"table": longs(4, 1, 1, 1)}, "more nodes declared"),
        ({"table": longs(-3, 1, 1, 1)}, "a negative number of nodes"), ({"values": 2}, "too few values"), ({"values": 4}, "too many values"),
        ({"classes": longs(1, 1)}, "more classes than outputs"), ({"classes": longs(0)}, "no class"), ({"table": longs(3, 1, 1), "width": 3}, "a table of three columns"),
        ({"nodes": {"feature": ("I32", b"\0" * 8)}}, "features for two nodes"), ({"nodes": {"feature": ("F64", b"\0" * 24)}}, "features that are floats"),
        ({"nodes": {"unknown": ("I32", b"\0" * 12)}}, "another field"),
    ]  # fmt: skip
    for at, (changed, what) in enumerate(batches):
        yield f"batch-{at}", "4.08", tree_of(**changed), f"a batch with {what}"
    for at, state in enumerate(
        (
            ["model/sklearn.tree", 1],
            ["model/sklearn.tree", -1],
            ["model/other", 0],
            ["model/sklearn.tree"],
            ["model/sklearn.tree", "0"],
        )
    ):
        yield f"tree-state-{at}", "4.01", tree_of(state=state), f"a tree that is {dumps(state)}"


def frames() -> Iterator[Case]:
    ones = array("<f8", [1, 2], struct.pack("<2d", 1, 2))
    wrong: dict[str, Any] = {
        "series-length": series(values=numbers(1, 2, 3)), "series-axes": series(values=ones), "series-kind": series(values=5),
        "series-index": series(index=5), "series-dtype": series(values=array("|V2", [2], b"abcd")),
        "series-units": series(values=array("<M8[D]", [2], longs(1, 2))), "index-axes": node("pandas.Index", {"values": ones, "name": None}),
        "frame-index": frame(index=node("list", [])), "frame-columns": frame(columns=None), "frame-gap": frame(blocks=[[ones, numbers(0)]]),
        "frame-twice": frame(blocks=[[ones, numbers(0)]] * 2 + [[ones, numbers(1)]]), "frame-beyond": frame(blocks=[[ones, numbers(at)] for at in (0, 1, 3)]),
        "frame-rows": frame(index=range_of(3)), "frame-places": frame(blocks=[[ones, numbers(0, 1)], [ones, numbers(2)]]),
        "frame-block": frame(blocks=[[5, numbers(0)]]),
    }  # fmt: skip
    for name, value in wrong.items():
        yield name, "4.09", tree(value), f"{name.replace('-', ': ')}"
    for at, label in enumerate(("__array_interface__", "__class__", "__array_struct__", "__reduce_ex__")):
        yield f"label-{at}", "4.10", tree(frame(columns=labels("a", "b", label))), f"a column {label}"
        yield f"label-row-{at}", "4.10", tree(series(index=labels("a", label))), f"a row {label}"
    for at, code in enumerate((2, -2, 127)):
        yield f"codes-{at}", "4.11", tree(category(0, code)), f"the code {code} of two categories"
        yield f"codes-level-{at}", "4.11", tree(multi(0, code)), f"the code {code} of a level of two values"


__all__ = ["invalid", "valid"]
