"""Checkpoints that TensorFlow wrote, of both versions, are read without it; changed ones are refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import saver
from saver.formats.tensorflow.crc import crc32c
from saver.formats.tensorflow.table import MAGIC, _unsnappy, entries
from saver.protobuf import Malformed, varint, varints
from saver.storages.memory import MemoryStorage

GOLDEN = Path(__file__).parents[1] / "golden" / "of_tensorflow"
sys.path.insert(0, str(GOLDEN.parent))
from tensorflow_checkpoints import arrays  # noqa: E402

FIRST = {"v1": "v1", "v2": "v2.index", "objects": "objects.index"}


def expected(name: str) -> dict[str, Any]:
    with np.load(GOLDEN / f"{name}.npz") as found:
        values = dict(found)
    if name != "objects":
        values |= {key: value for key, value in arrays(int(name[1])).items() if value.dtype == object}
    return values


def assert_same(found: Any, values: dict[str, Any]) -> None:
    assert list(found) == sorted(found)
    assert found.keys() == values.keys()
    for name, value in values.items():
        if value.dtype.kind in "OS":
            assert (found[name].shape, found[name].tolist()) == (value.shape, value.tolist()), name
        else:
            assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
            assert found[name].tobytes() == value.tobytes(), name


@pytest.mark.shows("TensorFlow checkpoints", "load")
@pytest.mark.parametrize("name", FIRST)
def test_every_variable_comes_back_by_its_name(name: str) -> None:
    for path in (GOLDEN / FIRST[name], GOLDEN / name):  # by the prefix, too, as TensorFlow calls it
        assert_same(saver.load(path), expected(name))
    lazy = saver.load(GOLDEN / FIRST[name], lazy=True)
    assert_same({key: lazy[key] for key in lazy}, expected(name))
    saver.verify(GOLDEN / FIRST[name])
    assert not saver.diff(GOLDEN / FIRST[name], str(GOLDEN / FIRST[name]))


@pytest.mark.parametrize("name", FIRST)
def test_it_becomes_a_version(name: str) -> None:
    store = saver.Saver(MemoryStorage())
    assert_same(store.load(store.import_(GOLDEN / FIRST[name], "net")), expected(name))


def test_bytes_of_version_1_are_enough_and_those_of_an_index_are_not() -> None:
    assert_same(saver.loads((GOLDEN / "v1").read_bytes()), expected("v1"))
    with pytest.raises(saver.IncompatibleError, match=r"pass its path, which ends in \.index"):
        saver.loads((GOLDEN / "v2.index").read_bytes())


def copied(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes((GOLDEN / name).read_bytes())


def test_a_missing_data_file_is_named(tmp_path: Path) -> None:
    copied(tmp_path, "v2.index")
    with pytest.raises(saver.NotFoundError, match=r"v2\.data-00000-of-00001"):
        saver.load(tmp_path / "v2")


def test_files_of_version_1_that_belong_together_are_read_together(tmp_path: Path) -> None:
    copied(tmp_path, "v1")
    (tmp_path / "v1").rename(tmp_path / "net-00000-of-00002")
    with pytest.raises(saver.NotFoundError, match="net-00001-of-00002"):
        saver.load(tmp_path / "net")
    (tmp_path / "net-00001-of-00002").write_bytes(table([(b"", b"\x0a\x00")]))
    assert_same(saver.load(tmp_path / "net"), expected("v1"))


@pytest.mark.slow
def test_tensorflow_and_saver_read_the_same(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    program = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import numpy, tensorflow, saver
from tensorflow_checkpoints import write
write(Path(sys.argv[2]))
for name in ("v2", "objects"):
    theirs = tensorflow.train.load_checkpoint(f"{sys.argv[2]}/{name}")
    ours = saver.load(f"{sys.argv[2]}/{name}")
    assert theirs.get_variable_to_shape_map().keys() == ours.keys()
    for key, value in ours.items():
        assert numpy.array_equal(numpy.array(theirs.get_tensor(key), value.dtype), value), key
"""
    command = [sys.executable, "-c", program, str(GOLDEN.parent), str(tmp_path)]
    subprocess.run(command, check=True, timeout=300)


