"""Zip archives that say two things, so that scanners and loaders see different ones: no reader takes any.

Every byte of the headers is changed, and every flag, in every kind of file that is such an archive.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saver
from formats.test_skops import listed, literal, node, npy, schema
from saver.errors import SaverError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

LOCAL, LISTED, END = b"PK\3\4", b"PK\1\2", b"PK\5\6"
HARMLESS = {LOCAL: {*range(4, 6), *range(10, 14)}, LISTED: {*range(4, 8), *range(12, 16), *range(36, 42)}}
"""What no reader goes by: versions, times, and attributes."""

FLAGS, BITS = {LOCAL: range(6, 10), LISTED: range(8, 12)}, tuple(1 << bit for bit in range(8))
"""Where the flags and the method are, each of whose bits is turned."""


def _npz(path: Path) -> None:
    np.savez(path / "a.npz", a=np.arange(4.0), b=np.ones(2))


def _compressed(path: Path) -> None:
    np.savez_compressed(path / "a.npz", a=np.zeros(40), b=np.ones(2))


def _objects(path: Path) -> None:
    np.savez(path / "a.npz", a=np.array([1, "b"], object), b=np.ones(2))


def _skops(path: Path) -> None:
    array = node("NdArrayNode", "numpy.ndarray", type="numpy", file="a.npy", __id__=7)
    (path / "a.skops").write_bytes(schema(listed(literal(1.5), array), a_npy=npy(np.arange(3))))


def _torch(path: Path) -> None:
    saver.dump({"a": np.arange(4.0)}, path / "a.saver")
    saver.export(path / "a.saver", path / "a.pt")
    (path / "a.saver").unlink()


def _torch_saved(path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.arange(4.0)}, path / "a.pt")


def _script(path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), path / "a.pt")


def _keras(path: Path) -> None:
    pytest.importorskip("h5py")
    from attacks.test_hostile_keras import archive, entries

    archive(path / "a.keras", entries())


FILES: dict[str, Callable[[Path], None]] = {
    "npz": _npz, "npz, compressed": _compressed, "npz, objects": _objects, "skops": _skops, "torch": _torch,
    "torch, by PyTorch": _torch_saved, "TorchScript": _script, "Keras": _keras,
}  # fmt: skip


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    FILES[request.param](tmp_path)
    (found,) = tmp_path.iterdir()
    saver.describe(found)
    return found


def headers(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each header, where it begins, and how many bytes of it have a fixed place: of the first and
    of the last entry, and of the end."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries, listed = archive.infolist(), [archive.start_dir]
    for each in entries:
        listed.append(listed[-1] + 46 + len(each.orig_filename.encode()) + len(each.extra))
    for at in sorted({0, len(entries) - 1}):
        yield LOCAL, entries[at].header_offset, 30
        yield LISTED, listed[at], 46
    yield END, listed[-1], len(data) - listed[-1]


def said(path: Path) -> Any:
    """What is in a file, or that it was refused."""
    try:
        return [(part.name, part.hash) for part in saver.describe(path).parts]
    except SaverError:
        return "refused"


def test_nothing_that_a_header_says_can_be_changed(file: Path) -> None:
    good, expected = file.read_bytes(), said(file)
    for kind, start, length in headers(good):
        for at in range(length):
            for change in BITS if at in FLAGS.get(kind, ()) else (0x81,):
                bad = bytearray(good)
                bad[start + at] ^= change
                file.write_bytes(bad)
                found = said(file)
                place = f"{kind!r} {at}, {change:#x}"
                if at in HARMLESS.get(kind, ()):
                    assert found in (expected, "refused"), place
                elif good[start : start + 4] == kind:
                    assert found == "refused", place
                else:  # the record of a large archive, which says a version
                    assert found == "refused" or at in range(12, 16), place


def test_no_cut_and_nothing_behind_or_before_is_taken(file: Path) -> None:
    good = file.read_bytes()
    for at in range(max(0, len(good) - 150), len(good)):
        file.write_bytes(good[:at])
        assert said(file) == "refused", at
    for bad in (good + b"\0", good + good, b"\0" + good, good + good[-22:]):
        file.write_bytes(bad)
        assert said(file) == "refused"


def entry(name: str, data: bytes) -> bytes:
    """An entry without a place in the directory."""
    said = (zipfile.crc32(data), len(data), len(data), len(name), 0)
    fixed = struct.pack("<4s5H3I2H", LOCAL, 20, 0, 0, 0, 0, *said)
    return fixed + name.encode() + data


def test_nothing_lies_between_entries_and_the_directory(file: Path) -> None:
    good = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        start, last = archive.start_dir, archive.infolist()[-1]
    for hidden in (b"\0", entry("a/data.pkl", b"cos\nsystem\n.")):
        for at in (start, last.header_offset):
            moved = good[:at] + hidden + good[at:]
            file.write_bytes(_pointing(moved, start, at, len(hidden)))
            assert said(file) == "refused"


def _pointing(data: bytes, start: int, at: int, more: int) -> bytes:
    """The archive with its directory `more` bytes further, as entries from `at` on are."""
    found, here = bytearray(data), start + more
    while found[here : here + 4] == LISTED:
        place = struct.unpack_from("<I", found, here + 42)[0]
        struct.pack_into("<I", found, here + 42, place + more * (place >= at))
        here += 46 + sum(struct.unpack_from("<3H", found, here + 28))
    if found[here : here + 4] == b"PK\6\6":
        struct.pack_into("<Q", found, here + 48, start + more)
        struct.pack_into("<Q", found, here + 56 + 8, here)
    struct.pack_into("<I", found, len(found) - 6, start + more)
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None
    return bytes(found)


def extra(file: Path, field: bytes, local: bool) -> None:
    """The archive with an extra field for the first entry, in its header or in the directory."""
    data = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        start, first = archive.start_dir, archive.infolist()[0]
    name = len(first.orig_filename.encode())
    at, place = (26, 30) if local else (start + 28, start + 46)
    length = struct.unpack_from("<H", data, at + 2)[0]
    struct.pack_into("<H", data, at + 2, length + len(field))
    data[place + name : place + name] = field
    if local:
        file.write_bytes(_pointing(bytes(data), start, 1, len(field)))
        return
    end = len(data) - 22
    struct.pack_into("<I", data, end + 12, struct.unpack_from("<I", data, end + 12)[0] + len(field))
    if data[end - 20 : end - 16] == b"PK\6\7":
        large = struct.unpack_from("<Q", data, end - 12)[0] + len(field)
        struct.pack_into("<Q", data, end - 12, large)
        struct.pack_into("<Q", data, large + 40, struct.unpack_from("<Q", data, large + 40)[0] + len(field))
    file.write_bytes(data)


@pytest.mark.parametrize("local", [True, False])
def test_no_entry_has_another_name_in_an_extra_field(local: bool, file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        name = archive.infolist()[0].orig_filename.encode()
    good, expected = file.read_bytes(), said(file)
    for other in (b"b/data.pkl", name):
        field = struct.pack("<BI", 1, zipfile.crc32(name)) + other
        file.write_bytes(good)
        extra(file, struct.pack("<HH", 0x7075, len(field)) + field, local)
        assert said(file) == "refused"
    file.write_bytes(good)
    extra(file, struct.pack("<HH", 0x5455, 5) + b"\1\0\0\0\0", local)  # a time, which changes nothing
    assert said(file) == expected
