"""JAX arrays and random keys come back to the bit, and what would lose bits is refused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import saver
from forging import forged
from saver.errors import SaverError
from saver.opening import open_file
from saver.restoring.restore import restore
from saver.testing import CodecTests
from saver.tree import Node, Tensor, walk

jax = pytest.importorskip("jax")
ml_dtypes = pytest.importorskip("ml_dtypes")

pytestmark = pytest.mark.xdist_group("jax")

DTYPES = (
    "bool", "uint8", "int8", "uint16", "int16", "float16", "bfloat16", "uint32", "int32", "float32",
    "complex64", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn", "int2", "uint2", "int4", "uint4",
)  # fmt: skip
WIDE = ("float64", "int64", "uint64", "complex128")
SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (2, 3), (0, 5), (1, 1, 7))
KINDS = ("threefry2x32", "rbg", "unsafe_rbg")
ODD = {"bool": 1, "int2": 3, "uint2": 3, "int4": 15, "uint4": 15, "float4_e2m1fn": 15}
"""The bits that a byte of these dtypes has."""


def bits(array: Any) -> tuple[Any, ...]:
    """All there is to know of an array."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.key_impl(array), *bits(jax.random.key_data(array))
    return str(array.dtype), array.shape, array.weak_type, np.asarray(array).tobytes()


def made(name: str, shape: tuple[int, ...] = (2, 3), seed: int = 0) -> Any:
    """An array of any bits that this dtype can have: NaN with payloads, denormal numbers, minus zero."""
    dtype = jax.numpy.dtype(name)
    raw = np.random.default_rng(seed).bytes(int(np.prod(shape, dtype=int)) * dtype.itemsize)
    numbers = np.frombuffer(bytearray(raw), np.uint8) & ODD.get(name, 255)
    return jax.numpy.array(numbers.view(dtype).reshape(shape))


