"""Fingerprints of arrays and of what turns into arrays; names, errors, comparison, one line for people."""

from __future__ import annotations

import datetime
import decimal
import fractions
import io
import json
import os
import pathlib
import subprocess
import sys
import tracemalloc
import uuid
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from saver.errors import CannotSaveError
from saver.fingerprint import arrays, describe, fingerprint, fingerprints, same
from saver.fingerprint.elements import encode

KINDS = st.one_of(
    hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
    hnp.complex_number_dtypes(), hnp.datetime64_dtypes(), hnp.timedelta64_dtypes(),
    hnp.unicode_string_dtypes(), hnp.byte_string_dtypes(),
)  # fmt: skip
ARRAYS = hnp.arrays(KINDS, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))


def digest(data: Any) -> str:
    return str(fingerprint(data)["hash"])


@given(ARRAYS)
def test_the_hash_is_that_of_the_elements_in_c_order_and_little_endian(array):
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    assert digest(array) == blake3(little.tobytes()).hexdigest()


@given(ARRAYS)
def test_the_order_in_memory_makes_no_difference(array):
    expected = fingerprint(array)
    larger = np.zeros((*array.shape, 3), array.dtype)
    larger[..., 1] = array
    swapped = array.astype(array.dtype.newbyteorder(">"))
    turned = (..., *[np.s_[::-1]] * array.ndim)
    backwards = array[turned].copy()[turned]
    for other in (np.asfortranarray(array), larger[..., 1], swapped, backwards):
        assert fingerprint(np.asarray(other).reshape(array.shape)) == expected


@given(ARRAYS)
def test_the_size_of_the_pieces_makes_no_difference(array):
    expected = fingerprint(np.asfortranarray(array))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "PIECE", 48)
        assert fingerprint(np.asfortranarray(array)) == expected


@given(ARRAYS.filter(lambda array: array.nbytes > 0), st.data())
def test_any_byte_counts(array, data):
    changed = np.ascontiguousarray(array)
    raw = changed.reshape(-1).view(np.uint8)
    before = digest(changed)
    at = data.draw(st.integers(0, raw.size - 1))
    raw[at] ^= 1
    assert digest(changed) != before


def test_dtype_and_shape_count():
    found = [np.zeros(4), np.zeros((2, 2)), np.zeros((4, 1)), np.zeros(4, np.int64), np.zeros(8, np.int32)]
    assert not any(same(fingerprint(a), fingerprint(b)) for a in found for b in found if a is not b)


def test_a_fingerprint_is_json_and_tells_kind_dtype_shape_and_size():
    found = fingerprint(np.zeros((3, 4), np.float32))
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "kind": "array", "type": "numpy.ndarray", "dtype": "float32", "shape": [3, 4], "bytes": 48,
        "hash": blake3(bytes(48)).hexdigest(),
    }  # fmt: skip


def test_recorded_fingerprints_are_found_again_by_later_savers():
    """These were recorded; if they change, what people have recorded is worth nothing."""
    mixed = np.array(["ä", None, 1, 2.5, True, b"x", (1, [2]), {"a": {3}}, datetime.date(2026, 1, 2)], object)
    fields = np.array([(1, 2.5, "x")], [("a", "i1"), ("b", ">f8"), ("c", "U2")])
    masked = np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])
    assert [digest(each)[:16] for each in (np.arange(3.0), mixed, fields, masked)] == RECORDED


RECORDED = ["ed14e24f8d0377c6", "3e87e23aafebd5d3", "cdb7ec09ce498604", "722f3d4953bb145c"]


@pytest.mark.parametrize("shape", [(3 << 20,), (2, 3 << 19), (1 << 10, 3 << 10)])
def test_a_large_array_is_hashed_by_threads_and_in_pieces_alike(shape):
    array = np.random.default_rng(1).random(shape)
    assert array.nbytes >= arrays.PARALLEL
    expected = blake3(array.tobytes()).hexdigest()
    assert digest(array) == expected
    assert digest(np.asfortranarray(array)) == expected
    assert digest(np.repeat(array, 2, axis=-1)[..., ::2]) == expected


