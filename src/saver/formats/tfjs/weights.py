"""The weights of TensorFlow.js: tensors one after another, in files of 4 MiB."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
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


class _Packed(NamedTuple):
    """How the numbers of a weight were quantized: each is one of `dtype` times `scale`, plus `least`."""

    dtype: np.dtype[Any]
    scale: float
    least: float


_GREATEST = {"F32": float(np.finfo(np.float32).max), "I32": float(np.iinfo(np.int32).max)}


def _between(
    blobs: Sequence[Blob], starts: Sequence[int], at: int, end: int, step: int = 1 << 20
) -> Iterator[memoryview]:
    """The bytes of files that follow one another, from `at` to `end`, at most `step` at a time."""
    for number in range(bisect_right(starts, at) - 1, bisect_left(starts, end)):
        found = blobs[number].map()[max(0, at - starts[number]) : end - starts[number]]
        for begin in range(0, found.size, step):
            yield found[begin : begin + step].data


def _unpack(packed: _Packed, pieces: Iterable[memoryview], dtype: str, spool: Spool) -> None:
    """Write the numbers that were quantized, as TensorFlow.js computes them."""
    held = b""
    for piece in pieces:
        held += piece
        whole = len(held) - len(held) % packed.dtype.itemsize
        numbers = np.frombuffer(held[:whole], packed.dtype)
        held = held[whole:]
        if packed.dtype.kind == "f":
            made = numbers.astype("<f4")
        else:
            real = numbers.astype(np.float64) * packed.scale + packed.least
            made = real.astype("<f4") if dtype == "F32" else np.floor(real + 0.5).astype("<i4")
        spool.write(made.tobytes())


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
            packed = self._quantized(spec, name, dtype)
            end = at + math.prod(shape) * (ITEM_SIZE[dtype] if packed is None else packed.dtype.itemsize)
            if end > starts[-1]:
                raise self._wrong(f"the weight {name[:80]!r} has fewer bytes than its shape says")
            while shard + 1 < len(blobs) and at >= starts[shard + 1]:
                shard += 1
            if spec.get("group") == "optimizer":
                pass
            elif packed is not None and at < end:
                copied.append((name, dtype, shape, spool.size))
                _unpack(packed, _between(blobs, starts, at, end), dtype, spool)
            elif at == end:
                self._keep(self._blob, [(name, dtype, shape, 0)])
            elif end <= starts[shard + 1]:
                self._keep(blobs[shard], [(name, dtype, shape, at - starts[shard])])
            else:
                copied.append((name, dtype, shape, spool.size))
                for piece in _between(blobs, starts, at, end):
                    spool.write(piece)
            at = end
        if at != starts[-1]:
            raise self._wrong(f"its weights have {at:,} bytes, and the files of them {starts[-1]:,}")
        return copied

    def _described(self, spec: Any) -> tuple[str, str, tuple[int, ...]]:
        name, dtype, shape = spec.get("name"), spec.get("dtype"), spec.get("shape")
        if type(name) is not str or type(dtype) is not str or type(shape) is not list:
            raise self._wrong("a weight of its manifest lacks its name, dtype or shape")
        if dtype not in _DTYPES:
            raise self._wrong(
                f"the weight {name[:80]!r} is {dtype[:80]}, which Saver does not read; it reads "
                f"{', '.join(_DTYPES)}"
            )
        if len(shape) > AXES or any(
            type(size) is not int or not 0 <= size <= EXACT_INTEGER for size in shape
        ):
            raise self._wrong(f"the weight {name[:80]!r} has a shape that is not one")
        return name, _DTYPES[dtype], tuple(shape)

    def _quantized(self, spec: Any, name: str, dtype: str) -> _Packed | None:
        """How the numbers of a weight were quantized; None if they were not."""
        if "quantization" not in spec:
            return None
        said = spec["quantization"]
        kind = said.get("dtype") if type(said) is dict else None
        if kind == "float16" and dtype == "F32":
            return _Packed(np.dtype("<f2"), 1.0, 0.0)
        if kind in ("uint8", "uint16") and dtype in ("F32", "I32"):
            scale, least = said.get("scale"), said.get("min")
            largest, limit = (255 if kind == "uint8" else 65_535), _GREATEST[dtype]
            if all(type(each) in (int, float) and abs(each) <= limit for each in (scale, least)) and (
                abs(largest * scale + least) <= limit
            ):
                return _Packed(np.dtype(f"<u{1 if largest == 255 else 2}"), float(scale), float(least))
        raise self._wrong(f"the weight {name[:80]!r} is quantized in a way that TensorFlow.js does not know")

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