# Changed files


def survives(path: Path, values: dict[str, Any]) -> bool:
    """Whether it was read; then it is as it was written."""
    try:
        found = saver.load(path)
    except saver.SaverError:
        return False
    assert_same(found, values)
    return True


@pytest.mark.shows("TensorFlow checkpoints", "hostile files tried")
@pytest.mark.parametrize("name", ["v1", "v2.index", "v2.data-00000-of-00001"])
def test_every_changed_byte_is_noticed(
    name: str, tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    copied(tmp_path, "v1", "v2.index", "v2.data-00000-of-00001")
    data, values = (GOLDEN / name).read_bytes(), expected(name[:2])
    places = range(0, len(data), 1 if len(data) < 1000 else 53)
    record_property("hostile files", len(places))
    for at in places:
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        (tmp_path / name).write_bytes(changed)
        survives(tmp_path / name.partition(".")[0], values)


@pytest.mark.parametrize("name", ["v1", "v2.index", "v2.data-00000-of-00001"])
def test_what_was_cut_off_is_noticed(name: str, tmp_path: Path) -> None:
    copied(tmp_path, "v1", "v2.index", "v2.data-00000-of-00001")
    data = (GOLDEN / name).read_bytes()
    for length in {0, 1, 8, 47, 48, len(data) // 2, len(data) - 48, len(data) - 1}:
        (tmp_path / name).write_bytes(data[:length])
        assert not survives(tmp_path / name.partition(".")[0], {})


def number(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes((*found, value))


def table(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table of one block, with true sums."""
    return table_of(b"".join(b"\0" + number(len(k)) + number(len(v)) + k + v for k, v in pairs))


def table_of(entries: bytes) -> bytes:
    """The same, of entries as they are stored."""

    def placed(body: bytes) -> bytes:
        body += b"\0\0\0\0" + b"\1\0\0\0" + b"\0"
        summed = crc32c(body)
        return body + (((summed >> 15 | summed << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")

    first = placed(entries)
    handle = number(0) + number(len(first) - 5)
    index = placed(b"\0" + number(1) + number(len(handle)) + b"\xff" + handle)
    footer = number(0) + number(0) + number(len(first)) + number(len(index) - 5)
    return first + index + footer.ljust(40, b"\0") + MAGIC


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v1", "v2.index"])
@settings(max_examples=300)
@given(data=st.data())
def test_a_forged_table_is_refused_or_read(
    name: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """With true sums, so that what it says is believed as far as it can be."""
    folder = tmp_path_factory.getbasetemp() / f"forged-{name}"
    folder.mkdir(exist_ok=True)
    copied(folder, "v2.data-00000-of-00001")
    pairs = [
        (key, bytearray(value)) for key, value in entries(memoryview((GOLDEN / name).read_bytes()), name)
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        _, value = pairs[data.draw(st.integers(0, len(pairs) - 1))]
        at = data.draw(st.integers(0, min(60, len(value))))
        new = data.draw(st.binary(max_size=6) | st.sampled_from([number(2**63), number(2**40), b"\xff" * 10]))
        value[at : at + data.draw(st.integers(0, 4))] = new
    (folder / name).write_bytes(table((key, bytes(value)) for key, value in pairs))
    try:
        saver.load(folder / name.partition(".")[0])
    except saver.SaverError:
        pass


def fields_of(data: bytes) -> list[tuple[int, int, int]]:
    """Where each field begins, where its value does, and where it ends; none if it is not a message."""
    found, at, view = [], 0, memoryview(data)
    try:
        while at < len(data):
            tag, value = varint(view, at)
            kind = tag & 7
            if kind == 2:
                length, value = varint(view, value)
                end = value + length
            else:
                end = {0: varint(view, value)[1] if kind == 0 else 0, 1: value + 8, 5: value + 4}[kind]
            found.append((at, value, end))
            at = end
    except (Malformed, KeyError, IndexError):
        return []
    return found if at == len(data) else []


def altered(data: bytes) -> Iterator[bytes]:
    """A message without each of its fields, with each twice, empty, or of another kind; at all depths."""
    for start, value, end in fields_of(data):
        yield data[:start] + data[end:]
        yield data[:end] + data[start:]
        tag, _ = varint(memoryview(data), start)
        for other in (tag >> 3 << 3, tag >> 3 << 3 | 5, tag >> 3 << 3 | 2):
            if other != tag:
                yield data[:start] + number(other) + b"\0\0\0\0"[: 4 if other & 7 == 5 else 1] + data[end:]
        if tag & 7 == 2:
            yield data[:start] + number(tag) + b"\0" + data[end:]
            for inner in altered(data[value:end]):
                yield data[:start] + number(tag) + number(len(inner)) + inner + data[end:]
        elif tag & 7 == 0:
            for changed in (0, 1, 7, 2**31, 2**63, 2**64 - 1):
                yield data[:start] + number(tag) + number(changed) + data[end:]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v1", "v2.index"])
def test_no_field_is_relied_on(name: str, tmp_path: Path) -> None:
    """Each message without each of its fields, and so on, in a table with true sums."""
    copied(tmp_path, "v2.data-00000-of-00001")
    pairs = [(key, bytes(value)) for key, value in entries(memoryview((GOLDEN / name).read_bytes()), name)]
    tried = 0
    for at, (key, value) in enumerate(pairs):
        assert value == b"" or fields_of(value), key
        for changed in altered(value):
            (tmp_path / name).write_bytes(table([*pairs[:at], (key, changed), *pairs[at + 1 :]]))
            tried += 1
            try:
                saver.load(tmp_path / name.partition(".")[0])
            except saver.SaverError:
                pass
    assert tried > 500


def test_keys_do_not_grow_without_end(tmp_path: Path) -> None:
    body = b"\0\0\6" + b"\x08\1\x1a\2\x08\1" + b"\0" + number(50_000) + b"\0" + b"k" * 50_000
    body += b"".join(number(50_000) + b"\1\0" + bytes((at % 256,)) for at in range(20_000))
    (tmp_path / "a.index").write_bytes(table_of(body))
    with pytest.raises(saver.IncompatibleError, match="its keys are longer than all of it"):
        saver.load(tmp_path / "a")


# What it rests on


def test_sums_are_those_of_the_standard() -> None:
    """RFC 3720, appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("size", [0, 1, 511, 513, 1000, 4097, 65_537, 1_000_003])
def test_a_sum_does_not_depend_on_how_it_is_made(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    in_pieces = 0
    for at in range(0, min(size, 20_000), 500):
        in_pieces = crc32c(data[at : min(at + 500, 20_000)], in_pieces)
    assert crc32c(data[:20_000]) == in_pieces
    assert crc32c(data[size // 3 :], crc32c(data[: size // 3])) == crc32c(data)


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_packed_numbers_are_read(numbers: list[int]) -> None:
    assert varints(memoryview(b"".join(map(number, numbers)))).tolist() == numbers


def test_compressed_blocks_are_read() -> None:
    """Literals of each form, and copies with each width of offset, one of which overlaps itself."""
    long = bytes(range(256)) * 2
    data = number(5 + 6 + 512 + 64 + 10) + bytes((4 << 2,)) + b"abcde"
    data += bytes((6 - 4 << 2 | 1, 2))  # 6 bytes, 2 back
    data += bytes((61 << 2,)) + (len(long) - 1).to_bytes(2, "little") + long
    data += bytes((63 << 2 | 2,)) + (512).to_bytes(2, "little")
    data += bytes((9 << 2 | 3,)) + (587).to_bytes(4, "little")
    whole = b"abcde" + b"dedede" + long + long[:64]
    assert _unsnappy(memoryview(data)) == whole + whole[len(whole) - 587 :][:10]


@pytest.mark.parametrize("data", [b"", b"\5", b"\xff\xff\xff\xff\x0f\0a", b"\2\0ab", b"\4\1\0", b"\4\0a\1\5"])
def test_blocks_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        _unsnappy(memoryview(data))
