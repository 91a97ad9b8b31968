"""Packs: valid safetensors files, aligned and hashed, and the same whichever way they are written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import saver
from saver import pack as packs
from saver.disk.durable import NewFile
from saver.disk.mapped import MappedFile, open_file
from saver.pack import Pack, PackedTensors, PackWriter, layout, ring, write
from saver.storage import Sink
from saver.storages.memory import MemoryStorage
from saver.tensors import (
    ITEM_SIZE,
    NUMPY_DTYPE,
    TENSOR_DTYPE,
    Shard,
    TensorData,
    TensorInfo,
    TensorSource,
    data,
    hashing,
    whole,
)

safe_open: Any = pytest.importorskip("safetensors").safe_open

quick = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

names = st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__" and _encodable(name))
contents = arrays.arrays(
    st.sampled_from(list(NUMPY_DTYPE.values())),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
)


def _encodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def data_of(array: Any) -> TensorData:
    return TensorData(TENSOR_DTYPE[array.dtype.kind, array.dtype.itemsize], array.shape, array)


def save(path: Path, tensors: dict[str, Any]) -> int:
    given = {name: item if isinstance(item, TensorData) else data_of(item) for name, item in tensors.items()}
    writer = PackWriter(given, lambda hashes: {"note": "x"})
    with NewFile(str(path), writer.size) as file:
        writer.write(file)
        file.commit()
    return writer.size


def opened(path: Path) -> Pack:
    return Pack(open_file(str(path)))


def loaded(path: Path) -> dict[str, Any]:
    source = opened(path).source()
    source.verify()
    return {name: array_of(source, name) for name in source.names}


def array_of(source: TensorSource, name: str) -> Any:
    info = source.info(name)
    return source.read(name).view(NUMPY_DTYPE[info.dtype]).reshape(info.shape)


def assert_same_bits(found: Any, expected: Any) -> None:
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


def in_ring(patch: pytest.MonkeyPatch) -> None:
    """Everything through the ring, with buffers so small that every edge of it is met."""
    patch.setattr(write, "SMALL", 0)
    patch.setattr(ring, "RING_BUFFER", 4096)
    patch.setattr(ring, "RING_LENGTH", 3)


def with_small_blocks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hashing, "BLOCKS_FROM", 4096)
    patch.setattr(hashing, "BLOCK", 1024)


@pytest.mark.slow
@quick
@given(tensors=st.dictionaries(names, contents, max_size=6))
@example(tensors={})
@example(tensors={"": np.zeros(3)})
@example(tensors={"a/b.c#2": np.ones(2), '\u202e\n"\\': np.zeros((0, 3)), "😀": np.array(1.0)})
def test_safetensors_reads_every_pack(tensors: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert save(path, tensors) == path.stat().st_size
    with safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(tensors)
        for name, array in tensors.items():
            assert_same_bits(file.get_tensor(name), array)
        assert {"saver", "saver.header", "note"} <= set(file.metadata())


@pytest.mark.slow
@quick
@given(tensors=st.dictionaries(names, contents, max_size=6))
def test_saver_reads_every_pack(tensors: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, tensors)
    found = loaded(path)
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        assert_same_bits(found[name], array)


@pytest.mark.slow
@quick
@given(tensors=st.dictionaries(names, contents, max_size=12))
def test_data_begins_on_a_page_and_every_tensor_on_its_items(tensors: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save(path, tensors)
    pack = opened(path)
    assert (8 + int.from_bytes(path.read_bytes()[:8], "little")) % 4096 == 0
    even = [shard.length % 64 == 0 for shard in pack.shards.values()]
    assert even == sorted(even, reverse=True), "multiples of 64 bytes stand first"
    for name, shard in pack.shards.items():
        for _, offset, _ in shard.extents:
            assert offset % ITEM_SIZE[shard.dtype] == 0
            assert shard.length % 64 or offset % 64 == 0
        assert array_of(pack.source(), name).flags.aligned


@pytest.mark.slow
@quick
@given(
    tensors=st.dictionaries(names, contents, max_size=6),
    large=st.lists(st.integers(0, 20_000), max_size=4),
    blocks=st.booleans(),
)
@example(tensors={}, large=[4096], blocks=False)
@example(tensors={}, large=[4096 * 3, 1], blocks=True)
@example(tensors={}, large=[4095, 4097, 1024, 0], blocks=True)
def test_the_ring_writes_the_same_bytes_as_the_short_way(
    tensors: dict[str, Any], large: list[int], blocks: bool, tmp_path: Path
) -> None:
    every = {**tensors, **{f"large {n}": np.arange(size, dtype=np.uint8) for n, size in enumerate(large)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write.os, "urandom", lambda size: b"\xab" * size)
        if blocks:
            with_small_blocks(patch)
        save(tmp_path / "short", every)
        in_ring(patch)
        save(tmp_path / "ring", every)
        assert (tmp_path / "short").read_bytes() == (tmp_path / "ring").read_bytes()
        assert set(loaded(tmp_path / "ring")) == set(every)


def test_the_true_sizes_go_through_the_ring_too(tmp_path: Path) -> None:
    """One byte more than `SMALL`, which is more than one buffer: no multiple of anything."""
    data = np.random.default_rng(0).integers(0, 256, write.SMALL + 1, np.uint8)
    save(tmp_path / "a", {"t": data, "u": np.arange(3)})
    assert_same_bits(loaded(tmp_path / "a")["t"], data)
    with safe_open(tmp_path / "a", "numpy") as file:
        assert_same_bits(file.get_tensor("t"), data)


@pytest.mark.parametrize("ring", [False, True])
def test_a_large_tensor_is_hashed_in_blocks(
    ring: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_small_blocks(monkeypatch)
    if ring:
        in_ring(monkeypatch)
    data = np.arange(5000, dtype=np.uint8)
    save(tmp_path / "a", {"large": data, "small": data[:4095]})
    shards = opened(tmp_path / "a").shards
    digests = [blake3(data[at : at + 1024].tobytes()).digest() for at in range(0, 5000, 1024)]
    assert shards["large"].blocks == tuple(digest.hex() for digest in digests)
    assert shards["large"].hash == blake3(b"".join(digests)).hexdigest()
    assert shards["small"].blocks == ()
    assert shards["small"].hash == blake3(data[:4095].tobytes()).hexdigest()
    loaded(tmp_path / "a")


def test_the_block_sizes_are_those_of_the_specification() -> None:
    assert (hashing.BLOCK, hashing.BLOCKS_FROM) == (4 << 20, 8 << 20)
    lengths = 0, (8 << 20) - 1, 8 << 20, (8 << 20) + 1
    assert [hashing.block_count(length) for length in lengths] == [0, 0, 2, 3]


@pytest.mark.parametrize("ring", [False, True])
def test_sources_of_any_layout_give_their_elements_in_order(
    ring: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "PIECE", 1000)
    if ring:
        in_ring(monkeypatch)
    base = np.arange(60_000.0).reshape(50, 60, 20)
    sources = {
        "strided": base[::2, ::-3, 1::4],
        "fortran": np.asfortranarray(base),
        "turned": base.transpose(2, 0, 1),
        "backwards": base.ravel()[::-1],
        "stretched": np.broadcast_to(np.float32(7), (30, 40)),
        "read-only": np.frombuffer(bytes(range(256)), np.uint8),
        "no axes": np.array(5, np.int16),
        "no elements": base[:0],
    }
    save(tmp_path / "a", sources)
    found = loaded(tmp_path / "a")
    for name, array in sources.items():
        assert_same_bits(found[name], np.ascontiguousarray(array).reshape(array.shape))


@pytest.mark.parametrize("ring", [False, True])
def test_a_source_may_come_in_pieces(ring: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if ring:
        in_ring(monkeypatch)

    def pieces() -> Iterator[Any]:
        for number in range(100):
            yield np.full((number, 3), number, np.int32)
            yield np.empty((0, 3), np.int32)

    save(tmp_path / "a", {"t": TensorData("I32", (4950, 3), pieces), "u": np.ones(7)})
    expected = np.repeat(np.arange(100, dtype=np.int32), np.arange(100))
    np.testing.assert_array_equal(loaded(tmp_path / "a")["t"], np.stack([expected] * 3, 1))


def test_dtypes_that_numpy_has_not_are_bytes_to_numpy(tmp_path: Path) -> None:
    raw = np.arange(8, dtype=np.uint8)
    tensors = {
        name: TensorData(name, (8 // ITEM_SIZE[name],), raw) for name in ("BF16", "F8_E4M3", "F8_E5M2")
    }
    save(tmp_path / "a", tensors)
    pack = opened(tmp_path / "a")
    for name in tensors:
        info = pack.tensors[name]
        assert (info.dtype, info.shape) == (name, (8 // ITEM_SIZE[name],))
        assert pack.source().read(name).tobytes() == raw.tobytes()
    with safe_open(tmp_path / "a", "numpy") as file:
        assert {file.get_slice(name).get_dtype() for name in tensors} == set(tensors)


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [False, True])
def test_every_flipped_data_byte_is_found_and_its_tensor_named(
    blocks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocks:
        monkeypatch.setattr(hashing, "BLOCK", 64)
        monkeypatch.setattr(hashing, "BLOCKS_FROM", 256)
    path = tmp_path / "a"
    tensors = {
        "first": np.arange(64.0),
        "second": np.arange(7, dtype=np.int16),
        "third": np.arange(5, dtype=np.uint8),
    }
    save(path, tensors)
    honest = path.read_bytes()
    for hit, shard in opened(path).shards.items():
        ((_, start, length),) = shard.extents
        for at in range(start, start + length):
            changed = bytearray(honest)
            changed[at] ^= 0x10
            path.write_bytes(changed)
            pack = opened(path)
            assert pack.damaged() == {hit}
            source = pack.source()
            with pytest.raises(saver.DamagedError, match=hit):
                source.verify()
            with pytest.raises(saver.DamagedError, match=hit):
                source.verify([hit])
            source.verify([name for name in tensors if name != hit])


@pytest.mark.parametrize("cached", [False, True])
def test_both_ways_to_hash_find_damage(cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not in the page cache is read into it first."""
    monkeypatch.setattr(MappedFile, "near", lambda self, start, end: cached)
    path = tmp_path / "a"
    data = np.zeros(9 << 20, np.uint8)
    save(path, {"t": data, "u": np.ones(5)})
    loaded(path)
    with open(path, "r+b") as file:
        file.seek(-(1 << 20), 2)
        file.write(b"x")
    with pytest.raises(saver.DamagedError, match="the bytes of t are"):
        opened(path).source().verify()


