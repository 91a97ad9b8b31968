"""Files of `torch.save`: since 1.6 a zip archive, before that pickles in a row with the storages behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver import registry
from saver.errors import IncompatibleError
from saver.formats.pickle import scripts
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.contents import Content
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run, run_whole
from saver.formats.pickle.opening import opened_value, value_of
from saver.opened import Opened
from saver.pickled import Global, Inert, NotReadError, Pairs, Storage
from saver.storage import Blob
from saver.tensors import Bytes

MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class Storages:
    """The storages that a pickle refers to, by their keys: `persistent` of its machine."""

    def __init__(self) -> None:
        self.found: dict[str, Storage] = {}

    def __call__(self, ident: Any) -> Any:
        if type(ident) is tuple and len(ident) == 4 and ident[0] == "module" and type(ident[1]) is Global:
            return ident[1]  # a class with its source, which nobody needs
        if type(ident) is not tuple or len(ident) not in (5, 6) or ident[0] != "storage":
            raise Malformed("it refers to something outside in a way that PyTorch does not")
        _, kind, key, device, count, *view = ident
        if type(kind) is not Global or type(key) not in (str, int) or type(device) is not str:
            raise Malformed("it refers to a storage without a class, a key or a device")
        if type(count) is not int or not 0 <= count < 1 << 62 or view not in ([], [None]):
            raise Malformed("it refers to a part of a storage, as PyTorch has not written since 0.4")
        known = self.found.setdefault(str(key), Storage(kind, str(key), count, device))
        if known.kind != kind:
            raise Malformed(f"the storage {str(key)[:40]!r} has two classes")
        return known

    def settle(self, machine: Machine) -> None:
        """Tell every storage which calls take it."""
        for call in machine.calls:
            for arg in call.args:
                if type(arg) is Storage:
                    arg.calls.append(call)


def open_archive(blob: Blob, archive: Archive) -> Opened:
    """A zip archive of `torch.save`, opened."""
    root, machine, title = value_in(archive, blob.name)
    told = f"a zip archive of {title}, protocol {machine.protocol}"
    return opened_value(root, machine, blob, archive.mapped, blob.size, told)


def value_in(archive: Archive, where: str) -> tuple[Inert, Machine, str]:
    """The value of a zip archive of `torch.save`, the machine that made it, and what wrote it."""
    storages = Storages()
    pickle = archive.read("data.pkl")
    order = archive.read("byteorder") if archive.has("byteorder") else b"little"
    if order not in (b"little", b"big"):
        raise IncompatibleError(
            f"{where}: {order[:20]!r} is not an order of bytes; copy it from its source again"
        )
    machine = Machine(memoryview(pickle), persistent=storages)
    is_script = archive.has("constants.pkl")
    title = "TorchScript" if is_script else "torch.save"
    root = value_of(machine, where, f"a file of {title}", scripts.read if is_script else run_whole)
    storages.settle(machine)
    there = {f"data/{key}": found for key, found in storages.found.items() if archive.has(f"data/{key}")}
    for storage, data in zip(there.values(), archive.all_checked([*there]), strict=True):
        storage.data = _native(data, storage, where) if order == b"big" else data
    return root, machine, title


def open_row(blob: Blob, content: Content, machine: Machine) -> Opened:
    """The value of an older file of `torch.save`, whose magic number was read."""
    storages = Storages()
    inner = Machine(content.data, machine.at, persistent=storages)
    root = value_of(inner, blob.name, "a file of torch.save", lambda each: _in_row(each, storages))
    storages.settle(inner)
    told = f"a file of torch.save before 1.6, protocol {inner.protocol}"
    return opened_value(root, inner, blob, content.mapped, len(content.data), told)


def _in_row(machine: Machine, storages: Storages) -> Inert:
    """The number of the format, facts of the machine, the value, the keys of the storages; then those."""
    if run(machine) != _PROTOCOL:
        raise Malformed("it has another version of PyTorch's format than 1001")
    facts = run(machine)
    little = dict(facts.items).get("little_endian") if type(facts) is Pairs else None
    if type(little) is not bool:
        raise Malformed("it does not say in which order the bytes of its numbers are")
    found = run(machine)
    keys = run(machine)
    if type(keys) is not list or not all(type(key) is str for key in keys) or len(set(keys)) != len(keys):
        raise Malformed("the keys of its storages are not a list of texts")
    for key in keys:
        _read(machine, storages, key, little)
    if machine.at != len(machine.data):
        raise Malformed(f"{len(machine.data) - machine.at:,} bytes follow its end")
    return found


def _native(data: Bytes, storage: Storage, where: str) -> Bytes:
    """Numbers whose bytes lie the other way round, as this machine has them; as PyTorch does, by the type of
    the storage. Plain bytes have no order that could be known."""
    tensors: Any = registry.family("torch").module("pickles")
    try:
        dtype = tensors.dtype_of(storage.kind)
        if storage.kind.name == "UntypedStorage" and storage.calls:
            raise NotReadError("its bytes are big-endian, and not said to be of one type")
        size = tensors.item_size(dtype) // (2 if dtype.startswith("complex") else 1)
        if data.size % size:
            raise NotReadError(f"it has {data.size:,} bytes, which are not numbers of {size}")
    except NotReadError as error:
        raise IncompatibleError(
            f"{where}: the storage {storage.key[:40]!r}: {error}; load it with torch.load, if you trust its "
            "author, and save the result with saver.dump"
        ) from None
    return np.ascontiguousarray(data.reshape(-1, size)[:, ::-1]).reshape(-1)


def _read(machine: Machine, storages: Storages, key: str, little: bool) -> None:
    storage = storages.found.get(key)
    if storage is None:
        raise Malformed(f"the storage {key[:40]!r} is not used")
    count = machine.number(8)
    if count != storage.count:
        raise Malformed(f"the storage {key[:40]!r} has {count:,} elements, not {storage.count:,}")
    tensors: Any = registry.family("torch").module("pickles")
    try:
        size = count * tensors.item_size(tensors.dtype_of(storage.kind))
    except NotReadError as error:
        raise Malformed(str(error)) from None
    data = np.frombuffer(machine.take(size), np.uint8)
    storage.data = data if little else _native(data, storage, "it")
