"""The numbers of layers, against plain NumPy on whole arrays."""

from __future__ import annotations

import gc
import math
import tracemalloc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import saver
from saver.compare.amounts import amount
from saver.opened import Opened
from saver.pages.comparing import figures
from saver.pages.comparing.blocks import even, stored
from saver.pages.comparing.computing import Computing, Found, Stopped
from saver.pages.comparing.figures import BINS, SAMPLE, histogram, places
from saver.pages.comparing.heat import COLUMNS, ROWS, NoMap, heat
from saver.pages.comparing.layers import Layer, layers
from saver.pages.comparing.stating import stated
from saver.reading.arrays import tensor_array
from saver.reading.forms import FORMS, numbers
from saver.repo.save import save_version
from saver.tensors import ITEM_SIZE, MemoryTensors, TensorData
from saver.threads import Threads
from saver.training_log import TrainingLog
from saver.tree import Tensor
from shards import cut_draft, rows

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7)


def view(dtype: str, shape: tuple[int, ...], raw: bytes) -> Any:
    """What an opened version is for those who read its tensors, with the one tensor `w`."""
    data = TensorData(dtype, shape, np.frombuffer(raw, np.uint8))
    return SimpleNamespace(where="here", tensors=MemoryTensors({"w": data}))


def layer_of(*views: Any) -> Layer:
    return Layer("w", tuple(tensor_array(Tensor("w"), each.tensors.info) for each in views))


def computed(*views: Any) -> Found:
    (found,) = Computing(views, [layer_of(*views)]).run(2)
    return found


def opened(store: saver.Saver, *refs: str) -> list[Opened]:
    return [store._open(ref) for ref in refs]


@st.composite
def sides(draw: st.DrawFn) -> tuple[str, tuple[int, ...], bytes, bytes]:
    """Two arrays of any dtype and of one shape, which share some entries: any bits."""
    dtype = draw(st.sampled_from(sorted(ITEM_SIZE)))
    shape, size = draw(SHAPES), ITEM_SIZE[dtype]
    entry = st.sampled_from([b"\0", b"\1"]) if dtype == "BOOL" else st.binary(min_size=size, max_size=size)
    count = math.prod(shape)
    old = draw(st.lists(entry, min_size=count, max_size=count))
    new = [draw(st.one_of(st.just(each), entry)) for each in old]
    return dtype, shape, b"".join(old), b"".join(new)


@given(sides())
@example(("F32", (2,), np.array([np.nan, np.inf], "<f4").tobytes(), np.array([-np.inf, 0], "<f4").tobytes()))
@example(("F64", (2,), np.array([1e308, 1e308]).tobytes(), np.array([-1e308, 1e-320]).tobytes()))
@example(("F64", (3,), np.array([1e9, 1e9 + 1, 1e9 + 2]).tobytes(), np.array([1e9] * 3).tobytes()))
def test_the_numbers_of_a_layer_are_those_of_numpy(
    given_sides: tuple[str, tuple[int, ...], bytes, bytes],
) -> None:
    dtype, shape, old, new = given_sides
    found = computed(view(dtype, shape, old), view(dtype, shape, new))
    form = FORMS[dtype]
    for n, raw in enumerate((old, new)):
        group = found.layer.groups[n]
        assert group is not None
        sums, drawn, changed = found.seen[group]
        values = numbers(np.frombuffer(raw, np.uint8), form).astype(np.float64)
        finite = values[np.isfinite(values)]
        assert sums.entries == values.size
        assert (sums.nan, sums.above, sums.below) == (
            np.isnan(values).sum(), np.isposinf(values).sum(), np.isneginf(values).sum(),
        )  # fmt: skip
        assert sums.zeros == (finite == 0).sum()
        if not finite.size:
            assert (sums.norm, sums.deviation) == (0.0, None)
            continue
        scale = float(np.abs(finite).max()) or 1.0
        scaled = (finite / scale).astype(np.longdouble)
        assert (sums.low, sums.high) == (finite.min(), finite.max())
        assert sums.norm / scale == pytest.approx(float(np.sqrt((scaled**2).sum())), rel=1e-9, abs=1e-300)
        assert sums.mean / scale == pytest.approx(float(scaled.mean()), rel=1e-9, abs=1e-12)
        assert (sums.deviation or 0.0) / scale == pytest.approx(float(scaled.std()), rel=1e-6, abs=1e-12)
        assert drawn is not None
        assert (drawn.counted, sum(drawn.counts)) == (finite.size, finite.size)
        if n and group == n:
            with Threads(1) as pool:
                expected = amount(*(np.frombuffer(each, np.uint8) for each in (old, new)), form, pool)
            assert changed is not None
            assert changed.changed == expected.changed
            assert changed.norm == pytest.approx(float(expected.norm or 0), rel=1e-6, abs=1e-300)
            assert changed.largest == float(expected.largest or 0)