def test_progress_tells_bytes_up_to_all_of_them(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    size = saver.dump(np.zeros(9 << 20, np.uint8), tmp_path / "a", progress=lambda *now: told.append(now))
    assert told[-1] == (size, size)
    assert told == sorted(told)
    told.clear()
    saver.load(tmp_path / "a", progress=lambda *now: told.append(now))
    assert told[-1][0] == told[-1][1] == 9 << 20


def test_loaded_arrays_are_writable_and_never_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    saver.dump({"t": np.zeros(100_000), "u": np.ones(3)}, path)
    before = path.read_bytes()
    first, second = saver.load(path), saver.load(path, lazy=True)
    for found in (first["t"], first["u"], second["t"]):
        found += 5
    assert path.read_bytes() == before
    assert saver.load(path)["t"][0] == 0
    assert first["t"][0] == second["t"][0] == 5


def test_loaded_arrays_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    saver.dump(np.arange(100_000), path)
    found = saver.load(path)
    path.unlink()
    np.testing.assert_array_equal(found, np.arange(100_000))


def _flip(path: Path, name: str) -> None:
    raw = bytearray(path.read_bytes())
    raw[opened(path).shards[name].extents[0][1] + 3] ^= 1
    path.write_bytes(raw)


def test_damage_in_one_part_leaves_the_others_to_lazy_loading(tmp_path: Path) -> None:
    path = tmp_path / "a"
    saver.dump({"good": np.arange(1000.0), "bad": np.arange(1000.0) + 1, "also": np.arange(1000)}, path)
    _flip(path, "bad")
    with pytest.raises(saver.DamagedError, match="bad"):
        saver.load(path)
    parts = saver.load(path, lazy=True)
    assert list(parts) == ["good", "bad", "also"]
    np.testing.assert_array_equal(parts["good"], np.arange(1000.0))
    np.testing.assert_array_equal(parts["also"], np.arange(1000))
    for _ in range(2):
        with pytest.raises(saver.DamagedError, match="bad"):
            parts["bad"]


def test_lazy_loading_verifies_only_what_is_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    saver.dump({name: np.arange(1000) for name in "abc"}, path)
    checked: list[str] = []
    honest = PackedTensors.verify

    def watch(source: PackedTensors, names: Any = None, progress: Any = None) -> None:
        checked.extend(source.names if names is None else names)
        honest(source, names, progress)

    monkeypatch.setattr(PackedTensors, "verify", watch)
    parts = saver.load(path, lazy=True)
    assert checked == []
    assert parts["b"] is parts["b"]
    assert checked == ["b"]


def test_a_lazy_file_may_be_replaced_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    saver.dump({"a": np.arange(1000), "b": np.arange(2000)}, path)
    parts = saver.load(path, lazy=True)
    saver.dump({"a": np.zeros(5000), "b": np.zeros(7000)}, path)
    np.testing.assert_array_equal(parts["b"], np.arange(2000))


def test_equal_states_give_equal_files_but_for_id_and_time(tmp_path: Path) -> None:
    def content(name: str) -> Any:
        path = tmp_path / name
        saver.dump({"a": {3, 1, "x"}, "b": np.arange(1000), "c": {"k": [1]}}, path)
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        document = json.loads(raw[8 : 8 + length])
        own, manifest = (json.loads(document["__metadata__"].pop(key)) for key in ("saver", "saver.manifest"))
        del document["__metadata__"]["saver.header"], own["id"], manifest["time"]
        return document, own, manifest, raw[8 + length :]

    assert content("one") == content("two")


def test_a_header_beyond_the_limit_of_readers_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "HEADER_LIMIT", 10_000)
    with pytest.raises(saver.IncompatibleError, match="several files"):
        saver.dump({str(n): np.ones(100) for n in range(60)}, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_comes_out_longer_than_planned_is_not_written_over_the_data(tmp_path: Path) -> None:
    def longer(infos: dict[str, TensorInfo]) -> dict[str, str]:
        known = any(info.hash != hashing.ZERO for info in infos.values())
        return {"note": "x" * 10_000 * known}

    writer = PackWriter({"a": data_of(np.arange(1_000_000))}, longer)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="changed its length"), NewFile(str(tmp_path / "a"), 0) as file:
        writer.write(file)


