"""Tensors of another tool's file, opened as one part: a dict of them by name."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np

from saver.disk.mapped import MappedFile
from saver.errors import IncompatibleError
from saver.formats._hashing import hash_all
from saver.opened import Opened
from saver.pack import PackedTensors
from saver.repo import manifest as manifests
from saver.repo.manifest import SOLE, Manifest, Part
from saver.stack import anywhere
from saver.storage import Blob
from saver.tensors import ITEM_SIZE, TENSOR_DTYPE, Bytes, Shard, TensorInfo, in_one, whole
from saver.tree import EXACT_INTEGER, Node, Tensor, Value, reserved, to_json

AXES = 64
"""As many as NumPy arrays can have."""

_ADVICE = "the file was changed while it was read; open it again"


def opened_dict(
    values: Mapping[str, Value],
    infos: Mapping[str, TensorInfo],
    blobs: Mapping[str, Blob],
    packages: tuple[str, ...],
    where: str,
    size: int,
    digest: str,
) -> Opened:
    """`values` in their order. Their tensors are described by `infos`, and stored in `blobs`, by the names
    that their extents have. `packages` are needed to build them; `where`, `size` and `digest` are those of
    the whole.
    """
    return opened_value(dict_of(values), infos, blobs, packages, where, size, digest)


def dict_of(values: Mapping[str, Value]) -> Node:
    """A dict of these values, in their order."""
    plain = not any(map(reserved, values))
    return Node("dict", state=dict(values) if plain else [list(values), list(values.values())])


def opened_value(
    root: Value,
    infos: Mapping[str, TensorInfo],
    blobs: Mapping[str, Blob],
    packages: tuple[str, ...],
    where: str,
    size: int,
    digest: str,
) -> Opened:
    """A value as the only part; otherwise as `opened_dict`."""
    return opened_parts({SOLE: Tree(root, {}, packages)}, infos, blobs, where, size, digest, whole=False)


def tree_of(value: Any, where: str) -> Value:
    """Decoded JSON as a tree of dicts and lists. Raises IncompatibleError if it is nested too deep."""
    try:
        return anywhere(_tree_of, value)  # type: ignore[no-any-return]
    except RecursionError:
        raise IncompatibleError(f"{where}: JSON nested too deep") from None


def _tree_of(value: Any) -> Value:
    if type(value) is list:
        return Node("list", state=[_tree_of(item) for item in value])
    if type(value) is not dict:
        return value  # type: ignore[no-any-return]
    return dict_of({key: _tree_of(item) for key, item in value.items()})


class Tree(NamedTuple):
    """A part: its tree and its batches, built or as decoded JSON, and the packages that they need."""

    root: Any
    batches: Mapping[str, Any]
    packages: tuple[str, ...]


def opened_parts(
    parts: Mapping[str, Tree],
    infos: Mapping[str, TensorInfo],
    blobs: Mapping[str, Blob],
    where: str,
    size: int,
    digest: str,
    whole: bool = True,
    environment: Mapping[str, Any] = MappingProxyType({}),
) -> Opened:
    """Several parts; otherwise as `opened_dict`. Raises IncompatibleError for a name that no part can have,
    for a tensor that is missing, and for an environment without sense."""
    manifests.check_environment(environment, where)
    found = {}
    for name, part in parts.items():
        if not name.isprintable() or not 0 < len(name) <= 100 or "/" in name:
            raise IncompatibleError(f"{where}: {name[:80]!r} cannot be the name of a part")
        tree = msgspec.Raw(to_json(part.root))
        batches = {key: msgspec.Raw(to_json(state)) for key, state in part.batches.items()}
        names = _tensors(part)
        if not infos.keys() >= names:
            raise IncompatibleError(f"{where}: the part {name!r} refers to a tensor that is missing")
        content = manifests.content_hash(manifests.structure(tree, batches))
        hashed = manifests.part_hash(content, infos, sorted(names))
        found[name] = Part(tree=tree, batches=batches, hash=hashed, version=1, packages=part.packages)
    manifest = Manifest(
        format=manifests.FORMAT, parts=found, time=time.time(), whole=whole, environment=dict(environment)
    )

    def opened(names: Iterable[str]) -> dict[str, Blob]:
        return {name: blobs[name] for name in names}

    source = PackedTensors(infos, opened, where, _ADVICE, size=size)
    source.foreign = True
    return Opened(manifest, source, where, size, digest)


def _tensors(part: Tree) -> set[str]:
    """The names of the tensors in a part."""
    found, waiting = set[str](), [part.root, *part.batches.values()]
    while waiting:
        item = waiting.pop()
        if type(item) is Tensor:
            found.add(item.name)
        elif type(item) is Node:
            waiting.append(item.state)
        elif type(item) is list:
            waiting += item
        elif type(item) is dict:
            name = item.get("$tensor")
            found |= {name} if type(name) is str else set()
            waiting += item.values()
    return found


class Placed(NamedTuple):
    """A tensor whose bytes are in `blob` from `start` on."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    blob: Blob
    start: int

    @property
    def data(self) -> Bytes:
        """The bytes."""
        return self.blob.map()[self.start : self.start + math.prod(self.shape) * ITEM_SIZE[self.dtype]]