def test_nothing_is_copied_whole():
    array = np.zeros((1 << 12, 1 << 12))
    tracemalloc.start()
    try:
        fingerprint(array)
        fingerprint(array.T)
        fingerprint(array[:, ::2])
        fingerprint(array.astype(">f8", copy=False) if sys.byteorder == "big" else array)
        assert tracemalloc.get_traced_memory()[1] < 4 * arrays.PIECE < array.nbytes // 4
    finally:
        tracemalloc.stop()


def test_after_a_fork_the_child_takes_fingerprints_too():
    """Threads do not survive a fork; a hash that waited for them would never end."""
    code = """
import os, numpy as np
from saver.fingerprint import fingerprint
array = np.zeros(1 << 25, np.uint8)
before = fingerprint(array)
if child := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    os._exit(fingerprint(array) != before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["0"]


class TestUnusualArrays:
    def test_bytes_between_fields_do_not_count(self):
        dtype = np.dtype({"names": ["a", "b"], "formats": ["i1", "f8"], "offsets": [0, 8], "itemsize": 24})
        one, other = np.zeros(3, dtype), np.zeros(3, dtype)
        other.view(np.uint8)[1::24] = 7
        other.view(np.uint8)[20::24] = 7
        assert fingerprint(one) == fingerprint(other)
        assert fingerprint(one)["dtype"] == "[a: int8, b: float64]"
        other["b"][1] = 1
        assert fingerprint(one) != fingerprint(other)

    def test_the_unused_bytes_of_long_doubles_do_not_count(self):
        one = np.arange(4, dtype=np.longdouble)
        other = one.copy()
        if arrays._EXTENDED:
            other.view(np.uint8).reshape(4, -1)[:, 10:] = 99
        assert np.array_equal(one, other)
        assert digest(one) == digest(other) == digest(np.repeat(one, 2)[::2])
        assert digest(one) != digest(one + np.finfo(np.longdouble).eps)
        assert digest(one + 0j) != digest(one + 1j)

    def test_fields_may_be_arrays_and_objects(self):
        dtype = [("a", "f4", (2, 2)), ("b", object)]
        one, other = np.zeros(2, dtype), np.zeros(2, dtype)
        assert fingerprint(one) == fingerprint(other)
        assert fingerprint(one)["dtype"] == "[a: float32[2, 2], b: object]"
        other["b"][1] = "x"
        assert fingerprint(one) != fingerprint(other)

    def test_masked_elements_have_no_value_but_the_mask_counts(self):
        one = np.ma.array([1, 2, 3], mask=[0, 1, 0])
        other = np.ma.array([1, 99, 3], mask=[0, 1, 0])
        assert fingerprint(one) == fingerprint(other)
        assert not same(fingerprint(one), fingerprint(np.ma.array([1, 0, 3], mask=[0, 0, 0])))
        assert not same(fingerprint(one), fingerprint(np.ma.array([1, 2, 3], mask=[1, 1, 0])))
        assert same(fingerprint(np.ma.array([1, 2, 3])), fingerprint(np.array([1, 2, 3])))

    def test_a_masked_record_is_hashed(self):
        array = np.ma.array([(1, 2.0), (3, 4.0)], [("a", int), ("b", float)], mask=[(0, 1), (0, 0)])
        other = np.ma.array([(1, 9.0), (3, 4.0)], [("a", int), ("b", float)], mask=[(0, 1), (0, 0)])
        assert fingerprint(array) == fingerprint(other)

    def test_a_memory_map_is_like_the_array(self, tmp_path):
        array = np.arange(100.0).reshape(10, 10)
        array.tofile(tmp_path / "a.bin")
        mapped = np.memmap(tmp_path / "a.bin", np.float64, "r", shape=(10, 10))
        assert same(fingerprint(mapped), fingerprint(array))
        assert fingerprint(mapped)["type"] == "numpy.memmap"

    def test_a_broadcast_array_costs_no_memory(self):
        wide = np.broadcast_to(np.float32(1), (1 << 12, 1 << 11))
        assert digest(wide) == blake3(np.ones(1 << 23, np.float32).tobytes()).hexdigest()

    @pytest.mark.skipif(not hasattr(np.dtypes, "StringDType"), reason="NumPy 1 has no StringDType")
    def test_strings_of_any_length_are_hashed_by_value(self):
        dtype = np.dtypes.StringDType()
        assert digest(np.array(["a", "b" * 100], dtype)) == digest(np.array(["a", "b" * 100], object))

    def test_empty_arrays_have_fingerprints(self):
        assert fingerprint(np.zeros((0, 5)))["shape"] == [0, 5]
        assert fingerprint(np.zeros(3, "V0"))["bytes"] == 0
        assert fingerprint(np.array([], object))["hash"] == blake3().hexdigest()


PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary(),
        st.complex_numbers(), st.dates(), st.datetimes(), st.timedeltas(), st.decimals(), st.fractions(),
        st.uuids(),
    ),
    lambda items: st.one_of(
        st.lists(items, max_size=4), st.lists(items, max_size=4).map(tuple),
        st.dictionaries(st.text(max_size=3), items, max_size=3),
        st.frozensets(st.one_of(st.integers(), st.text(max_size=3)), max_size=4),
    ),
    max_leaves=8,
)  # fmt: skip


def by_value(item: Any) -> Any:
    """Something that is equal for equal values of equal types only."""
    if isinstance(item, (list, tuple)):
        return type(item), [by_value(each) for each in item]
    if isinstance(item, dict):
        return dict, sorted((key, repr(by_value(value))) for key, value in item.items())
    if isinstance(item, frozenset):
        return frozenset, sorted(map(repr, item))
    return type(item), repr(item)


class TestElements:
    @pytest.mark.slow
    @given(st.lists(PLAIN, max_size=20), st.lists(PLAIN, max_size=20))
    def test_it_does_not_matter_in_how_many_runs_they_are_written(self, some, others):
        assert encode(some) + encode(others) == encode([*some, *others])

    @pytest.mark.parametrize("count", [15, 16, 17, 65535, 65536, 65537])
    def test_nor_how_long_the_runs_are(self, count):
        assert encode(["a"] * count) == encode(["a"]) * count

    @given(PLAIN, PLAIN)
    def test_equal_values_and_only_those_have_equal_bytes(self, one, other):
        assert (encode([one]) == encode([other])) == (by_value(one) == by_value(other))

    @given(st.lists(PLAIN, max_size=5))
    def test_a_list_within_others_is_distinguished_from_its_elements(self, items):
        assert encode([items]) != encode(items)

    def test_strings_with_half_a_surrogate_pair_are_values_too(self):
        assert len({encode([text]) for text in ("\ud800", "\ud801", "\\ud800", "a\ud800")}) == 4

    def test_any_nan_is_the_same_nan(self):
        negative = np.frombuffer(np.uint64(0xFFF8_0000_0000_0001).tobytes(), np.float64)[0].item()
        assert encode([negative, "x"]) == encode([float("nan"), "x"])
        assert encode([[negative]]) == encode([[float("nan")]])

    def test_integers_of_any_size_are_values(self):
        numbers = [2**63, 2**64 - 1, 2**64, 2**80, -(2**63), -(2**63) - 1, -(2**80)]
        assert len({encode([number]) for number in numbers}) == len(numbers)
        assert encode([2**64 - 1, 2**80]) == encode([2**64 - 1]) + encode([2**80])

    def test_scalars_and_arrays_of_numpy_are_values(self):
        items = [np.float32(1), np.float64(1), 1.0, np.int64(1), np.str_("1"), np.array(1.0), np.array([1.0]),
                 np.array([[1.0]]), np.array(["x", None], object), np.datetime64(1, "s")]  # fmt: skip
        assert len({encode([item]) for item in items}) == len(items)
        assert encode([np.arange(6).reshape(2, 3).T]) == encode([np.arange(6).reshape(2, 3).T.copy()])

    def test_what_has_no_value_is_refused_by_type(self):
        with pytest.raises(
            CannotSaveError, match=r"^data.x: it holds objects of the type builtins.function,"
        ):
            fingerprint(np.array(["a", lambda: 0], object), "data.x")

    def test_a_list_that_contains_itself_is_refused(self):
        items: list[Any] = ["a"]
        items.append(items)
        array = np.empty(1, object)
        array[0] = items
        with pytest.raises(CannotSaveError, match=r"^data: its elements are nested too deep"):
            fingerprint(array)

    @pytest.mark.slow
    def test_they_are_the_same_in_every_process(self):
        code = """
