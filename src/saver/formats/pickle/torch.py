"""Files of `torch.save`: since 1.6 a zip archive, before that pickles in a row with the storages behind."""

from __future__ import annotations

from typing import Any

import numpy as np

from saver import registry
from saver.errors import IncompatibleError
from saver.formats.pickle.archive import Archive
from saver.formats.pickle.calls import Malformed
from saver.formats.pickle.contents import Content
from saver.formats.pickle.machine import Machine
from saver.formats.pickle.opcodes import run
from saver.formats.pickle.opening import opened_value, value_of
from saver.opened import Opened
from saver.pickled import Global, Inert, NotReadError, Pairs, Storage
from saver.storage import Blob

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
    """The value of a zip archive of `torch.save`."""
    where, storages = blob.name, Storages()
    pickle = archive.read("data.pkl")
    if archive.has("byteorder") and archive.read("byteorder") != b"little":
        raise IncompatibleError(
            f"{where}: its numbers are big-endian, which Saver does not read; load it with torch.load on a "
            "machine with PyTorch, and save the result with saver.dump"
        )
    machine = Machine(memoryview(pickle), persistent=storages)
    root = value_of(machine, where, "a file of torch.save", _whole)
    storages.settle(machine)
    for key, storage in storages.found.items():
        if archive.has(f"data/{key}"):
            storage.data = archive.array(f"data/{key}")
    told = f"a zip archive of torch.save, protocol {machine.protocol}"
    return opened_value(root, machine, blob, archive.mapped, blob.size, told)


def _whole(machine: Machine) -> Inert:
    found = run(machine)
    if machine.at != len(machine.data):
        raise Malformed(f"{len(machine.data) - machine.at:,} bytes follow its end")
    return found


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
    if little is not True:
        raise Malformed("its numbers are not little-endian")
    found = run(machine)
    keys = run(machine)
    if type(keys) is not list or not all(type(key) is str for key in keys) or len(set(keys)) != len(keys):
        raise Malformed("the keys of its storages are not a list of texts")
    for key in keys:
        _read(machine, storages, key)
    if machine.at != len(machine.data):
        raise Malformed(f"{len(machine.data) - machine.at:,} bytes follow its end")
    return found


def _read(machine: Machine, storages: Storages, key: str) -> None:
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
    storage.data = np.frombuffer(machine.take(size), np.uint8)
