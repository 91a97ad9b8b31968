"""Processes of JAX, with two devices each: they save, or restore what others saved under another mesh."""

from __future__ import annotations

import os
import sys
import traceback

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import saver
from saver.clusters.sockets import SocketNetwork

SHAPES = [(8, 6), (12,), (2, 4, 12), (), (0, 4), (4, 12)]
DTYPES = ["float32", "bfloat16", "complex64", "int4", "float8_e4m3fn", "bool", "uint32"]
SPECS: dict[str, tuple[Any, ...]] = {
    "rows": (("a", "b"),),
    "columns": (None, "b"),
    "both": ("a", "b"),
    "copies": (),
    "hybrid": ("b",),
}
"""How arrays are cut over the axes of the mesh."""


def numbers() -> dict[str, np.ndarray[Any, Any]]:
    """What is saved, the same in all processes: every shape with every dtype."""
    made, found = np.random.default_rng(0), {}
    for shape in SHAPES:
        for dtype in DTYPES:
            drawn = made.integers(0, 7, shape) + (
                1j * made.integers(0, 7, shape) if dtype == "complex64" else 0
            )
            found[f"{dtype} {shape}"] = np.asarray(drawn).astype(jnp.dtype(dtype))
    return found


def mesh() -> Mesh:
    """All devices of all processes, in two rows if they are even."""
    devices = np.array(jax.devices())
    return Mesh(devices.reshape(2, -1), ("a", "b"))


def placed(array: np.ndarray[Any, Any], spec: str) -> Any:
    """The array over the mesh; whole on each device where it cannot be cut so."""
    here, parts = mesh(), SPECS[spec]
    sizes = [int(np.prod([here.shape[each] for each in np.atleast_1d(axis) if each])) for axis in parts]
    fits = len(parts) <= array.ndim and all(
        n % size == 0 for n, size in zip(array.shape, sizes, strict=False)
    )
    sharding = NamedSharding(here, PartitionSpec(*(parts if fits else ())))
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index], dtype=array.dtype)


def state(spec: str, *, blank: bool = False) -> dict[str, Any]:
    """Arrays of every kind, random keys, an Optax state and a module of Flax; all of them zero if `blank`."""
    seed = 9 if blank else 1
    key = np.asarray(jax.random.key_data(jax.random.key(seed)))
    keys = jax.random.wrap_key_data(placed(np.stack([key] * 4), "copies"))
    found = {name: each * 0 if blank else each for name, each in numbers().items()}
    arrays = {name: placed(each.astype(numbers()[name].dtype), spec) for name, each in found.items()}
    weights = {"w": np.full((8, 12), 0.0 if blank else 2.5, "float32")}
    moments = optax.adam(0.1).init({name: jnp.asarray(each) for name, each in weights.items()})
    model = nnx.Linear(8, 12, rngs=nnx.Rngs(seed))
    for variable in jax.tree.leaves(nnx.state(model), is_leaf=lambda item: isinstance(item, nnx.Variable)):
        assert isinstance(variable, nnx.Variable)
    for name in ("kernel", "bias"):
        variable = getattr(model, name)
        nnx.Variable.set_raw_value(variable, placed(np.asarray(nnx.Variable.get_raw_value(variable)), spec))
    spread = jax.tree.map(lambda each: placed(np.asarray(each) + (not blank), spec), moments)
    return {"arrays": {"of": arrays, "keys": (keys,)}, "optimizer": {"state": spread}, "model": model}


def same(found: Any, wanted: Any) -> bool:
    """Whether two arrays are placed alike, and every piece here is the same to the bit."""
    if jax.dtypes.issubdtype(found.dtype, jax.dtypes.prng_key):
        return same(found._base_array, wanted._base_array)
    pairs = zip(found.addressable_shards, wanted.addressable_shards, strict=True)
    return found.sharding == wanted.sharding and all(
        one.index == other.index and np.asarray(one.data).tobytes() == np.asarray(other.data).tobytes()
        for one, other in pairs
    )


def leaves(of: dict[str, Any]) -> list[Any]:
    """All arrays in a state, in order."""
    plain = {**of, "model": [nnx.Variable.get_raw_value(of["model"].kernel)]}
    return [each for each in jax.tree.leaves(plain) if isinstance(each, jax.Array)]


def main(what: str, spec: str, store: str, rank: int, size: int, port: int) -> None:
    if size > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", size, rank, initialization_timeout=120)
    cluster = "jax" if size > 1 else None
    if what == "save":
        saver.Saver(store).save("m", state(spec), cluster=cluster)
        return
    into = state(spec, blank=True)
    saver.Saver(store).restore("m", into=into, cluster=cluster, shared=cluster and "broadcast")
    found, wanted = leaves(into), leaves(state(spec))
    assert len(found) == len(wanted) > 40
    for number, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert same(one, other), (number, one.dtype, one.shape, one.sharding, other.sharding)


def passing_on(self: Any, rank: int, data: Any, tag: int, send: Any = SocketNetwork.send) -> Any:
    print("passed on", data.size)
    return send(self, rank, data, tag)


if __name__ == "__main__":
    SocketNetwork.send = passing_on  # type: ignore[method-assign]
    try:
        main(*sys.argv[1:4], *map(int, sys.argv[4:7]))  # type: ignore[call-arg]
        print("fine")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