@given(
    arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e300, 1e300)),
    st.lists(st.integers(1, 59), max_size=5),
)
def test_sums_are_the_same_however_an_array_is_cut(values: np.ndarray[Any, Any], cuts: list[int]) -> None:
    whole, added = figures.sums(values), figures.Sums()
    for part in np.split(values, sorted(cut for cut in cuts if cut < len(values))):
        if part.size:
            added = added.plus(figures.sums(part))
    size = max(float(np.abs(values).max()), 1e-300)
    assert added[:7] == whole[:7]
    assert added.mean / size == pytest.approx(whole.mean / size, abs=1e-9)
    assert added.norm / size == pytest.approx(whole.norm / size, rel=1e-9)
    assert added.spread / size == pytest.approx(whole.spread / size, rel=1e-6, abs=1e-9)


@given(
    arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(allow_nan=False, allow_infinity=False))
)
@example(np.array([-1.7e308, 1.7e308, 0.0]))
@example(np.array([5e-324, 0.0]))
@example(np.array([3.0, 3.0]))
def test_a_histogram_counts_every_finite_entry_once(values: np.ndarray[Any, Any]) -> None:
    found = histogram(values, float(values.min()), float(values.max()))
    assert len(found.counts) == BINS
    assert sum(found.counts) == len(values) == found.counted


def test_a_histogram_of_many_entries_is_that_of_a_sample_spread_evenly() -> None:
    entries = 5 * SAMPLE + 3
    found = places(entries)
    assert len(found) == SAMPLE
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < entries
    assert np.abs(np.histogram(found, 16, (0, entries))[0] / SAMPLE - 1 / 16).max() < 0.001
    values = np.random.default_rng(1).standard_normal(entries).astype(np.float32)
    counts = computed(view("F32", (entries,), values.tobytes())).seen[0].histogram
    assert counts is not None
    assert counts.counted == SAMPLE
    expected = np.histogram(values, BINS, (values.min(), values.max()))[0] / entries
    assert np.abs(np.array(counts.counts) / SAMPLE - expected).max() < 0.005


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 20))
def test_pieces_are_cut_evenly_whatever_came(data: bytes, cuts: list[int], size: int) -> None:
    raw = np.frombuffer(data, np.uint8)
    found = list(even(iter(np.split(raw, sorted(min(cut, len(data)) for cut in cuts))), size))
    assert b"".join(each.tobytes() for each in found) == data
    assert all(each.size == size for each in found[:-1])
    assert all(0 < each.size <= size for each in found[-1:])


@given(sides(), st.integers(0, 300), st.integers(0, 300))
def test_any_stretch_of_an_array_can_be_read(
    given_sides: tuple[str, tuple[int, ...], bytes, bytes], start: int, end: int
) -> None:
    dtype, shape, raw, _ = given_sides
    one = view(dtype, shape, raw)
    array = layer_of(one).arrays[0]
    assert array is not None
    end = min(end, len(raw))
    assert b"".join(each.tobytes() for each in stored(one, array, start, end)) == raw[start:end]


