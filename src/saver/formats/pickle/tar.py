"""Files of `torch.save` before 0.1.10: a tar archive of what the machine was, a pickle, and the tensors and
storages that the pickle refers to by numbers.

The tar archive is read strictly: it has these entries and no others, each once, each a plain file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from saver import registry
from saver.errors import IncompatibleError
from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.contents import mapped_whole
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import inside, run, run_whole
from saver.formats.pickle.opening import opened_value, value_of
from saver.opened import Opened
from saver.pickled import Call, Global, Inert, NotReadError, Pairs, Storage
from saver.storage import Blob

_ENTRIES = ("sys_info", "pickle", "tensors", "storages")
_BLOCK = 512
_RECORD = 20 * _BLOCK
_NOTES = frozenset(("atime", "ctime", "mtime", "uid", "gid", "uname", "gname", "comment"))
"""What records may say of an entry: nothing that changes its bytes or its name."""

_PROTOCOL = 1000
_REBUILD = Global("torch._utils", "_rebuild_tensor")
_LIMIT = 1 << 62


def is_archive(blob: Blob) -> bool:
    """Whether a file begins with an entry, or records, of such an archive."""
    first = blob.read(0, 3 * _BLOCK)
    try:
        header = _Header(first[:_BLOCK])
        if header.kind == b"x":
            header = _Header(first[-_BLOCK:])
    except Malformed:
        return False
    return header.name in _ENTRIES


def open_tar(blob: Blob) -> Opened:
    """The value of such an archive."""
    mapped = mapped_whole(blob)
    try:
        files = _files(mapped.data)
    except Malformed as error:
        raise IncompatibleError(
            f"{blob.name}: the tar archive is not sound: {error}; copy it from its source again"
        ) from None
    objects = _Objects(files)
    machine = Machine(files["pickle"], persistent=objects)
    root = value_of(machine, blob.name, "a file of torch.save", objects.read)
    told = f"a tar archive of torch.save before 0.1.10, protocol {machine.protocol}"
    return opened_value(root, machine, blob, mapped, blob.size, told)


class _Header:
    """The header of an entry."""

    def __init__(self, raw: bytes | memoryview) -> None:
        data = bytes(raw)
        if len(data) < _BLOCK:
            raise Malformed("it is cut off")
        if _octal(data[148:156]) != sum(data) - sum(data[148:156]) + 8 * ord(" "):
            raise Malformed("the sum of a header is another one")
        self.name = data[:100].rstrip(b"\0").decode("latin-1")
        self.kind = data[156:157]
        self.size = _octal(data[124:136])
        if data[257:262] == b"ustar" and any(data[345:500]):
            self.name = f"{data[345:500].rstrip(bytes(1)).decode('latin-1')}/{self.name}"


def _octal(field: bytes) -> int:
    digits = field.strip(b" \0")
    if not digits or not digits.isdigit() or b"8" in digits or b"9" in digits:
        raise Malformed("a number of a header is not one")
    return int(digits, 8)


def _files(data: memoryview) -> Mapping[str, memoryview]:
    """The bytes of each entry."""
    found: dict[str, memoryview] = {}
    at, size = 0, None
    while any(data[at : at + _BLOCK]):
        header = _Header(data[at : at + _BLOCK])
        at += _BLOCK
        is_record = header.kind == b"x" and size is None
        length = header.size if is_record or size is None else size
        if length > len(data) - at:
            raise Malformed(f"{header.name[:80]!r} lies beyond the end of the file")
        content = data[at : at + length]
        at += -(-length // _BLOCK) * _BLOCK
        if is_record:
            size = _size_of(content)
            continue
        if header.kind not in (b"0", b"\0"):
            raise Malformed(f"{header.name[:80]!r} is not a plain file")
        if header.name not in _ENTRIES or header.name in found:
            raise Malformed(f"an entry is called {header.name[:80]!r}, or is there twice")
        found[header.name], size = content, None
    if at >= len(data) or size is not None:
        raise Malformed("it is cut off: there is no end")
    if len(data) - at > _RECORD or any(data[at:]):
        raise Malformed("bytes follow its end, which could be another one")
    missing = [name for name in _ENTRIES if name not in found]
    if missing:
        raise Malformed(f"{missing[0]!r} is missing")
    return found


def _size_of(records: memoryview) -> int | None:
    """The size of the entry behind records, if they say one that its header has no room for."""
    rest, size = bytes(records[:_RECORD]), None
    if len(records) > _RECORD:
        raise Malformed("an entry has long records")
    while rest:
        digits = rest.partition(b" ")[0]
        length = int(digits) if digits.isdigit() and len(digits) < 6 else 0
        record, rest = rest[:length], rest[length:]
        key, is_one, value = record[len(digits) + 1 :].partition(b"=")
        name = key.decode("latin-1")
        if not is_one or len(record) != length or value[-1:] != b"\n":
            raise Malformed("the records of an entry are not sound")
        if name == "size" and value[:-1].isdigit() and len(value) < 20 and size is None:
            size = int(value)
        elif name not in _NOTES:
            raise Malformed(f"the records of an entry say {name[:40]!r}, which Saver does not read")
    return size


class _Objects:
    """The tensors and storages, by their numbers: `persistent` of the machine that reads the pickle."""

    def __init__(self, files: Mapping[str, memoryview]) -> None:
        self._files = files
        self._found: dict[int, Storage | Call] = {}
        self._views: dict[int, tuple[Storage, int, int]] = {}

    def __call__(self, ident: Any) -> Any:
        if type(ident) is tuple and ident and type(ident[0]) is Global:
            return ident[0]  # a class with its source, which nobody needs
        if type(ident) is str and ident.isdecimal() and len(ident) <= 20:
            found = self._found.get(int(ident))
            if found is not None:
                return found
        raise Malformed("it refers to a tensor that is not there")

    def read(self, machine: Machine) -> Inert:
        """The value. The machine gets to know what the other entries call and name."""
        for name, read in (("sys_info", _check), ("storages", self._storages), ("tensors", self._tensors)):
            inner = inside(machine, self._files[name])
            read(inner)
            if inner.at != len(inner.data):
                raise Malformed(f"{len(inner.data) - inner.at:,} bytes follow the end of {name!r}")
        return run_whole(machine)

    def _storages(self, machine: Machine) -> None:
        for _ in range(_count(machine)):
            key, device, kind = _row(run(machine), 3)
            if type(device) is not str or type(kind) is not Global:
                raise Malformed("a storage has no class or no device")
            count = machine.number(8)
            data = np.frombuffer(machine.take(count * _item_size(kind)), np.uint8)
            self._add(key, Storage(kind, str(key), count, device, data))
        views = run(machine)
        if type(views) is not list:
            raise Malformed("the parts of its storages are not a list")
        for view in views:
            key, root, offset, count = _row(view, 4)
            whole = self._found.get(root) if type(root) is int else None
            if type(whole) is not Storage or not _is_range(offset, count, whole.count):
                raise Malformed("a part of a storage does not lie in it")
            self._check_number(key)
            self._views[key] = whole, offset, count

    def _tensors(self, machine: Machine) -> None:
        for _ in range(_count(machine)):
            key, place, _ = _row(run(machine), 3)
            self._check_number(place, known=True)
            whole = self._found.get(place)
            view = (whole, 0, whole.count) if type(whole) is Storage else self._views.get(place)
            if view is None:
                raise Malformed("a tensor has no storage")
            storage, start, count = view
            axes = machine.number(8) & 0xFFFFFFFF  # four bytes, and four more that have no meaning
            if axes > 64:
                raise Malformed(f"a tensor has {axes:,} axes")
            shape, stride = (tuple(machine.number(8) for _ in range(axes)) for _ in range(2))
            offset = machine.number(8)
            if max((*shape, *stride, offset)) >= _LIMIT:
                raise Malformed("a tensor has a negative shape or offset")
            reach = 1 + sum((axis - 1) * step for axis, step in zip(shape, stride, strict=True))
            if 0 not in shape and offset + reach > count:
                raise Malformed("a tensor reaches beyond its storage")
            call = Call(_REBUILD, (storage, start + offset, shape, stride))
            storage.calls.append(call)
            self._add(key, call)

    def _add(self, key: Any, value: Storage | Call) -> None:
        self._check_number(key)
        self._found[key] = value

    def _check_number(self, key: Any, known: bool = False) -> None:
        """Raise Malformed unless it is a number, and a new one unless it is to be known."""
        is_known = type(key) is int and (key in self._found or key in self._views)
        if type(key) is not int or is_known != known:
            raise Malformed("the number of a tensor or storage is missing, or is there twice")


def _check(machine: Machine) -> None:
    """What the machine was."""
    found = run(machine)
    facts = dict(found.items) if type(found) is Pairs else {}
    if facts.get("protocol_version") != _PROTOCOL:
        raise Malformed("it has another version of PyTorch's format than 1000")
    if facts.get("little_endian") is not True:
        raise Malformed("its numbers are not little-endian")


def _count(machine: Machine) -> int:
    found = run(machine)
    if type(found) is not int or not 0 <= found <= len(machine.data):
        raise Malformed("it says a number of tensors or storages that it cannot have")
    return found


def _row(value: Any, size: int) -> tuple[Any, ...]:
    if type(value) is not tuple or len(value) != size:
        raise Malformed("a tensor or storage is not described as PyTorch does")
    return value


def _is_range(offset: Any, count: Any, size: int) -> bool:
    return type(offset) is int and type(count) is int and 0 <= offset <= offset + count <= size and count >= 0


def _item_size(kind: Global) -> int:
    tensors: Any = registry.family("torch").module("pickles")
    try:
        found: int = tensors.item_size(tensors.dtype_of(kind))
    except NotReadError as error:
        raise Malformed(str(error)) from None
    return found
