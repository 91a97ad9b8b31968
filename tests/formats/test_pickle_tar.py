"""Files that PyTorch wrote before 0.1.10, tar archives, are read without running them."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import tracemalloc
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import saver
from formats.test_pickle_torch import same

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")

INFO = {"protocol_version": 1000, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
Entries = dict[str, bytes]


class _Writer(pickle.Pickler):
    """Tensors and storages by a number, as PyTorch 0.1 refers to them."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream, 2)
        self.tensors: dict[int, Any] = {}
        self.storages: dict[int, Any] = {}
        self._known: list[Any] = []

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, type) and issubclass(obj, torch.nn.Module):
            return (obj, "module.py", "class Module: ...")
        if not isinstance(obj, torch.Tensor):
            return None
        self._known.append(obj)
        self.tensors[id(obj)] = obj
        self.storages[obj.untyped_storage().data_ptr()] = obj.storage()
        return str(id(obj))


def _name(storage: Any) -> Any:
    return getattr(torch, storage.pickle_storage_type())


def entries(value: Any, views: tuple[tuple[int, int], ...] = ()) -> Entries:
    """The files of an archive. Tensors get storages of their own, in place of the whole ones, that are
    `views` (an offset and a length) of them."""
    stream = io.BytesIO()
    writer = _Writer(stream)
    writer.dump(value)
    storages, tensors = io.BytesIO(), io.BytesIO()
    pickle.dump(len(writer.storages), storages, 2)
    for key, storage in writer.storages.items():
        pickle.dump((key, "cpu", _name(storage)), storages, 2)
        data = bytes(storage.untyped())
        storages.write(struct.pack("<q", len(storage)) + data)
    parts = [(at + 1, next(iter(writer.storages)), *view) for at, view in enumerate(views)]
    pickle.dump(parts, storages, 2)
    pickle.dump(len(writer.tensors), tensors, 2)
    for at, (key, tensor) in enumerate(writer.tensors.items()):
        root = tensor.untyped_storage().data_ptr()
        place, offset = root, tensor.storage_offset()
        if at < len(parts):
            place, offset = parts[at][0], offset - parts[at][2]
        pickle.dump((key, place, torch.Tensor), tensors, 2)
        axes = tensor.dim()
        numbers = (*tensor.shape, *tensor.stride(), offset)
        tensors.write(struct.pack("<ii", axes, 0) + struct.pack(f"<{2 * axes + 1}q", *numbers))
    return {
        "sys_info": pickle.dumps(INFO, 2), "pickle": stream.getvalue(),
        "tensors": tensors.getvalue(), "storages": storages.getvalue(),
    }  # fmt: skip


