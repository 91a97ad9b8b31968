"""Changed tensors of arrays, keys, modules and states load or are refused; none ends the process."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from saver.errors import SaverError
from saver.tensors import ITEM_SIZE, TensorData, pieces
from saver.testing.codecs import StoredObject, change, load

jax = pytest.importorskip("jax")
flax = pytest.importorskip("flax")
optax = pytest.importorskip("optax")

sys.path.append(str(Path(__file__).parents[1] / "families"))

import jax_training  # noqa: E402
from flax import nnx  # noqa: E402

pytestmark = pytest.mark.xdist_group("jax")

ROUNDS = 150

DTYPES = ("int4", "int2", "float4_e2m1fn", "float8_e8m0fnu", "bool", "bfloat16", "complex64", "uint16")


def _arrays() -> Any:
    made = {name: jax.numpy.arange(6).reshape(2, 3).astype(name) for name in DTYPES}
    return {**made, "key": jax.random.split(jax.random.key(0, impl="rbg")), "weak": jax.numpy.asarray(2.0)}


def _modules() -> Any:
    equinox = pytest.importorskip("equinox")
    keys = jax.random.split(jax.random.key(0), 3)
    layers = [equinox.nn.Linear(3, 4, key=keys[0]), equinox.nn.LayerNorm(4), equinox.nn.Dropout(0.5)]
    return equinox.nn.Sequential([*layers, equinox.nn.GRUCell(4, 2, key=keys[1])])


SAMPLES: dict[str, Callable[[], Any]] = {
    "arrays": _arrays,
    "module": lambda: jax_training.Net(nnx.Rngs(0)),
    "modules": _modules,
    "state": lambda: optax.adam(0.1).init({"w": jax.numpy.ones((2, 2), "bfloat16")}),
}


def _changed(saved: StoredObject, draw: random.Random) -> None:
    """Another dtype, shape, length or content of a tensor."""
    name = draw.choice(sorted(saved.tensors))
    old = saved.tensors[name]
    raw = np.concatenate([np.empty(0, np.uint8), *pieces(old)])
    what = draw.randrange(4)
    if what == 0 and raw.size:
        raw = np.frombuffer(draw.randbytes(raw.size), np.uint8)
        saved.tensors[name] = TensorData(old.dtype, old.shape, raw)
        return
    dtype = draw.choice(sorted(ITEM_SIZE)) if what == 1 else old.dtype
    shape = old.shape if what == 1 else draw.choice([(), (0,), (2,), (2, 3), (3, 2), (2**40, 0), (1, 2, 4)])
    size = int(np.prod(shape, dtype=np.int64)) * ITEM_SIZE[dtype]
    saved.tensors[name] = TensorData(
        dtype, shape, np.resize(raw, size) if raw.size else np.zeros(size, np.uint8)
    )


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param("arrays", marks=pytest.mark.shows("JAX", "hostile files tried")),
        pytest.param("module", marks=pytest.mark.shows("Flax", "hostile files tried")),
        pytest.param("modules", marks=pytest.mark.shows("Equinox", "hostile files tried")),
        pytest.param("state", marks=pytest.mark.shows("Optax", "hostile files tried")),
    ],
)
def test_changed_tensors_and_trees_load_or_are_refused(sample, record_property):
    honest, draw, loaded = StoredObject(SAMPLES[sample]()), random.Random(sample), 0
    for _ in range(ROUNDS):
        changed = honest.copy()
        changed.tensors = dict(honest.tensors)
        _changed(changed, draw)
        if draw.random() < 0.3:
            change(changed.trees, draw)
        try:
            found = load(changed, ("jax_training.*",))
        except SaverError:
            continue
        loaded += 1
        for leaf in jax.tree.leaves(nnx.state(found) if isinstance(found, nnx.Pytree) else found):
            if isinstance(leaf, jax.Array):
                jax.block_until_ready(jax.numpy.ravel(leaf))
    assert loaded
    record_property("hostile files", ROUNDS)
