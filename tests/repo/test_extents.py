"""Where bytes lie: what a manifest and the log say of that is believed only as far as it can be; and
questions about very many ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

import saver
import saver.repo.extents as module
from saver.pack import PackedTensors
from saver.repo.described import described
from saver.repo.events import Event, Move, Relocate
from saver.repo.extents import MOVES_DEPTH, Extents, Ranges
from saver.repo.forms import ShardForm, TensorForm
from saver.repo.log import ZERO, Log, Record
from saver.repo.manifest import Manifest, decode, encode
from saver.repo.state import State
from saver.storages.memory import MemoryStorage
from saver.tensors import BLOCK, Extent, Shard, in_one, whole
from saver.tensors.hashing import BLOCKS_FROM


def extents(*events: Event) -> Extents:
    store = MemoryStorage()
    log, previous = Log(store), ZERO
    for number, event in enumerate(events, 1):
        previous = log.append(Record(1, number, previous, f"{number:032x}", 1.0, event)) or ""
    state = State(store)
    state.refresh()
    return Extents(state)


def manifest(length: int, *extents: tuple[int, int, int], blocks: int = 0) -> Manifest:
    form = TensorForm("U8", (length,), (ShardForm(hash=ZERO, extents=extents, blocks=(ZERO,) * blocks),))
    return Manifest(format=1, parts={}, tensors={"a/x": form}, packs=("p", "q"))


LARGE = BLOCKS_FROM
MANY = LARGE // BLOCK

LIES: dict[str, Manifest] = {
    "fewer bytes than the shape": manifest(10, (0, 0, 9)),
    "more bytes than the shape": manifest(10, (0, 0, 11)),
    "no bytes": manifest(10),
    "a small tensor in two packs": manifest(10, (0, 0, 5), (1, 0, 5)),
    "blocks of a small tensor": manifest(10, (0, 0, 10), blocks=1),
    "a block too few": manifest(LARGE, (0, 0, LARGE), blocks=MANY - 1),
    "a block too many": manifest(LARGE, (0, 0, LARGE), blocks=MANY + 1),
    "no blocks of a large tensor": manifest(LARGE, (0, 0, LARGE)),
    "half a block": manifest(LARGE, (0, 0, BLOCK // 2), (1, 0, LARGE - BLOCK // 2), blocks=MANY),
}


@pytest.mark.parametrize("lie", LIES)
def test_bytes_that_do_not_make_a_tensor_are_refused(lie: str) -> None:
    with pytest.raises(saver.IncompatibleError, match="'a/x' are not stored in whole blocks"):
        described(LIES[lie], "m@1")


def test_bytes_that_do_are_not() -> None:
    found = described(manifest(LARGE, (0, 0, BLOCK), (1, 7, LARGE - BLOCK), blocks=MANY), "m@1")
    assert found.tensors["a/x"].shards[0].extents == (("p", 0, BLOCK), ("q", 7, LARGE - BLOCK))


def test_a_tensor_in_a_pack_that_the_manifest_does_not_name_is_refused() -> None:
    for pack, sound in ((1, True), (2, False)):
        text = encode(manifest(10, (pack, 0, 10)))
        if sound:
            assert decode(text, "m@1").tensors["a/x"].shards[0].extents == ((pack, 0, 10),)
        else:
            with pytest.raises(saver.IncompatibleError, match="does not name"):
                decode(text, "m@1")


@pytest.mark.parametrize("shape", [(1,) * 65, (-1, -10), (10**40,), (1.5,), ("10",)], ids=str)
def test_a_tensor_of_a_shape_that_no_array_has_is_refused(shape: Any) -> None:
    shard = ShardForm(hash=ZERO, extents=((0, 0, 10 if shape != (1,) * 65 else 1),))
    form = TensorForm("U8", shape, (shard,))
    text = encode(Manifest(format=1, parts={}, tensors={"a/x": form}, packs=("p",)))
    with pytest.raises(saver.IncompatibleError):
        described(decode(text, "m@1"), "m@1")


def resolved(found: Extents, extent: Extent) -> tuple[Extent, ...]:
    """Where the bytes of an extent are now."""
    form = TensorForm("U8", (extent[2],), (ShardForm(hash=ZERO, extents=((0, *extent[1:]),)),))
    manifest = Manifest(format=1, parts={}, tensors={"a/x": form}, packs=extent[:1])
    known = found.of(described(manifest, "m@1"))
    return known["a/x"].shards[0].extents


def moved(**moves: tuple[Move, ...]) -> Relocate:
    return Relocate(moves)


def test_bytes_that_were_moved_in_circles_are_refused() -> None:
    found = extents(moved(p=((0, 10, "q", 0),)), moved(q=((0, 10, "p", 0),)))
    with pytest.raises(saver.IncompatibleError, match="moved in circles"):
        resolved(found, ("p", 2, 5))


def test_bytes_may_have_moved_as_often_as_collections_can() -> None:
    found = extents(*(moved(**{f"p{at}": ((0, 10, f"p{at + 1}", 0),)}) for at in range(MOVES_DEPTH)))
    assert resolved(found, ("p0", 2, 5)) == ((f"p{MOVES_DEPTH}", 2, 5),)


def test_two_moves_of_the_same_bytes_are_refused() -> None:
    found = extents(moved(p=((0, 10, "q", 0), (5, 10, "r", 0))))
    with pytest.raises(saver.IncompatibleError, match="two moves of the same bytes"):
        resolved(found, ("p", 0, 15))


def test_of_two_records_that_move_the_same_bytes_the_newer_is_right() -> None:
    found = extents(moved(p=((0, 10, "q", 0),)), moved(p=((0, 10, "r", 5),)))
    assert resolved(found, ("p", 2, 5)) == (("r", 7, 5),)


def test_blocks_that_are_not_those_of_the_tensor_are_damage() -> None:
    """Their bytes match their hashes; the hash of the tensor does not vouch for them."""
    data: Any = np.arange(256, dtype=np.uint8)
    store = MemoryStorage()
    store.create("packs/p.safetensors", data.tobytes())
    block = blake3(data.tobytes()).hexdigest()
    root = blake3(bytes.fromhex(block)).hexdigest()
    for told, sound in ((root, True), ("0" * 64, False)):
        shard = Shard("U8", whole((256,)), told, (block,), (("p", 0, 256),))
        source = PackedTensors(
            {"a/x": in_one("a/x", shard)},
            lambda packs: {pack: store.open(f"packs/{pack}.safetensors") for pack in packs},
            "m@1",
            "!",
        )
        if sound:
            assert source.read("a/x").tobytes() == data.tobytes()
        else:
            with pytest.raises(saver.DamagedError, match="contradict each other"):
                source.read("a/x")


SPAN = st.tuples(st.integers(0, 40), st.integers(1, 9))


@given(st.lists(SPAN), SPAN)
def test_a_range_meets_and_is_held_as_its_bytes_are(
    ranges: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    taken = {byte for offset, length in ranges for byte in range(offset, offset + length)}
    bytes_asked = set(range(asked[0], sum(asked)))
    found = Ranges(ranges)
    assert found.meet(*asked) is bool(taken & bytes_asked)
    assert found.hold(*asked) is (bytes_asked <= taken)


@given(st.lists(SPAN), st.integers(0, 50))
def test_no_byte_meets_nothing(ranges: list[tuple[int, int]], offset: int) -> None:
    assert not Ranges(ranges).meet(offset, 0)


@pytest.mark.parametrize(("length", "blocks"), [(BLOCKS_FROM - 1, 0), (BLOCKS_FROM, BLOCKS_FROM // BLOCK)])
def test_moves_that_halve_again_and_again_are_followed_no_further_than_blocks(
    length: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """23 records of two moves each would make eight million extents of one tensor."""
    halving, followed, follow = [], 0, module._moved

    def counting(*args: Any) -> Any:
        nonlocal followed
        followed += 1
        assert followed < 100
        return follow(*args)

    for level in range(23):
        half = BLOCKS_FROM >> level + 1
        halving.append(moved(**{f"p{level}": tuple((at, half, f"p{level + 1}", 0) for at in (0, half))}))
    monkeypatch.setattr(module, "_moved", counting)
    form = TensorForm(
        "U8", (length,), (ShardForm(hash=ZERO, extents=((0, 0, length),), blocks=(ZERO,) * blocks),)
    )
    found = described(Manifest(format=1, parts={}, tensors={"a/x": form}, packs=("p0",)), "m@1")
    with pytest.raises(saver.IncompatibleError, match="'a/x' are not stored in whole blocks"):
        extents(*halving).of(found)