def archived(files: Entries, change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1480000000.25  # type: ignore[assignment]
            change(info)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _shared() -> list[Any]:
    whole = torch.randn(5, 6)
    return [whole, whole[1:3], whole.t(), whole]


VALUES: dict[str, Callable[[], Any]] = {
    "a state dict": lambda: OrderedDict(weight=torch.randn(3, 4), bias=torch.randn(3)),
    "views": _shared,
    "every type": lambda: [
        torch.arange(3).to(getattr(torch, name))
        for name in ("float32", "float64", "float16", "int64", "int32", "int16", "int8", "uint8")
    ],
    "a scalar": lambda: [torch.tensor([2.5])[0]],
    "plain values": lambda: {"epoch": 3, "names": ["a", "b"], "of": torch.ones(2)},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_what_pytorch_reads(name: str, tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes(archived(entries(VALUES[name]())))
    with open(path, "rb") as file:
        expected = torch.load(file, weights_only=False)
    assert same(saver.load(path), expected)


def test_views_of_a_storage_share_it(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes(archived(entries(_shared())))
    whole, rows, turned, again = saver.load(path)
    assert again is whole
    whole.fill_(7)
    assert (rows == 7).all()
    assert (turned == 7).all()


def test_a_part_of_a_storage_shares_it() -> None:
    whole = torch.arange(20.0)
    data = archived(entries([whole[5:9], whole[7:12], whole], ((4, 10), (6, 6))))
    first, second, third = saver.loads(data)
    assert first.tolist() == [5, 6, 7, 8]
    assert second.tolist() == [7, 8, 9, 10, 11]
    third.zero_()
    assert not first.any()
    assert not second.any()


def test_the_tensors_are_mapped_and_the_file_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes(archived(entries([torch.randn(3)])))
    told = saver.describe(path).environment["imported from"]
    assert "0.1.10" in told
    assert "tar" in told


def test_code_is_refused_in_every_entry_by_name() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("owned",)

    evil = pickle.dumps(Evil(), 2)
    files = entries([torch.ones(2)])
    for name in files:
        with pytest.raises(saver.IncompatibleError, match=r"builtins\.print\('owned'\)"):
            saver.loads(archived(files | {name: evil}))


def _with(name: str, data: bytes) -> bytes:
    return archived(entries([torch.ones(2)]) | {name: data})


def _twice() -> bytes:
    out = io.BytesIO()
    files = entries([torch.ones(2)])
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in (*files, "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(files[name])
            archive.addfile(info, io.BytesIO(files[name]))
    return out.getvalue()


def _typed(kind: bytes, target: str = "") -> bytes:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "storages":
            info.type, info.linkname = kind, target

    return archived(entries([torch.ones(2)]), change)


def _records(**records: str) -> bytes:
    def change(info: tarfile.TarInfo) -> None:
        if info.name == "storages":
            info.pax_headers = records

    return archived(entries([torch.ones(2)]), change)


def _sized(size: int) -> bytes:
    """The size of the last entry, and the sum of its header, are forged."""
    data = bytearray(archived(entries([torch.ones(2)])))
    at = data.rindex(b"storages\0")
    data[at + 124 : at + 136] = b"%011o\0" % size if 0 <= size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


def _counted(tensors: int = 1, storages: int = 1) -> bytes:
    files = entries([torch.ones(2)])
    for name, count in (("tensors", tensors), ("storages", storages)):
        files[name] = files[name].replace(pickle.dumps(1, 2), pickle.dumps(count, 2), 1)
    return archived(files)


def _tensor(axes: int, numbers: tuple[int, ...]) -> bytes:
    files = entries([torch.ones(2)])
    start = len(files["tensors"]) - 8 - 24
    head = files["tensors"][:start]
    files["tensors"] = head + struct.pack("<ii", axes, 0) + struct.pack(f"<{len(numbers)}q", *numbers)
    return archived(files)


def _numbered(views: list[Any]) -> bytes:
    files = entries([torch.ones(2)])
    files["storages"] = files["storages"].removesuffix(pickle.dumps([], 2)) + pickle.dumps(views, 2)
    return archived(files)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "a name that leads out": lambda: _with("../storages", b"x"),
    "an absolute name": lambda: _with("/tmp/storages", b"x"),
    "another name": lambda: _with("weights", b"x"),
    "an entry twice": _twice,
    "a symbolic link": lambda: _typed(tarfile.SYMTYPE, "/etc/passwd"),
    "a hard link": lambda: _typed(tarfile.LNKTYPE, "pickle"),
    "a folder": lambda: _typed(tarfile.DIRTYPE),
    "a device": lambda: _typed(tarfile.CHRTYPE),
    "a sparse member": lambda: _typed(tarfile.GNUTYPE_SPARSE),
    "a sparse member in records": lambda: _records(**{"GNU.sparse.map": "0,1", "GNU.sparse.size": "9"}),
    "a path in records": lambda: _records(path="pickle"),
    "a size in records": lambda: _records(size="99999999999999999999"),
    "a size beyond the file": lambda: _sized(1 << 30),
    "a size of 88 bits": lambda: _sized((1 << 88) - 1),
    "a size cut off": lambda: _sized(0),
    "too many storages": lambda: _counted(storages=1 << 60),
    "fewer storages": lambda: _counted(storages=0),
    "too many tensors": lambda: _counted(tensors=1 << 60),
    "fewer tensors": lambda: _counted(tensors=0),
    "a negative count": lambda: _counted(tensors=-1),
    "many axes": lambda: _tensor(1 << 30, (2, 1, 0)),
    "negative axes": lambda: _tensor(-1, (2, 1, 0)),
    "a tensor beyond its storage": lambda: _tensor(1, (3, 1, 0)),
    "an offset beyond its storage": lambda: _tensor(1, (2, 1, 1)),
    "a negative offset": lambda: _tensor(1, (2, 1, -1)),
    "a negative shape": lambda: _tensor(1, (-2, 1, 0)),
    "a huge shape": lambda: _tensor(1, (1 << 61, 0, 0)),
    "a tensor beyond its view": lambda: archived(entries([torch.arange(20.0)[5:9]], ((4, 3),))),
    "a view of nothing": lambda: _numbered([(1, 2, 0, 1)]),
    "a view that is a number": lambda: _numbered([7]),
    "views that are a dict": lambda: _numbered({"a": 1}),  # type: ignore[arg-type]
    "bytes behind the storages": lambda: _with(
        "storages", entries([torch.ones(2)])["storages"] + b"more"
    ),
    "another order of bytes": lambda: _with("sys_info", pickle.dumps(INFO | {"little_endian": False}, 2)),
    "another version": lambda: _with("sys_info", pickle.dumps(INFO | {"protocol_version": 1001}, 2)),
    "bytes behind the archive": lambda: archived(entries([torch.ones(2)])) + b"\x80\x02N.",
    "an unknown object": lambda: _with("pickle", b"\x80\x02X\x01\x00\x00\x007Q."),
    "a long number of an object": lambda: _with("pickle", b"P" + b"9" * 10_000 + b"\n."),
    "an object by a list": lambda: _with("pickle", b"\x80\x02]Q."),
    "a storage as its own class": lambda: _with(
        "storages", pickle.dumps(1, 2) + pickle.dumps((1, "cpu", "torch.FloatStorage"), 2) + b"\0" * 8
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_tricks_are_refused_in_little_memory(name: str) -> None:
    data = HOSTILE[name]()
    tracemalloc.start()
    try:
        with pytest.raises(saver.IncompatibleError):
            saver.loads(data)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_missing_entry_is_named() -> None:
    for name in ("pickle", "tensors", "storages"):
        files = entries([torch.ones(2)])
        del files[name]
        with pytest.raises(saver.IncompatibleError, match=name):
            saver.loads(archived(files))


def test_a_storage_that_stands_for_itself_and_many_tensors() -> None:
    value = [torch.full((2,), float(at)) for at in range(300)]
    found = saver.loads(archived(entries(value)))
    assert same(found, value)


@pytest.mark.slow
def test_every_cut_and_every_byte_changed_is_read_or_refused() -> None:
    whole = archived(entries(OrderedDict(weight=torch.ones(2, 2), bias=2.5)))
    data = whole.rstrip(b"\0")
    for end in range(len(data)):
        with pytest.raises(saver.SaverError):
            saver.loads(whole[:end])
    for at in range(len(data)):
        for value in (0, 255, data[at] ^ 1, data[at] ^ 0x80):
            try:
                saver.loads(whole[:at] + bytes((value,)) + whole[at + 1 :])
            except saver.SaverError:
                continue
