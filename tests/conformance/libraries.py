# ruff: noqa: E501
"""Files of more profiles: schedulers and generators of torch, SciPy, Keras and JAX."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from layer1 import Case
from pieces import Pack, dumps, node
from profiles import Torch, array, floats, numbers

STEP_LR = "torch.optim.lr_scheduler:StepLR"
SCHEDULE = {
    "_get_lr_called_within_step": False, "_is_initial": False, "_last_lr": node("list", [0.125]), "_step_count": 1,
    "base_lrs": node("list", [0.125]), "gamma": 0.5, "last_epoch": 0, "optimizer": {"$ref": 3}, "step_size": 2,
}  # fmt: skip
GENERATOR = struct.pack("<QiiQ624Q3diifi", 3, 1, 1, 0, *range(1, 625), 0, 0, 0, 0, 0, 0, 0)
"""The state of a generator of torch on the CPU, as torch's `get_state` gives it."""


def scheduler(attributes: Any = SCHEDULE, **more: Any) -> bytes:
    """A layer, its optimizer and a scheduler."""
    made = Torch()
    made.optimizer()
    module, optimizer = made.pack.tree["state"]
    optimizer["id"] = 3
    optimizer["state"]["scheduled"] = True
    optimizer["state"]["param_groups"]["state"][0]["state"]["initial_lr"] = 0.125
    return made.bytes(
        node(
            "list",
            [module, optimizer, node("torch.LRScheduler", {"attributes": attributes, **more}, STEP_LR)],
        )
    )


def of_tensor(codec: str, dtype: str, shape: list[int], data: bytes, make: Any) -> bytes:
    """A node whose state is made of a tensor."""
    pack = Pack()
    pack.tree = node(codec, make(pack.tensor("model", dtype, shape, data)))
    return pack.bytes()


def generator(data: bytes = GENERATOR, device: Any = "cpu", dtype: str = "U8") -> bytes:
    return of_tensor("torch.Generator", dtype, [len(data)], data, lambda tensor: [device, tensor])


ENDS, ROWS = array("<i4", [3], struct.pack("<3i", 0, 1, 2)), array("<i4", [2], struct.pack("<2i", 0, 1))
TWO, WORDS = array("<f8", [2], struct.pack("<2d", 1, 2)), array("<i8", [2, 2], struct.pack("<4q", 0, 0, 1, 1))
SPARSE: dict[str, dict[str, Any]] = {
    "csr_matrix": {"data": TWO, "indices": ROWS, "indptr": ENDS}, "csc_array": {"data": TWO, "indices": ROWS, "indptr": ENDS},
    "bsr_matrix": {"data": array("<f8", [2, 1, 1], struct.pack("<2d", 1, 2)), "indices": ROWS, "indptr": ENDS},
    "coo_array": {"data": TWO, "coords": [ROWS, ROWS], "has_canonical_format": True},
    "dia_matrix": {"data": array("<f8", [1, 2], struct.pack("<2d", 1, 2)), "offsets": array("<i4", [1], bytes(4))},
    "lil_matrix": {"columns": [0, 1], "values": [1.5, 2.5], "ends": numbers(1, 2), "dtype": node("numpy.dtype", "<f8")},
    "dok_matrix": {"keys": WORDS, "values": TWO, "dtype": node("numpy.dtype", "<f8")},
}  # fmt: skip


def sparse(name: str, **changed: Any) -> dict[str, Any]:
    return node("scipy.sparse", {"kind": name, "shape": [2, 2], **SPARSE[name], **changed})


SPLINE = {
    "axis": 0, "c": array("<f8", [2, 1], struct.pack("<2d", 1, 2)), "extrapolate": True, "kind": "PPoly",
    "x": array("<f8", [2], struct.pack("<2d", 0, 1)),
}  # fmt: skip
KNOTS = {
    "axis": 0,
    "c": TWO,
    "extrapolate": True,
    "k": 1,
    "t": array("<f8", [4], struct.pack("<4d", 0, 0, 1, 1)),
}

ZEROS = {"class_name": "Zeros", "config": {}, "module": "keras.initializers"}
DENSE = {
    "class_name": "Dense", "module": "keras.layers", "build_config": {"input_shape": [None, 2]},
    "config": {
        "activation": "linear", "bias_constraint": None, "bias_initializer": ZEROS, "bias_regularizer": None, "dtype": "float32",
        "kernel_constraint": None, "kernel_initializer": ZEROS, "kernel_regularizer": None, "name": "dense", "trainable": True,
        "units": 1, "use_bias": True,
    },
}  # fmt: skip


def dense() -> bytes:
    """A layer of Keras with a kernel and a bias."""
    pack = Pack()
    kernel, bias = (
        pack.tensor("model/0", "F32", [2, 1], floats(1, 2)),
        pack.tensor("model/1", "F32", [1], floats(3)),
    )
    empty: dict[str, Any] = {
        key: {} for key in ("adapters", "compiled", "generators", "optimizers", "vocabularies")
    }
    state = {"config": DENSE, "frozen": [], "variables": {"": {"0": kernel, "1": bias}}, **empty}
    pack.tree = node("keras.layer", state)
    return pack.bytes()