import numpy as np, datetime, decimal, pathlib
from saver.fingerprint import fingerprint
items = [{"b", "a", "c"}, {"x": 1, "y": frozenset("pqr")}, "text", None, float("nan"), datetime.time(1),
         decimal.Decimal("1.0"), pathlib.PurePosixPath("a/b"), ("a", 1)]
array = np.empty(len(items), object)
array[:] = items
print(fingerprint(array)["hash"])
"""
        found = {
            subprocess.run(
                [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed},
                capture_output=True, text=True, check=True,
            ).stdout
            for seed in ("1", "2", "3")
        }  # fmt: skip
        assert len(found) == 1

    @pytest.mark.parametrize(
        "item",
        [
            decimal.Decimal("1.10"), fractions.Fraction(1, 3), uuid.UUID(int=5), range(1, 9, 2), 1 + 2j,
            datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), pathlib.PurePosixPath("a"),
        ],
        ids=repr,
    )  # fmt: skip
    def test_values_of_the_standard_library_are_distinguished_from_their_texts(self, item):
        assert len({encode([each]) for each in (item, str(item), (repr(item),))}) == 3


NUMBERS = ["?", "u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "c8", "c16"]


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def sparse() -> Any:
    return pytest.importorskip("scipy.sparse")


class TestTorch:
    @given(
        st.sampled_from(NUMBERS),
        hnp.array_shapes(min_side=0, max_side=4),
    )
    def test_a_tensor_is_the_same_as_the_array_with_its_elements(self, torch, dtype, shape):
        array = np.random.default_rng(1).integers(0, 2, shape).astype(dtype)
        assert same(fingerprint(torch.from_numpy(array)), fingerprint(array))

    def test_strides_conjugation_and_grad_make_no_difference(self, torch):
        base = torch.arange(24.0).reshape(2, 3, 4)
        expected = fingerprint(base)
        assert fingerprint(base.permute(2, 0, 1).contiguous().permute(1, 2, 0)) == expected
        assert fingerprint(base.requires_grad_()) == expected
        assert fingerprint(torch.nn.Parameter(base.detach()))["hash"] == expected["hash"]
        numbers = torch.tensor([1 + 2j, 3 - 4j])
        assert digest(numbers.conj()) == digest(numbers.resolve_conj().conj().resolve_conj().clone())
        assert digest(numbers.conj()) != digest(numbers)
        assert digest(numbers.conj().imag) == digest(torch.tensor([-2.0, 4.0]))

    def test_large_tensors_are_hashed_in_pieces(self, torch):
        images = torch.rand(40, 3, 128, 128).to(memory_format=torch.channels_last)
        assert digest(images) == digest(images.contiguous()) == digest(images.numpy())

    def test_dtypes_that_numpy_lacks_have_names_and_hashes(self, torch):
        found = fingerprint(torch.ones(3, dtype=torch.bfloat16))
        assert (found["dtype"], found["bytes"]) == ("bfloat16", 6)
        assert found["hash"] == digest(np.full(3, 0x3F80, np.uint16))

    @pytest.mark.parametrize("kind", ["sparse", "meta", "nested"])
    @pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
    def test_tensors_without_dense_data_are_refused(self, torch, kind):
        tensor = {
            "sparse": lambda: torch.eye(2).to_sparse(),
            "meta": lambda: torch.ones(2, device="meta"),
            "nested": lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
        }[kind]()
        with pytest.raises(CannotSaveError, match=r"^data: a torch tensor that is sparse, nested"):
            fingerprint(tensor)

    def test_datasets_and_loaders_are_refused_with_a_way_out(self, torch):
        data = torch.utils.data
        dataset = data.TensorDataset(torch.ones(3))
        for value in (dataset, data.DataLoader(dataset)):
            with pytest.raises(
                CannotSaveError,
                match=r"^data.train: a \w+ yields data only when iterated; .* behind it$",
            ):
                fingerprints({"train": value})


class TestSparse:
    @pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"])
    def test_the_format_makes_no_difference(self, sparse, kind):
        dense = np.zeros((6, 8))
        dense[[0, 2, 2, 5], [1, 0, 7, 3]] = [1, 2, 3, np.nan]
        expected = fingerprint(sparse.csr_array(dense))
        for make in (sparse.csr_array, sparse.csr_matrix):
            assert same(fingerprint(make(dense).asformat(kind)), expected)
        assert (expected["shape"], expected["values"], expected["dtype"]) == ([6, 8], 4, "float64")

    def test_stored_zeros_doubles_and_the_order_of_indices_make_no_difference_and_stay(self, sparse):
        rows, columns, values = [0, 0, 0, 1], [2, 1, 1, 0], [5.0, 1.0, 2.0, 0.0]
        messy = sparse.csr_array((values, columns, [0, 3, 4]), shape=(2, 3))
        assert not messy.has_canonical_format
        plain = sparse.csr_array(np.array([[0, 3.0, 5.0], [0, 0, 0]]))
        assert same(fingerprint(messy), fingerprint(plain))
        assert same(fingerprint(sparse.coo_array((values, (rows, columns)), (2, 3))), fingerprint(plain))
        assert messy.data.tolist() == values
        assert messy.indices.tolist() == columns

    def test_values_places_and_shape_count(self, sparse):
        eye = sparse.eye_array(4, format="csr")
        others = [eye * 2, eye[::-1], sparse.eye_array(4, 5), sparse.eye_array(4, dtype="f4")]
        assert not any(same(fingerprint(eye), fingerprint(other)) for other in others)
        assert not same(fingerprint(eye), fingerprint(eye.toarray()))

    def test_arrays_of_one_axis_have_fingerprints(self, sparse):
        line = sparse.coo_array(np.array([0, 3, 0, 4]))
        assert fingerprint(line)["shape"] == [4]
        assert fingerprint(line) != fingerprint(sparse.coo_array(np.array([3, 0, 0, 4])))


class Convertible:
    """Turns into an array when asked, like those of jax and tensorflow."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.arange(3.0)