def test_large_tensors_of_a_store_are_read_in_stretches_and_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.pages.comparing import computing

    monkeypatch.setattr(computing, "JOB", 2 * computing.BLOCK)
    store = saver.Saver(tmp_path)
    random = np.random.default_rng(0)
    table = random.standard_normal((6000, 512)).astype(np.float32)  # three blocks
    store.save("m", {"w": {"big": table, "small": np.arange(6)}})
    after = table.copy()
    after[5999, 511] += 1
    save_version(
        store._repo, cut_draft("m", {"w": {"big": after, "small": np.arange(6)}}, lambda n, a: _cut(a.shape))
    )
    views = opened(store, "m@1", "m@2")
    found = {each.layer.path: each for each in Computing(views, layers(views)).run(2)}
    assert list(found) == ["w/big", "w/small"]
    big, change = found["w/big"].seen, found["w/big"].seen[1].change
    assert big[0].sums.norm == pytest.approx(np.linalg.norm(table.astype(np.float64)))
    assert change is not None
    assert (change.changed, change.largest) == (1, pytest.approx(1, rel=1e-6))
    assert stated(found["w/big"]).weights[1].change.norm == pytest.approx(1, rel=1e-6)  # type: ignore[union-attr]
    map_of = heat(views[0], found["w/big"].layer.distinct[0])
    again = heat(views[1], found["w/big"].layer.distinct[1])
    assert map_of.shape == (ROWS, COLUMNS)
    assert np.allclose(map_of[:-1], again[:-1])


def _cut(shape: tuple[int, ...]) -> Any:
    return rows(shape, *([1000, 4001] if shape[0] > 5000 else [2]))


def test_equal_layers_are_known_without_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = saver.Saver(tmp_path)
    shared, own = np.arange(1000.0), np.arange(1000.0)
    for turn in range(3):
        store.save("m", {"w": {"shared": shared, "own": own + turn}, "log": _log(), "flag": np.array(turn)})
    views = opened(store, "m@1", "m@2", "m@3")
    read: list[str] = []
    for each in views:
        stream = each.tensors.stream
        monkeypatch.setattr(
            each.tensors, "stream", lambda name, *rest, to=stream: read.append(name) or to(name, *rest)
        )
    found = {each.layer.path: each for each in Computing(views, layers(views)).run(1)}
    assert "log/loss" not in found  # the pages of curves show it
    assert found["w/shared"].layer.groups == (0, 0, 0)
    assert set(found["w/shared"].seen) == {0}
    assert sum("shared" in name for name in read) <= 1
    assert [each and each.same_as for each in stated(found["w/shared"]).weights] == [None, 0, 0]
    assert [each and each.same_as for each in stated(found["w/own"]).weights] == [None, None, None]
    assert stated(found["w/shared"]).weights[2].change.changed == 0  # type: ignore[union-attr]


def _log() -> TrainingLog:
    log = TrainingLog()
    for step in range(3):
        log.append(step, loss=1.0)
    return log