ORDERED = {"small blocks": (with_small_blocks, 1), "small pieces": (None, 1), "as they are": (None, 0)}


@quick
@given(tensors=st.dictionaries(names, contents, max_size=12), how=st.sampled_from(list(ORDERED)))
@example(tensors={}, how="as they are")
@example(tensors={"a": np.arange(10_000.0), "b": np.zeros(0), "c": np.ones(3, np.int8)}, how="small blocks")
@example(tensors={str(n): np.full(n, n, np.uint8) for n in range(200)}, how="small pieces")
def test_a_pack_in_order_is_the_same_as_one_whose_header_comes_last(
    tensors: dict[str, Any], how: str
) -> None:
    """Whatever the pieces and blocks."""
    prepare, small = ORDERED[how]
    with pytest.MonkeyPatch.context() as patch:
        if prepare is not None:
            prepare(patch)
        if small:
            patch.setattr(write, "SMALL", 100)
            patch.setattr(write, "PIECE", 1000)
            patch.setattr(write, "SMALL_PIECE", 100)
        done: list[tuple[int, int]] = []
        given = {name: data_of(array) for name, array in tensors.items()}
        writer = PackWriter(given, lambda hashes: {"note": "x"}, lambda *at: done.append(at), ident="1" * 32)
        sink = MemorySink(writer.size)
        writer.write(sink)
        shards = dict(writer.shards)
        pieces = [bytes(piece) for piece in writer.pieces()]
        assert b"".join(pieces) == bytes(sink.held)
        assert writer.shards == shards
        assert len(pieces[0]) == writer.start
        assert done[-1] == (writer.size, writer.size) or not any(array.size for array in tensors.values())