class Stubborn:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("the device is gone")


class TestOtherValues:
    @pytest.mark.parametrize(
        "value", [[0.0, 1.0, 2.0], (0.0, 1.0, 2.0), Convertible(), np.arange(3.0).data], ids=type
    )
    def test_what_turns_into_an_array_is_like_the_array(self, value):
        expected = fingerprint(np.arange(3.0))
        if isinstance(value, memoryview):
            expected = fingerprint(np.arange(3.0).view(np.uint8))
        assert same(fingerprint(value), expected)

    def test_ranges_bytes_and_scalars_are_arrays(self):
        assert same(fingerprint(range(5)), fingerprint(np.arange(5)))
        assert same(fingerprint(b"abc"), fingerprint(np.frombuffer(b"abc", np.uint8)))
        assert same(fingerprint(np.float32(3)), fingerprint(np.array(3, np.float32)))

    @pytest.mark.parametrize(
        ("value", "says"),
        [
            (None, "NoneType has no fingerprint; pass arrays"),
            (5, "int has no fingerprint; pass arrays"),
            ({1, 2}, "set has no fingerprint"),
            (
                (number for number in [1]),
                "reading a generator would use it up; pass the arrays or the pa",
            ),
            (iter([1]), "reading a list_iterator would use it up"),
            (io.StringIO("1,2"), "an open file (StringIO) has no fingerprint; pass its path"),
            ({"x": [1]}, "there is a dict within data; give each of its arrays a name of its own in one"),
            (["a.csv", "b.csv"], "this list does not contain only numbers; give several paths or arrays a"),
            ([None], "this list does not contain only numbers"),
            (
                [[1], [2, 3]],
                "this list cannot be converted to an array (setting an array element with",
            ),
            (
                Stubborn(),
                "this Stubborn cannot be converted to an array (the device is gone); pass a NumPy array",
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_anything_else_is_refused_with_its_name_and_a_way_out(self, value, says):
        with pytest.raises(CannotSaveError) as raised:
            fingerprints({"train": value})
        assert str(raised.value).startswith(f"data.train: {says}")


class TestNames:
    def test_a_mapping_names_its_values(self):
        found = fingerprints({"train": [1, 2], "test set": np.zeros(3)})
        assert list(found) == ["train", "test set"]
        assert found["train"] == fingerprint([1, 2])

    def test_a_list_of_data_is_numbered_and_a_list_of_numbers_is_one(self):
        assert list(fingerprints([np.zeros(2), [1, 2]])) == ["0", "1"]
        assert list(fingerprints((__file__, np.zeros(2)))) == ["0", "1"]
        assert fingerprints([1.0, 2.0]) == {"data": fingerprint([1.0, 2.0])}
        assert list(fingerprints([np.float64(1), 2.0])) == ["data"]
        assert list(fingerprints([[1, 2], [3, 4]])) == ["data"]

    def test_one_array_is_called_data(self):
        assert list(fingerprints(np.zeros(2))) == ["data"]

    def test_there_may_not_be_thousands(self):
        with pytest.raises(
            CannotSaveError,
            match=r"^data: there are 1,001 pieces .* at most 1,000 are allowed; pass the",
        ):
            fingerprints([__file__] * 1001)

    def test_no_data_has_no_fingerprints(self):
        assert fingerprints(None) == fingerprints({}) == {}

    @pytest.mark.parametrize("name", [1, "", "a\nb", "\x1b[31m", "x" * 201, None])
    def test_names_are_printable_strings(self, name):
        with pytest.raises(CannotSaveError, match=r"^data: the name .* is not a printable string"):
            fingerprints({name: [1]})


class TestComparison:
    def test_where_it_came_from_makes_no_difference(self):
        assert same(fingerprint([1.0]) | {"name": "a"}, fingerprint(np.ones(1)) | {"name": "b"})

    @given(st.dictionaries(st.sampled_from(["kind", "hash", "shape", "dtype", "files", "bytes", "name"]),
           st.one_of(st.none(), st.integers(), st.text(), st.floats(), st.lists(st.integers()))))  # fmt: skip
    def test_a_fingerprint_from_anywhere_can_be_compared_and_described(self, found):
        assert same(found, found) == isinstance(found.get("hash"), str) or "nan" in repr(found)
        assert isinstance(describe(found), str)

    @pytest.mark.parametrize("number", [-1, 10**400, 10**5000, True], ids=["-", "large", "huge", "bool"])
    def test_numbers_that_are_no_counts_can_be_described(self, number):
        found = dict.fromkeys(("kind", "name", "dtype", "shape", "files", "bytes", "hash"), number)
        assert len(describe(found | {"shape": [number]})) < 1000

    def test_without_a_hash_nothing_is_the_same(self):
        assert not same({}, {})

    def test_a_line_tells_kind_dtype_shape_size_and_hash(self):
        found = fingerprint(np.zeros((1437, 64)))
        assert describe(found) == f"array float64 [1437, 64], 736 kB, {found['hash'][:6]}…"
