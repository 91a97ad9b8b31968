"""A distributed checkpoint of PyTorch from a version: its dicts and lists are flattened as PyTorch does it,
and each box of a tensor, and each object, becomes an archive of `torch.save`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from saver.format import Chosen, Loss
from saver.formats._arrays import VISITS
from saver.formats._writing import Later, Piece, length_of, padding
from saver.formats._zip import archived
from saver.formats.dcp.metadata import MODULE, STORED
from saver.formats.pickle.values import LOST
from saver.formats.pickle.writing import Outside, Writer
from saver.formats.torch import ALIGNMENT, Tensors, dtype_of, entries, tensor
from saver.opened import Opened
from saver.pickled import Call, Elements, Global, Inert, Pairs
from saver.reading.arrays import Array, row_major
from saver.storage import ALIGNMENT as PAGE
from saver.tensors import Box, box_of, whole
from saver.tree import Node

FILE = "__0_0.distcp"
VERSION = "1.0.0"
"""That PyTorch writes into the metadata."""

_SMALL = 256
"""Bytes of an object that are not counted: they may be repeated."""

_TENSORS = {Global("torch._utils", f"_rebuild_tensor_v{number}") for number in (2, 3)}

Path = tuple[str | int, ...]


class Apart(Tensors):
    """Values of PyTorch, of which each tensor has a storage of its own, in C order."""

    def __init__(self, chosen: Chosen) -> None:
        super().__init__(chosen)
        self.arrays: list[Array] = []
        """Those of the storages, by their keys."""

    def array(self, node: Node, array: Array, place: str) -> Inert:
        found = super().array(node, array, place)
        if type(found) is not Call:
            return found
        inner = found.args[0] if found.function.name == "_rebuild_parameter" else found
        if inner is not found or inner.args[4]:
            self.losses.append(Loss(place, "whether a tensor is a parameter, and is trained"))
        return Call(inner.function, (*inner.args[:4], False, *inner.args[5:]))

    def placed(self, array: Array) -> tuple[int, int, int, tuple[int, ...]]:
        self.arrays.append(array)
        return self.stored(array), array.count, 0, row_major(array.shape)


class Flattened:
    """The values that are stored one by one, by their names; a list without tensors and dicts is one."""

    def __init__(self, chosen: Chosen) -> None:
        self.apart = Apart(chosen)
        self.losses = self.apart.losses
        self.values: dict[str, tuple[Path, Inert]] = {}
        self._visits = VISITS
        self._around: set[int] = set()
        self._plain: dict[int, bool] = {}
        root = self.apart.root()
        if _pairs(root) is None and root is not LOST:
            root = Pairs([(chosen.parts[0], root)])
        if root is not LOST:
            self._walk(root, ())

    def _walk(self, value: Inert, path: Path) -> None:
        self._visits -= 1
        place = f"$.{'.'.join(map(str, path))}"
        pairs = _pairs(value)
        inner = isinstance(value, list) and not self._is_plain(value)
        if pairs is None and not inner:
            self._add(value, path, place)
        elif id(value) in self._around:
            self.apart.lost(place, "it refers back to what it is part of")
        elif self._visits < 0:
            self.apart.lost(place, f"there are more than {VISITS:,} values")
        else:
            self._around.add(id(value))
            self._inside(pairs or [], value if inner else [], path, place)
            self._around.discard(id(value))

    def _inside(self, pairs: list[tuple[Inert, Inert]], items: list[Inert], path: Path, place: str) -> None:
        for key, item in pairs:
            if type(key) not in (str, int, float, bool, type(None)):
                self.apart.lost(place, "a key that is neither a text nor a number")
                continue
            if type(key) is not str:
                self.losses.append(Loss(place, f"the key {key!r:.80} is written as a text"))
            self._walk(item, (*path, str(key)))
        for at, item in enumerate(items):
            before = len(self.values)
            self._walk(item, (*path, at))
            if len(self.values) == before:  # so that the others keep their places
                self._add(None, (*path, at), place)
        if not pairs and not items and path:
            self.apart.lost(place, "an empty dict")

    def _add(self, value: Inert, path: Path, place: str) -> None:
        name = ".".join(map(str, path))
        if name in self.values:
            self.apart.lost(place, f"its name {name[:80]!r} is taken")
        else:
            self.values[name] = path, value

    def _is_plain(self, items: list[Inert]) -> bool:
        """Whether a list holds neither tensors nor dicts, and no list that does."""
        if id(items) not in self._plain:
            self._plain[id(items)] = True  # if it holds itself
            self._plain[id(items)] = not any(map(self._divides, items))
        return self._plain[id(items)]

    def _divides(self, item: Inert) -> bool:
        if isinstance(item, list):
            return not self._is_plain(item)
        return is_tensor(item) or _pairs(item) is not None


def is_tensor(value: Inert) -> bool:
    """Whether it is the call that makes a tensor."""
    return type(value) is Call and value.function in _TENSORS


class Checkpoint:
    """What is written: the pieces of the file, and what `.metadata` says of them.

    Raises IncompatibleError if bytes that are shared would be written too often.
    """

    def __init__(self, found: Flattened) -> None:
        self.pieces: list[Piece] = []
        self._at = 0
        self._apart = found.apart
        self._used: set[int] = set()
        self._stored: list[tuple[Inert, Inert]] = []
        described = [(name, self._described(name, value)) for name, (_, value) in found.values.items()]
        paths = [(name, path) for name, (path, _) in found.values.items()]
        root = _made(
            "Metadata", state_dict_metadata=Pairs(described), planner_data=Pairs(paths),
            storage_data=Pairs(self._stored), storage_meta=None, version=VERSION,
        )  # fmt: skip
        (text,) = Writer(2).pieces(root)
        assert isinstance(text, bytes)
        self.metadata = text

    def _described(self, name: str, value: Inert) -> Call:
        if not is_tensor(value):
            self._add(_made("MetadataIndex", fqn=name, index=None), value, self._storages(value))
            return _made("BytesStorageMetadata")
        (key,) = self._storages(value)
        array, chunks = self._apart.arrays[key], []
        for number, (box, content) in enumerate(_boxes(self._apart.opened, array, self._apart.storages[key])):
            at, sizes = _size(box.offsets), _size(box.sizes)
            chunks.append(_made("ChunkStorageMetadata", offsets=at, sizes=sizes))
            one = tensor(array.form, (0, math.prod(box.sizes)), 0, box.sizes, row_major(box.sizes))
            self._add(_made("MetadataIndex", fqn=name, index=number, offset=at), one, {0: content})
        dtype = Global("torch", dtype_of(array.form))
        properties = Call(Global(MODULE, "TensorProperties"), made=True, has_state=True)
        properties.state = dtype, _STRIDED, False, _CONTIGUOUS, False
        return _made("TensorStorageMetadata", properties=properties, size=_size(array.shape), chunks=chunks)

    def _storages(self, value: Inert) -> dict[int, Later]:
        """Those that a value refers to, by their keys."""
        found = {}
        for key in _keys(value):
            if key in self._used:
                self._apart.charge(self._apart.arrays[key].length)
            self._used.add(key)
            found[key] = self._apart.storages[key]
        return found

    def _add(self, index: Call, value: Inert, storages: dict[int, Later]) -> None:
        """Write the archive of a value behind the others, aligned as if it were alone."""
        fill = padding(self._at, ALIGNMENT)
        made = archived(entries(value, storages), ALIGNMENT, ALIGNMENT if self._at else PAGE)
        size = sum(map(length_of, made))
        plain = size - sum(each.length for each in storages.values())
        self._apart.charge(max(0, plain - _SMALL))
        self.pieces += [fill, *made] if fill else made
        info = Call(Global(STORED, "_StorageInfo"), made=True, has_state=True)
        start = self._at + len(fill)
        info.state = Pairs([("relative_path", FILE), ("offset", start), ("length", size)])
        self._stored.append((index, info))
        self._at = start + size


def _boxes(opened: Opened, array: Array, content: Later) -> list[tuple[Box, Later]]:
    """The shards of an array as they are stored, if it is a tensor of several; otherwise all of it."""
    info = opened.tensors.info(array.name) if array.name and not array.pieces else None
    axes, stored = len(array.shape), array.shape + (2,) * (array.form.count == 2)
    cut = info is not None and len(info.shards) > 1 and info.shape == stored
    in_order = array.strides in (None, row_major(array.shape))
    if (
        info is None
        or not cut
        or not in_order
        or any(s.box.sizes[axes:] != stored[axes:] for s in info.shards)
    ):
        return [(whole(array.shape), content)]
    return [
        (
            Box(shard.box.offsets[:axes], shard.box.sizes[:axes]),
            Later(shard.length, partial(box_of, opened.tensors, array.name, shard.box), content.done),
        )
        for shard in info.shards
    ]


def _keys(value: Inert) -> Iterator[int]:
    """The keys of the storages in a value, in order."""
    waiting, seen, kept = [value], set[int](), []
    while waiting:
        item = waiting.pop()
        if type(item) is Outside:
            yield int(item.ident[2])
        elif type(item) in (list, tuple, Pairs, Elements, Call) and id(item) not in seen:
            seen.add(id(item))
            kept.append(item)
            if type(item) is Call:
                waiting += [item.pairs, item.items, item.state, item.args]
            else:
                waiting += item if isinstance(item, (list, tuple)) else item.items


def _pairs(value: Inert) -> list[tuple[Inert, Inert]] | None:
    """The items of a dict, ordered or not; None for other values."""
    if type(value) is Pairs:
        return value.items
    ordered = type(value) is Call and value.function == Global("collections", "OrderedDict")
    return value.pairs if ordered else None


def _made(name: str, **fields: Inert) -> Call:
    """An instance of a class of the metadata."""
    call = Call(Global(MODULE, name), made=True, has_state=bool(fields))
    call.state = Pairs([*fields.items()])
    return call


def _size(axes: tuple[int, ...]) -> Call:
    return Call(Global("torch", "Size"), (axes,))


_STRIDED = Call(Global("torch.serialization", "_get_layout"), ("torch.strided",))
_CONTIGUOUS = Call(Global(MODULE, "_MEM_FORMAT_ENCODING"), (0,))
