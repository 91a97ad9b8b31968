"""Encoded trees and tensors, opened as a file of Saver is. Tensors stay where they are, in the file or in
memory."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from saver.encoding import encoded_part
from saver.formats._hashing import hash_all
from saver.opened import Opened
from saver.pack import PackedTensors
from saver.repo import manifest as manifests
from saver.repo.manifest import Manifest
from saver.storage import Blob
from saver.tensors import Box, Bytes, Shard, ShardedData, TensorData, TensorInfo, bytes_of, in_one, whole
from saver.tree import Value

_ADVICE = "the file was changed while it was read; open it again"
_LARGE = 1 << 16
_ALIGNED = 64


class ArrayBlob(Blob):
    """Bytes in memory that belong to this blob. `hashed` says that the hashes recorded of them were taken
    from this very memory."""

    def __init__(self, data: Bytes, name: str, hashed: bool = False) -> None:
        self.name, self.size, self._data, self.hashed = name, data.size, data, hashed

    def read(self, start: int = 0, end: int | None = None) -> bytes:
        return self._data[start:end].tobytes()

    def map(self) -> NDArray[np.uint8]:
        return self._data

    def fetch(self, start: int, end: int, scratch: memoryview) -> None:
        """Nothing to do: all bytes are in memory."""

    def near(self, start: int, end: int) -> bool:
        return True


class Shards(NamedTuple):
    """The contents of several files: their bytes by name, how to open one, and tensors in shards."""

    files: Mapping[str, Bytes]
    open: Callable[[str], Blob]
    tensors: Mapping[str, ShardedData]


_Key: TypeAlias = tuple[str, tuple[int, ...]]
"""A tensor, and the offsets of a shard of it: none if it has one."""


class _Places:
    """Where the bytes of tensors lie: in mapped files, or in memory."""

    def __init__(self, name: str, files: Mapping[str, Bytes]) -> None:
        self._name = name
        self._files = sorted((data.ctypes.data, file, data.size) for file, data in files.items() if data.size)
        self.blobs: dict[str, Blob] = {}
        """Those that are in memory."""
        self._small: list[tuple[_Key, TensorData]] = []
        self._found: list[tuple[_Key, TensorData, str, int, Bytes]] = []
        self.shards: dict[_Key, Shard] = {}

    def add(self, key: _Key, data: TensorData) -> None:
        flat = _flat(data)
        if flat is None or not flat.size:
            self._small.append((key, data))
            return
        file, at = self._in_file(flat)
        if file:
            self._found.append((key, data, file, at, flat))
        elif flat.size < _LARGE or not flat.flags.writeable:
            self._small.append((key, data))
        else:
            blob = ArrayBlob(flat, f"{self._name}#{1 + len(self.blobs)}", hashed=True)
            self.blobs[blob.name] = blob
            self._found.append((key, data, blob.name, 0, flat))

    def _in_file(self, flat: Bytes) -> tuple[str, int]:
        """The file that an array is a view of, and where it begins there; "" if there is none."""
        number = bisect_right(self._files, flat.ctypes.data, key=itemgetter(0)) - 1
        if number < 0:
            return "", 0
        start, file, size = self._files[number]
        at = flat.ctypes.data - start
        return (file, at) if at + flat.size <= size else ("", 0)

    def close(self) -> None:
        """Copy what is left together, each tensor at the beginning of a cache line, and hash everything."""
        pieces, ends, at = list[bytes](), list[tuple[int, int]](), 0
        for _, data in self._small:
            piece = bytes_of(data)
            padding = -at % _ALIGNED
            pieces += [bytes(padding), piece]
            ends.append((at + padding, len(piece)))
            at += padding + len(piece)
        memory = np.frombuffer(bytearray(b"".join(pieces)), np.uint8)
        place = f"{self._name}#memory"
        self.blobs[place] = ArrayBlob(memory, place, hashed=True)
        for (key, data), (start, size) in zip(self._small, ends, strict=True):
            self._found.append((key, data, place, start, memory[start : start + size]))
        hashes = hash_all([flat for *_, flat in self._found])
        for (key, data, place, start, flat), hashed in zip(self._found, hashes, strict=True):
            extents = ((place, start, flat.size),) if flat.size else ()
            box = Box(key[1], data.shape) if key[1] else whole(data.shape)
            self.shards[key] = Shard(data.dtype, box, *hashed, extents)

    def infos(self, tensors: Iterable[str], sharded: Mapping[str, ShardedData]) -> dict[str, TensorInfo]:
        found = {name: in_one(name, self.shards[name, ()]) for name in tensors}
        for name, data in sharded.items():
            shards = tuple(self.shards[name, offsets] for offsets in sorted(data.shards))
            found[name] = TensorInfo(name, data.dtype, data.shape, shards)
        return found


def _flat(data: TensorData) -> Bytes | None:
    array = data.data
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
        return None
    return array.reshape(-1).view(np.uint8)


def opened_parts(
    trees: Mapping[str, Value],
    batches: Mapping[str, Value],
    tensors: Mapping[str, TensorData],
    *,
    whole: bool,
    blob: Blob,
    mapped: Bytes | None,
    size: int,
    environment: Mapping[str, Any],
    more: Shards | None = None,
) -> Opened:
    """The parts of a version or file, from what an encoder made. `mapped` are the bytes of the file in
    memory, of which tensors may be views, as of those of `more` files; `whole` says that the parts come from
    one mapping."""
    manifests.check_environment(environment, blob.name)
    more = more or Shards({} if mapped is None else {blob.name: mapped}, {blob.name: blob}.__getitem__, {})
    places = _Places(blob.name, more.files)
    for name, data in tensors.items():
        places.add((name, ()), data)
    for name, sharded in more.tensors.items():
        for offsets, shard in sharded.shards.items():
            places.add((name, offsets), shard)
    places.close()
    infos = places.infos(tensors, more.tensors)
    parts = {}
    for name, tree in trees.items():
        own = {batch: state for batch, state in batches.items() if batch.rpartition("/")[0] == name}
        part = encoded_part(tree, own)
        content = manifests.content_hash(manifests.structure(part.tree, part.batches))
        parts[name] = part.described(manifests.part_hash(content, infos, part.tensors), 1)
    document = Manifest(
        format=manifests.FORMAT, parts=parts, time=time.time(), whole=whole, environment=environment
    )

    def opened(names: Iterable[str]) -> dict[str, Blob]:
        return {name: places.blobs[name] if name in places.blobs else more.open(name) for name in names}

    source = PackedTensors(infos, opened, blob.name, _ADVICE, size=size)
    source.foreign = True
    digest = blake3(msgspec.json.encode([(name, part.hash) for name, part in parts.items()]))
    return Opened(document, source, blob.name, size, digest.hexdigest())