def compiled_in(folder: Path) -> dict[str, str]:
    """The environment of processes that share what they compile."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


class TestJax(CodecTests):
    family = "jax"
    samples = {  # noqa: RUF012
        **{name: lambda name=name: {"a": made(name)} for name in DTYPES},
        **{kind: partial(lambda kind: {"key": jax.random.key(3, impl=kind)}, kind) for kind in KINDS},
        "spec": lambda: {"spec": jax.sharding.PartitionSpec("x", None, ("y", "z"))},
        "functions": lambda: {"f": [jax.nn.relu, jax.numpy.tanh], "dtype": jax.numpy.bfloat16},
        "weak": lambda: {"a": jax.numpy.asarray(2.0)},
    }


@pytest.mark.shows("JAX", "save", "load")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", [*DTYPES, *WIDE])
def test_arrays_of_every_dtype_and_shape_come_back_to_the_bit(name, shape, roundtrip):
    with jax.enable_x64(name in WIDE):
        for seed in range(3):
            array = made(name, shape, seed)
            assert str(array.dtype) == name
            assert bits(roundtrip({"a": array})["a"]) == bits(array)


def test_every_dtype_of_jax_has_a_data_form():
    scalars = [each for each in vars(jax.numpy).values() if isinstance(each, type(jax.numpy.float32))]
    names = {jax.numpy.dtype(each).name for each in scalars}
    none = {"int1", "uint1", "float6_e2m3fn", "float6_e3m2fn"}  # XLA on the CPU has no such arrays
    assert names - {*DTYPES, *WIDE} <= none


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2)], ids=str)
def test_random_keys_go_on_with_the_same_numbers(kind, shape, roundtrip):
    keys = jax.random.split(jax.random.key(7, impl=kind), shape)
    found = roundtrip({"keys": keys})["keys"]
    assert bits(found) == bits(keys)
    assert found.dtype == keys.dtype
    if shape == ():
        assert bits(jax.random.normal(found, 5)) == bits(jax.random.normal(keys, 5))


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (40, 30)], ids=str)
@pytest.mark.parametrize("name", [name for name in DTYPES if hasattr(ml_dtypes, name)])
def test_arrays_of_numpy_have_the_dtypes_of_jax_too(name, shape, roundtrip):
    array = np.asfortranarray(made(name, shape))
    found = roundtrip({"a": array, "dtype": array.dtype})
    assert (found["a"].dtype, found["a"].shape, found["dtype"]) == (array.dtype, array.shape, array.dtype)
    assert found["a"].tobytes() == array.tobytes()


def test_functions_and_dtypes_of_jax_are_held_by_name(roundtrip):
    held = [jax.nn.relu, jax.nn.gelu, jax.numpy.tanh, jax.numpy.add, jax.numpy.bfloat16, jax.numpy.int4]
    assert all(one is other for one, other in zip(held, roundtrip({"held": held})["held"], strict=True))
    assert saver.loads(saver.dumps(jax.numpy.bool_)) is jax.numpy.bool_


@jax.tree_util.register_dataclass
@dataclass
class Pair:
    """A pytree of the user."""

    first: Any
    second: Any


def test_a_registered_pytree_comes_back_under_trust(roundtrip):
    shared = made("bfloat16")
    pair = Pair(shared, {"again": shared, "key": jax.random.key(1)})
    found = roundtrip({"pair": pair}, trust=["test_jax.*"])["pair"]
    assert jax.tree.structure(found) == jax.tree.structure(pair)
    assert list(map(bits, jax.tree.leaves(found))) == list(map(bits, jax.tree.leaves(pair)))
    assert found.first is found.second["again"]


def test_a_partition_spec_comes_back(roundtrip):
    spec = jax.sharding.PartitionSpec("x", None, ("y", "z"), ())
    assert roundtrip({"spec": spec})["spec"] == spec


def test_a_function_that_the_user_compiled_is_refused():
    with pytest.raises(saver.CannotSaveError, match=r"\$\.f: .*a compiled function, has no data form"):
        saver.dumps({"f": jax.jit(lambda value: value)})


def test_keys_of_the_old_kind_are_arrays(roundtrip):
    assert bits(roundtrip({"key": jax.random.PRNGKey(3)})["key"]) == bits(jax.random.PRNGKey(3))


WEAK = {"int": 3, "float": -0.0, "complex": 2j, "nan": float("nan")}


@pytest.mark.parametrize("number", WEAK)
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_weak_type_stays_weak(number, wide, shape, roundtrip):
    with jax.enable_x64(wide):
        weak = jax.numpy.broadcast_to(jax.numpy.asarray(WEAK[number]), shape)
        assert weak.weak_type
        found = roundtrip({"a": weak})["a"]
        assert bits(found) == bits(weak)
        half = jax.numpy.ones((), "float16" if number != "int" else "int8")
        assert (found + half).dtype == (weak + half).dtype


def test_a_weak_type_that_was_saved_with_32_bits_is_loaded_where_64_are_usual(tmp_path):
    saver.dump({"a": jax.numpy.asarray(2.0)}, tmp_path / "a.saver")
    with jax.enable_x64(True):
        found = saver.load(tmp_path / "a.saver")["a"]
    assert bits(found) == bits(jax.numpy.asarray(2.0))


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("name", WIDE)
def test_64_bits_are_not_loaded_as_32(name, weak, tmp_path):
    with jax.enable_x64(True):
        array = jax.numpy.asarray(2) if weak and "int" in name else made(name)
        saver.dump({"a": array}, tmp_path / "a.saver")
        assert bits(saver.load(tmp_path / "a.saver")["a"]) == bits(array)
    with pytest.raises(saver.IncompatibleError, match=r'jax\.config\.update\("jax_enable_x64", True\)'):
        saver.load(tmp_path / "a.saver")


def test_a_loaded_array_shares_no_memory_with_the_file(tmp_path):
    saver.dump({"a": made("float32", (1000,))}, tmp_path / "a.saver")
    found = saver.load(tmp_path / "a.saver")["a"]
    before = bits(found)
    (tmp_path / "a.saver").write_bytes(bytes(8000))
    assert bits(found) == before


def test_arrays_go_to_the_device_that_the_caller_names(tmp_path):
    saver.dump({"a": made("float32"), "key": jax.random.key(0)}, tmp_path / "a.saver")
    found = saver.load(tmp_path / "a.saver", device="cpu")
    assert found["a"].devices() == found["key"].devices() == {jax.devices("cpu")[0]}
    for name in ("cpu:7", "tpu"):
        with pytest.raises(saver.IncompatibleError, match="pass device='cpu'"):
            saver.load(tmp_path / "a.saver", device=name)


def test_an_array_that_was_donated_is_refused():
    array = made("float32")
    array.delete()
    with pytest.raises(saver.CannotSaveError, match=r"\$\.a: .*donated"):
        saver.dumps({"a": array})


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, jax.vmap])
def test_a_traced_value_is_refused(transform):
    def save(value: Any) -> Any:
        saver.dumps({"a": value})
        return value

    with pytest.raises(saver.CannotSaveError, match=r"\$\.a: .*traced"):
        transform(save)(jax.numpy.ones(3) if transform is jax.vmap else 1.0)


@pytest.mark.shows("JAX", "restore")
def test_an_array_restored_in_a_dict_is_a_new_one(tmp_path):
    """Arrays never change; the dict that holds them does."""
    params = {"dense": {"w": made("float32"), "b": made("bfloat16")}, "key": jax.random.key(5)}
    store = saver.Saver(tmp_path)
    store.save("net", {"params": params})
    target = {"dense": {"w": jax.numpy.zeros((2, 3)), "b": params["dense"]["b"]}, "key": jax.random.key(6)}
    inner, old = target["dense"], target["dense"]["w"]
    store.restore("net", into={"params": target})
    assert target["dense"] is inner
    assert bits(inner["w"]) == bits(params["dense"]["w"])
    assert bits(target["key"]) == bits(params["key"])
    assert not old.any()


SHARDED = """
import sys, jax, numpy as np, saver
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
assert jax.device_count() == 4
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("x", "y"))
whole = np.random.default_rng(0).random((8, 6)).astype(np.float32)
keys = jax.random.split(jax.random.key(1), 4)
def put(value, *axes):
    return jax.device_put(value, NamedSharding(mesh, P(*axes)))