JAX: dict[str, tuple[str, list[int], bytes, dict[str, Any]]] = {
    "Array": ("F32", [3], floats(1, 2, 3), {"dtype": "float32"}), "bfloat16": ("BF16", [1], b"\xc0\x3f", {"dtype": "bfloat16"}),
    "weak": ("F32", [], floats(1), {"dtype": "float32", "weak": True}), "complex": ("F32", [1, 2], floats(1, 2), {"dtype": "complex64"}),
    "key": ("U32", [2], bytes(8), {"keys": "threefry2x32"}),
}  # fmt: skip


def sound() -> Iterator[Case]:
    yield "torch-LRScheduler", None, scheduler(), "a scheduler of an optimizer"
    yield "torch-Generator", None, generator(), "a generator of torch"
    for kind in SPARSE:
        yield f"scipy-{kind}", None, Pack(tree=sparse(kind)).bytes(), f"a {kind} of SciPy"
    yield (
        "scipy-PPoly",
        None,
        Pack(tree=node("scipy.polynomial", SPLINE)).bytes(),
        "a piecewise polynomial of SciPy",
    )
    yield "scipy-BSpline", None, Pack(tree=node("scipy.BSpline", KNOTS)).bytes(), "a spline of SciPy"
    yield "keras-layer", None, dense(), "a layer of Keras"
    for name, (dtype, shape, data, more) in JAX.items():
        found = of_tensor("jax.Array", dtype, shape, data, lambda tensor, more=more: {"data": tensor, **more})
        yield f"jax-{name}", None, found, f"an array of JAX: {dumps(more)}"


def unsound() -> Iterator[Case]:
    wrong: list[dict[str, Any]] = [
        {**SCHEDULE, "optimizer": 5}, {**SCHEDULE, "optimizer": node("list", [])}, {**SCHEDULE, "base_lrs": 5},
    ]  # fmt: skip
    for at, attributes in enumerate(wrong):
        yield (
            f"scheduler-{at}",
            "4.01",
            scheduler(attributes),
            "a scheduler with another optimizer or list of rates",
        )
    yield "scheduler-state", "4.01", scheduler([]), "a scheduler whose attributes are a list"
    for at, found in enumerate(
        (generator(GENERATOR[:-1]), generator(b""), generator(device=5), generator(device="nowhere"))
    ):
        yield f"generator-{at}", "4.01", found, "a generator with a state or device of another form"
    changes: list[tuple[str, dict[str, Any]]] = [
        ("csr_matrix", {"kind": "csx_matrix"}), ("csr_matrix", {"shape": [2]}), ("csr_matrix", {"shape": [2, 1]}), ("csr_matrix", {"shape": [-2, 2]}),
        ("csr_matrix", {"indptr": ROWS}), ("csr_matrix", {"indptr": array("<i4", [3], struct.pack("<3i", 0, 2, 1))}),
        ("csr_matrix", {"indices": array("<i4", [2], struct.pack("<2i", 0, -1))}), ("csc_array", {"shape": [1, 2]}),
        ("bsr_matrix", {"data": TWO}), ("coo_array", {"coords": [ROWS]}), ("coo_array", {"shape": [1, 2]}), ("coo_array", {"coords": [ROWS, ENDS]}),
        ("dia_matrix", {"offsets": ROWS}), ("dia_matrix", {"data": TWO}), ("lil_matrix", {"columns": [0, 2]}), ("lil_matrix", {"ends": numbers(1, 3)}),
        ("lil_matrix", {"values": [1.5]}), ("dok_matrix", {"keys": ROWS}), ("dok_matrix", {"shape": [1, 2]}), ("dok_matrix", {"values": 5}),
    ]  # fmt: skip
    for at, (kind, changed) in enumerate(changes):
        yield (
            f"sparse-form-{at}",
            "4.01",
            Pack(tree=sparse(kind, **changed)).bytes(),
            f"a {kind} with {dumps(changed)[:50]}",
        )
    for at, changed in enumerate(
        ({"x": TWO, "c": TWO}, {"kind": "Other"}, {"x": node("list", [])}, {"axis": "a"})
    ):
        yield (
            f"polynomial-{at}",
            "4.01",
            Pack(tree=node("scipy.polynomial", SPLINE | changed)).bytes(),
            "a polynomial of another form",
        )
    for at, changed in enumerate(({"t": TWO}, {"k": -1}, {"k": "a"}, {"c": node("list", [])})):
        yield (
            f"BSpline-{at}",
            "4.01",
            Pack(tree=node("scipy.BSpline", KNOTS | changed)).bytes(),
            "a spline of another form",
        )


__all__ = ["sound", "unsound"]
