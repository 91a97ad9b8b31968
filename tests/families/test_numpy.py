"""NumPy: every dtype and layout comes back to the bit, and generators go on where they were."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import saver
from equality import assert_same
from saver.families.numpy.axes import axes_of

Roundtrip = Callable[..., Any]


simple_dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?"),
    hnp.complex_number_dtypes(endianness="?"),
    st.sampled_from([np.dtype(f"{e}{k}8[{u}]") for e in "<>" for k in "mM" for u in ("Y", "D", "25s", "ns")]),
    hnp.byte_string_dtypes(endianness="?"),
    hnp.unicode_string_dtypes(endianness="?"),
)
raw_dtypes = simple_dtypes | st.sampled_from(
    [np.dtype("V7"), np.dtype(np.longdouble), np.dtype(np.clongdouble)]
)
dtypes = raw_dtypes | hnp.array_dtypes(simple_dtypes, allow_subarrays=True) | hnp.nested_dtypes()
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=12)


@st.composite
def arrays(draw: Any) -> np.ndarray:
    dtype = draw(dtypes)
    shape = draw(shapes)
    if dtype.kind == "U" or dtype.names or dtype.subdtype:
        return np.asarray(draw(hnp.arrays(dtype, shape)))
    raw = np.frombuffer(
        np.random.default_rng(draw(st.integers(0, 99))).bytes(int(np.prod(shape)) * dtype.itemsize), np.uint8
    )
    if dtype.kind == "b":
        raw = raw & 1
    return raw.view(dtype).reshape(shape).copy() if raw.size else np.zeros(shape, dtype)


@pytest.mark.slow
@settings(max_examples=300)
@given(arrays(), st.sampled_from(["C", "F", "step", "back", "transposed", "broadcast", "rolled", "every"]))
def test_any_array_comes_back(roundtrip: Roundtrip, array: np.ndarray, layout: str) -> None:
    if layout == "F":
        array = np.asfortranarray(array)
    elif layout == "step" and array.ndim:
        array = array[::2]
    elif layout == "back" and array.ndim:
        array = array[..., ::-1]
    elif layout == "transposed":
        array = array.T
    elif layout == "rolled" and array.ndim:
        array = np.moveaxis(array, 0, -1)
    elif layout == "every" and array.ndim:
        array = array.T[..., ::2]
    elif layout == "broadcast":
        array = np.broadcast_to(array, (2, *array.shape))
    loaded = roundtrip([array])[0]
    assert_same(array, loaded)
    assert loaded.flags.writeable
    if layout != "broadcast":
        assert same_order(loaded, np.copy(array, order="K"))


def same_order(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the axes lie in memory in the same order; those of one element do not count."""
    if not one.size:
        return True
    long = [axis for axis, size in enumerate(one.shape) if size > 1]
    return [one.strides[axis] for axis in long] == [other.strides[axis] for axis in long]


@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))))
@pytest.mark.parametrize("dtype", [np.float64, np.complex64, object, "U3", ">i4"])
@pytest.mark.parametrize("cut", [slice(None), slice(1, 9, 2), slice(None, None, -1)])
@pytest.mark.parametrize("sizes", [(2, 3, 1, 2), (5, 6, 7, 8)])
def test_the_axes_of_a_view_keep_their_order(
    roundtrip: Roundtrip, axes: tuple[int, ...], dtype: Any, cut: slice, sizes: tuple[int, ...]
) -> None:
    array = np.arange(np.prod(sizes)).reshape(sizes).astype(dtype)[..., cut].transpose(axes)
    loaded = roundtrip([array])[0]
    assert_same(array, loaded)
    assert same_order(loaded, np.copy(array, order="K"))
    assert saver.dumps(loaded)[4096:] == saver.dumps(np.copy(array, order="K"))[4096:]


@pytest.mark.parametrize(
    "order", ["K", "", None, 1, [0], [0, 0], [0, 2], [1, 0, 2], ["0", "1"], [True, False], [[0], 1], {"0": 1}]
)
def test_what_is_not_an_order_of_the_axes_is_refused(order: Any) -> None:
    with pytest.raises(ValueError, match="is not an order of"):
        axes_of(order, 2)


