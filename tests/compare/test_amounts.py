"""How much arrays changed, against a plain computation in extended precision."""

from __future__ import annotations

import math
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from saver.compare.amounts import CHUNK, PIECE, amount
from saver.compare.difference import Amount
from saver.reading.forms import FORMS, Form, form_of_numpy, numbers, values

FLOATS = ("F16", "F32", "F64")
INTEGERS = ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")
TINY = 1e-12


def measured(old: np.ndarray[Any, Any], new: np.ndarray[Any, Any], form: Form) -> Amount:
    with ThreadPoolExecutor(2) as pool:
        sides = (np.frombuffer(side.tobytes(), np.uint8) for side in (old, new))
        return amount(*sides, form, pool)


def pairs(dtype: str) -> st.SearchStrategy[tuple[Any, Any]]:
    """Two arrays of one length, which share some entries."""
    kind = np.dtype({"F": "f", "I": "i", "U": "u"}[dtype[0]] + str(int(dtype[1:]) // 8))
    side = arrays.arrays(kind, st.shared(st.integers(1, 40), key="length"))
    mask = arrays.arrays(np.bool_, st.shared(st.integers(1, 40), key="length"))
    return st.builds(lambda x, y, same: (x, np.where(same, x, y).astype(kind)), side, side, mask)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
@given(data=st.data())
def test_floats_are_measured_as_extended_precision_would(dtype: str, data: st.DataObject) -> None:
    old, new = data.draw(pairs(dtype))
    found = measured(old, new, FORMS[dtype])
    word = f"u{old.dtype.itemsize}"
    assert found.entries == old.size
    assert found.changed == int((old.view(word) != new.view(word)).sum())
    assert found.not_finite == (int((~np.isfinite(old)).sum()), int((~np.isfinite(new)).sum()))
    both = np.isfinite(old) & np.isfinite(new)
    change = new[both].astype(np.longdouble) - old[both].astype(np.longdouble)
    norm = np.sqrt((change**2).sum())
    if norm < 1e308:  # beyond, rounding decides whether it is still a number
        assert float(found.norm or 0) == pytest.approx(float(norm), rel=TINY)
        assert float(found.largest or 0) == pytest.approx(float(abs(change).max(initial=0)), rel=TINY)
        before = np.sqrt((old[np.isfinite(old)].astype(np.longdouble) ** 2).sum())
        if before == 0:
            assert found.relative is None
        elif before < 1e308 and math.isfinite(float(norm / before)):
            assert float(found.relative or 0) == pytest.approx(float(norm / before), rel=TINY)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", INTEGERS)
@given(data=st.data())
def test_integers_are_measured_without_overflow(dtype: str, data: st.DataObject) -> None:
    old, new = data.draw(pairs(dtype))
    found = measured(old, new, FORMS[dtype])
    changes = [abs(int(y) - int(x)) for x, y in zip(old, new, strict=True)]
    assert found.changed == sum(change != 0 for change in changes)
    assert found.largest == float(max(changes))
    assert found.norm == pytest.approx(math.sqrt(sum(change**2 for change in changes)), rel=TINY)
    assert found.not_finite == (0, 0)


def test_the_extremes_of_64_bits_are_their_distance_apart() -> None:
    old, new = np.array([-(2**63), 0]), np.array([2**63 - 1, 1])
    assert measured(old, new, FORMS["I64"]).largest == 2.0**64
    close = np.array([2**62], np.uint64), np.array([2**62 + 1], np.uint64)
    assert measured(*close, FORMS["U64"]).largest == 1.0


def test_a_nan_that_keeps_its_bits_is_unchanged() -> None:
    old = np.array([np.nan, 1.0, np.inf, -0.0])
    new = np.array([np.nan, 2.0, np.inf, 0.0])
    found = measured(old, new, FORMS["F64"])
    assert (found.changed, found.not_finite, found.norm) == (2, (2, 2), 1.0)
    other = old.copy()
    other.view(np.uint64)[0] ^= np.uint64(1)
    assert measured(old, other, FORMS["F64"]).changed == 1


def test_what_becomes_nan_is_counted_and_not_measured() -> None:
    found = measured(np.array([1.0, 3.0]), np.array([np.nan, 4.0]), FORMS["F64"])
    assert found == Amount(2, 2, 1.0, 1.0, 1.0 / math.sqrt(10), 1.0, (0, 1))


def test_squares_that_float64_cannot_hold_are_measured() -> None:
    large, small = np.array([3e200, 4e200]), np.array([3e-200, 4e-200])
    assert measured(np.zeros(2), large, FORMS["F64"]).norm == pytest.approx(5e200)
    assert measured(np.zeros(2), small, FORMS["F64"]).norm == pytest.approx(5e-200)


def test_a_change_beyond_float64_is_reported_as_text() -> None:
    found = measured(np.array([-1.7e308]), np.array([1.7e308]), FORMS["F64"])
    assert (found.norm, found.largest, found.relative) == ("inf", "inf", "inf")


def test_bools_count_what_flipped() -> None:
    old, new = np.array([True, False, True, False]), np.array([True, True, False, False])
    assert measured(old, new, FORMS["BOOL"]) == Amount(4, 2, 0.5, math.sqrt(2), 1.0, 1.0)


def test_complex_numbers_are_entries_and_their_change_a_modulus() -> None:
    old, new = np.array([1 + 1j, 2, 0]), np.array([4 + 5j, 2, 0])
    form = form_of_numpy("<c16")
    assert form is not None
    found = measured(old, new, form)
    assert (found.entries, found.changed, found.largest, found.norm) == (3, 1, 5.0, 5.0)
    lost = measured(old, np.array([complex(np.nan, 1), 2, 0]), form)
    assert lost.not_finite == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_have_the_values_that_torch_gives_them(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    code = {"bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2"}[dtype]
    bits = torch.arange(256, dtype=torch.uint8)
    if dtype == "bfloat16":
        bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.uint8)
    expected = bits.view(kind).to(torch.float64).numpy()
    np.testing.assert_array_equal(numbers(bits.numpy(), FORMS[code]), expected)


def test_big_endian_numbers_are_the_numbers_that_they_are() -> None:
    for dtype in (">f8", ">i4", ">c16"):
        form = form_of_numpy(dtype)
        assert form is not None
        found = measured(np.array([1, 2, 3], dtype), np.array([1, 5, 3], dtype), form)
        assert (found.changed, found.largest) == (1, 3.0)


def test_records_are_compared_as_bytes() -> None:
    found = measured(np.zeros(5, "V12"), np.array([b"\1" * 12] + [b""] * 4, "V12"), Form("records", 12))
    assert found == Amount(5, 1, 0.2)


def test_nothing_has_no_share() -> None:
    assert measured(np.zeros(0), np.zeros(0), FORMS["F64"]) == Amount(0, 0, 0.0, 0.0, None, 0.0)


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK + 1, PIECE // 4 + 1, PIECE])
def test_pieces_add_up_to_the_whole(length: int) -> None:
    random = np.random.default_rng(length)
    old = random.standard_normal(length).astype(np.float32)
    new = old.copy()
    new[::3] += random.standard_normal(len(new[::3])).astype(np.float32)
    new[-1] = old[-1] + 100
    found = measured(old, new, FORMS["F32"])
    change = new.astype(np.float64) - old
    assert found.changed == int((change != 0).sum())
    assert found.norm == pytest.approx(math.sqrt((change**2).sum()), rel=1e-9)
    assert found.largest == float(abs(change).max())


def test_memory_stays_bounded_however_large_the_arrays_are() -> None:
    old = np.zeros(24 << 20, np.uint8)
    new = old + np.uint8(60)
    with ThreadPoolExecutor(2) as pool:
        tracemalloc.start()
        try:
            assert amount(old, new, FORMS["F16"], pool).share == 1.0
            assert tracemalloc.get_traced_memory()[1] < 6 << 20
        finally:
            tracemalloc.stop()


@given(text=st.text(alphabet="<>|biufcmMSUVtn[]0123456789sD", max_size=12))
@example(text="|b2")
@example(text="<f3")
def test_any_text_for_a_dtype_is_read_or_refused(text: str) -> None:
    """What is read has a size, and NumPy agrees with it."""
    form = form_of_numpy(text)
    if form is not None:
        assert np.dtype(text).itemsize == form.size > 0
        raw = np.zeros(form.size, np.uint8) if form.size < 1000 else None
        assert raw is None or values(raw, form) is None or len(values(raw, form) or []) == 1


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array(["2024-02-29", "NaT"], "M8[D]"), ["2024-02-29", "NaT"]),
        (np.array([b"ab", b"c"]), [b"ab", b"c"]),
        (np.array(["ü", "xyz"]), ["ü", "xyz"]),
        (np.array(["ü", "xyz"], ">U3"), ["ü", "xyz"]),
        (np.array([True, False]), [True, False]),
        (np.array([1, -2], ">i2"), [1, -2]),
        (np.array([1.5, 2], "f2"), [1.5, 2.0]),
        (np.array([1 + 2j]), [1 + 2j]),
        (np.zeros(1, "V3"), None),
    ],
    ids=str,
)
def test_few_entries_are_values(array: np.ndarray[Any, Any], expected: Any) -> None:
    form = form_of_numpy(array.dtype.str)
    assert form is not None
    assert values(np.frombuffer(array.tobytes(), np.uint8), form) == expected