state = {
    "rows": put(whole, "x"), "boxes": put(whole, "x", "y"), "all": put(whole),
    "columns": put(whole, None, "y"),
    "flat": put(whole.ravel(), ("x", "y")), "int4": put(whole.astype("int4"), "x"), "keys": put(keys, "x"),
}
saver.dump(state, sys.argv[1])
found = saver.load(sys.argv[1])
for name, array in state.items():
    assert len(found[name].devices()) == 1, name
    assert found[name].dtype == array.dtype, name
    if name != "keys":
        assert (np.asarray(found[name]) == np.asarray(array)).all(), name
assert (jax.random.key_data(found["keys"]) == jax.random.key_data(keys)).all()
assert saver.load(sys.argv[1], device="cpu:3")["rows"].devices() == {jax.devices()[3]}
"""


@pytest.mark.slow
def test_arrays_scattered_over_devices_are_saved_whole(tmp_path):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    path = tmp_path / "a.saver"
    subprocess.run(
        [sys.executable, "-c", SHARDED, str(path)], env={**os.environ, "XLA_FLAGS": flags}, check=True,
        timeout=120,
    )  # fmt: skip
    whole = np.random.default_rng(0).random((8, 6)).astype(np.float32)
    found = saver.load(path)  # where there is one device
    assert (np.asarray(found["boxes"]) == whole).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_process_in_which_jax_is_in_use_forks_and_its_child_saves(tmp_path):
    """JAX warns at each fork that a child which used it would hang. One that does not use it goes on."""
    array = made("float32")
    child = os.fork()
    if not child:
        saver.dump({"a": np.ones(3)}, tmp_path / "a.saver")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert saver.load(tmp_path / "a.saver")["a"].sum() == 3
    assert array.shape == (2, 3)


@pytest.mark.parametrize("name", ["mine", "_mine"])
def test_an_attribute_that_is_set_is_refused_rather_than_lost(name, tmp_path):
    made = jax.numpy.arange(2)
    np.asarray(made), made.sum().block_until_ready()  # the library may keep what it answers
    saver.dump(made, tmp_path / "a.saver")
    setattr(made, name, 5)
    with pytest.raises(saver.CannotSaveError, match=f"'{name}' was set"):
        saver.dump(made, tmp_path / "a.saver")


FORGED: list[tuple[str, Any]] = [
    *(("dtype", each) for each in ("float64", "uint32", "int32", "complex64", "int4", "no", 3, None, ["x"])),
    *(("keys", each) for each in ("rbg", "threefry2x32", 1, {})),
    *(("weak", each) for each in (True, "x", 0, False)),
    *(
        ("data", each)
        for each in (None, "x", 5, *map(Tensor, ("x/bytes", "x/table", "x/pairs", "x/keys", "x/none")))
    ),
]
"""What a file says of an array instead: a key of its state, and its value."""


@pytest.mark.parametrize("name", ["numbers", "pairs", "keys", "bits", "bytes", "table"])
@pytest.mark.parametrize(("key", "value"), FORGED, ids=str)
def test_an_array_that_is_made_like_the_one_in_its_place_is_what_loading_gives(
    name: str, key: str, value: Any
) -> None:
    """Whatever a file says of it: the same bits, or an error where that is one."""
    numpy = jax.numpy
    arrays = {
        "numbers": numpy.arange(4.0), "pairs": numpy.arange(4) * 1j, "bits": numpy.arange(4).astype("int4"),
        "keys": jax.random.split(jax.random.key(1), 4), "bytes": numpy.arange(40, 44, dtype="uint8"),
        "table": numpy.arange(4.0).reshape(2, 2),
    }  # fmt: skip
    opened = open_file(io.BytesIO(saver.dumps({"x": arrays})))
    nodes = [
        each for each in walk(opened.trees["x"].root) if type(each) is Node and each.codec == "jax.Array"
    ]
    state: Any = nodes[[*arrays].index(name)].state
    state[key] = value
    if value is None:
        del state[key]
    device = jax.devices()[0]

    def outcome(target: dict[str, Any]) -> Any:
        before = dict(target)
        try:
            restore(forged(opened), {"x": target})
        except SaverError:
            assert all(target[each] is before[each] for each in target), "nothing is changed"
            return None
        return {each: bits(target[each]) for each in target}

    placed = {each: jax.device_put(array, device) for each, array in arrays.items()}
    assert all(each.committed for each in placed.values())
    assert outcome(placed) == outcome(dict(arrays))


@pytest.mark.parametrize("replicated", [False, True])
def test_a_process_without_a_device_of_an_array_saves_no_box_of_it(replicated: bool) -> None:
    """As one beside the mesh of others; an object stands for the array, which takes several processes."""
    array = SimpleNamespace(
        shape=(4, 2), size=8, dtype=np.dtype("float32"), addressable_shards=[],
        is_fully_replicated=replicated, is_fully_addressable=False,
    )  # fmt: skip
    encoder = Mock()
    arrays = pytest.importorskip("saver.families.jax.arrays")
    arrays._stored(array, "float32", encoder)
    (data,) = encoder.boxes.call_args.args
    assert (data.shape, data.shards) == ((4, 2), {})