def test_layers_of_other_shapes_dtypes_and_orders_stand_side_by_side(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    grid = np.arange(200.0).reshape(20, 10)
    kinds: list[Any] = [
        grid, grid.astype(np.float32), grid[:10], np.asfortranarray(grid), grid + 1j * grid,
    ]  # fmt: skip
    for each in kinds:
        store.save("m", {"w": {"a": each, "names": np.array(["x", "y"]), "empty": np.empty((0, 3))}})
    views = opened(store, *(f"m@{n}" for n in range(1, 6)))
    found = {each.layer.path: stated(each) for each in Computing(views, layers(views)).run()}
    assert set(found) == {"w/a", "w/empty"}
    weights = found["w/a"].weights
    assert all(each is not None for each in weights)
    assert [each.change for each in weights[1:] if each] == [None] * 4
    assert [each.norm for each in weights[:2] if each] == [pytest.approx(np.linalg.norm(grid))] * 2
    assert weights[4] is not None
    assert weights[4].high == pytest.approx(199 * math.sqrt(2))
    assert found["w/empty"].weights[0] is not None
    assert found["w/empty"].weights[0].norm is None
    turned = heat(views[3], _array(views[3], "w/a"))
    assert np.array_equal(turned, heat(views[0], _array(views[0], "w/a")))
    with pytest.raises(NoMap, match="no entries"):
        heat(views[0], _array(views[0], "w/empty"))


def _array(one: Opened, path: str) -> Any:
    return next(each.arrays[0] for each in layers([one]) if each.path == path)


@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(1, 500),
    st.sampled_from([0.0, np.nan, np.inf, -3.0]),
)  # fmt: skip
@example(33, 65, 7, np.nan)
def test_a_heat_map_is_the_mean_size_in_each_cell(down: int, across: int, piece: int, odd: float) -> None:
    from saver.pages.comparing import heat as module

    grid = np.random.default_rng(down).standard_normal((down, across))
    grid[down // 2, across // 2] = odd
    one = view("F64", grid.shape, grid.tobytes())
    before, module.PIECE = module.PIECE, piece
    try:
        found = heat(one, _first(one))
    finally:
        module.PIECE = before
    sizes = np.where(np.isfinite(grid), np.abs(grid), np.nan)
    assert found.shape == (min(down, ROWS), min(across, COLUMNS))
    for (row, column), value in np.ndenumerate(found):
        cell = sizes[
            row * down // found.shape[0] : (row + 1) * down // found.shape[0],
            column * across // found.shape[1] : (column + 1) * across // found.shape[1],
        ]
        known = cell[~np.isnan(cell)]
        assert (math.isnan(value) and not known.size) or value == pytest.approx(known.mean())


def _first(one: Any) -> Any:
    return layer_of(one).arrays[0]


def test_nobody_waits_so_it_stops() -> None:
    one = view("F32", (3_000_000,), np.zeros(3_000_000, np.float32).tobytes())
    looks = iter([True, True])
    computing = Computing([one], [layer_of(one)], lambda: next(looks, False))
    with pytest.raises(Stopped):
        computing.run(1)
    assert 0 < computing.done < computing.total


def test_damage_is_said(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("m", {"w": np.arange(100_000.0)})
    (pack,) = (tmp_path / "packs").iterdir()
    data = bytearray(pack.read_bytes())
    data[-8] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    views = opened(store, "m@1")
    with pytest.raises(saver.DamagedError):
        Computing(views, layers(views)).run()


def test_a_file_that_names_a_tensor_in_many_places_costs_no_more_than_its_size(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    store.save("m", {"w": np.arange(10_000.0)})
    (one,) = opened(store, "m@1")
    (layer,) = layers([one])
    many = [Layer(f"w{n}", layer.arrays) for n in range(50)]
    found = Computing([one], many).run()
    assert sum(bool(each.seen) for each in found) == 4
    assert all("too many places" in each.trouble for each in found if not each.seen)


def test_versions_are_opened_anew_so_that_what_was_unpacked_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saver.pages.comparing import computing

    store = saver.Saver(tmp_path, compress=True)
    for turn in range(2):
        store.save("m", {"w": {f"l{n}": np.arange(20_000.0) + turn + n for n in range(12)}})
    views, every = opened(store, "m@1", "m@2"), layers(opened(store, "m@1", "m@2"))
    monkeypatch.setattr(computing, "RENEW", 400_000)
    kept: list[weakref.ref[Opened]] = []

    def again(n: int) -> Opened:
        found = store._open(f"m@{n + 1}")
        kept.append(weakref.ref(found))
        assert sum(each() is not None for each in kept) <= 4
        return found

    anew = Computing(views, every, opening=again)
    expected = Computing(views, every).run(1)
    assert anew.run(1) == expected
    assert len(kept) == 8  # two versions, after each third layer
    anew.forget()
    gc.collect()
    assert not any(each() for each in kept)


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    store = saver.Saver(tmp_path)
    block = np.random.default_rng(0).standard_normal(25_000_000).astype(np.float32)
    for turn in range(2):
        store.save("m", {"w": {f"l{n}": block + np.float32(n + turn) for n in range(3)}})
    del block
    views = opened(store, "m@1", "m@2")
    tracemalloc.start()
    try:
        Computing(views, layers(views)).run(2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20  # two versions of 300 MB