def hashed(name: str, dtype: str, shape: tuple[int, ...], blob: Blob, start: int) -> TensorInfo:
    """A tensor whose bytes are in `blob` from `start` on."""
    return all_hashed([Placed(name, dtype, shape, blob, start)])[name]


def all_hashed(tensors: Sequence[Placed]) -> dict[str, TensorInfo]:
    """These tensors, by name. Such files have no hashes, so they are read now."""
    found, hashes = {}, hash_all([each.data for each in tensors])
    for each, hashed in zip(tensors, hashes, strict=True):
        name, data = each.name, each.data
        if each.dtype == "BOOL" and data.size and data.max() > 1:
            raise IncompatibleError(
                f"{each.blob.name}: the tensor {name[:80]!r} has bytes that are not booleans"
            )
        extents = ((each.blob.name, each.start, data.size),) if data.size else ()
        found[name] = in_one(name, Shard(each.dtype, whole(each.shape), *hashed, extents))
    return found


class Arrays:
    """NumPy arrays of a file that are collected, by name, to become a dict."""

    def __init__(self, where: str) -> None:
        self.values: dict[str, Value] = {}
        self._infos: dict[str, TensorInfo] = {}
        self._blobs: dict[str, Blob] = {}
        self._where = where

    def add(
        self,
        name: str,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        blob: Blob,
        start: int,
        order: str = "C",
    ) -> None:
        """An array whose bytes are in `blob` from `start` on. Raises IncompatibleError for a name that is
        there, and unless all its bytes are."""
        length = size_of(dtype, shape)
        if name in self.values:
            raise IncompatibleError(f"{self._where}: {name[:80]!r} is there twice")
        huge = len(shape) > AXES or any(axis > EXACT_INTEGER for axis in shape)
        if huge or not 0 <= start <= start + length <= blob.size:
            raise IncompatibleError(f"{self._where}: {name[:80]!r} has fewer bytes than its shape says")
        tensor = f"{SOLE}/{name}"
        plain = TENSOR_DTYPE.get((dtype.kind, dtype.itemsize)) if dtype.isnative else None
        if plain is not None and (order == "C" or len(shape) < 2):
            self._infos[tensor] = hashed(tensor, plain, shape, blob, start)
            self.values[name] = Node("numpy.array", state=Tensor(tensor))
        else:
            state: dict[str, Value] = {"dtype": described(dtype), "shape": list(shape), "data": ""}
            if order == "F":
                state |= {"order": "F", "shape": list(reversed(shape))}
            if length:
                self._infos[tensor] = hashed(tensor, "U8", (length,), blob, start)
                state["data"] = Tensor(tensor)
            self.values[name] = Node("numpy.array", state=state)
        self._blobs[blob.name] = blob

    def opened(self, size: int, digest: str, sole: str = "") -> Opened:
        """All of them as one part, a dict; or the one that is called `sole`, by itself."""
        root = self.values[sole] if sole else dict_of(self.values)
        return opened_value(root, self._infos, self._blobs, ("numpy",), self._where, size, digest)


def size_of(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """The bytes of an array."""
    return math.prod(shape) * dtype.itemsize


def described(dtype: np.dtype[Any]) -> Value:
    """A dtype as trees have it."""
    if dtype.subdtype is not None:
        return {"base": described(dtype.subdtype[0]), "shape": list(dtype.subdtype[1])}
    if dtype.fields is None:
        return dtype.str
    names, fields = dtype.names or (), dtype.fields
    return {
        "names": list(names),
        "formats": [described(fields[name][0]) for name in names],
        "offsets": [fields[name][1] for name in names],
        "itemsize": dtype.itemsize,
    }


class Spool:
    """Bytes that had to be decompressed, in a temporary file that has no name: memory is not filled by them.

    Raises IncompatibleError if more than `limit` bytes come: a small file must not fill the disk.
    """

    def __init__(self, where: str, limit: int) -> None:
        self._file = tempfile.TemporaryFile(prefix="saver-")  # noqa: SIM115 (as long as this object)
        self._where, self._limit = where, limit
        self.size = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()  # `blob` has a descriptor of its own

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self.size += memoryview(data).nbytes
        self.check(0)
        self._file.write(data)

    def check(self, more: int) -> None:
        """Raise IncompatibleError if `more` bytes would be too many."""
        if self.size + more > self._limit:
            raise IncompatibleError(
                f"{self._where}: it would take {self.size + more:,} bytes uncompressed, far more than its "
                "size; if you trust it, write it without compression, with the library that it comes from"
            )

    def blob(self) -> Blob:
        """All of them, to be read."""
        self._file.flush()
        return MappedFile(os.dup(self._file.fileno()), f"{self._where} (uncompressed)")


def limit_of(size: int) -> int:
    """How many bytes a file of this size may take uncompressed."""
    return max(256 << 20, 100 * size)
