"""Boxes tile a tensor or are refused; a box is read from the shards and blocks that it cuts, and no more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import assume, example, given
from hypothesis import strategies as st

from saver.errors import DamagedError
from saver.pack import Pack, PackedTensors, PackWriter, verify
from saver.storage import Blob
from saver.storages.memory import MemoryStorage
from saver.tensors import (
    NUMPY_DTYPE,
    Box,
    Hasher,
    MemoryTensors,
    Shard,
    ShardedData,
    TensorData,
    check_boxes,
    check_inside,
    hashing,
    in_shards,
    put_together,
    shards_of,
    whole,
)
from saver.tensors.boxes import CUT_AXES
from shards import sharded


def boxes_in(shape: tuple[int, ...], beyond: int = 0) -> Iterator[Box]:
    """All boxes that hold an element; with some that reach beyond the shape."""
    sides = [
        [(at, size) for at in range(axis + beyond) for size in range(1, axis + beyond - at + 1)]
        for axis in shape
    ]
    for each in product(*sides):
        yield Box(tuple(at for at, _ in each), tuple(size for _, size in each))


def tile(shape: tuple[int, ...], boxes: Sequence[Box]) -> bool:
    """Whether they do, found by painting."""
    painted = np.zeros([axis + 2 for axis in shape], int)
    for box in boxes:
        painted[box.slices] += 1
    within = painted[whole(shape).slices]
    return bool((within == 1).all() and painted.sum() == within.sum())


def accepted(
    shape: tuple[int, ...],
    boxes: Sequence[Box],
    check: Callable[[tuple[int, ...], Sequence[Box]], None] = check_boxes,
) -> bool:
    try:
        check(shape, boxes)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(("shape", "most"), [((4,), 4), ((2, 3), 3), ((2, 2, 2), 2)], ids=str)
def test_boxes_are_accepted_exactly_if_they_tile(shape: tuple[int, ...], most: int) -> None:
    """All sets of some boxes, of those within the shape and of those that reach beyond it."""
    every = sorted(boxes_in(shape, 1), key=lambda box: (box.offsets, box.sizes))
    found = [
        (accepted(shape, boxes), tile(shape, boxes))
        for count in range(1, most + 1)
        for boxes in combinations(every, count)
    ]
    assert all(one == other for one, other in found)
    assert any(one for one, _ in found)


@pytest.mark.parametrize("shape", [(4,), (2, 3)], ids=str)
def test_some_boxes_of_a_tensor_are_accepted_exactly_if_each_is_inside(shape: tuple[int, ...]) -> None:
    """Whether they overlap or leave gaps, which is seen once all are together."""
    inside = set(boxes_in(shape, 0))
    for boxes in combinations(boxes_in(shape, 1), 2):
        assert accepted(shape, boxes, check_inside) == inside.issuperset(boxes)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Box]]:
    """A shape, cut at random: in two, and then the pieces again."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    boxes = [whole(shape)]
    for _ in range(draw(st.integers(0, 6))):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axis = draw(st.integers(0, len(shape) - 1))
        size = box.sizes[axis]
        at = draw(st.integers(1, size)) % size
        if at:
            offsets, first, second = list(box.offsets), list(box.sizes), list(box.sizes)
            first[axis], second[axis] = at, size - at
            offsets[axis] += at
            boxes += [Box(box.offsets, tuple(first)), Box(tuple(offsets), tuple(second))]
        else:
            boxes.append(box)
    return shape, sorted(boxes, key=lambda box: box.offsets)


@given(cuts(), st.data())
def test_a_cut_is_accepted_and_with_one_number_changed_only_if_it_tiles(
    cut: tuple[tuple[int, ...], list[Box]], data: st.DataObject
) -> None:
    shape, boxes = cut
    check_boxes(shape, boxes)
    which, axis = data.draw(st.integers(0, len(boxes) - 1)), data.draw(st.integers(0, len(shape) - 1))
    change = data.draw(st.sampled_from([-1, 1]))
    offsets, sizes = list(boxes[which].offsets), list(boxes[which].sizes)
    side = data.draw(st.sampled_from([offsets, sizes]))
    side[axis] += change
    changed = [*boxes[:which], Box(tuple(offsets), tuple(sizes)), *boxes[which + 1 :]]
    assert not accepted(shape, changed)
    if len(boxes) > 1:
        assert not accepted(shape, boxes[:which] + boxes[which + 1 :]), "a gap"
        assert not accepted(shape, boxes[::-1]), "another order"
        assert not accepted(shape, sorted([*boxes, boxes[which]], key=lambda box: box.offsets)), "twice"