@pytest.mark.parametrize("shape", [(), (1,), (3, 0, 2), (700,), (33, 44)])
@pytest.mark.parametrize("code", np.typecodes["All"].replace("O", "") + "O")
def test_every_type_code_in_every_size(roundtrip: Roundtrip, code: str, shape: tuple[int, ...]) -> None:
    count = int(np.prod(shape))
    if code in "SUVc":
        array = np.array([str(i % 7) for i in range(count)], "U3").astype(
            "S3" if code in "Vc" else code + "3"
        )
        array = array.view("V3") if code == "V" else array
    elif code in "mM":
        array = np.arange(count).astype(f"{code}8[ms]")
    else:
        array = np.arange(count).astype(code)
    assert_same(array.reshape(shape), roundtrip(array.reshape(shape)))


def test_nan_payloads_survive(roundtrip: Roundtrip) -> None:
    array = np.array([0x7FF8000000000123, 0xFFF0000000000001, 1 << 63], np.uint64).view(float)
    assert_same(array, roundtrip(array))
    assert_same(np.tile(array, 99), roundtrip(np.tile(array, 99)))


def test_objects_come_back(roundtrip: Roundtrip) -> None:
    cycle = np.empty(2, object)
    cycle[:] = [1, cycle]
    loaded = roundtrip(cycle)
    assert loaded[1] is loaded
    for array in (
        np.array([1, "a", None, [1, 2], np.arange(3), np.array(5), (1,)], object),
        np.asfortranarray(np.array([[1, "a"], [None, 2.5]], object)),
        np.array([], object),
        np.array(None, object),
        np.array([(1, "a"), (2, [3])], [("n", "i4"), ("o", object)]),
    ):
        assert_same(array, roundtrip([array])[0])


@pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no StringDType")
def test_strings_of_any_length(roundtrip: Roundtrip) -> None:
    for array in (
        np.array(["a", "bb" * 400, None, ""], np.dtypes.StringDType(na_object=None)),
        np.array(["x"] * 100, np.dtypes.StringDType()),
    ):
        assert_same(array, roundtrip([array])[0])


def test_padding_does_not_change_the_hash(tmp_path: Path) -> None:
    dtype = np.dtype([("a", "u1"), ("b", "f8")], align=True)
    hashes = set()
    for fill in (0, 255):
        array = np.full(100 * dtype.itemsize, fill, np.uint8).view(dtype)
        array["a"], array["b"] = 3, 0.5
        saver.dump({"x": array, "y": np.array([0.1] * 80, np.longdouble)}, tmp_path / "p")
        hashes.add(saver.describe(tmp_path / "p").parts[0].hash)
        assert_same(array, saver.load(tmp_path / "p")["x"])
    assert len(hashes) == 1


def test_masked_arrays_subclasses_and_memory_maps(roundtrip: Roundtrip, tmp_path: Path) -> None:
    masked = np.ma.masked_array(np.arange(6.0).reshape(2, 3), mask=[[1, 0, 0], [0, 1, 0]], fill_value=-1)
    masked.harden_mask()
    loaded = roundtrip(masked)
    assert_same(masked.data, loaded.data)
    assert_same(masked.mask, loaded.mask)
    assert loaded.fill_value == -1
    assert loaded.hardmask
    assert roundtrip(np.ma.masked_array([1, 2])).mask is np.ma.nomask
    assert roundtrip([np.ma.masked])[0] is np.ma.masked
    record = np.rec.array([(1, "a"), (2, "b")], dtype=[("n", int), ("s", "U1")])
    loaded = roundtrip(record)
    assert type(loaded) is np.recarray
    assert loaded.s[1] == "b"
    assert type(loaded[0]) is np.record
    mapped = np.memmap(tmp_path / "raw", np.float32, "w+", shape=(300,))
    mapped[:] = 7
    assert_same(np.asarray(mapped), roundtrip(mapped))


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning", "ignore::DeprecationWarning")
def test_matrices_and_chararrays_stay_what_they_are(roundtrip: Roundtrip) -> None:
    words = np.char.array(["a ", "bb"])
    assert type(roundtrip(words)) is type(words)
    assert type(roundtrip(np.matrix([[1, 2]]))) is np.matrix


