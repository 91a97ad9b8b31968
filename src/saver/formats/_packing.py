"""Encoded trees and tensors, opened as a file of Saver is. Tensors stay where they are, in the file or in
memory."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

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
from saver.tensors import Bytes, Shard, TensorData, TensorInfo, bytes_of, in_one, whole
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


class _Places:
    """Where the bytes of tensors lie: in the mapped file, or in memory."""

    def __init__(self, blob: Blob, mapped: Bytes | None) -> None:
        self._file, self._mapped = blob, mapped
        self._start = mapped.ctypes.data if mapped is not None and mapped.size else 0
        self.blobs: dict[str, Blob] = {blob.name: blob}
        self._small: list[tuple[str, TensorData]] = []
        self._found: list[tuple[str, TensorData, str, int, Bytes]] = []
        self.infos: dict[str, TensorInfo] = {}

    def add(self, name: str, data: TensorData) -> None:
        flat = _flat(data)
        if flat is None or not flat.size:
            self._small.append((name, data))
            return
        at = flat.ctypes.data - self._start
        if self._mapped is not None and at >= 0 and at + flat.size <= self._mapped.size:
            self._found.append((name, data, self._file.name, at, flat))
        elif flat.size < _LARGE or not flat.flags.writeable:
            self._small.append((name, data))
        else:
            blob = ArrayBlob(flat, f"{self._file.name}#{len(self.blobs)}", hashed=True)
            self.blobs[blob.name] = blob
            self._found.append((name, data, blob.name, 0, flat))

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
        place = f"{self._file.name}#memory"
        self.blobs[place] = ArrayBlob(memory, place, hashed=True)
        for (name, data), (start, size) in zip(self._small, ends, strict=True):
            self._found.append((name, data, place, start, memory[start : start + size]))
        hashes = hash_all([flat for *_, flat in self._found])
        for (name, data, place, start, flat), hashed in zip(self._found, hashes, strict=True):
            extents = ((place, start, flat.size),) if flat.size else ()
            self.infos[name] = in_one(name, Shard(data.dtype, whole(data.shape), *hashed, extents))


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
) -> Opened:
    """The parts of a version or file, from what an encoder made. `mapped` are the bytes of the file in
    memory, of which tensors may be views; `whole` says that the parts come from one mapping."""
    places = _Places(blob, mapped)
    for name, data in tensors.items():
        places.add(name, data)
    places.close()
    parts = {}
    for name, tree in trees.items():
        own = {batch: state for batch, state in batches.items() if batch.rpartition("/")[0] == name}
        part = encoded_part(tree, own)
        content = manifests.content_hash(manifests.structure(part.tree, part.batches))
        parts[name] = part.described(manifests.part_hash(content, places.infos, part.tensors), 1)
    document = Manifest(
        format=manifests.FORMAT, parts=parts, time=time.time(), whole=whole, environment=environment
    )

    def opened(names: Iterable[str]) -> dict[str, Blob]:
        return {name: places.blobs[name] for name in names}

    source = PackedTensors(places.infos, opened, blob.name, _ADVICE, size=size)
    digest = blake3(msgspec.json.encode([(name, part.hash) for name, part in parts.items()]))
    return Opened(document, source, blob.name, size, digest.hexdigest())