class MemorySink(Sink):
    def __init__(self, size: int) -> None:
        self.held = bytearray(size)

    def write(self, data: bytes | memoryview, offset: int) -> None:
        self.held[offset : offset + len(data)] = data

    def write_aligned(self, data: memoryview, offset: int) -> None:
        self.write(data[: len(self.held) - offset], offset)


def test_a_tensor_that_changes_while_a_pack_is_sent_in_order_is_reported_before_its_end() -> None:
    """Its header went first, and says something else of it."""
    array = np.zeros(3_000_000)
    writer = PackWriter({"a": data_of(array), "b": data_of(np.ones(3))})
    sent = bytearray()

    def send() -> None:
        for piece in writer.pieces():
            sent.extend(piece)
            array[-1] = 1

    with pytest.raises(saver.CannotWriteError, match="a tensor changed"):
        send()
    assert len(sent) < writer.size
    again = MemoryStorage()
    again.put("a", writer)
    assert Pack(again.open("a")).damaged() == set()


def test_a_small_pack_is_what_its_tensors_were_when_it_was_made(tmp_path: Path) -> None:
    """However it is written, whatever happens to the tensors, and as often as it is written."""
    array = np.zeros(10)
    writer = PackWriter({"a": data_of(array)})
    array[:] = 1
    storage = MemoryStorage()
    for key in ("a", "b"):
        storage.put(key, writer)
    with NewFile(str(tmp_path / "c"), writer.size) as file:
        writer.write(file)
        file.commit()
    assert storage.read("a") == storage.read("b") == (tmp_path / "c").read_bytes()
    assert Pack(storage.open("a")).damaged() == set()
    assert not np.any(array_of(Pack(storage.open("a")).source(), "a"))