@pytest.mark.slow
@given(simple_dtypes.flatmap(lambda d: hnp.arrays(d, ())))
def test_scalars_come_back(roundtrip: Roundtrip, array: np.ndarray) -> None:
    assert_same(array[()], roundtrip([array[()]])[0])


@pytest.mark.parametrize(
    "scalar",
    [
        np.float64("nan"),
        np.float32(-0.0),
        np.uint64(2**64 - 1),
        np.int64(-(2**63)),
        np.str_("é" * 300),
        np.bytes_(b"a"),
        np.datetime64("NaT", "s"),
        np.datetime64("2020-01-01T00:00:00.123456789"),
        np.longdouble(1) / 3,
        np.complex64(1 - 0j),
        np.void(b"abc"),
        np.array([(1, 2.5)], "i4,f8")[0],
        np.bool_(True),
        np.float16(1e-7),
        np.str_(""),
        np.bytes_(b""),
    ],
    ids=repr,
)
def test_the_corners_of_scalars(roundtrip: Roundtrip, scalar: Any) -> None:
    assert_same(scalar, roundtrip([scalar])[0])


def test_fields_of_no_size_come_back() -> None:
    kinds: list[Any] = [
        ("U0",),
        ("S0",),
        ("V0",),
        ("U3", (0,)),
        ("?", (0,)),
        ("U2", (2,)),
        ("?",),
        ([("x", "U0")],),
        ([],),
    ]
    wrong = []
    for first, second, shape in itertools.product(kinds, [None, *kinds], [(), (0,), (3,), (2, 0)]):
        dtype = np.dtype([("a", *first), *([] if second is None else [("b", *second)])])
        array = np.zeros(shape, dtype)
        for value in (array, array[()]):
            found = saver.loads(saver.dumps(value))
            if type(found) is not type(value) or (found.dtype, found.shape) != (dtype, shape):
                wrong.append((dtype, shape, type(value)))
    assert not wrong


def test_dtypes_and_functions_are_values(roundtrip: Roundtrip) -> None:
    held = [
        np.dtype("f4"),
        np.dtype([("a", ">i2", (2,)), ("b", "U3")]),
        np.float64,
        np.ndarray,
        np.log1p,
        np.mean,
        np.add,
    ]
    loaded = roundtrip(held)
    assert loaded == held
    assert loaded[4] is np.log1p


@pytest.mark.parametrize("kind", ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"])
def test_generators_go_on_with_the_same_sequence(roundtrip: Roundtrip, kind: str) -> None:
    generator = np.random.Generator(getattr(np.random, kind)(np.random.SeedSequence(5, spawn_key=(1, 2))))
    generator.random(3, np.float32)
    generator.integers(0, 9, 3, np.uint8)
    loaded = roundtrip(generator)
    assert_same(generator.normal(size=99), loaded.normal(size=99))
    assert_same(generator.integers(0, 2**32, 9, np.uint32), loaded.integers(0, 2**32, 9, np.uint32))
    assert_same(generator.spawn(2)[1].random(5), loaded.spawn(2)[1].random(5))


@pytest.mark.parametrize("seed", [0, [1, 2, 3], np.random.PCG64(3)])
def test_the_legacy_generator_remembers_its_spare_normal(roundtrip: Roundtrip, seed: Any) -> None:
    state = np.random.RandomState(seed)
    state.standard_normal()
    loaded = roundtrip(state)
    assert_same(state.standard_normal(7), loaded.standard_normal(7))
    assert_same(state.randint(0, 99, 9), loaded.randint(0, 99, 9))


def test_generators_share_their_bits_again(roundtrip: Roundtrip) -> None:
    bits = np.random.PCG64(1)
    loaded = roundtrip([np.random.Generator(bits), np.random.Generator(bits), bits])
    loaded[0].random()
    expected = np.random.Generator(bits)
    expected.random()
    assert loaded[1].random() == expected.random()
    assert loaded[1].bit_generator is loaded[2]


def test_foreign_dtypes_are_refused_by_path(tmp_path: Path) -> None:
    class Odd(np.ndarray):
        pass

    with pytest.raises(saver.CannotSaveError, match=r"\$\.a: .*Odd has no data form"):
        saver.dump({"a": np.zeros(3).view(Odd)}, tmp_path / "x")
