"""The weights of TensorFlow.js: tensors one after another, in files of 4 MiB."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from saver.errors import IncompatibleError
from saver.format import Beside, Out
from saver.formats._arrays import BYTES, Named, numpy_dtype, read_numpy, release
from saver.formats._opening import AXES, Spool, hashed, limit_of
from saver.formats._writing import spread
from saver.opened import Opened
from saver.repo.manifest import SOLE
from saver.storage import Blob, Progress
from saver.storage import Bytes as Content
from saver.tensors import ITEM_SIZE, TensorInfo
from saver.tree import EXACT_INTEGER, encodable

SHARD = 4 << 20
"""Bytes of a file, so that browsers keep them in their caches."""

SHARDS = 10_000

_DTYPES = {"float32": "F32", "int32": "I32", "bool": "BOOL"}


class Weight(NamedTuple):
    """A weight to be written, under the name that TensorFlow.js has for it."""

    name: str
    array: Named


def write(opened: Opened, weights: Sequence[Weight], out: Out, progress: Progress | None) -> list[Any]:
    """Write the files of the weights, all as float32, and return the manifest that describes them."""
    shapes = [each.array.array.shape for each in weights]
    total = sum(4 * math.prod(shape) for shape in shapes)
    if total > BYTES * (opened.size + opened.tensors.size):
        raise IncompatibleError(
            f"{opened.where}: its weights would take {total:,} bytes, more than {BYTES} times its size: "
            "layers that several places share are written at each of them"
        )
    count = -(-total // SHARD)
    report = spread(progress, (each.array.array.length for each in weights))
    names = [f"group1-shard{number}of{count}.bin" for number in range(1, count + 1)]
    for name, data in zip(names, _cut(_pieces(opened, weights, report)), strict=True):
        out.add(f"/{name}", Content(data))
    specs = [
        {"name": each.name, "shape": list(shape), "dtype": "float32"}
        for each, shape in zip(weights, shapes, strict=True)
    ]
    return [{"paths": names, "weights": specs}]


def _pieces(opened: Opened, weights: Iterable[Weight], report: Callable[[int], None]) -> Iterator[memoryview]:
    for each in weights:
        array = each.array.array
        dtype = numpy_dtype(array)
        assert dtype is not None
        numbers = read_numpy(opened, array, dtype).view(dtype)
        yield numbers.astype("<f4", copy=False).view(np.uint8).data
        release(opened, array)
        report(array.length)


def _cut(pieces: Iterable[memoryview]) -> Iterator[bytes]:
    """The bytes of the pieces in runs of `SHARD`; the last one may be shorter."""
    held = bytearray()
    for piece in pieces:
        while piece.nbytes:
            room = SHARD - len(held)
            held += piece[:room]
            piece = piece[room:]
            if len(held) == SHARD:
                yield bytes(held)
                held.clear()
    if held:
        yield bytes(held)


class Read:
    """The weights of a model in files: what describes each by its name, and the blobs that hold them."""

    def __init__(self, blob: Blob) -> None:
        self.infos: dict[str, TensorInfo] = {}
        self.blobs: dict[str, Blob] = {}
        self.size = blob.size
        self._blob = blob

    def add(self, manifest: Any, beside: Beside) -> None:
        """The weights that a manifest describes. Those of an optimizer are left out.

        Raises IncompatibleError unless the files are as long as the manifest says. A weight that lies in
        several files is copied to a temporary one.
        """
        if type(manifest) is not list or not all(map(_is_group, manifest)):
            raise self._wrong("its weightsManifest is not a list of files and of their weights")
        paths = [path for group in manifest for path in group["paths"]]
        if len(paths) > SHARDS or len({*paths}) < len(paths):
            raise self._wrong(f"it names {len(paths):,} files; there may be {SHARDS:,}, each of them once")
        opened = [[beside(path) for path in group["paths"]] for group in manifest]
        size = sum(blob.size for blobs in opened for blob in blobs)
        self.size += size
        with Spool(self._blob.name, limit_of(size)) as spool:
            copied = list[Any]()
            for group, blobs in zip(manifest, opened, strict=True):
                copied += self._group(group["weights"], blobs, spool)
            if copied:
                self._keep(spool.blob(), copied)

    def _group(self, specs: Any, blobs: Sequence[Blob], spool: Spool) -> list[Any]:
        """The weights of one group, whose files follow one another. Returns those that were copied."""
        starts = [0, *accumulate(blob.size for blob in blobs)]
        copied, at, shard = list[Any](), 0, 0
        for spec in specs:
            name, dtype, shape = self._described(spec)
            end = at + math.prod(shape) * ITEM_SIZE[dtype]
            if end > starts[-1]:
                raise self._wrong(f"the weight {name[:80]!r} has fewer bytes than its shape says")
            while shard + 1 < len(blobs) and at >= starts[shard + 1]:
                shard += 1
            if spec.get("group") == "optimizer":
                pass
            elif at == end:
                self._keep(self._blob, [(name, dtype, shape, 0)])
            elif end <= starts[shard + 1]:
                self._keep(blobs[shard], [(name, dtype, shape, at - starts[shard])])
            else:
                copied.append((name, dtype, shape, spool.size))
                for number in range(shard, bisect_left(starts, end)):
                    piece = blobs[number].map()[max(0, at - starts[number]) : end - starts[number]]
                    spool.write(piece.data)
            at = end
        if at != starts[-1]:
            raise self._wrong(f"its weights have {at:,} bytes, and the files of them {starts[-1]:,}")
        return copied

    def _described(self, spec: Any) -> tuple[str, str, tuple[int, ...]]:
        name, dtype, shape = spec.get("name"), spec.get("dtype"), spec.get("shape")
        if type(name) is not str or type(dtype) is not str or type(shape) is not list:
            raise self._wrong("a weight of its manifest lacks its name, dtype or shape")
        if dtype not in _DTYPES or "quantization" in spec:
            kind = "quantized" if "quantization" in spec else dtype[:80]
            raise self._wrong(
                f"the weight {name[:80]!r} is {kind}; convert the model without that: {', '.join(_DTYPES)}"
            )
        if len(shape) > AXES or any(
            type(size) is not int or not 0 <= size <= EXACT_INTEGER for size in shape
        ):
            raise self._wrong(f"the weight {name[:80]!r} has a shape that is not one")
        return name, _DTYPES[dtype], tuple(shape)

    def _keep(self, blob: Blob, weights: Iterable[Any]) -> None:
        self.blobs[blob.name] = blob
        for name, dtype, shape, start in weights:
            if name in self.infos or not encodable(name):
                raise self._wrong(f"the weight {name[:80]!r} is there twice, or its name is not text")
            self.infos[name] = hashed(f"{SOLE}/{name}", dtype, shape, blob, start)

    def _wrong(self, why: str) -> IncompatibleError:
        return IncompatibleError(f"{self._blob.name}: {why}")


def _is_group(group: Any) -> bool:
    return (
        type(group) is dict
        and type(group.get("paths")) is list
        and all(type(path) is str for path in group["paths"])
        and type(group.get("weights")) is list
        and all(type(weight) is dict for weight in group["weights"])
    )