@pytest.mark.parametrize("shape", [(1,) * 65, (-4, -250), (4, -1, -250)], ids=str)
def test_a_shape_that_no_array_has_is_refused(shape: tuple[int, ...]) -> None:
    """Already to who only looks at the header."""
    data = bytes(8 * abs(np.prod(shape, dtype=int)))
    shard = Shard("F64", whole(shape), blake3(data).hexdigest())
    store = MemoryStorage()
    slots = layout.slots_bytes({"a": shard})
    store.create("packs/a", layout.header_bytes({"a": shard}, slots, "0" * 32, {}) + data)
    with pytest.raises(saver.IncompatibleError, match="'a' has the shape"):
        Pack(store.open("packs/a"))


@pytest.mark.slow
def test_a_large_save_takes_the_ring_and_no_copy(tmp_path: Path) -> None:
    """400 MB of arrays, contiguous or not: the peak grows by the ring and little else."""
    program = """
import resource, sys, numpy, saver
from saver.pack import write
arrays = {f"{n}": numpy.ones(12_500_000 // 2) for n in range(8)}
turned = {"turned": arrays["0"].reshape(2500, -1).T}
saver.dump({"warm": numpy.ones(1_000_000)}, sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
saver.dump(arrays, sys.argv[1])
saver.dump(turned, sys.argv[1])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a")], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 64, "MiB: the ring has 32, pieces of what is not contiguous have 8"


def test_a_pack_tells_its_public_names() -> None:
    assert set(packs.__all__) == {
        "Describe", "Pack", "PackWriter", "PackedTensors", "Progress", "Range", "damaged",
    }  # fmt: skip


@given(st.binary(), st.integers(0, 5000))
def test_the_text_of_a_header_is_all_but_the_spaces_at_its_end(text: bytes, spaces: int) -> None:
    assert layout.text_of(bytes(8) + text + b" " * spaces) == text.rstrip(b" ")