@pytest.mark.parametrize(
    ("shape", "boxes"),
    [
        ((4,), [Box((0,), (4,)), Box((4,), (0,))]),
        ((4,), [Box((), ())]),
        ((4,), [Box((0, 0), (4, 1))]),
        ((4,), [Box((0,), (4, 1))]),
        ((4,), [Box((-1,), (5,))]),
        ((4,), [Box((0,), (-4,))]),
        ((0, 4), [Box((0, 0), (0, 2)), Box((0, 2), (0, 2))]),
        ((2,) * 9, [Box((0,) * 9, (1,) * 9), Box((1,) * 9, (1,) * 9)]),
        ((10**30, 2), [Box((0, 0), (10**30, 1)), Box((0, 1), (10**30 - 1, 1))]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_boxes_that_no_writer_makes_are_refused(shape: tuple[int, ...], boxes: list[Box]) -> None:
    with pytest.raises(ValueError, match=r"box|cut along"):
        check_boxes(shape, boxes)


@pytest.mark.parametrize("axes", [5, 6])
def test_a_tensor_is_cut_along_few_axes(axes: int) -> None:
    """Each axis doubles what it takes to check a box, and a hostile file may have 64."""
    halves = [Box(at, (1,) * axes) for at in product((0, 1), repeat=axes)]
    if axes == CUT_AXES:
        check_boxes((2,) * axes, halves)
    else:
        with pytest.raises(ValueError, match="cut along 6 axes; at most 5"):
            check_boxes((2,) * axes, halves)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (5,)], ids=str)
def test_one_box_covers_any_tensor(shape: tuple[int, ...]) -> None:
    check_boxes(shape, [whole(shape)])


@pytest.mark.slow
def test_very_many_boxes_are_checked_in_proportion() -> None:
    """As a mesh of 300 x 300 would cut a table; a check of all pairs would take 4 billion steps."""
    grid = [Box((row, column), (1, 1)) for row in range(300) for column in range(300)]
    check_boxes((300, 300), grid)
    with pytest.raises(ValueError, match="gap or an overlap"):
        check_boxes((300, 300), grid[:-1])


# Blocks


@pytest.mark.parametrize("shape", [(40,), (5, 8), (3, 4, 5), (2, 3, 1, 7)], ids=str)
@pytest.mark.parametrize("block", [8, 16, 64])
def test_the_blocks_of_a_box_are_those_that_hold_a_byte_of_it(
    shape: tuple[int, ...], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every box, against the blocks that its elements lie in."""
    monkeypatch.setattr(hashing, "BLOCK", block)
    count = -(-math.prod(shape) * 4 // block)
    shard = Shard("F32", whole(shape), blocks=("",) * count)
    at = np.arange(math.prod(shape)).reshape(shape) * 4
    for box in boxes_in(shape):
        touched = at[box.slices].ravel()
        assert shard.blocks_of(box) == {*(touched // block).tolist(), *((touched + 3) // block).tolist()}


@given(st.binary(max_size=100), st.lists(st.integers(0, 30), max_size=8), st.integers(1, 20))
def test_bytes_that_come_in_any_pieces_have_the_hash_of_their_blocks(
    data: bytes, lengths: list[int], block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "BLOCK", block)
        patch.setattr(hashing, "BLOCKS_FROM", 2 * block)
        hasher, at = Hasher(len(data)), 0
        for length in lengths:
            at += hasher.update(memoryview(data[at : at + length]))
        if at < len(data):
            with pytest.raises(AssertionError, match="fewer bytes"):
                hasher.hashed()
        hasher.update(memoryview(data[at:] + b"more"))
        digests = [blake3(data[at : at + block]) for at in range(0, len(data), block)]
        if len(data) < 2 * block:
            assert hasher.hashed() == (blake3(data).hexdigest(), ())
        else:
            root = blake3(b"".join(digest.digest() for digest in digests)).hexdigest()
            assert hasher.hashed() == (root, tuple(digest.hexdigest() for digest in digests))


# Sources


class Far(Blob):
    """A blob that is far away, and counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.name, self.size, self.data = "far", len(data), data
        self.memory: Any = np.zeros(len(data), np.uint8)
        self.fetched = np.zeros(len(data), int)

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self.data[start:end]

    def map(self) -> Any:
        return self.memory

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        self.memory[start:end] = np.frombuffer(self.data[start:end], np.uint8)
        self.fetched[start:end] += 1

    def near(self, start: int, end: int) -> bool:
        return False


def packed(given: Mapping[str, TensorData | ShardedData]) -> tuple[PackedTensors, Far, Pack]:
    """Tensors as they are read from a pack of them that is far away."""
    store = MemoryStorage()
    writer = PackWriter(given)
    store.put("a", writer)
    blob = Far(store.read("a"))
    pack = Pack(blob)
    return pack.source(), blob, pack


@given(cuts(), st.sampled_from(["U8", "F32", "F64"]), st.integers(1, 40), st.data())
@example(((3, 5), [Box((0, 0), (3, 2)), Box((0, 2), (3, 3))]), "F32", 7, None)
def test_a_box_is_read_from_the_shards_and_blocks_that_it_cuts_and_no_others(
    cut: tuple[tuple[int, ...], list[Box]], dtype: str, block: int, data: st.DataObject | None
) -> None:
    shape, boxes = cut
    array = np.arange(math.prod(shape)).astype(NUMPY_DTYPE[dtype]).reshape(shape)
    asked = [box for box in boxes_in(shape) if box != whole(shape)]
    assume(asked)
    chosen = [data.draw(st.sampled_from(asked)) for _ in range(2)] if data is not None else asked[:9]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "BLOCK", block)
        patch.setattr(hashing, "BLOCKS_FROM", 2 * block)
        patch.setattr(verify, "GAP", 0)
        source, blob, pack = packed({"other": sharded(array, [whole(shape)]), "t": sharded(array, boxes)})
        needed = np.zeros(blob.size, bool)
        for box in chosen:
            assert source.read("t", box).tobytes() == array[box.slices].tobytes()
            for shard in pack.tensors["t"].shards:
                common = shard.box.cut(box)
                numbers = shard.blocks_of(common.within(shard.box)) if common is not None else set()
                for number, _, (_, start, length) in shard.block_extents():
                    needed[start : start + length] |= number in numbers
        assert (blob.fetched == needed).all(), "each byte once, and no other"
        assert source.read("t").tobytes() == array.tobytes()
        assert source.read("other").tobytes() == array.tobytes()
        again = source.read("t", chosen[0])
        assert again.tobytes() == array[chosen[0].slices].tobytes()
        again[:] = 0
        assert source.read("t").tobytes() == array.tobytes(), "what is written to a box stays there"


def test_a_reader_of_every_shard_looks_at_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, cut = list[Box](), Box.cut
    monkeypatch.setattr(Box, "cut", lambda own, other: looked.append(own) or cut(own, other))
    array = np.arange(1000.0).reshape(200, 5)
    boxes = [Box((row, 0), (1, 5)) for row in range(200)]
    source, _, _ = packed({"t": sharded(array, boxes)})
    assert b"".join(source.read("t", box).tobytes() for box in boxes) == array.tobytes()
    assert looked == boxes


def test_blocks_of_the_true_size_are_read_alone() -> None:
    """A row of a table of 20 MiB, of which 4 MiB are fetched."""
    table = np.arange(5 << 20, dtype=np.uint32).reshape(5120, 1024)
    source, blob, _ = packed({"t": TensorData("U32", table.shape, table)})
    row = Box((3000, 0), (1, 1024))
    assert source.read("t", row).tobytes() == table[3000].tobytes()
    assert blob.fetched.sum() == 4 << 20


def test_a_box_beyond_the_shape_is_refused_and_an_empty_one_is_empty() -> None:
    array = np.arange(12.0).reshape(3, 4)
    memory = MemoryTensors({"t": TensorData("F64", array.shape, array)})
    for source in (packed({"t": sharded(array, [Box((0, 0), (3, 1)), Box((0, 1), (3, 3))])})[0], memory):
        for box in (Box((0, 0), (3, 5)), Box((3, 0), (1, 1)), Box((0,), (3,)), Box((0, -1), (3, 1))):
            with pytest.raises(ValueError, match="beyond the shape"):
                source.read("t", box)
        assert source.read("t", Box((1, 1), (0, 2))).size == 0
        assert source.read("t", Box((1, 1), (2, 2))).tobytes() == array[1:3, 1:3].tobytes()
        with pytest.raises(KeyError):
            source.read("u")
        with pytest.raises(KeyError):
            source.info("u")


def test_damage_shows_in_the_boxes_that_cut_it_and_in_no_others() -> None:
    array = np.arange(40.0).reshape(4, 10)
    boxes = [Box((0, 0), (2, 10)), Box((2, 0), (2, 10))]
    _, blob, pack = packed({"t": sharded(array, boxes)})
    at = pack.shards["t#20"].extents[0][1]
    raw = bytearray(blob.data)
    raw[at] ^= 1
    source = Pack(Far(bytes(raw))).source()
    assert source.read("t", Box((0, 3), (2, 5))).tobytes() == array[:2, 3:8].tobytes()
    for box in (Box((1, 0), (2, 1)), Box((3, 9), (1, 1)), None):
        with pytest.raises(DamagedError, match="the bytes of t are not those"):
            source.read("t", box)


def test_shards_are_named_so_that_no_two_names_are_alike() -> None:
    array = np.arange(6.0)
    halves = [Box((0,), (3,)), Box((3,), (3,))]
    given = {
        "a": sharded(array, halves),
        "a#0": TensorData("F64", (6,), array + 1),
        "a#0#": sharded(array + 2, halves),
        "a#1": sharded(array + 3, [whole((6,))]),
    }
    source, _, pack = packed(given)
    assert list(source.names) != []
    assert set(source.names) == set(given)
    assert len(pack.shards) == 6
    for number, name in enumerate(given):
        assert source.read(name).tobytes() == (array + number).tobytes()


@given(cuts())
def test_what_is_cut_is_put_together_again(cut: tuple[tuple[int, ...], list[Box]]) -> None:
    shape, boxes = cut
    given = {"a": sharded(np.zeros(shape), boxes), "b": TensorData("F64", shape, np.zeros(shape))}
    data, found = in_shards(given)
    shards = {
        name: Shard(item.dtype, whole(item.shape), str(n)) for n, (name, item) in enumerate(data.items())
    }
    infos = put_together(shards, found)
    assert [info.name for info in infos.values()] == ["a", "b"]
    assert [shard.box for shard in infos["a"].shards] == boxes
    assert infos["a"].shape == shape
    assert shards_of(infos.values()).keys() == data.keys()


def test_shards_that_make_no_tensor_are_not_saved() -> None:
    array = np.arange(6.0)
    two = sharded(array, [Box((0,), (3,)), Box((3,), (3,))])
    lost = {(0,): two.shards[0,]}
    other = {**two.shards, (3,): TensorData("I64", (3,), np.arange(3))}
    for shards, why in ((lost, "a: the only box"), (other, "a: its shards have other dtypes")):
        with pytest.raises(ValueError, match=why):
            PackWriter({"a": ShardedData("F64", (6,), shards)})


def test_other_cuts_of_the_same_elements_have_other_hashes() -> None:
    """And none is that of a tensor whose bytes spell it."""
    array = np.zeros((2, 2))
    halves = [Box((0, 0), (1, 2)), Box((1, 0), (1, 2))], [Box((0, 0), (2, 1)), Box((0, 1), (2, 1))]
    infos = [packed({"t": sharded(array, boxes)})[0].info("t") for boxes in (*halves, [whole((2, 2))])]
    assert len({info.hash for info in infos}) == 3
    assert len({str(info.covered) for info in infos}) == 3
    assert infos[0].shards[0].hash == infos[1].shards[0].hash, "that of the bytes alone"


class Counted(int):
    """A number that counts how often it is compared with another one."""

    comparisons = 0

    def __eq__(self, other: object) -> bool:
        Counted.comparisons += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_coordinates_that_collide_in_a_hash_table_cost_no_more_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python's hash of an integer is its remainder by 2**61 - 1."""
    many, step = 300, 2**61 - 1
    monkeypatch.setattr(Counted, "comparisons", 0)
    boxes = [Box((Counted(at * step),), (1,)) for at in range(many)]
    with pytest.raises(ValueError, match="a gap or an overlap"):
        check_boxes((many * step,), boxes)
    assert Counted.comparisons < 10 * many
